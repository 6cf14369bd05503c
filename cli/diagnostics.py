"""Shows what is wrong with a document: file:line, the field's path, the reason, and what would be right."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import click


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to say about one place in a document."""

    severity: str
    """`error` or `warning`."""
    source: str
    line: int
    path: str
    message: str
    hint: str = ""
    about: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value or name == "line"}


def show(findings: Iterable[Finding]) -> None:
    """One line each on standard error, in the form that editors can jump to, with the remedy below."""
    for finding in findings:
        color = "red" if finding.severity == "error" else "yellow"
        place = f"{finding.source}:{finding.line}" if finding.line else finding.source
        where = f"{finding.path}: " if finding.path else ""
        click.echo(f"{place}: {click.style(finding.severity, fg=color)}: {where}{finding.message}", err=True)
        if finding.hint:
            click.echo(f"    {finding.hint}", err=True)
