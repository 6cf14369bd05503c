"""The catalogue of hostile requests as bytes, by class. All are to be refused with nothing sent upstream."""

from __future__ import annotations

from dataclasses import dataclass

BODY = b"5\r\nhello\r\n0\r\n\r\n"
# What an attacker wants to be read as a request of its own.
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Case:
    """Bytes, and the statuses that may refuse them."""

    data: bytes
    statuses: frozenset[int]
    # Where it can be read without a doubt, the connection may go on.
    closes: bool = True


def _refused(data: bytes, *statuses: int) -> Case:
    return Case(data, frozenset(statuses or (400,)))


def _post(lines: bytes, body: bytes = BODY) -> bytes:
    return b"POST /case HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n\r\n" + body + SMUGGLED


def _get(lines: bytes) -> bytes:
    return b"GET /case HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n\r\n"


def _line(line: bytes) -> bytes:
    return line + b"\r\nHost: a\r\n\r\n"


FRAMED_TWICE = [
    _refused(_post(lines))
    for lines in (
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Transfer-Encoding: chunked\r\nContent-Length: 0",
        b"Content-Length: 5x\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length:",
    )
]

TRANSFER_ENCODINGS = [
    _refused(_post(b"Transfer-Encoding: " + value), 400, 501)
    for value in (
        *(
            b"xchunked",
            b"chunkedx",
            b"chunked, identity",
            b"identity",
            b"identity, chunked",
            b"cow",
            b'"chunked"',
        ),
        *(b"\x0bchunked", b"chunked\x0b", b"\x0cchunked", b"chunked\x0c", b"\0chunked", b"chunked\0"),
        *(
            b"\xa0chunked",
            b"chunked\xa0",
            b"\x85chunked",
            b"\xffchunked",
            b"chunked\r",
            b"\nchunked",
            b"chunked\n",
        ),
        *(
            b"chunkedchunked",
            b"chunked chunked",
            b"chunked;q=1",
            b"chunked,",
            b",chunked",
            b"gzip",
            b"gzip, chunked",
        ),
        *(b"", b"chunked\r\nTransfer-Encoding: chunked", b"chunked\r\nTransfer-Encoding: identity"),
        *(b"identity\r\nTransfer-Encoding: chunked", b"\r\n chunked", b"chunked\r\n ,x"),
    )
]

DISGUISED_TRANSFER_ENCODINGS = [
    _refused(_post(line))
    for line in (
        *(b"Transfer-Encoding : chunked", b"Transfer-Encoding\t: chunked", b"Transfer-Encoding\x0b: chunked"),
        *(b"Transfer-Encoding\0: chunked", b"Transfer-Encoding\x85: chunked", b"Transfer Encoding: chunked"),
        *(b"Transfer-\rEncoding: chunked", b"Transfer-\r\nEncoding: chunked", b" Transfer-Encoding: chunked"),
        *(b"X: x\nTransfer-Encoding: chunked", b"X: x\rTransfer-Encoding: chunked"),
        *(b"X: x\r\rTransfer-Encoding: chunked", b"X: x\0Transfer-Encoding: chunked"),
    )
]

CONTENT_LENGTHS = [
    _refused(_post(b"Content-Length: " + value, b"hello"))
    for value in (
        *(
            b"+5",
            b"-5",
            b"0x5",
            b"5 5",
            b"5_0",
            b"1e1",
            b"",
            b"5,6",
            b"5,",
            b"5, 5",
            b"\xd9\xa5",
            b"5\x0b",
            b"5\0",
            b"5.0",
        ),
        *(b"9223372036854775813", b"18446744073709551621", b"9" * 32, b"5\r\nContent-Length: 6"),
        *(
            b"0\r\nContent-Length: 5",
            b"5\r\nContent-Length: 0",
            b"\r\nContent-Length: 5",
            b"5\r\nContent-Length:",
        ),
    )
]

CHUNKS = [
    _refused(_post(b"Transfer-Encoding: chunked", body))
    for body in (
        *(
            size + b"\r\nhello\r\n0\r\n\r\n"
            for size in (b"0x5", b"+5", b"-5", b"0_5", b"", b'"5"', b"5\0", b"5\x0b", b" 5")
        ),
        *(
            size + b"\r\nhello\r\n0\r\n\r\n"
            for size in (b"00000000000000005", b"f" * 16, b"f" * 17, b"1" * 20, b"5 ")
        ),
        *(
            b"5\nhello\r\n0\r\n\r\n",
            b"5\rhello\r\n0\r\n\r\n",
            b"5\r\r\nhello\r\n0\r\n\r\n",
            b"5\r\r;x\r\nhello\r\n0\r\n\r\n",
        ),
        *(
            b"5\r\nhello0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhelloXX0\r\n\r\n",
            b"5\r\nhello\r\n\r\n0\r\n\r\n",
        ),
        *(
            b"5\r\nhello\r\n0\n\r\n",
            b"5\r\nhello\r\n0\r\n\n",
            b"5;a\nhello\r\n0\r\n\r\n",
            b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        ),
        *(
            b"5;\0\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\r\n0\r\nX\r\n\r\n",
            b"5\r\nhello\r\n0\r\n X: y\r\n\r\n",
        ),
        *(b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n", b"5;" + b"a" * 100_000 + b"\r\nhello\r\n0\r\n\r\n"),
    )
]

HOSTS = [
    *(
        _refused(b"GET /case HTTP/1.1\r\n" + lines + b"\r\n")
        for lines in (
            b"",
            b"Host: a\r\nHost: b\r\n",
            b"Host: a\r\nHost: a\r\n",
            b"Host : a\r\n",
            b"Host: a\r\n b\r\n",
            b"Host: a\0b\r\n",
        )
    ),
    *(
        _refused(b"GET /case HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        for host in (
            *(
                b"",
                b"u@a",
                b"a/b",
                b"a:abc",
                b"a:80:90",
                b"[::1",
                b"a b",
                b"a,b",
                b"a?b",
                b"a#b",
                b"a\\b",
                b"a:-1",
                b":80",
            ),
        )
    ),
    _refused(b"GET http:///case HTTP/1.1\r\nHost: a\r\n\r\n"),
    _refused(b"GET http://u@a/case HTTP/1.1\r\nHost: a\r\n\r\n"),
    _refused(b"GET http://a/case HTTP/1.1\r\nHost: a b\r\n\r\n"),
]

FIELDS = [
    *(
        _refused(_get(b"X" + bytes([byte]) + b"Y: v"))
        for byte in b'\0\x01\t\n\r "(),/;<=>?@[\\]{}\x7f\x80\xff'
    ),
    *(_refused(_get(b"X: a" + bytes([byte]) + b"b")) for byte in b"\0\x01\x08\n\x0b\x0c\r\x1b\x1f\x7f"),
    *(
        _refused(_get(line))
        for line in (b"X : v", b" X: v", b"X: a\r\n b", b"X: a\r\n\tb", b"X", b": v", b"\rX: v")
    ),
    _refused(b"GET /case HTTP/1.1\nHost: a\n\n"),
    _refused(b"GET /case HTTP/1.1\rHost: a\r\r"),
    _refused(b"GET /case HTTP/1.1\r\nHost: a\r\n\rZ"),
    _refused(_get(b"\r\n".join([b"X: y"] * 100)), 431),
    _refused(_get(b"X: " + b"y" * 200_000), 431),
    _refused(_get(b"X" * 70_000 + b": y"), 431),
    _refused(_get(b"X: y\r\n" * 20_000), 431),
]

REQUEST_LINES = [
    *(
        _refused(_line(method + b" /case HTTP/1.1"))
        for method in (
            b"",
            b" GET",
            b"GET ",
            b"G ET",
            b"GET\t",
            b"G\0T",
            b"G(T",
            b'"GET"',
            b"G\x80T",
            b"get",
            b"{",
        )
    ),
    *(
        _refused(_line(b"GET /case " + version), 400, 505)
        for version in (
            b"",
            b"HTTP/1.2",
            b"HTTP/2.0",
            b"HTTP/0.9",
            b"HTTP/1",
            b"HTTP/1.11",
            b"http/1.1",
            b"HTTP/1,1",
            b"ICY/1.1",
            b"HTTP/1.1 ",
        )
    ),
    *(
        _refused(_line(b"GET " + target + b" HTTP/1.1"))
        for target in (
            b"",
            b"*",
            b"case",
            b"?x",
            b"ftp://a/",
            b"/a#b",
            b"/a\0b",
            b"/a\x01",
            b"/a\x7f",
            b"/\xc3\xa9",
            b"/a b",
            b"/a\tb",
            b"a:80",
        )
    ),
    _refused(b"GET /case\r\nHost: a\r\n\r\n", 400, 505),
    _refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 64),
    _refused(b"\r\n" * 10_000 + _line(b"GET /case HTTP/1.1")),
    _refused(_line(b"GET /" + b"a" * 200_000 + b" HTTP/1.1"), 414, 431),
    _refused(b"CONNECT /case HTTP/1.1\r\nHost: a\r\n\r\n"),
]

CLASSES = {
    "framed twice": FRAMED_TWICE,
    "transfer encodings": TRANSFER_ENCODINGS,
    "disguised transfer encodings": DISGUISED_TRANSFER_ENCODINGS,
    "content lengths": CONTENT_LENGTHS,
    "chunks": CHUNKS,
    "hosts": HOSTS,
    "fields": FIELDS,
    "request lines": REQUEST_LINES,
}
