"""A directory of YAML that people edit: read at the start, polled for changes, last good versions kept."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from meshloom.pilot.ingest.diagnostic import Diagnostic, Severity
from meshloom.pilot.ingest.parse import DEFAULT_NAMESPACE, Parsed, parse_mesh_config_text, parse_text
from meshloom.pilot.ingest.retain import View, next_view
from meshloom.pilot.model.base import Namespace, Value

SUFFIXES = (".yaml", ".yml", ".json")
# Of the local supervisor: which commands stand for which container images.
_NOT_OURS = frozenset({"meshloom.yaml", "meshloom.yml"})
_MESH_CONFIG = frozenset({"mesh.yaml", "mesh.yml"})

# Not every editor renames: a file this young may still be half written, and is read at the next poll.
_SETTLED_NS = 50_000_000

Stamp = tuple[int, int, int]


class _Read(Value, frozen=True):
    stamp: Stamp
    view: View


class FileSource:
    """Blocks for as long as the changed files take to read; the event loop calls `poll` in a thread."""

    def __init__(
        self,
        root: Path,
        leave_out: frozenset[str] = frozenset(),
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Reads all there is. `leave_out` names subdirectories that belong to somebody else, such as a rule
        store. Raises OSError for a directory that cannot be listed."""
        self._root = root
        self._leave_out = leave_out
        self._now_ns = now_ns
        self._read: dict[Path, _Read] = {}
        self._take_in(dict(self._find()))

    @property
    def views(self) -> tuple[View, ...]:
        """One per file, in the order of their paths."""
        return tuple(self._read[path].view for path in sorted(self._read))

    def poll(self) -> bool:
        """Reads what changed since the last time; whether anything did. Raises OSError for a directory that
        cannot be listed, and then keeps what it has."""
        return self._take_in({path: stamp for path, stamp in self._find() if self._settled(path, stamp)})

    def _settled(self, path: Path, stamp: Stamp) -> bool:
        """Whether a file is as read, or has been left alone for a moment."""
        known = self._read.get(path)
        return (known is not None and known.stamp == stamp) or not 0 <= self._now_ns() - stamp[
            0
        ] < _SETTLED_NS

    def _take_in(self, found: Mapping[Path, Stamp]) -> bool:
        changed = False
        for path in [path for path in self._read if path not in found and not path.exists()]:
            del self._read[path]
            changed = True
        for path, stamp in found.items():
            known = self._read.get(path)
            if known is None or known.stamp != stamp:
                self._read[path] = _Read(stamp, next_view(known.view if known else View(), parse_file(path)))
                changed = True
        return changed

    def _find(self) -> Iterator[tuple[Path, Stamp]]:
        return ((path, stamp) for path in yaml_files(self._root, self._leave_out) if (stamp := _stamp(path)))


def yaml_files(root: Path, leave_out: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Every file of ours below `root`, hidden ones and symlinked directories left out, in a stable order."""
    for folder, folders, names in os.walk(root, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in leave_out)
        for name in sorted(names):
            if name.endswith(SUFFIXES) and not name.startswith(".") and name not in _NOT_OURS:
                yield Path(folder, name)


def _raise(error: OSError) -> None:
    raise error


def parse_file(path: Path, namespace: Namespace = DEFAULT_NAMESPACE) -> Parsed:
    """A file that cannot be read is a diagnostic of that file, not an exception."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        return _unreadable(path, error.strerror or str(error))
    except UnicodeDecodeError as error:
        return _unreadable(path, f"not UTF-8: {error.reason} at byte {error.start}")
    if path.name in _MESH_CONFIG:
        return parse_mesh_config_text(text, str(path))
    return parse_text(text, str(path), namespace)


def _unreadable(path: Path, reason: str) -> Parsed:
    fault = Diagnostic(severity=Severity.ERROR, source=str(path), line=1, message=f"cannot read: {reason}")
    return Parsed(diagnostics=(fault,), unreadable=True)


def _stamp(path: Path) -> Stamp | None:
    """None for a file that vanished between listing and looking."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)
