"""Floods of HTTP/2: what is sent over and over, each piece made from the number of a fresh stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support import http2_frames as frames
from tests.support.http2_client import request_fields
from tests.support.http2_frames import END_HEADERS, END_STREAM, Kind, Setting

GET = request_fields("GET", "/flood")
POST = request_fields("POST", "/flood")
# Answered with more than any flood makes room for.
HUGE = "/flood-huge"

WRITE = 65_536
PIECES = 20_000
BYTES = 8 << 20


@dataclass(frozen=True)
class Flood:
    """`piece` is sent over and over behind `opening`, for a fresh stream each time where `streams` is set."""

    name: str
    piece: Callable[[int], bytes]
    opening: bytes = b""
    streams: bool = False
    settings: dict[int, int] = field(default_factory=dict)
    # Reads nothing at all, whatever the proxy says.
    deaf: bool = False

    def __str__(self) -> str:
        return self.name

    def writes(self) -> list[bytes]:
        """All that is sent, made before any clock runs; each write has at most 64 KiB or one piece."""
        first = 3 if self.opening else 1
        piece = self.piece(1)
        pieces = min(PIECES, BYTES // len(piece))
        if not self.streams:
            return [piece * (WRITE // len(piece))] * (pieces * len(piece) // WRITE + 1)
        made = [self.piece(stream) for stream in range(first, first + 2 * pieces, 2)]
        each = max(1, WRITE // len(made[0]))
        return [b"".join(made[at : at + each]) for at in range(0, len(made), each)]


def _request(stream: int) -> bytes:
    return frames.headers(stream, GET)


def _post(stream: int) -> bytes:
    return frames.headers(stream, POST, end=False)


def _own_error(name: str, provoke: Callable[[int], bytes], *, post: bool = False) -> Flood:
    """MadeYouReset: a request, then what makes the proxy itself reset the stream (CVE-2025-8671)."""
    begin = _post if post else _request
    return Flood(f"made you reset by {name}", lambda n: begin(n) + provoke(n), streams=True)


RESETS = [
    Flood("rapid reset", lambda n: _request(n) + frames.reset(n), streams=True),
    Flood("rapid reset of posts", lambda n: _post(n) + frames.reset(n), streams=True),
    Flood("refused streams", _post, streams=True),
    _own_error("window zero", lambda n: frames.window_update(n, 0)),
    _own_error("window overflow", lambda n: frames.window_update(n, 0x7FFFFFFF)),
    _own_error("data behind the end", lambda n: frames.data(n, b"x")),
    _own_error("headers behind the end", lambda n: frames.headers(n, [(b"x", b"y")])),
    _own_error("dependency on itself", lambda n: frames.priority(n, n)),
    _own_error("priority of four bytes", lambda n: frames.frame(Kind.PRIORITY, 0, n, b"\0" * 4)),
    _own_error("length less than body", lambda n: frames.data(n, b"x" * 9, end=True), post=True),
    _own_error("malformed trailers", lambda n: frames.headers(n, [(b":path", b"/")]), post=True),
    _own_error("trailers without end", lambda n: frames.headers(n, [(b"x", b"y")], end=False), post=True),
    Flood(
        "made you reset by malformed heads",
        lambda n: frames.headers(n, [*GET, (b"connection", b"close")]),
        streams=True,
    ),
    Flood(
        "made you reset by heads that depend on themselves",
        lambda n: frames.frame(
            Kind.HEADERS,
            END_HEADERS | END_STREAM | frames.WITH_PRIORITY,
            n,
            n.to_bytes(4) + b"\x0f" + frames.block(GET),
        ),
        streams=True,
    ),
    Flood(
        "made you reset by wrong lengths",
        lambda n: frames.headers(n, [*POST, (b"content-length", b"1")], end=False) + frames.data(n, b"xy"),
        streams=True,
    ),
]

_OPEN = frames.headers(1, POST, end=False)
_UNFINISHED = frames.headers(1, GET, flags=0)

FRAMES = [
    Flood("continuation", lambda _n: frames.continuation(1, frames.block([(b"x", b"y" * 90)])), _UNFINISHED),
    Flood("empty continuation", lambda _n: frames.continuation(1), _UNFINISHED),
    Flood("settings", lambda _n: frames.settings({Setting.INITIAL_WINDOW_SIZE: 70_000})),
    Flood("empty settings", lambda _n: frames.settings()),
    Flood("settings acknowledgements", lambda _n: frames.settings(ack=True)),
    Flood("ping", lambda _n: frames.ping()),
    Flood("ping acknowledgements", lambda _n: frames.ping(ack=True)),
    Flood("empty data", lambda _n: frames.data(1), _OPEN),
    Flood(
        "data of padding", lambda _n: frames.frame(Kind.DATA, frames.PADDED, 1, b"\x0f" + b"\0" * 15), _OPEN
    ),
    Flood("priority", lambda _n: frames.priority(1), _OPEN),
    Flood("priority of idle streams", frames.priority, streams=True),
    Flood("unknown frames", lambda _n: frames.frame(0xBB, 0xFF, 0, b"")),
    Flood("unknown frames of a stream", lambda _n: frames.frame(0xBB, 0, 1, b"x" * 20), _OPEN),
    Flood("window updates", lambda _n: frames.window_update(0, 1)),
    Flood("window updates of a stream", lambda _n: frames.window_update(1, 1), _OPEN),
    Flood("window updates of closed streams", lambda _n: frames.window_update(1, 1), _OPEN + frames.reset(1)),
    Flood("resets of a closed stream", lambda _n: frames.reset(1), _OPEN),
    Flood("data on a closed stream", lambda _n: frames.data(1, b"x"), _OPEN + frames.reset(1)),
    Flood("goaway", lambda _n: frames.goaway()),
    Flood("priority updates", lambda _n: frames.frame(0x10, 0, 0, b"\0\0\0\1u=1"), _OPEN),
    Flood(
        "a window of one byte at a time",
        lambda _n: frames.window_update(1, 1),
        frames.headers(1, request_fields("GET", HUGE)),
        settings={Setting.INITIAL_WINDOW_SIZE: 1},
    ),
]

DEAF = [
    Flood("ping by the deaf", lambda _n: frames.ping(), deaf=True),
    Flood("settings by the deaf", lambda _n: frames.settings(), deaf=True),
    Flood("requests by the deaf", _request, streams=True, deaf=True),
    Flood("resets by the deaf", lambda n: _request(n) + frames.reset(n), streams=True, deaf=True),
]

_STUFFING = frames.inserted(b"x", b"y" * 4000)


def _bomb(stream: int) -> bytes:
    """One small frame that decodes to 60 MB (CVE-2016-6581)."""
    block = frames.block(GET) + _STUFFING + frames.indexed(62) * 15_000
    return frames.frame(Kind.HEADERS, END_HEADERS | END_STREAM, stream, block)


def _crumbs(stream: int) -> bytes:
    """Cookies of the table, which must be joined: 16 KB of them are 1.4 MB (CVE-2026-47774)."""
    block = frames.block(GET) + frames.inserted(b"cookie", b"c" * 90) + frames.indexed(62) * 15_000
    return frames.frame(Kind.HEADERS, END_HEADERS | END_STREAM, stream, block)


def _empty_crumbs(stream: int) -> bytes:
    block = frames.block(GET) + frames.inserted(b"cookie", b"") + frames.indexed(62) * 15_000
    return frames.frame(Kind.HEADERS, END_HEADERS | END_STREAM, stream, block)


def _resizes(stream: int) -> bytes:
    """Nothing but changes of the table's size."""
    block = (b"\x20" + frames.integer(4096, 5, 0x20)) * 4000 + frames.block(GET)
    return frames.frame(Kind.HEADERS, END_HEADERS | END_STREAM, stream, block)


BOMBS = [
    Flood("hpack bomb", _bomb, streams=True),
    Flood("cookie crumbs", _crumbs, streams=True),
    Flood("empty cookie crumbs", _empty_crumbs, streams=True),
    Flood("table resizes", _resizes, streams=True),
    Flood(
        "many small fields",
        lambda n: frames.headers(n, [*GET, *((b"x", b"") for _ in range(3_000))]),
        streams=True,
    ),
]

FLOODS = [*RESETS, *FRAMES, *BOMBS, *DEAF]
