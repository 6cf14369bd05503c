"""A rule store in one SQLite file, in WAL mode: readers never wait for the writer.

Every change bumps one revision row in the same transaction, so several Pilots can share the file: `poll`
compares that row and then reads what is newer. Deleted objects leave a tombstone, or a poll could not tell.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from meshloom.pilot.model.base import ObjectKey
from meshloom.pilot.store.base import StoredObject, StoreError

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE object (
    kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    text TEXT, -- NULL: deleted
    revision INTEGER NOT NULL,
    PRIMARY KEY (kind, namespace, name)
) WITHOUT ROWID;
CREATE INDEX object_revision ON object (revision);
CREATE TABLE revision (only INTEGER PRIMARY KEY CHECK (only = 1), value INTEGER NOT NULL);
INSERT INTO revision VALUES (1, 0);
"""
_BUSY_TIMEOUT_S = 5.0


class SqliteStore:
    """Safe to call from any thread, one call at a time."""

    def __init__(self, path: Path) -> None:
        """Creates the file where missing. Raises StoreError."""
        self._path = path
        self._lock = threading.Lock()
        self._objects: dict[ObjectKey, StoredObject] = {}
        self._seen = 0
        self._unreported: set[ObjectKey] = set()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # For the owner's eyes: an object may be a Secret. SQLite gives its other files the same mode.
            path.touch(mode=0o600)
            self._database = sqlite3.connect(
                path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"cannot open the rule store {path}: {error}") from error
        with self._lock, self._guarded("open"):
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._create()
            self._catch_up()

    @property
    def revision(self) -> int:
        return self._seen

    def objects(self) -> Mapping[ObjectKey, StoredObject]:
        with self._lock:
            return dict(self._objects)

    def put(self, texts: Mapping[ObjectKey, str]) -> int:
        if texts:
            self._write(texts)
        return self._seen

    def delete(self, keys: Iterable[ObjectKey]) -> frozenset[ObjectKey]:
        with self._lock, self._guarded("write"):
            self._catch_up()
            there = frozenset(key for key in keys if key in self._objects)
        if there:
            self._write(dict.fromkeys(there))
        return there

    def poll(self) -> frozenset[ObjectKey]:
        with self._lock, self._guarded("read"):
            self._catch_up()
            changed, self._unreported = frozenset(self._unreported), set()
        return changed

    def close(self) -> None:
        self._database.close()

    def _write(self, texts: Mapping[ObjectKey, str | None]) -> None:
        with self._lock, self._guarded("write"):
            with self._transaction():
                bump = "UPDATE revision SET value = value + 1 RETURNING value"
                (revision,) = self._database.execute(bump).fetchone()
                rows = [(k.kind, k.namespace, k.name, text, revision) for k, text in texts.items()]
                self._database.executemany("INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?, ?)", rows)
            self._catch_up()

    def _catch_up(self) -> None:
        """Takes in every change since the last one seen, ours and others'."""
        changed = "SELECT kind, namespace, name, text, revision FROM object WHERE revision > ?"
        for kind, namespace, name, text, revision in self._database.execute(
            changed, (self._seen,)
        ).fetchall():
            key = ObjectKey(kind, namespace, name)
            if text is None:
                self._objects.pop(key, None)
            else:
                self._objects[key] = StoredObject(key, text, f"{self._path}/{key}", revision)
            self._unreported.add(key)
            self._seen = max(self._seen, revision)

    def _create(self) -> None:
        with self._transaction():
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _SCHEMA.split(";\n"):
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            elif version != _SCHEMA_VERSION:
                reason = f"its layout is version {version}, this program knows {_SCHEMA_VERSION}"
                raise StoreError(f"cannot open the rule store {self._path}: {reason}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"cannot {what} the rule store {self._path}: {error}") from error
