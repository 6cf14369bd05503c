"""What upstreams may send by class, as bytes, and what may come of it at the client."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tests.integration.hostile.upstream import Reply

OK = b"HTTP/1.1 200 OK\r\n"
# What an attacker wants somebody else to get.
STRAY = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nSTRAY"
ODD = (b"\0", b"\x01", b"\x0b", b"\x0c", b"\r", b"\x1c", b"\x7f", b"\x85", b"\xa0")
MEGABYTES_5 = 5 << 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """`refused`: a gateway error. `cut`: that, or an answer that is visibly broken. Else the whole answer."""

    reply: Reply
    is_: Literal["refused", "cut", "answered"] = "refused"
    status: int = 200
    body: bytes = b"ok"
    lacks: tuple[str, ...] = ()
    trailers: tuple[str, ...] = ()
    method: str = "GET"


def _refused(*replies: bytes) -> list[Outcome]:
    return [Outcome(Reply(data, "close")) for data in replies]


def _cut(*replies: bytes) -> list[Outcome]:
    return [Outcome(Reply(data, then), "cut") for data in replies for then in ("close", "reset")]


def _answered(data: bytes, status: int = 200, body: bytes = b"ok", **more: object) -> Outcome:
    return Outcome(Reply(data), "answered", status, body, **more)  # type: ignore[arg-type]


def _with(line: bytes, body: bytes = b"ok") -> bytes:
    return OK + line + b"\r\n\r\n" + body


def _around(word: bytes, odd: Iterable[bytes]) -> list[bytes]:
    half = len(word) // 2
    return [made for byte in odd for made in (byte + word, word[:half] + byte + word[half:], word + byte)]


STATUS_LINES = _refused(
    *(
        line + b"\r\nContent-Length: 2\r\n\r\nok"
        for line in (
            *(
                b"",
                b"HTTP/1.1",
                b"HTTP/1.1 ",
                b"HTTP/1.1 2",
                b"HTTP/1.1 20",
                b"HTTP/1.1 2000",
                b"HTTP/1.1 abc",
            ),
            *(b"HTTP/1.1 099", b"HTTP/1.1 000 x", b"HTTP/1.1 -20 x", b"HTTP/1.1 +20 x", b"HTTP/1.1 0200 x"),
            *(
                b"HTTP/1.1 2 0 x",
                b"HTTP/1.1  200 x",
                b"HTTP/1.1\t200 x",
                b" HTTP/1.1 200 x",
                b"HTTP/1.1 200\tx",
            ),
            *(
                b"HTTP/1.1 200OK",
                b"HTTP/1.1 200\0",
                b"HTTP/1.1 200 a\0b",
                b"HTTP/1.1 200 a\rb",
                b"HTTP/1.1 200 \x01",
            ),
            *(b"HTTP/2 200 OK", b"HTTP/2.0 200 OK", b"HTTP/1.2 200 OK", b"HTTP/0.9 200 OK", b"HTTP/1 200 OK"),
            *(
                b"http/1.1 200 OK",
                b"HTTP/1,1 200 OK",
                b"HTTPS/1.1 200 OK",
                b"ICY 200 OK",
                b"200 OK",
                b"XHTTP/1.1 200",
            ),
            *(
                b"GET / HTTP/1.1",
                b"hello",
                b"<html>",
                b"\x16\x03\x01",
                b"HTTP/1.1 \xb2\xb0\xb0 x",
                b"\r\nHTTP/1.1 200 OK",
            ),
        )
    )
)
READABLE_STATUS_LINES = [
    Outcome(Reply(line + b"\r\nContent-Length: 2\r\n\r\nok", "close"), "answered", status)
    for line, status in (
        (b"HTTP/1.1 200", 200),
        (b"HTTP/1.1 200 ", 200),
        (b"HTTP/1.1 200  two", 200),
        (b"HTTP/1.1 200 \xe9\xff", 200),
        (b"HTTP/1.1 200 " + b"x" * 10_000, 200),
        (b"HTTP/1.0 200 OK", 200),
        (b"HTTP/1.1 299 x", 299),
        (b"HTTP/1.1 418 x", 418),
        *((b"HTTP/1.1 %d x" % status, status) for status in (201, 205, 206, 300, 400, 407, 408, 421, 426)),
        (b"HTTP/1.1 599 x", 599),
        (b"HTTP/1.1 600 x", 600),
        (b"HTTP/1.1 999 x", 999),
    )
]
LENGTHS = [
    *_refused(*(_with(b"Content-Length: " + value) for value in _around(b"2", ODD))),
    *_refused(
        *(
            _with(b"Content-Length: " + value)
            for value in b"+2|-2|0x2|2 2|2,3|2, 2|2;|2_|1e0|two||2.0".split(b"|")
        )
    ),
    *_refused(*(_with(b"Content-Length: " + b"9" * digits) for digits in (19, 20, 32, 200))),
    *_refused(
        *(
            _with(b"Content-Length: " + first + b"\r\nContent-Length: " + second)
            for first in (b"2", b"")
            for second in (b"2", b"3", b"0", b"")
        )
    ),
    *_refused(
        _with(b"Content_Length: 1\r\nContent-Length: 2"),
        _with(b"Content-Length: 2\r\nTransfer_Encoding: chunked"),
    ),
    *(
        _answered(_with(line))
        for line in (b"Content-Length: 0002", b"content-LENGTH:2", b"Content-Length:\t2 ")
    ),
    *_refused(_with(b"Content-Length : 2"), _with(b"Content Length: 2"), _with(b" Content-Length: 2")),
]
_BAD_CODINGS = b"gzip|gzip, chunked|chunked, gzip|identity|xchunked|chunked;x||chunked, chunked|,".split(b"|")
CODINGS = [
    *_refused(*(_with(b"Transfer-Encoding: " + value, b"0\r\n\r\n") for value in _around(b"chunked", ODD))),
    *_refused(*(_with(b"Transfer-Encoding: " + value, b"0\r\n\r\n") for value in _BAD_CODINGS)),
    *_refused(
        _with(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
        _with(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip", b"0\r\n\r\n"),
        _with(b"Transfer-Encoding : chunked", b"0\r\n\r\n"),
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    *(
        _answered(_with(lines, b"2\r\nok\r\n0\r\n\r\n") + STRAY, lacks=("content-length",))
        for lines in (
            b"Content-Length: 3\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: chunked\r\nContent-Length: 3",
            b"Transfer-Encoding: chunked\r\nContent-Length: 0",
        )
    ),
]
HEADS = [
    *_refused(*(_with(b"X: a" + byte + b"b\r\nContent-Length: 2") for byte in (*ODD[:7], b"\n", b"\x1f"))),
    *_refused(
        *(
            _with(b"X" + bytes([byte]) + b"Y: v\r\nContent-Length: 2")
            for byte in b'\0\x01\t\n\r "(),/;<=>?@[\\]{}\x7f\x80\xff'
        )
    ),
    *_refused(
        *(
            _with(line + b"\r\nContent-Length: 2")
            for line in (
                b"X",
                b": v",
                b" X: v",
                b"X: a\r\n b",
                b"X: a\r\n\tb",
                b"X : v",
                b"\tX: v",
                b"X\0: v",
            )
        )
    ),
    *_refused(
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\nok",
        b"HTTP/1.1 200 OK\rContent-Length: 2\r\rok",
        _with(b"X: " + b"y" * MEGABYTES_5),
        _with(b"X: y\r\n" * 100_000),
        _with(b"X" * 70_000 + b": y"),
        _with(b"\r\n".join([b"X: y"] * 101)),
        OK + b"X: y",
        OK,
        b"HTTP/1.1 2",
        b"\0" * 1000,
        b"",
    ),
]
BODIES_CUT = _cut(
    _with(b"Content-Length: 10"),
    _with(b"Content-Length: 10", b""),
    _with(b"Content-Length: 1048576", b"x" * 524_288),
    *(
        _with(b"Transfer-Encoding: chunked", body)
        for body in (
            *(
                b"",
                b"2",
                b"2\r",
                b"2\r\n",
                b"2\r\no",
                b"2\r\nok",
                b"2\r\nok\r",
                b"2\r\nok\r\n",
                b"2\r\nok\r\n0",
            ),
            *(
                b"2\r\nok\r\n0\r",
                b"2\r\nok\r\n0\r\n",
                b"2\r\nok\r\n0\r\nX: y",
                b"2\r\nok\r\n0\r\nX: y\r\n",
                b"ff\r\nok",
            ),
        )
    ),
)
CHUNKS = [
    Outcome(Reply(_with(b"Transfer-Encoding: chunked", b"1\r\no\r\n" + rest), "close"), "cut")
    for rest in (
        *(b"x\r\nk\r\n0\r\n\r\n", b"\r\nk\r\n0\r\n\r\n", b"0x1\r\nk\r\n0\r\n\r\n", b"+1\r\nk\r\n0\r\n\r\n"),
        *(b"-1\r\nk\r\n0\r\n\r\n", b"1 \r\nk\r\n0\r\n\r\n", b"1\nk\r\n0\r\n\r\n", b"1\rk\r\n0\r\n\r\n"),
        *(
            b"1\r\nk0\r\n\r\n",
            b"1\r\nk\n0\r\n\r\n",
            b"1\r\nkk\r\n0\r\n\r\n",
            b"1\r\nk\r\n0\n\n",
            b"0\r\nX\r\n\r\n",
        ),
        *(
            b"1;\0\r\nk\r\n0\r\n\r\n",
            b"1;a\nb\r\nk\r\n0\r\n\r\n",
            b"1;" + b"a" * 100_000,
            b"f" * 17 + b"\r\nk",
        ),
        *(b"0\r\n X: y\r\n\r\n", b"0\r\nX : y\r\n\r\n", b"0\r\nX: \0\r\n\r\n", b"0\r\nX: " + b"y" * 100_000),
        (b"1;" + b"a" * 500 + b"\r\nk\r\n") * 1_000,
    )
]
EXCESS = [
    _answered(_with(b"Content-Length: 2") + STRAY),
    _answered(_with(b"Content-Length: 2") + b"x"),
    _answered(_with(b"Content-Length: 0", b"") + STRAY, body=b""),
    _answered(_with(b"Transfer-Encoding: chunked", b"2\r\nok\r\n0\r\n\r\n") + STRAY),
    _answered(_with(b"Transfer-Encoding: chunked", b"2\r\nok\r\n0\r\n\r\n") + b"\r\n"),
    _answered(_with(b"Content-Length: 5", b"") + b"STRAY", body=b"", method="HEAD"),
    _answered(_with(b"Transfer-Encoding: chunked", b"5\r\nSTRAY\r\n0\r\n\r\n"), body=b"", method="HEAD"),
    _answered(OK + b"\r\n" + STRAY, body=b"", method="HEAD"),
    *(
        _answered(b"HTTP/1.1 %d x\r\n" % status + lines + b"\r\n" + STRAY, status, b"")
        for status in (204, 304)
        for lines in (b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n")
    ),
]
LATE = [
    Outcome(Reply(answer, then, late), "answered")
    for answer in (_with(b"Content-Length: 2"), _with(b"Transfer-Encoding: chunked", b"2\r\nok\r\n0\r\n\r\n"))
    for late in (STRAY, b"x", b"\r\n", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", b"\0")
    for then in ("keep", "close", "reset")
]
INTERIM = [
    *(
        _answered(b"HTTP/1.1 %d x\r\n\r\n" % status + _with(b"Content-Length: 2"))
        for status in (100, 102, 103, 150, 199)
    ),
    _answered(b"HTTP/1.1 102 x\r\n\r\n" * 50 + _with(b"Content-Length: 2")),
    _answered(b"HTTP/1.1 103 x\r\nContent-Length: 5\r\n\r\n" + _with(b"Content-Length: 2")),
    *_refused(
        b"HTTP/1.1 102 x\r\n\r\n" * 100_000,
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3,
        b"HTTP/1.1 101 x\r\n\r\n" + STRAY,
        b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n" + STRAY,
        b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" + STRAY,
        b"HTTP/1.1 101 x\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 102 x\r\nX: " + b"y" * 100_000,
    ),
]
HOP_BY_HOP = [
    _answered(_with(lines + b"\r\nX-Own: 1\r\nContent-Length: 2"), lacks=lacks)
    for lines, lacks in (
        (b"Connection: x-own", ("x-own",)),
        (b"Connection: close, X-OWN", ("x-own",)),
        (b"Connection: x-own\r\nConnection: keep-alive", ("x-own",)),
        (b"Keep-Alive: timeout=5", ("keep-alive",)),
        (b"Proxy-Connection: close", ("proxy-connection",)),
        (b"Upgrade: h2c", ("upgrade",)),
        (b"Connection: upgrade\r\nUpgrade: websocket", ("upgrade",)),
        (b"Connection: content-length", ("x-none",)),
        (
            b"Connection: set-cookie, cache-control\r\nSet-Cookie: a=b\r\nCache-Control: x",
            ("set-cookie", "cache-control"),
        ),
        (b"Connection: transfer-encoding, host, te", ("x-none",)),
        (b"TE: x", ("te",)),
    )
]
TRAILERS = [
    _answered(
        _with(b"Transfer-Encoding: chunked", b"2\r\nok\r\n0\r\nX-Fine: 1\r\n" + line + b"\r\n\r\n"),
        trailers=("x-fine",),
    )
    for line in (
        *(
            b"Content-Length: 9",
            b"Transfer-Encoding: x",
            b"Set-Cookie: a=b",
            b"Location: /evil",
            b"Connection: close",
        ),
        *(
            b"Content-Type: text/html",
            b"Content-Encoding: gzip",
            b"Content_Length: 9",
            b"Cache-Control: public",
            b"Www-Authenticate: x",
        ),
    )
]
# Of a body that ends with its connection, only an orderly end is one (RFC 9112 8).
UNTIL_RESET = [
    Outcome(Reply(data, "reset"), "cut")
    for data in (OK + b"\r\nok", b"HTTP/1.0 200 OK\r\n\r\nok", OK + b"Connection: close\r\n\r\nok")
]
UNTIL_CLOSE = [
    Outcome(Reply(data, "close"), "answered")
    for data in (
        OK + b"\r\nok",
        b"HTTP/1.0 200 OK\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    )
]

CLASSES = {
    "status lines": STATUS_LINES,
    "status lines, readable": READABLE_STATUS_LINES,
    "content lengths of responses": LENGTHS,
    "codings of responses": CODINGS,
    "heads of responses": HEADS,
    "bodies cut short": BODIES_CUT,
    "chunks of responses": CHUNKS,
    "excess bytes": EXCESS,
    "late bytes": LATE,
    "interim responses": INTERIM,
    "hop-by-hop fields of responses": HOP_BY_HOP,
    "trailers of responses": TRAILERS,
    "bodies until the end": UNTIL_CLOSE,
    "bodies until a reset": UNTIL_RESET,
}
