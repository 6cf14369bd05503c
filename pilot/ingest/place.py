"""Where an object was written, which turns a fault in it into a diagnostic."""

from __future__ import annotations

from meshloom.pilot.ingest.diagnostic import Diagnostic, Fault, Path, Severity, render_path
from meshloom.pilot.ingest.documents import Document
from meshloom.pilot.model.base import ObjectKey, Origin, Value


class Place(Value, frozen=True):
    """Where an object is: a document of a source, and the path to it there (for items of a List)."""

    source: str
    document: Document
    prefix: Path

    @property
    def origin(self) -> Origin:
        line = self.document.line_of(self.prefix) if self.prefix else self.document.first_line
        return Origin(self.source, line)

    def diagnose(self, fault: Fault, severity: Severity, key: ObjectKey | None = None) -> Diagnostic:
        path = (*self.prefix, *fault.path)
        return Diagnostic(
            severity=severity,
            source=self.source,
            line=self.document.line_of(path) if path else self.document.first_line,
            message=fault.message,
            path=render_path(path),
            hint=fault.hint,
            object=key,
        )
