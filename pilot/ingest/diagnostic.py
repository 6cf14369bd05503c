"""What there is to say about a document: where, how bad, what is wrong and what would be right."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

import msgspec
from meshloom.pilot.model.base import ObjectKey, Value

Step = str | int
Path = tuple[Step, ...]

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Severity(StrEnum):
    """An ERROR keeps the object out; a WARNING lets it in and says what will not happen."""

    WARNING = "warning"
    ERROR = "error"


class Fault(Value, frozen=True):
    """Something wrong at a path inside one document. `hint` says what would be right, where we can tell."""

    path: Path
    message: str
    hint: str = ""

    def under(self, prefix: Path) -> Fault:
        return msgspec.structs.replace(self, path=(*prefix, *self.path))


class Diagnostic(Value, frozen=True, kw_only=True):
    """A fault or a warning, placed. `line` counts from 1 in `source`; `object` is None where unreadable."""

    severity: Severity
    source: str
    line: int
    message: str
    path: str = ""
    hint: str = ""
    object: ObjectKey | None = None

    def __str__(self) -> str:
        where = f"{self.source}:{self.line}"
        what = f"{self.path}: {self.message}" if self.path else self.message
        who = f" ({self.object})" if self.object else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{where}: {self.severity}: {what}{hint}{who}"


def render_path(path: Sequence[Step]) -> str:
    """`spec.http[0].match[1].headers["x.y"]`: indexes and odd keys in brackets, the rest dotted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f'["{step}"]'
    return text
