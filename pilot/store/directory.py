"""A rule store that is a directory of YAML files, one object in each: `VirtualService.default.reviews.yaml`.

Files appear whole (written aside, synced, renamed). People may edit, add or remove them; `poll` notices.
Several files of one `put` cannot be renamed at once, so a journal makes the step whole: it is written
first, and a store that finds one left over carries it out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from meshloom.pilot.model.base import ObjectKey, Value
from meshloom.pilot.store.base import StoredObject, StoreError

_SUFFIX = ".yaml"
_REVISION_FILE = ".revision"
_JOURNAL_FILE = ".journal"

Stamp = tuple[int, int, int]


class _Held(Value, frozen=True):
    """`stamp` tells whether the file is still the one that was read."""

    object: StoredObject
    stamp: Stamp


class DirectoryStore:
    """One process writes; any number of people do."""

    def __init__(self, root: Path) -> None:
        """Creates the directory where missing. Raises StoreError."""
        self._root = root
        self._held: dict[ObjectKey, _Held] = {}
        self._unreported: set[ObjectKey] = set()
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._revision = _read_revision(root / _REVISION_FILE)
            self._finish_journal()
            self._scan()
        except OSError as error:
            raise _failed("open", root, error) from error

    @property
    def revision(self) -> int:
        return self._revision

    def objects(self) -> Mapping[ObjectKey, StoredObject]:
        return {key: held.object for key, held in self._held.items()}

    def put(self, texts: Mapping[ObjectKey, str]) -> int:
        if texts:
            self._step({_file_name(key): text for key, text in texts.items()})
        return self._revision

    def delete(self, keys: Iterable[ObjectKey]) -> frozenset[ObjectKey]:
        there = frozenset(key for key in keys if key in self._held)
        if there:
            self._step({_file_name(key): None for key in there})
        return there

    def poll(self) -> frozenset[ObjectKey]:
        try:
            if self._scan():
                self._keep_revision()
        except OSError as error:
            raise _failed("read", self._root, error) from error
        changed, self._unreported = frozenset(self._unreported), set()
        return changed

    def close(self) -> None:
        """Nothing is held open."""

    def _step(self, files: Mapping[str, str | None]) -> None:
        """Writes (or, for None, removes) all files, whatever happens in between."""
        try:
            _write(self._root / _JOURNAL_FILE, json.dumps(files))
            self._finish_journal()
            if self._scan():
                self._keep_revision()
        except OSError as error:
            raise _failed("write", self._root, error) from error

    def _finish_journal(self) -> None:
        journal = self._root / _JOURNAL_FILE
        try:
            files = json.loads(journal.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        for name, text in files.items():
            if text is None:
                (self._root / name).unlink(missing_ok=True)
            else:
                _write(self._root / name, text)
        journal.unlink()
        _sync(self._root)

    def _scan(self) -> bool:
        """Takes in what changed on disk; whether anything did."""
        seen: dict[ObjectKey, Stamp] = {}
        for entry in os.scandir(self._root):
            key = _key_of(entry.name)
            if key is not None and entry.is_file():
                status = entry.stat()
                seen[key] = (status.st_mtime_ns, status.st_size, status.st_ino)
        stale = [
            key for key, stamp in seen.items() if key not in self._held or self._held[key].stamp != stamp
        ]
        gone = [key for key in self._held if key not in seen]
        if not stale and not gone:
            return False
        self._revision += 1
        for key in gone:
            del self._held[key]
        for key in stale:
            if (read := self._read(key)) is not None:
                self._held[key] = _Held(read, seen[key])
        self._unreported.update(stale, gone)
        return True

    def _read(self, key: ObjectKey) -> StoredObject | None:
        """None where somebody removed the file just now: the next poll sees that."""
        path = self._root / _file_name(key)
        try:
            text = path.read_bytes().decode(errors="replace")
        except FileNotFoundError:
            return None
        return StoredObject(key, text, str(path), self._revision)

    def _keep_revision(self) -> None:
        _write(self._root / _REVISION_FILE, f"{self._revision}\n")


def _file_name(key: ObjectKey) -> str:
    return f"{key.kind}.{key.namespace}.{key.name}{_SUFFIX}"


def _key_of(name: str) -> ObjectKey | None:
    """Namespaces and kinds have no dots; names may."""
    if name.startswith(".") or not name.endswith(_SUFFIX):
        return None
    parts = name.removesuffix(_SUFFIX).split(".", 2)
    return ObjectKey(*parts) if len(parts) == 3 and parts[0] and parts[2] else None


def _read_revision(path: Path) -> int:
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return 0
    return int(text) if text.isdigit() else 0


def _write(path: Path, text: str) -> None:
    """Whole or not at all, and on disk when it returns. For the owner's eyes: an object may be a Secret."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failed(what: str, root: Path, error: OSError) -> StoreError:
    return StoreError(f"cannot {what} the rule store {root}: {error.strerror or error}")
