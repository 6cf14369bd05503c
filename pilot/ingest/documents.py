"""Splits a YAML file into documents, reads their values fast, and finds a field's line when it is at fault.

Two parsers: ryaml reads values (about 14 µs for a small rule) and knows no positions; PyYAML's node
composer (three times slower) is asked for a line only once there is something to say about it. Each
document is parsed alone, so a syntax error costs one document and not its file. Kubernetes' own reading of
YAML decides the rest: keys are strings, `<<` merges, and a null is a field that was not given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from meshloom.pilot.ingest.diagnostic import Path
from meshloom.pilot.model.base import Value
from ryaml import loads  # type: ignore[attr-defined]

_MARKER = re.compile(r"^(?:---(?=\s|$)|\.\.\.\s*$)", re.MULTILINE)
_SYNTAX_POSITION = re.compile(r" at line (\d+) column \d+")
_MERGE_KEY = "<<"
# Brackets, and what may hold brackets that nest nothing.
_NESTING = re.compile(r"""[\[\]{}]|"(?:\\.|[^"\\])*"|'[^']*'|\#[^\n]*""")
_MAX_NESTING = 100  # no schema of ours is deeper than 20
# `[2001:db8::]`: go-yaml, hence Kubernetes, takes an IPv6 address in a flow list bare; libyaml does not.
_BARE_IPV6 = re.compile(r"(?<=[\[,\s])([0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:./]*)(?=\s*[,\]])")


class InvalidYaml(ValueError):
    """A document that is no YAML. `line` counts from 1 in the file."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(reason)
        self.reason, self.line = reason, line


class Document(Value, frozen=True):
    """One document's text. `offset` is the number of lines before it in the file."""

    text: str
    offset: int = 0

    @property
    def first_line(self) -> int:
        """The file's line of the first text that is no comment."""
        for number, line in enumerate(self.text.split("\n")):
            if line.strip() and not line.lstrip().startswith("#"):
                return self.offset + number + 1
        return self.offset + 1

    def load(self) -> Any:
        """The document's value. Raises InvalidYaml."""
        if _nested_too_deep(self.text):
            raise InvalidYaml(f"nested more than {_MAX_NESTING} deep", self.first_line)
        try:
            value = loads(self.text)
        except ValueError as error:
            value = self._load_quoted(error)
        return _merged(value) if _MERGE_KEY in self.text else value

    def line_of(self, path: Path) -> int:
        """The file's line of the field at `path`, or of the nearest thing around it that is there."""
        try:
            node = yaml.compose(_quote_ipv6(self.text), Loader=yaml.CSafeLoader)
        except yaml.YAMLError:
            return self.first_line
        line = node.start_mark.line if node is not None else 0
        for step in path:
            found = _child(node, step)
            if found is None:
                break
            line, node = found
        return self.offset + line + 1

    def _load_quoted(self, refusal: ValueError) -> Any:
        """A second try with bare IPv6 addresses in quotes. Raises InvalidYaml for the first refusal."""
        try:
            return loads(_quote_ipv6(self.text))
        except ValueError:
            raise _syntax_error(str(refusal), self) from refusal


def split_documents(text: str) -> Iterator[Document]:
    """The documents of a file that hold anything but comments."""
    text = text.removeprefix("\ufeff")
    start = offset = 0
    for marker in _MARKER.finditer(text):
        yield from _document(text[start : marker.start()], offset)
        offset += text.count("\n", start, marker.end())
        start = marker.end()
    yield from _document(text[start:], offset)


def normalised(value: Any) -> Any:
    """As Kubernetes takes it: keys are strings and nulls in mappings are absent."""
    if isinstance(value, Mapping):
        return {str(key): normalised(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [normalised(inner) for inner in value]
    return value


def _document(text: str, offset: int) -> Iterator[Document]:
    lines = (line.lstrip() for line in text.splitlines())
    if any(line and not line.startswith(("#", "%")) for line in lines):
        yield Document(text, offset)


def _nested_too_deep(text: str) -> bool:
    """The parser needs time in the square of the depth before it gives up on text like `[[[[...`."""
    if text.count("[") + text.count("{") <= _MAX_NESTING:
        return False
    depth = deepest = 0
    for found in _NESTING.finditer(text):
        if (mark := found.group()) in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in "]}":
            depth -= 1
    return deepest > _MAX_NESTING


def _quote_ipv6(text: str) -> str:
    return _BARE_IPV6.sub(r'"\1"', text) if "::" in text else text


def _syntax_error(reason: str, document: Document) -> InvalidYaml:
    """The parser's words without its line, which counts within the document."""
    if (position := _SYNTAX_POSITION.search(reason)) is None:
        return InvalidYaml(reason, document.first_line)
    lines = document.text.count("\n") + 1
    line = document.offset + min(int(position.group(1)), lines)
    return InvalidYaml(_SYNTAX_POSITION.sub("", reason), line)


def _merged(value: Any) -> Any:
    """Expands `<<`: a mapping, or a list of them where the earlier win; own keys win over both."""
    if isinstance(value, list):
        return [_merged(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    given = value.get(_MERGE_KEY)
    sources = given if isinstance(given, list) else [given]
    result: dict[Any, Any] = {}
    for source in reversed(sources):
        if isinstance(source, dict):
            result |= _merged(source)
    return result | {key: _merged(inner) for key, inner in value.items() if key != _MERGE_KEY}


def _child(node: Any, step: str | int) -> tuple[int, Any] | None:
    """The line and node of a mapping's key or a sequence's item."""
    if isinstance(node, yaml.MappingNode):
        for key, inner in node.value:
            if key.value == str(step):
                return key.start_mark.line, inner
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        item = node.value[step]
        return item.start_mark.line, item
    return None
