"""Pilot's own check of files, offline: what `validate`, `up` and `gateway` tell before anything runs."""

from collections.abc import Iterable
from pathlib import Path

from meshloom.cli.diagnostics import Finding
from meshloom.pilot.ingest.validate import validate


def checked(paths: Iterable[Path]) -> list[Finding]:
    """All there is to say about the files, and those below the directories."""
    return [
        Finding(d.severity, d.source, d.line, d.path, d.message, d.hint, str(d.object or ""))
        for d in validate(paths)
    ]
