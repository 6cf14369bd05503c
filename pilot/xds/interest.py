"""Which resources of a type a proxy asks for: the wildcard, names, or both.

Legacy wildcard (xDS protocol, "How the client specifies what resources to return"): the first request of a
stream for listeners or clusters that names nothing asks for all of them; once a request has named
something, naming nothing means nothing. "*" asks for all of any type, at any time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meshloom.pilot.translate.resource import TypeUrl

WILDCARD = "*"
_LEGACY_WILDCARD_TYPES = frozenset({TypeUrl.CLUSTER, TypeUrl.LISTENER})


@dataclass(frozen=True, slots=True)
class Interest:
    """`legacy` marks a wildcard nobody spelled out: it ends as soon as a name is asked for."""

    wildcard: bool
    names: frozenset[str]
    legacy: bool = False

    @classmethod
    def first(cls, type_url: str, names: Iterable[str]) -> Interest:
        asked = frozenset(names)
        if not asked and type_url in _LEGACY_WILDCARD_TYPES:
            return cls(wildcard=True, names=frozenset(), legacy=True)
        return cls(wildcard=WILDCARD in asked, names=asked - {WILDCARD})

    def replaced(self, names: Iterable[str]) -> Interest:
        """State of the world: each request carries the whole list."""
        asked = frozenset(names)
        if self.legacy and not asked:
            return self
        return Interest(wildcard=WILDCARD in asked, names=asked - {WILDCARD})

    def changed(self, subscribe: Iterable[str], unsubscribe: Iterable[str]) -> Interest:
        """Delta: each request carries the difference. A legacy wildcard stays until "*" is unsubscribed."""
        added, dropped = frozenset(subscribe), frozenset(unsubscribe)
        wildcard = (self.wildcard or WILDCARD in added) and WILDCARD not in dropped
        return Interest(wildcard, (self.names | added) - dropped - {WILDCARD}, self.legacy and wildcard)

    def wants(self, name: str) -> bool:
        return self.wildcard or name in self.names
