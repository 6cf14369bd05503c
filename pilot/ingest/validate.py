"""Checks files and directories without a running mesh: what `meshloom validate -f` shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from meshloom.pilot.ingest.analysis import analyse
from meshloom.pilot.ingest.diagnostic import Diagnostic
from meshloom.pilot.ingest.files import parse_file, yaml_files
from meshloom.pilot.ingest.retain import View, merge_views, next_view


def validate(paths: Iterable[Path]) -> list[Diagnostic]:
    """All there is to say about the given files and the YAML files below the given directories, also about
    what they say of each other."""
    views = [next_view(View(), parse_file(file)) for path in paths for file in _files(path)]
    chosen, diagnostics = merge_views(views)
    return [*diagnostics, *analyse(chosen)]


def _files(path: Path) -> Iterator[Path]:
    return yaml_files(path) if path.is_dir() else iter((path,))
