"""Opens the store that a `--store` flag names."""

from __future__ import annotations

from pathlib import Path

from meshloom.pilot.store.base import RuleStore, StoreError
from meshloom.pilot.store.directory import DirectoryStore
from meshloom.pilot.store.sqlite import SqliteStore

APPLIED = "applied"
_SQLITE = "sqlite:"


def open_store(spec: str, config_dir: Path) -> RuleStore:
    """`dir` keeps applied objects under `config_dir`; `sqlite:PATH` in one file. Raises StoreError."""
    if spec == "dir":
        return DirectoryStore(config_dir / APPLIED)
    if spec.startswith(_SQLITE) and len(spec) > len(_SQLITE):
        return SqliteStore(Path(spec.removeprefix(_SQLITE)))
    raise StoreError(f'unknown store "{spec}": want dir or sqlite:PATH')
