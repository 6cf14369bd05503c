"""The rule store port: texts of applied objects by key, each change with a revision.

A store knows nothing of what the texts mean. Its calls block for the length of a small disk write; the
event loop calls them in a thread. Several processes may share one store: `poll` tells what changed, whoever
changed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from meshloom.pilot.model.base import ObjectKey, Value


class StoreError(Exception):
    """A store that cannot be read or written. Its text names the file and the reason."""


class StoredObject(Value, frozen=True):
    """One object's YAML document. `source` names it in diagnostics; `revision` is that of its last change."""

    key: ObjectKey
    text: str
    source: str
    revision: int


class RuleStore(Protocol):
    """Promises: `put` and `delete` happen whole or not at all and are visible to `objects` when they return;
    revisions only grow, also across restarts; `poll` reports each key that changed since the last poll."""

    @property
    def revision(self) -> int:
        """That of the newest change; 0 for a store that never had one."""
        ...

    def objects(self) -> Mapping[ObjectKey, StoredObject]: ...

    def put(self, texts: Mapping[ObjectKey, str]) -> int:
        """Writes all of `texts`; returns the revision they got."""
        ...

    def delete(self, keys: Iterable[ObjectKey]) -> frozenset[ObjectKey]:
        """Removes what is there of `keys`, and returns that."""
        ...

    def poll(self) -> frozenset[ObjectKey]: ...

    def close(self) -> None: ...
