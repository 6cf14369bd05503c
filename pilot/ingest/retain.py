"""The last good version stays: what a source holds after it was read again, faults and all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from meshloom.pilot.ingest.diagnostic import Diagnostic, Severity
from meshloom.pilot.ingest.parse import Accepted, Parsed
from meshloom.pilot.model.base import ObjectKey, Value


class View(Value, frozen=True):
    """One source's objects. `fresh` are as written now; `retained` are earlier versions of faulty ones."""

    fresh: Mapping[ObjectKey, Accepted] = {}
    retained: Mapping[ObjectKey, Accepted] = {}
    diagnostics: tuple[Diagnostic, ...] = ()


def next_view(previous: View, parsed: Parsed) -> View:
    """After text that cannot be read at all, nothing that the source held is given up."""
    fresh: dict[ObjectKey, Accepted] = {}
    repeated: list[Diagnostic] = []
    for accepted in parsed.accepted:
        key = accepted.object.key
        if key in fresh:
            repeated.append(_repeated(accepted, fresh[key]))
        else:
            fresh[key] = accepted
    earlier = {**previous.retained, **previous.fresh}
    retained = {
        key: accepted
        for key, accepted in earlier.items()
        if key not in fresh and (parsed.unreadable or key in parsed.rejected)
    }
    return View(fresh, retained, (*parsed.diagnostics, *repeated))


def merge_views(views: Iterable[View]) -> tuple[Mapping[ObjectKey, Accepted], tuple[Diagnostic, ...]]:
    """One object per key: that of the first view, and a retained one only where no view has a fresh one."""
    ordered = tuple(views)
    chosen: dict[ObjectKey, Accepted] = {}
    diagnostics: list[Diagnostic] = []
    for view in ordered:
        diagnostics += view.diagnostics
        for key, accepted in view.fresh.items():
            if key in chosen:
                diagnostics.append(_repeated(accepted, chosen[key]))
            else:
                chosen[key] = accepted
    for view in ordered:
        for key, accepted in view.retained.items():
            chosen.setdefault(key, accepted)
    return chosen, tuple(diagnostics)


def _repeated(later: Accepted, first: Accepted) -> Diagnostic:
    return Diagnostic(
        severity=Severity.WARNING,
        source=later.object.origin.source,
        line=later.object.origin.line,
        message=f"also declared at {first.object.origin}, which is in force",
        hint="remove one of the two",
        object=later.object.key,
    )
