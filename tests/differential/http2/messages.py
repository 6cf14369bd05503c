"""Generators of connections: right ones, and right ones with something broken in them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

import hpack
from hypothesis import strategies as st

Field = tuple[bytes, bytes]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS, PADDED, PRIORITISED = 0x1, 0x4, 0x8, 0x20


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame; `fields` instead of a payload are encoded when the connection is written."""

    kind: int
    flags: int
    stream: int
    payload: bytes = b""
    fields: tuple[Field, ...] | None = None


_VALUE = st.text("".join(map(chr, range(32, 127))) + "\t\x80\xff", max_size=30).map(
    lambda text: text.strip().encode("latin-1").strip()
)
_NAME = st.text("abcxyz019-_~!", min_size=1, max_size=12).map(lambda name: b"x-" + name.encode())
_FIELD = st.one_of(
    st.tuples(_NAME, _VALUE),
    st.sampled_from(
        [
            (b"accept", b"*/*"),
            (b"accept-encoding", b"gzip, deflate"),
            (b"user-agent", b"curl/8"),
            (b"te", b"trailers"),
            (b"cookie", b"a=b"),
            (b"cookie", b"session=0123456789abcdef0123456789"),
            (b"set-cookie", b"a=b"),
            (b"content-type", b"application/grpc"),
        ]
    ),
)
_PATHS = st.text("abc/?=&%.;-_~!$'()*+,:@|", max_size=20).map(lambda path: b"/" + path.encode())
_AUTHORITIES = st.sampled_from([b"a", b"shop.default:8080", b"127.0.0.1", b"[::1]:80"])


@st.composite
def _body(draw: st.DrawFn, stream: int) -> tuple[list[Frame], list[Field]]:
    """The frames behind a head, with the end of the stream, and the fields that say so."""
    pieces = draw(st.lists(st.binary(min_size=1, max_size=300), max_size=3))
    length = sum(map(len, pieces))
    said = draw(st.booleans())
    frames = [draw(_data(stream, piece)) for piece in pieces]
    if draw(st.booleans()):
        trailers = draw(st.lists(st.tuples(_NAME, _VALUE), max_size=3))
        frames.append(Frame(HEADERS, END_STREAM, stream, fields=tuple(trailers)))
    elif frames:
        frames[-1] = replace(frames[-1], flags=frames[-1].flags | END_STREAM)
    else:
        frames.append(Frame(DATA, END_STREAM, stream))
    return frames, [(b"content-length", b"%d" % length)] if said else []


@st.composite
def _data(draw: st.DrawFn, stream: int, piece: bytes) -> Frame:
    if draw(st.integers(0, 3)):
        return Frame(DATA, 0, stream, piece)
    padding = draw(st.integers(0, 20))
    return Frame(DATA, PADDED, stream, bytes([padding]) + piece + bytes(padding))


@st.composite
def requests(draw: st.DrawFn) -> list[Frame]:
    """The frames of some requests, one behind the other, with others between them."""
    frames = [Frame(SETTINGS, 0, 0)]
    for at in range(draw(st.integers(1, 4))):
        stream = 2 * at + 1
        line = [
            (b":method", draw(st.sampled_from([b"GET", b"POST", b"PUT", b"PATCH", b"DELETE"]))),
            (b":scheme", draw(st.sampled_from([b"http", b"https"]))),
            (b":authority", draw(_AUTHORITIES)),
            (b":path", draw(_PATHS)),
        ]
        frames += draw(_message(stream, draw(st.permutations(line))))
        frames += draw(st.lists(_others(), max_size=1))
    return frames


@st.composite
def responses(draw: st.DrawFn) -> list[Frame]:
    """The frames of the answer to the request on stream 1."""
    frames = [Frame(SETTINGS, 0, 0)]
    for status in draw(st.lists(st.sampled_from([b"100", b"103"]), max_size=2)):
        frames.append(Frame(HEADERS, 0, 1, fields=((b":status", status),)))
    status = draw(st.sampled_from([b"200", b"404", b"500", b"299"]))
    return frames + draw(_message(1, [(b":status", status)]))


@st.composite
def _message(draw: st.DrawFn, stream: int, line: list[Field]) -> list[Frame]:
    fields = draw(st.lists(_FIELD, max_size=6))
    if draw(st.booleans()):
        return [Frame(HEADERS, END_STREAM, stream, fields=(*line, *fields))]
    rest, said = draw(_body(stream))
    return [Frame(HEADERS, 0, stream, fields=(*line, *fields, *said)), *rest]


def _others() -> st.SearchStrategy[Frame]:
    return st.sampled_from(
        [
            Frame(PING, 0, 0, b"12345678"),
            Frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 100)),
            Frame(PRIORITY, 0, 9, struct.pack(">IB", 0, 1)),
            Frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 100_000)),
            Frame(SETTINGS, 0, 0, struct.pack(">HI", 1, 256)),
            Frame(0xFA, 0, 0, b"unknown"),
        ]
    )


_BAD_FIELDS = st.sampled_from(
    [
        *[
            (b"X-Upper", b"y"),
            (b"", b"y"),
            (b"a b", b"y"),
            (b"a:b", b"y"),
            (b"a\r\nb", b"y"),
            (b"\xe9", b"y"),
        ],
        *[
            (b"x", b"a\r\nb: c"),
            (b"x", b"a\nb"),
            (b"x", b"a\0b"),
            (b"x", b"a\x7fb"),
            (b"x", b" a"),
            (b"x", b"a\t"),
        ],
        *[(b"connection", b"close"), (b"keep-alive", b"1"), (b"transfer-encoding", b"chunked")],
        *[
            (b"upgrade", b"h2c"),
            (b"proxy-connection", b"close"),
            (b"te", b"gzip"),
            (b"te", b"trailers, gzip"),
        ],
        *[
            (b":path", b"/"),
            (b":status", b"200"),
            (b":method", b"GET"),
            (b":unknown", b"x"),
            (b":scheme", b"http"),
        ],
        *[
            (b":authority", b"b"),
            (b":protocol", b"x"),
            (b"te", b"trailers, gzip"),
            (b"host", b"other"),
            (b"host", b"a b"),
        ],
        *[(b"content-length", value) for value in (b"0", b"1", b"5", b"+1", b"-1", b"1, 1", b"", b"x")],
        *[(b":status", value) for value in (b"100", b"101", b"20", b"abc", b"")],
    ]
)
_BAD_LINES = st.sampled_from(
    [
        *[(b":path", value) for value in (b"", b"a", b"*", b"/a b", b"/a#b", b"/\xe9", b"http://a/")],
        *[(b":authority", value) for value in (b"", b"u@a", b"a/b", b"a:b", b":80", b"[::1")],
        *[(b":scheme", value) for value in (b"", b"ftp", b"http://")],
        *[(b":method", value) for value in (b"", b"G T", b"GET / HTTP/1.1")],
        *[(b":status", value) for value in (b"", b"101", b"99", b"1000")],
    ]
)


@st.composite
def with_bad_field(draw: st.DrawFn, right: st.SearchStrategy[list[Frame]]) -> list[Frame]:
    """One field section changed: a field put in, left out, or given another value."""
    frames = draw(right)
    places = [at for at, frame in enumerate(frames) if frame.fields is not None]
    at = draw(st.sampled_from(places))
    fields = list(frames[at].fields or ())
    place = draw(st.integers(0, len(fields)))
    match draw(st.sampled_from(["insert", "insert", "remove", "replace"])):
        case "insert":
            fields.insert(place, draw(_BAD_FIELDS))
        case "remove":
            del fields[place : place + 1]
        case _:
            name, value = draw(_BAD_LINES)
            fields = [(name, value) if field[0] == name else field for field in fields]
    frames[at] = replace(frames[at], fields=tuple(fields))
    return frames


@st.composite
def with_bad_frame(draw: st.DrawFn, right: st.SearchStrategy[list[Frame]]) -> list[Frame]:
    """One frame changed: left out, doubled, moved, or with another stream, flag or payload."""
    frames = draw(right)
    at = draw(st.integers(0, len(frames) - 1))
    frame = frames[at]
    match draw(st.sampled_from(["drop", "double", "move", "stream", "flags", "payload", "strange"])):
        case "drop":
            del frames[at]
        case "double":
            frames.insert(at, frame)
        case "move":
            frames.insert(draw(st.integers(0, len(frames) - 1)), frames.pop(at))
        case "stream":
            frames[at] = replace(frame, stream=draw(st.integers(0, 9)))
        case "flags":
            frames[at] = replace(frame, flags=frame.flags ^ draw(st.sampled_from([1, 8, 32])))
        case "payload":
            frames[at] = replace(frame, fields=None, payload=draw(st.binary(max_size=20)))
        case _:
            frames.insert(at, draw(_STRANGE))
    return frames


_STRANGE = st.builds(
    Frame,
    st.integers(0, 11),
    st.integers(0, 255),
    st.integers(0, 5),
    st.one_of(st.binary(max_size=10), st.sampled_from([bytes(4), bytes(5), bytes(8), b"\x7f\xff\xff\xff"])),
)


def written(frames: list[Frame], *, split_at: int | None = None, huffman: bool = True) -> bytes:
    """The bytes; field blocks longer than `split_at` go on in CONTINUATION frames."""
    encoder = hpack.Encoder()
    out = bytearray()
    for frame in frames:
        if frame.fields is None:
            out += _framed(frame.kind, frame.flags, frame.stream, frame.payload)
            continue
        block = encoder.encode(frame.fields, huffman=huffman)
        size = split_at or len(block) or 1
        pieces = [block[start : start + size] for start in range(0, len(block), size)] or [b""]
        for at, piece in enumerate(pieces):
            flags = frame.flags if at == 0 else 0
            flags |= END_HEADERS if at == len(pieces) - 1 else 0
            out += _framed(frame.kind if at == 0 else CONTINUATION, flags, frame.stream, piece)
    return bytes(out)


def _framed(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def cuts() -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(1, 40), max_size=8)


def cut(connection: bytes, lengths: list[int]) -> list[bytes]:
    """The same bytes in pieces of these lengths; what is left over is the last."""
    pieces = []
    for length in lengths:
        pieces.append(connection[:length])
        connection = connection[length:]
    return [*pieces, connection]
