"""HTTP/2 frames as bytes: whatever a test wants on the wire, right or wrong, and a reader of what comes."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

Fields = Iterable[tuple[bytes, bytes]]
Header = tuple[str, str]


class Kind(IntEnum):
    """Frame types (RFC 9113 section 6)."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Setting(IntEnum):
    """Parameters of SETTINGS (RFC 9113 section 6.5.2, RFC 8441 section 3)."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6
    ENABLE_CONNECT_PROTOCOL = 8


class Code(IntEnum):
    """Error codes (RFC 9113 section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as it arrived; `kind` is a plain number where RFC 9113 does not define the type."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self) -> int:
        """The error code of a RST_STREAM or GOAWAY."""
        return int.from_bytes(self.payload[-4:] if self.kind == Kind.RST_STREAM else self.payload[4:8])


def frame(
    kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", length: int | None = None
) -> bytes:
    """One frame; `length` lies about the size of the payload."""
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(values: Mapping[int, int] | None = None, *, ack: bool = False) -> bytes:
    payload = b"".join(struct.pack(">HI", name, value) for name, value in (values or {}).items())
    return frame(Kind.SETTINGS, ACK if ack else 0, 0, payload)


def headers(stream: int, fields: Fields, *, end: bool = True, flags: int = END_HEADERS) -> bytes:
    return frame(Kind.HEADERS, flags | (END_STREAM if end else 0), stream, block(fields))


def continuation(stream: int, part: bytes = b"", *, last: bool = False) -> bytes:
    return frame(Kind.CONTINUATION, END_HEADERS if last else 0, stream, part)


def data(stream: int, payload: bytes = b"", *, end: bool = False) -> bytes:
    return frame(Kind.DATA, END_STREAM if end else 0, stream, payload)


def reset(stream: int, code: int = Code.CANCEL) -> bytes:
    return frame(Kind.RST_STREAM, 0, stream, struct.pack(">I", code))


def goaway(last: int = 0, code: int = Code.NO_ERROR, debug: bytes = b"") -> bytes:
    return frame(Kind.GOAWAY, 0, 0, struct.pack(">II", last, code) + debug)


def ping(payload: bytes = b"\0" * 8, *, ack: bool = False) -> bytes:
    return frame(Kind.PING, ACK if ack else 0, 0, payload)


def window_update(stream: int, increment: int) -> bytes:
    return frame(Kind.WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def priority(stream: int, on: int = 0, weight: int = 15) -> bytes:
    return frame(Kind.PRIORITY, 0, stream, struct.pack(">IB", on, weight))


def block(fields: Fields) -> bytes:
    """HPACK without any table and without Huffman: every byte goes out as it is (RFC 7541 section 6.2.2)."""
    return b"".join(b"\0" + _string(name) + _string(value) for name, value in fields)


def indexed(index: int) -> bytes:
    """A field of the tables (RFC 7541 section 6.1)."""
    return integer(index, 7, 0x80)


def inserted(name: bytes, value: bytes) -> bytes:
    """A literal that is added to the dynamic table (RFC 7541 section 6.2.1)."""
    return b"\x40" + _string(name) + _string(value)


def integer(value: int, prefix: int, pattern: int = 0) -> bytes:
    """An HPACK integer behind the bits of `pattern` (RFC 7541 section 5.1)."""
    limit = (1 << prefix) - 1
    if value < limit:
        return bytes([pattern | value])
    encoded = bytearray([pattern | limit])
    value -= limit
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _string(text: bytes) -> bytes:
    return integer(len(text), 7) + text


@dataclass
class Reader:
    """Cuts what arrives into frames."""

    buffer: bytearray = field(default_factory=bytearray)

    def feed(self, received: bytes) -> Iterator[Frame]:
        self.buffer += received
        while len(self.buffer) >= 9:
            size = int.from_bytes(self.buffer[:3])
            if len(self.buffer) < 9 + size:
                return
            kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
            payload = bytes(self.buffer[9 : 9 + size])
            del self.buffer[: 9 + size]
            yield Frame(kind, flags, stream & 0x7FFFFFFF, payload)


def text(fields: Iterable[tuple[bytes | str, bytes | str]] | None) -> tuple[Header, ...]:
    """Fields as the libraries give them, as text."""

    def one(part: bytes | str) -> str:
        return part if isinstance(part, str) else bytes(part).decode("latin-1")

    return tuple((one(name), one(value)) for name, value in fields or ())
