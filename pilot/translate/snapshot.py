"""Everything one proxy is told, at one moment: closed under references and replaced whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meshloom.pilot.translate.resource import NO_RESOURCES, ResourceSet, TypeUrl


class DanglingReference(Exception):
    """A translated resource names one that was not made; the proxy keeps its last good snapshot."""

    def __init__(self, type_url: TypeUrl, names: frozenset[str]) -> None:
        super().__init__(f"{type_url} referenced but not made: {', '.join(sorted(names))}")
        self.type_url, self.names = type_url, names


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Never mutated. Equal parts of consecutive snapshots are the same objects, which makes a diff cheap."""

    sets: Mapping[str, ResourceSet]

    @classmethod
    def build(cls, sets: Mapping[TypeUrl, ResourceSet]) -> Snapshot:
        for owner, target in ((TypeUrl.CLUSTER, TypeUrl.ENDPOINT), (TypeUrl.LISTENER, TypeUrl.ROUTE)):
            present = sets[target].resources.keys()
            named = frozenset(ref for made in sets[owner].resources.values() for ref in made.refers)
            if dangling := named - present:
                raise DanglingReference(target, dangling)
        return cls({str(type_url): made for type_url, made in sets.items()})

    def of(self, type_url: str) -> ResourceSet:
        return self.sets.get(type_url, NO_RESOURCES)


EMPTY = Snapshot({})
