"""All configuration of a mesh: what people wrote in files, what they applied, and the changes of both.

Applied objects win over files. A faulty change never displaces the last good version of its object. Every
object that changes gets the next revision; `Change`s tell of them in that order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from meshloom.pilot.ingest.analysis import analyse
from meshloom.pilot.ingest.diagnostic import Diagnostic, Severity
from meshloom.pilot.ingest.files import FileSource
from meshloom.pilot.ingest.mesh_config import MESH_CONFIG_KIND
from meshloom.pilot.ingest.parse import DEFAULT_NAMESPACE, Accepted, Parsed, parse_text
from meshloom.pilot.ingest.retain import View, merge_views, next_view
from meshloom.pilot.model.base import Namespace, ObjectKey, Value
from meshloom.pilot.model.build import AnyObject
from meshloom.pilot.store.base import RuleStore, StoreError
from meshloom.pilot.store.text import dump_yaml
from meshloom.runtime.log import Log

_log = Log("pilot.configuration")
_HISTORY = 4096  # changes kept for watchers that come back


class ChangeKind(StrEnum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class Held(Value, frozen=True):
    """One object in force and the revision of its last change."""

    object: AnyObject
    document: Mapping[str, Any]
    revision: int


class Change(Value, frozen=True):
    """`held` is the object's last state; of a deleted one, its state before."""

    kind: ChangeKind
    held: Held
    revision: int


class Outcome(StrEnum):
    CREATED = "created"
    CONFIGURED = "configured"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"


class Applied(Value, frozen=True):
    """What became of each object, and all there is to say. One error anywhere and nothing is written."""

    outcomes: Mapping[ObjectKey, Outcome]
    diagnostics: tuple[Diagnostic, ...]


class Deleted(Value, frozen=True):
    """`in_files` are in force as a file declares them, which is where to remove them."""

    deleted: frozenset[ObjectKey]
    not_found: frozenset[ObjectKey]
    in_files: Mapping[ObjectKey, Held]


class HistoryLost(Exception):
    """A watcher asks for changes that are no longer kept: it has to list again."""

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(f"changes since {asked} are gone, the oldest kept is {oldest}: list again")
        self.asked, self.oldest = asked, oldest


class Configuration:
    """To be used from one event loop; disk work happens in threads."""

    def __init__(self, files: FileSource | None, store: RuleStore, now: Callable[[], datetime]) -> None:
        self._files = files
        self._store = store
        self._now = now
        self._lock = asyncio.Lock()
        self._stored_views: dict[ObjectKey, View] = {}
        self._held: dict[ObjectKey, Held] = {}
        self._chosen: Mapping[ObjectKey, Accepted] = {}
        self._diagnostics: tuple[Diagnostic, ...] = ()
        # Microseconds: two runs of Pilot never count the same numbers.
        self._revision = int(now().timestamp() * 1_000_000)
        self._history: deque[Change] = deque(maxlen=_HISTORY)
        self._forgotten = self._revision
        self._changed = asyncio.Condition()
        self._take_in(frozenset(store.objects()))

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What is to be said about the configuration as it is now."""
        return self._diagnostics

    def objects(self) -> tuple[AnyObject, ...]:
        """What a mesh model is built from."""
        return tuple(held.object for held in self._held.values())

    def list(self, kind: str = "", namespace: str = "", name: str = "") -> tuple[Held, ...]:
        """Objects by key; an empty argument matches all."""
        return tuple(
            self._held[key]
            for key in sorted(self._held)
            if (not kind or key.kind == kind)
            and (not namespace or key.namespace == namespace)
            and (not name or key.name == name)
        )

    async def run(self, interval_s: float) -> None:
        """Notices what others change, in files and in the store, until cancelled.

        A disk that cannot be read is on record once, and tried again: what is in force stays so.
        """
        failed = False
        while True:
            await asyncio.sleep(interval_s)
            try:
                await self.poll()
                failed = False
            except (OSError, StoreError) as error:
                if not failed:
                    _log.error("configuration_unreadable", reason=str(error))
                failed = True

    async def poll(self) -> bool:
        """Takes in what changed on disk; whether anything in force did."""
        async with self._lock:
            files = await asyncio.to_thread(self._files.poll) if self._files else False
            stored = await asyncio.to_thread(self._store.poll)
            if not files and not stored:
                return False
            return await self._refresh(stored)

    async def apply(
        self, text: str, source: str, namespace: Namespace = DEFAULT_NAMESPACE, dry_run: bool = False
    ) -> Applied:
        """All documents of `text`, or, when one has an error or `dry_run` is asked for, none."""
        parsed = parse_text(text, source, namespace)
        diagnostics = (*parsed.diagnostics, *_repetitions(parsed))
        async with self._lock:
            written = [a for a in parsed.accepted if a.object.key.kind != MESH_CONFIG_KIND]
            outcomes = {a.object.key: self._outcome(a) for a in written}
            if any(d.severity is Severity.ERROR for d in diagnostics):
                refused = dict.fromkeys(parsed.rejected, Outcome.REJECTED)
                return Applied({**outcomes, **refused}, diagnostics)
            given = {a.object.key: a for a in parsed.accepted}
            told = [d for d in analyse({**self._chosen, **given}) if d.object in given]
            drafts = {
                a.object.key: dump_yaml(self._stamped(a))
                for a in written
                if outcomes[a.object.key] is not Outcome.UNCHANGED
            }
            if drafts and not dry_run:
                await asyncio.to_thread(self._store.put, drafts)
                await self._refresh(await asyncio.to_thread(self._store.poll))
        return Applied(outcomes, (*diagnostics, *told))

    async def delete(self, keys: Sequence[ObjectKey]) -> Deleted:
        """Removes applied objects. One that a file declares too is in force again as the file has it."""
        async with self._lock:
            gone = await asyncio.to_thread(self._store.delete, keys)
            if gone:
                await self._refresh(await asyncio.to_thread(self._store.poll))
            in_files = {key: self._held[key] for key in keys if key in self._held}
        return Deleted(gone, frozenset(keys) - gone - in_files.keys(), in_files)

    async def newer(self, than: int) -> int:
        """Waits until something in force changed after revision `than`; the revision then."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._revision > than)
        return self._revision

    async def changes(self, since: int) -> AsyncIterator[Change]:
        """Every change after revision `since`, without end. Raises HistoryLost, also for a revision that we
        have not reached: another Pilot counts otherwise."""
        while True:
            if not self._forgotten <= since <= self._revision:
                raise HistoryLost(since, self._forgotten)
            for change in [change for change in self._history if change.revision > since]:
                since = change.revision
                yield change
            await self.newer(since)

    async def _refresh(self, stored: frozenset[ObjectKey]) -> bool:
        before = self._revision
        self._take_in(stored)
        async with self._changed:
            self._changed.notify_all()
        return self._revision != before

    def _take_in(self, stored: Iterable[ObjectKey]) -> None:
        texts = self._store.objects()
        for key in stored:
            if (item := texts.get(key)) is None:
                self._stored_views.pop(key, None)
            else:
                previous = self._stored_views.get(key, View())
                self._stored_views[key] = next_view(previous, parse_text(item.text, item.source))
        applied = (self._stored_views[key] for key in sorted(self._stored_views))
        chosen, diagnostics = merge_views((*applied, *(self._files.views if self._files else ())))
        self._diagnostics = (*diagnostics, *analyse(chosen))
        self._chosen = chosen
        self._replace(chosen)

    def _replace(self, chosen: Mapping[ObjectKey, Accepted]) -> None:
        for key in [key for key in self._held if key not in chosen]:
            self._record(ChangeKind.DELETED, self._held.pop(key).object, {})
        for key, accepted in chosen.items():
            held = self._held.get(key)
            if held is None:
                self._held[key] = self._record(ChangeKind.ADDED, accepted.object, accepted.document)
            elif held.document != accepted.document:
                self._held[key] = self._record(ChangeKind.MODIFIED, accepted.object, accepted.document)
            elif held.object != accepted.object:
                # Only moved to another line: nothing that anybody watches for.
                self._held[key] = Held(accepted.object, accepted.document, held.revision)

    def _record(self, kind: ChangeKind, item: AnyObject, document: Mapping[str, Any]) -> Held:
        self._revision += 1
        if len(self._history) == _HISTORY:
            self._forgotten = self._history[0].revision
        held = Held(item, document, self._revision)
        self._history.append(Change(kind, held, self._revision))
        return held

    def _outcome(self, accepted: Accepted) -> Outcome:
        held = self._held.get(accepted.object.key)
        if held is None:
            return Outcome.CREATED
        key = accepted.object.key
        same = _without_stamp(_named(key, held.document)) == _without_stamp(_named(key, accepted.document))
        return Outcome.UNCHANGED if same else Outcome.CONFIGURED

    def _stamped(self, accepted: Accepted) -> Mapping[str, Any]:
        """The document with its namespace and, as Kubernetes does, its time of creation."""
        document = _named(accepted.object.key, accepted.document)
        held = self._held.get(accepted.object.key)
        known = _metadata(held.document).get("creationTimestamp") if held else None
        stamp = known or self._now().astimezone(UTC).isoformat().replace("+00:00", "Z")
        metadata = {"creationTimestamp": stamp, **_metadata(document)}
        return {**document, "metadata": metadata}


def _repetitions(parsed: Parsed) -> tuple[Diagnostic, ...]:
    """Within one apply a key may appear once: which of two was meant is not ours to guess."""
    repeated = next_view(View(), parsed).diagnostics[len(parsed.diagnostics) :]
    return tuple(
        Diagnostic(
            severity=Severity.ERROR,
            source=d.source,
            line=d.line,
            message=d.message.replace(", which is in force", ""),
            hint=d.hint,
            object=d.object,
        )
        for d in repeated
    )


def _metadata(document: Mapping[str, Any]) -> dict[str, Any]:
    return dict(document.get("metadata") or {})


def _named(key: ObjectKey, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The document with its namespace spelt out, so that it means the same wherever it is read."""
    if not key.namespace:
        return document
    return {**document, "metadata": {**_metadata(document), "namespace": key.namespace}}


def _without_stamp(document: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = {name: v for name, v in _metadata(document).items() if name != "creationTimestamp"}
    return {**document, "metadata": metadata}
