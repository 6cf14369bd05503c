"""Handshakes that break or stop half-way: what a client says instead of a ClientHello, and how slowly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.support.tls13 import FINISHED, SERVER_HELLO, Hello, Record, extension, message, record

HELLO = record(Record.HANDSHAKE, Hello().message(), 0x0301)
_MESSAGE = Hello().message()
_FATAL = b"\2\x28"


def _hello(hello: Hello) -> bytes:
    return record(Record.HANDSHAKE, hello.message(), 0x0301)


def _handshake(payload: bytes) -> bytes:
    return record(Record.HANDSHAKE, payload, 0x0301)


def _with_length(at: int, value: int) -> bytes:
    """A ClientHello in which one length of two bytes lies."""
    return _handshake(_MESSAGE[:at] + value.to_bytes(2) + _MESSAGE[at + 2 :])


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


# The connection ends, with an alert or without.
BROKEN: dict[str, bytes] = {
    "garbage": bytes(range(255, 0, -1)) * 4,
    "zeros": bytes(1000),
    "plain http": b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "plain http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "proxy header": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + HELLO,
    "hello of ssl 2": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(40),
    "unknown record": record(99, _MESSAGE),
    "unknown record version": record(Record.HANDSHAKE, _MESSAGE, 0x0909),
    "record too long": record(Record.HANDSHAKE, bytes(70), length=0x4801) + bytes(0x4801),
    "record longer than can be": record(Record.HANDSHAKE, bytes(70), length=0xFFFF) + bytes(0xFFFF),
    "empty record": record(Record.HANDSHAKE, b"") + HELLO,
    "data first": record(Record.DATA, b"x" * 100),
    "alert first": record(Record.ALERT, _FATAL),
    "warnings first": record(Record.ALERT, b"\1\x5a") * 100 + HELLO,
    "change of ciphers first": record(Record.CHANGE_CIPHER_SPEC, b"\1") * 100,
    "finished first": _handshake(message(FINISHED, bytes(32))),
    "hello of a server": _handshake(message(SERVER_HELLO, _MESSAGE[4:])),
    "unknown message": _handshake(message(99, bytes(50))),
    "hello without body": _handshake(message(1, b"")),
    "hello without extensions": _handshake(message(1, _MESSAGE[4 : 4 + 2 + 32] + b"\0\0\2\x13\1\1\0")),
    "hello that is cut": _handshake(message(1, _MESSAGE[4:60])),
    "hello of 16 megabytes": _handshake(message(1, bytes(100), 0xFFFFFF)) + HELLO * 200,
    "hello with garbage behind": _handshake(message(1, _MESSAGE[4:] + b"garbage")),
    "hello with a long list of suites": _with_length(4 + 2 + 32 + 33, 0xFFFE),
    "two hellos": _handshake(_MESSAGE + _MESSAGE),
    "hello and data": HELLO + record(Record.DATA, b"x" * 100),
    "hello and alert": HELLO + record(Record.ALERT, _FATAL),
    "hello and garbage": HELLO + bytes(range(255, 0, -1)),
    "hello and changes of ciphers": HELLO + record(Record.CHANGE_CIPHER_SPEC, b"\1") * 1000,
    "ssl 3": _hello(Hello(versions=(), legacy_version=0x0300)),
    "tls 1.0": _hello(Hello(versions=(), legacy_version=0x0301)),
    "tls 1.1": _hello(Hello(versions=(0x0302,))),
    "tls 1.4": _hello(Hello(versions=(0x0305,))),
    "no version": _hello(Hello(versions=(), legacy_version=0)),
    "no suite": _hello(Hello(suites=())),
    "no known suite": _hello(Hello(suites=(0x0005, 0x000A))),
    "compression alone": _hello(Hello(compression=b"\1")),
    "empty share": _hello(Hello(share=b"")),
    "share of zeros": _hello(Hello(share=bytes(32))),
    "share too long": _hello(Hello(share=bytes(2000))),
    "extension twice": _hello(Hello(more=extension(43, b"\2\3\4"))),
    "name with nul": _hello(Hello(name="a.test\0.evil")),
    "empty name": _hello(Hello(name="")),
    "no protocol in common": _hello(Hello(protocols=(b"imap",), share=bytes(32))),
}

# These wait, or go on so slowly: (what is sent at once, what follows by and by).
SLOW: dict[str, tuple[bytes, Iterable[bytes]]] = {
    "nothing": (b"", ()),
    "one byte": (HELLO[:1], ()),
    "half the head of a record": (HELLO[:3], ()),
    "half a hello": (HELLO[:100], ()),
    "a hello by bytes": (b"", _pieces(HELLO, 1)),
    "records of one byte": (
        b"",
        [record(Record.HANDSHAKE, piece, 0x0301) for piece in _pieces(_MESSAGE, 1)],
    ),
    "a hello and nothing": (HELLO, ()),
    "a hello and half a record": (HELLO + record(Record.HANDSHAKE, b"", length=200), ()),
    "a hello and half a record by bytes": (
        HELLO + record(Record.DATA, b"", length=4000),
        [b"x"] * 4000,
    ),
}

# What an upstream answers to our ClientHello, and whether it closes then.
UPSTREAMS: dict[str, tuple[Sequence[bytes], bool]] = {
    "says nothing": ((), False),
    "closes": ((), True),
    "plain http": ((b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",), False),
    "plain http2": ((bytes.fromhex("000000040000000000"),), False),
    "garbage": ((bytes(range(255, 0, -1)) * 4,), False),
    "half a record": ((record(Record.HANDSHAKE, b"\2\0\0", length=90),), False),
    "half a record and closes": ((record(Record.HANDSHAKE, b"\2\0\0", length=90),), True),
    "alert": ((record(Record.ALERT, _FATAL),), False),
    "warnings": ((record(Record.ALERT, b"\1\x5a") * 1000,), False),
    "record too long": ((record(Record.HANDSHAKE, bytes(70), length=0x4801) + bytes(0x4801),), False),
    "empty records": ((record(Record.HANDSHAKE, b"") * 1000,), False),
    "changes of ciphers": ((record(Record.CHANGE_CIPHER_SPEC, b"\1") * 1000,), False),
    "hello of a client": ((HELLO,), False),
    "data": ((record(Record.DATA, b"x" * 100),), False),
    "by bytes": (_pieces(record(Record.HANDSHAKE, bytes([2]) + bytes(400)), 1), False),
}
