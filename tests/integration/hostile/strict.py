"""A reader of HTTP/1.1 that forgives nothing: what a proxy sends must have one reading, and this is it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import BinaryIO

LINE_LIMIT = 1 << 20
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([!-\"$-~]+) HTTP/1\.([01])")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9]) [\t -~\x80-\xff]*")
_FIELD = re.compile(
    rb"(" + _TOKEN + rb"):[ \t]*((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)[ \t]*"
)
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")


class Malformed(Exception):
    """Bytes that no proxy may send."""


class Truncated(Exception):
    """The connection ended inside a message."""


@dataclass(frozen=True, slots=True)
class Message:
    """A request or a response. `start` is (method, target) or the status."""

    start: tuple[str, str] | int
    fields: tuple[tuple[str, str], ...]
    body: bytes
    until_close: bool = False
    # Names only.
    trailers: tuple[str, ...] = ()

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name]

    def value(self, name: str) -> str | None:
        return ", ".join(self.values(name)) or None


def read_request(stream: BinaryIO) -> Message | None:
    """The next request; None at the end of the connection."""
    line = _line(stream)
    if line is None:
        return None
    matched = _match(_REQUEST_LINE, line)
    fields = _fields(stream)
    if matched[3] == b"1" and len([name for name, _ in fields if name.lower() == "host"]) != 1:
        raise Malformed(f"not exactly one Host in {fields}")
    start = (matched[1].decode(), matched[2].decode("latin-1"))
    body, trailers = _body(stream, fields, default=b"")
    return Message(start, fields, body, trailers=trailers)


def read_response(stream: BinaryIO, method: str = "GET") -> Message | None:
    """The next final response; None at the end of the connection."""
    while (line := _line(stream)) is not None:
        status = int(_match(_STATUS_LINE, line)[2])
        fields = _fields(stream)
        if 100 <= status < 200 and status != 101:
            continue
        if method == "HEAD" or status in (101, 204, 304):
            return Message(status, fields, b"")
        framed = any(name.lower() in ("content-length", "transfer-encoding") for name, _ in fields)
        body, trailers = _body(stream, fields, default=None)
        return Message(status, fields, body, until_close=not framed, trailers=trailers)
    return None


def _line(stream: BinaryIO) -> bytes | None:
    line = stream.readline(LINE_LIMIT)
    if not line:
        return None
    if not line.endswith(b"\n"):
        raise Truncated(repr(line[:200]))
    text = line.removesuffix(b"\r\n")
    if text == line or any(byte in text for byte in b"\r\n\0"):
        raise Malformed(f"line {line!r}")
    return text


def _match(pattern: re.Pattern[bytes], line: bytes) -> re.Match[bytes]:
    if matched := pattern.fullmatch(line):
        return matched
    raise Malformed(f"line {line!r}")


def _fields(stream: BinaryIO) -> tuple[tuple[str, str], ...]:
    fields = []
    while line := _line(stream):
        matched = _match(_FIELD, line)
        fields.append((matched[1].decode(), matched[2].decode("latin-1")))
    if line is None:
        raise Truncated("in a head")
    return tuple(fields)


def _body(
    stream: BinaryIO, fields: tuple[tuple[str, str], ...], *, default: bytes | None
) -> tuple[bytes, tuple[str, ...]]:
    """The body, decoded, and its trailers; without framing `default`, or everything where that is None."""
    lengths = [value for name, value in fields if name.lower() == "content-length"]
    codings = [value for name, value in fields if name.lower() == "transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise Malformed(f"framed twice: {fields}")
    if codings:
        if codings != ["chunked"]:
            raise Malformed(f"coding {codings}")
        return _chunks(stream)
    if lengths:
        if not lengths[0].isascii() or not lengths[0].isdigit() or len(lengths[0]) > 18:
            raise Malformed(f"length {lengths}")
        return _exactly(stream, int(lengths[0])), ()
    return (stream.read() if default is None else default), ()


def _chunks(stream: BinaryIO) -> tuple[bytes, tuple[str, ...]]:
    body = b""
    while True:
        line = _line(stream)
        if line is None:
            raise Truncated("before a chunk")
        size = int(_match(_CHUNK_SIZE, line)[0], 16)
        if size == 0:
            return body, tuple(name.lower() for name, _ in _fields(stream))
        body += _exactly(stream, size)
        if _exactly(stream, 2) != b"\r\n":
            raise Malformed("no line end behind a chunk")


def _exactly(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise Truncated(f"{len(data)} of {length} bytes of a body")
    return data
