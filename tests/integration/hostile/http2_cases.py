"""HTTP/2 requests that RFC 9113 calls malformed, or that could become two on the way to HTTP/1, by class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

Field = tuple[bytes, bytes]
# What an attacker wants to be read as a request of its own.
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"
PSEUDO: tuple[Field, ...] = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":authority", b"a.test"),
    (b":path", b"/case"),
)


@dataclass(frozen=True, slots=True)
class Malformed:
    """A request as its fields, body and trailers; `body` None ends the stream with the head."""

    name: str
    fields: tuple[Field, ...]
    body: bytes | None = None
    trailers: tuple[Field, ...] | None = None

    def __str__(self) -> str:
        return self.name


def _with(name: str, *fields: Field, body: bytes | None = None) -> Malformed:
    """A lawful request with these fields added."""
    return Malformed(name, (*PSEUDO, *fields), body)


def _put(name: str, pseudo: bytes, *values: bytes) -> Malformed:
    """A lawful request, but with the pseudo-header field once for each of `values`."""
    fields = [f for f in PSEUDO if f[0] != pseudo]
    return Malformed(name, (*fields, *((pseudo, value) for value in values)))


def _values() -> Iterator[Malformed]:
    """RFC 9113 8.2.1: no NUL, CR, LF; no space around. Others: RFC 9110 5.5."""
    bad = {
        "crlf": b"v\r\ninjected: 1",
        "lf": b"v\ninjected: 1",
        "cr": b"v\rinjected: 1",
        "nul": b"v\0w",
        "request": b"v\r\n\r\n" + SMUGGLED,
        "leading space": b" v",
        "trailing space": b"v ",
        "leading tab": b"\tv",
        "trailing tab": b"v\t",
        "control": b"v\x01w",
        "delete": b"v\x7fw",
    }
    yield from (_with(f"value {name}", (b"x-case", value)) for name, value in bad.items())


def _names() -> Iterator[Malformed]:
    """RFC 9113 8.2.1: lower case, no colon but a pseudo-header field's; RFC 9110 5.1: tokens."""
    bad = {
        "upper": b"X-Case",
        "crlf": b"x\r\ninjected",
        "lf": b"x\ninjected",
        "nul": b"x\0case",
        "colon": b"x-case: y\r\ninjected",
        "one colon": b"x:case",
        "space": b"x case",
        "trailing space": b"x-case ",
        "tab": b"x\tcase",
        "empty": b"",
        "eight bits": b"x-\xe9",
        "delete": b"x\x7f",
        "request": b"x: y\r\n\r\n" + SMUGGLED,
        "disguised coding": b"transfer-encoding ",
    }
    yield from (_with(f"name {name}", (value, b"v")) for name, value in bad.items())


def _connection_specific() -> Iterator[Malformed]:
    """RFC 9113 8.2.2."""
    chunks = b"0\r\n\r\n" + SMUGGLED
    yield _with("transfer-encoding", (b"transfer-encoding", b"chunked"), body=chunks)
    yield _with("transfer-encoding identity", (b"transfer-encoding", b"identity"), body=chunks)
    yield _with("transfer_encoding", (b"transfer_encoding", b"chunked"), body=chunks)
    yield _with("content_length", (b"content_length", b"0"), body=chunks)
    yield _with("connection close", (b"connection", b"close"))
    yield _with("connection nominating", (b"connection", b"x-case"), (b"x-case", b"v"))
    yield _with("keep-alive", (b"keep-alive", b"timeout=5"))
    yield _with("proxy-connection", (b"proxy-connection", b"close"))
    yield _with("upgrade", (b"upgrade", b"h2c"))
    yield _with("te gzip", (b"te", b"gzip"))
    yield _with("te trailers and gzip", (b"te", b"trailers, gzip"))


def _lengths() -> Iterator[Malformed]:
    """RFC 9113 8.1.1: the length is that of the DATA frames."""

    def length(*values: bytes) -> tuple[Field, ...]:
        return tuple((b"content-length", value) for value in values)

    yield _with("length less than body", *length(b"3"), body=b"abc" + SMUGGLED)
    yield _with("length more than body", *length(b"60"), body=b"abc")
    yield _with("length zero with body", *length(b"0"), body=SMUGGLED)
    yield _with("length without body", *length(b"5"))
    yield _with("length twice", *length(b"3", b"5"), body=b"abc")
    yield _with("length list", *length(b"3,5"), body=b"abc")
    for value in (b"+3", b"-3", b"0x3", b"3 3", b"", b"3.0", b"three", b"18446744073709551619"):
        yield _with(f"length {value.decode()!r}", *length(value), body=b"abc")


def _targets() -> Iterator[Malformed]:
    """RFC 9113 8.3.1: a path is never empty, and begins with a slash."""
    bad = {
        "space": b"/a b",
        "two words": b"/ HTTP/1.1\r\nHost: a.test\r\n\r\nGET /smuggled",
        "version": b"/ HTTP/1.1",
        "crlf": b"/a\r\ninjected: 1",
        "lf": b"/a\n",
        "nul": b"/a\0b",
        "tab": b"/a\tb",
        "control": b"/a\x01",
        "empty": b"",
        "relative": b"admin",
        "query": b"?a",
        "asterisk": b"*",
        "absolute": b"http://evil.test/x",
        "fragment": b"/a#b",
    }
    yield from (_put(f"path {name}", b":path", value) for name, value in bad.items())
    yield _put("path missing", b":path")
    yield _put("path twice", b":path", b"/case", b"/case")


def _methods() -> Iterator[Malformed]:
    bad = {
        "space": b"GET /smuggled",
        "request": SMUGGLED + b"GET",
        "crlf": b"GET\r\n",
        "empty": b"",
        "separator": b"G@T",
        "nul": b"G\0T",
    }
    yield from (_put(f"method {name}", b":method", value) for name, value in bad.items())
    yield _put("method missing", b":method")
    yield _put("method twice", b":method", b"GET", b"POST")


def _schemes() -> Iterator[Malformed]:
    bad = {
        "request line": b"http://a.test/smuggled?",
        "crlf": b"http\r\ninjected: 1",
        "space": b"ht tp",
        "empty": b"",
    }
    yield from (_put(f"scheme {name}", b":scheme", value) for name, value in bad.items())
    yield _put("scheme missing", b":scheme")
    yield _put("scheme twice", b":scheme", b"http", b"https")


def _authorities() -> Iterator[Malformed]:
    """RFC 9113 8.3.1: no userinfo, one host."""
    bad = {
        "userinfo": b"user@a.test",
        "path": b"a.test/x",
        "query": b"a.test?x",
        "space": b"a.test b",
        "crlf": b"a.test\r\ninjected: 1",
        "request": b"a.test\r\n\r\n" + SMUGGLED,
        "port": b"a.test:abc",
        "bracket": b"[::1",
        "nul": b"a\0.test",
    }
    yield from (_put(f"authority {name}", b":authority", value) for name, value in bad.items())
    yield _put("authority twice", b":authority", b"a.test", b"b.test")
    yield _put("authority missing", b":authority")
    yield _with("host differs", (b"host", b"b.test"))
    yield _with("host twice", (b"host", b"a.test"), (b"host", b"b.test"))


def _pseudo() -> Iterator[Malformed]:
    """RFC 9113 8.3: none unknown, none late, none in trailers."""
    yield _with("unknown pseudo", (b":case", b"v"))
    yield _with("pseudo of responses", (b":status", b"200"))
    yield Malformed("late path", (*PSEUDO[:3], (b"x-case", b"v"), PSEUDO[3]))
    yield Malformed("late method", (*PSEUDO[1:], (b"x-case", b"v"), PSEUDO[0]))
    yield Malformed("no fields", ())


def _trailers() -> Iterator[Malformed]:
    bad: dict[str, Sequence[Field]] = {
        "pseudo": [(b":path", b"/other")],
        "upper": [(b"X-Case", b"v")],
        "crlf": [(b"x-case", b"v\r\n\r\n" + SMUGGLED)],
        "name crlf": [(b"x\r\n\r\n" + SMUGGLED, b"v")],
        "nul": [(b"x-case", b"v\0")],
        "connection": [(b"connection", b"close")],
        "coding": [(b"transfer-encoding", b"chunked")],
    }
    for name, fields in bad.items():
        yield Malformed(f"trailer {name}", PSEUDO, b"abc", tuple(fields))


def _connects() -> Iterator[Malformed]:
    """RFC 9113 8.5, RFC 8441 4."""
    connect = ((b":method", b"CONNECT"), (b":authority", b"a.test:80"))
    yield Malformed("connect with path", (*connect, (b":path", b"/")), b"")
    yield Malformed("connect with scheme", (*connect, (b":scheme", b"http")), b"")
    yield Malformed("connect nowhere", connect[:1], b"")
    yield _with("protocol without connect", (b":protocol", b"websocket"))


MALFORMED: dict[str, list[Malformed]] = {
    "values": [*_values()],
    "names": [*_names()],
    "connection-specific fields": [*_connection_specific()],
    "lengths": [*_lengths()],
    "targets": [*_targets()],
    "methods": [*_methods()],
    "schemes": [*_schemes()],
    "authorities": [*_authorities()],
    "pseudo-header fields": [*_pseudo()],
    "trailers": [*_trailers()],
    "connects": [*_connects()],
}


# What may stand at each place, of all bytes.
_TOKEN = b"!#$%&'*+-.^_`|~0123456789"
_LOWER = bytes(range(ord("a"), ord("z") + 1))
_UPPER = _LOWER.upper()
_CONTENT = bytes([*range(0x21, 0x7F), *range(0x80, 0x100)])
_TARGET = bytes(byte for byte in range(0x21, 0x7F) if byte != ord("#"))
GET: tuple[Field, ...] = ((b":method", b"GET"), *PSEUDO[1:])


@dataclass(frozen=True, slots=True)
class Place:
    """A place of a request, and the bytes that may be there."""

    name: str
    allowed: bytes
    # Of the request with this byte at that place.
    make: Callable[[bytes], Malformed]

    def __str__(self) -> str:
        return self.name


def _field(make: Callable[[bytes], Field]) -> Callable[[bytes], Malformed]:
    return lambda byte: Malformed("", (*GET, make(byte)))


def _pseudo_field(pseudo: bytes, make: Callable[[bytes], bytes]) -> Callable[[bytes], Malformed]:
    others = tuple(field for field in GET if field[0] != pseudo)
    return lambda byte: Malformed("", ((pseudo, make(byte)), *others))


def _trailer(make: Callable[[bytes], Field]) -> Callable[[bytes], Malformed]:
    return lambda byte: Malformed("", PSEUDO, b"abc", (make(byte),))


PLACES = [
    Place("within a name", _TOKEN + _LOWER, _field(lambda byte: (b"x" + byte + b"y", b"v"))),
    Place("a whole name", _TOKEN + _LOWER, _field(lambda byte: (byte, b"v"))),
    Place("within a value", _CONTENT + b" \t", _field(lambda byte: (b"x-case", b"a" + byte + b"b"))),
    Place("first in a value", _CONTENT, _field(lambda byte: (b"x-case", byte + b"b"))),
    Place("last in a value", _CONTENT, _field(lambda byte: (b"x-case", b"a" + byte))),
    Place("a cookie", _CONTENT + b" \t", _field(lambda byte: (b"cookie", b"a=" + byte + b"b"))),
    Place("a length", b"", _field(lambda byte: (b"content-length", byte + b"3"))),
    Place("te", b"", _field(lambda byte: (b"te", b"trailers" + byte))),
    Place("a method", _TOKEN + _LOWER + _UPPER, _pseudo_field(b":method", lambda byte: b"GE" + byte)),
    Place("a path", _TARGET, _pseudo_field(b":path", lambda byte: b"/a" + byte + b"b")),
    Place("the end of a path", _TARGET, _pseudo_field(b":path", lambda byte: b"/a" + byte)),
    Place("a query", _TARGET, _pseudo_field(b":path", lambda byte: b"/?" + byte)),
    Place("a scheme", b"sS", _pseudo_field(b":scheme", lambda byte: b"http" + byte)),
    Place(
        "an authority",
        b"-._~0123456789" + _LOWER + _UPPER,
        _pseudo_field(b":authority", lambda byte: b"a" + byte + b"b"),
    ),
    Place("the name of a trailer", _TOKEN + _LOWER, _trailer(lambda byte: (b"x" + byte + b"y", b"v"))),
    Place("the value of a trailer", _CONTENT + b" \t", _trailer(lambda byte: (b"xy", b"a" + byte + b"b"))),
]
