"""One configuration text: its values, and on which line each of them stands."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import ryaml

Step: TypeAlias = str | int
FieldPath: TypeAlias = tuple[Step, ...]


class UnreadableDocument(Exception):
    """The text is not YAML or JSON, or holds no object; the message names the file and the line."""


@dataclass(frozen=True, slots=True)
class Document:
    name: str
    """The file's path, or `--config-yaml`."""
    text: str
    content: dict[str, Any]

    @classmethod
    def read(cls, path: str) -> Document:
        """Raises UnreadableDocument."""
        try:
            return cls.parse(path, Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UnreadableDocument(f"{path}: {getattr(error, 'strerror', None) or error}") from error

    @classmethod
    def parse(cls, name: str, text: str) -> Document:
        """Raises UnreadableDocument."""
        try:
            # JSON is YAML, but its own parser is a hundred times faster on large files.
            content = json.loads(text) if text.lstrip().startswith("{") else _yaml(text)
        except json.JSONDecodeError as error:
            content = _flow_yaml(name, text, error)
        except ValueError as error:
            raise UnreadableDocument(f"{name}{_line_in(str(error))}: {error}") from error
        except RecursionError as error:
            raise UnreadableDocument(f"{name}: nested too deeply") from error
        _check_characters(name, text, content)
        if not isinstance(content, dict):
            raise UnreadableDocument(f"{name}: want an object with fields, found {type(content).__name__}")
        return cls(name, text, content)

    def line_of(self, path: FieldPath) -> int | None:
        """The line of the deepest part of `path` that the text has; None when it has not even its first.

        Composes the node tree anew: only faults ask, and there are few of them.
        """
        import yaml

        line: int | None = None
        try:
            # JSON may hold control characters as they are, YAML may not.
            node = yaml.compose(_NO_YAML.sub("?", self.text), Loader=yaml.CSafeLoader)
        except (yaml.YAMLError, RecursionError):
            return None  # what only the other parser reads: the fault is told without a line
        for step in path:
            child = _child(node, step)
            if child is None:
                break
            node, line = child
        return line


def path_text(path: FieldPath) -> str:
    """`("static_resources", "listeners", 0)` as `static_resources.listeners[0]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _WORD.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step)}]"
    return text


def parse_path(text: str) -> FieldPath:
    """The inverse of `path_text`, for paths that the compiler reports."""
    steps: list[Step] = []
    for index, quoted, word in _STEPS.findall(text):
        steps.append(int(index) if index else json.loads(quoted) if quoted else word)
    return tuple(steps)


def snake_case(name: str) -> str:
    """protobuf's own name of a field that a document may spell in camel case."""
    return re.sub(r"[A-Z]", lambda capital: "_" + capital.group().lower(), name)


def _child(node: Any, step: Step) -> tuple[Any, int] | None:
    """The part of a node that one step of a path leads to, and the line where it starts."""
    if isinstance(step, int):
        if not isinstance(node.value, list) or step >= len(node.value):
            return None
        item = node.value[step]
        return None if isinstance(item, tuple) else (item, item.start_mark.line + 1)
    if node is None or not hasattr(node, "value") or not isinstance(node.value, list):
        return None
    for pair in node.value:
        if isinstance(pair, tuple) and (
            pair[0].value == step or snake_case(str(pair[0].value)) == snake_case(step)
        ):
            return pair[1], pair[0].start_mark.line + 1
    return None


def _yaml(text: str) -> Any:
    """Raises ValueError, and RecursionError for brackets so deep that the parser would need minutes."""
    depth = 0
    for found in _BRACKETS.finditer(text):
        depth = depth + 1 if found.group() in "[{" else max(depth - 1, 0)
        if depth > _DEEPEST_FLOW:
            raise RecursionError
    return ryaml.loads(text)  # type: ignore[attr-defined]


def _flow_yaml(name: str, text: str, error: json.JSONDecodeError) -> Any:
    """What starts with a brace may still be YAML's flow style; if not, JSON's complaint is the better."""
    try:
        return _yaml(text)
    except ValueError:
        raise UnreadableDocument(f"{name}:{error.lineno}: {error.msg} at column {error.colno}") from error


def _check_characters(name: str, text: str, content: Any) -> None:
    """Half of a surrogate pair is no character: JSON can spell it, but no protobuf text can hold it."""
    found = _HALF.search(text)
    if found is None:
        return
    try:
        json.dumps(content, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, found.start()) + 1
        raise UnreadableDocument(f"{name}:{line}: {error.object[error.start]!a} is no character") from error


def _line_in(message: str) -> str:
    found = re.search(r"line (\d+)", message)
    return f":{found.group(1)}" if found else ""


_BRACKETS = re.compile(r"[\[\]{}]")
_DEEPEST_FLOW = 1000
"""Brackets in each other: the parser gives up earlier, yet takes the square of the time to find out."""
_WORD = re.compile(r"[\w@-]+")
_HALF = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
_NO_YAML = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_STEPS = re.compile(r'\[(?:(\d+)|("(?:[^"\\]|\\.)*"))\]|([^.\[\]]+)')
