"""Odd requests that may be forwarded, and what the upstream must get of them then: that, or nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lawful:
    """Bytes, and the one request that may come of them: its line, fields it has and lacks, body, trailers."""

    data: bytes
    start: tuple[str, str]
    has: tuple[tuple[str, str], ...] = ()
    lacks: tuple[str, ...] = ()
    body: bytes = b""
    trailers: tuple[str, ...] = ()


def _get(lines: bytes = b"", target: str = "/x", method: str = "GET", **wanted: object) -> Lawful:
    head = f"{method} {target} HTTP/1.1\r\nHost: a.test\r\n".encode()
    start = wanted.pop("start", (method, target))
    return Lawful(head + lines + b"\r\n", start, **wanted)  # type: ignore[arg-type]


def _post(lines: bytes, body: bytes, decoded: bytes, **wanted: object) -> Lawful:
    head = b"POST /x HTTP/1.1\r\nHost: a.test\r\n" + lines + b"\r\n"
    return Lawful(head + body, ("POST", "/x"), body=decoded, **wanted)  # type: ignore[arg-type]


def _chunked(body: bytes, decoded: bytes = b"hello", **wanted: object) -> Lawful:
    return _post(b"Transfer-Encoding: chunked\r\n", body, decoded, **wanted)


HOST = ("host", "a.test")

FRAMING = [
    _post(b"Content-Length: 5\r\n", b"hello", b"hello", has=(("content-length", "5"),)),
    _post(b"Content-Length: 005\r\n", b"hello", b"hello", has=(("content-length", "5"),)),
    _post(b"Content-Length:5\r\n", b"hello", b"hello"),
    _post(b"Content-Length: \t5 \t\r\n", b"hello", b"hello"),
    _post(b"content-LENGTH: 5\r\n", b"hello", b"hello"),
    _post(b"Content-Length: 0\r\n", b"", b""),
    _post(b"Transfer-Encoding: CHUNKED\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    _post(b"Transfer-Encoding:\tchunked \r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    _post(b"tRANSFER-eNCODING: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    Lawful(b"GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", ("GET", "/x"), body=b"hello"),
]

CHUNKS = [
    _chunked(b"5\r\nhello\r\n0\r\n\r\n"),
    _chunked(b"0005\r\nhello\r\n000\r\n\r\n"),
    _chunked(b"1\r\nh\r\n1\r\ne\r\n3\r\nllo\r\n0\r\n\r\n"),
    _chunked(b"A\r\nhellohello\r\n0\r\n\r\n", b"hellohello"),
    _chunked(b"a\r\nhellohello\r\n0\r\n\r\n", b"hellohello"),
    _chunked(b"5;x\r\nhello\r\n0;y=z\r\n\r\n"),
    _chunked(b'5;x="a;b"\r\nhello\r\n0\r\n\r\n'),
    _chunked(b"5;\r\nhello\r\n0\r\n\r\n"),
    _chunked(b'5;x="\r\nhello\r\n0\r\n\r\n'),
    _chunked(b"5;\xff\r\nhello\r\n0\r\n\r\n"),
    _chunked(b"5 ;x\r\nhello\r\n0\t ; y\r\n\r\n"),
    _chunked(b"5;a = b ; c\r\nhello\r\n0\r\n\r\n"),
    _chunked(b'5;x="a;\\"b"\r\nhello\r\n0\r\n\r\n'),
    _chunked(b"000000000000005\r\nhello\r\n0000000000000000\r\n\r\n"),
    _chunked(b"5\r\n\r\n0\r\n\r\n0\r\n\r\n", b"\r\n0\r\n"),
    _chunked(b"0\r\n\r\n", b""),
]
FORBIDDEN_IN_TRAILERS = (
    *("Content-Length: 9", "Transfer-Encoding: gzip", "Host: evil", "Authorization: x", "Cookie: x"),
    *(
        "Content-Type: x/y",
        "Content-Encoding: gzip",
        "Content-Range: bytes 0-1/2",
        "Trailer: x",
        "TE: trailers",
    ),
    *("Connection: close", "Upgrade: x", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https"),
    *("X-Envoy-Internal: true", "X-Envoy-Max-Retries: 9", "X-Request-Id: evil", "Expect: 100-continue"),
    *(
        "Max-Forwards: 0",
        "Cache-Control: no-store",
        "Range: bytes=0-1",
        "Proxy-Authorization: x",
        "Forwarded: for=x",
    ),
    *("X-Forwarded-Client-Cert: By=evil", "Set-Cookie: a=b", "Traceparent: x", "If-Match: x"),
)
TRAILERS = [
    _chunked(
        b"5\r\nhello\r\n0\r\nX-Fine: 1\r\n" + line.encode() + b"\r\n\r\n",
        has=(HOST,),
        trailers=("x-fine",),
    )
    for line in FORBIDDEN_IN_TRAILERS
]

TARGETS = [
    Lawful(f"GET {sent} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode(), ("GET", got), (("host", host),))
    for sent, got, host in (
        ("http://b.test/x?y", "/x?y", "b.test"),
        ("http://b.test:81/x", "/x", "b.test:81"),
        ("http://b.test", "/", "b.test"),
        ("http://b.test?y", "/?y", "b.test"),
        ("http://b.test/?", "/?", "b.test"),
        ("HTTP://b.test/x", "/x", "b.test"),
        ("http://[::1]:81/x", "/x", "[::1]:81"),
        ("http://b.test:/x", "/x", "b.test"),
        ("https://b.test/x", "/x", "b.test"),
        ("hTTp://B.Test:0/x", "/x", "B.Test:0"),
        ("http://b.test/../x", "/x", "b.test"),
        ("/x:80", "/x:80", "a.test"),
        ("/@x", "/@x", "a.test"),
        ("/to/%2Fx%2f", "/to/%2Fx%2f", "a.test"),
        ("/to/http:%2F%2Fb.test", "/to/http:%2F%2Fb.test", "a.test"),
        ("/x?", "/x?", "a.test"),
        ("/administrator", "/administrator", "a.test"),
        ("/x?y=http://c.test/#z".partition("#")[0], "/x?y=http://c.test/", "a.test"),
        ("/x?a=/../../y&b=//", "/x?a=/../../y&b=//", "a.test"),
        ("/x?%00%2f..", "/x?%00%2f..", "a.test"),
        ("/a/./b/../c", "/a/c", "a.test"),
        ("/a//b", "/a/b", "a.test"),
        ("/%7Euser", "/~user", "a.test"),
        ("/a%2fb", "/a%2fb", "a.test"),
        ("/a%252fb", "/a%252fb", "a.test"),
        ("/a;b=c/d;e", "/a;b=c/d;e", "a.test"),
        ("/a%20b", "/a%20b", "a.test"),
        ("/caf%C3%A9", "/caf%C3%A9", "a.test"),
        ("/%zz", "/%zz", "a.test"),
        ("/a?b?c", "/a?b?c", "a.test"),
    )
]
HOSTS = [
    Lawful(
        f"GET /x HTTP/1.1\r\n{line}\r\nX-Other: 1\r\n\r\n".encode(),
        ("GET", "/x"),
        (("host", got), ("x-other", "1")),
    )
    for line, got in (
        ("Host: a.test:80", "a.test:80"),
        ("Host: a.test:", "a.test"),
        ("Host: a.test:65535", "a.test:65535"),
        ("Host: a.test:0", "a.test:0"),
        ("HOST: A.TEST", "A.TEST"),
        ("Host:a.test", "a.test"),
        ("Host:\t a.test \t", "a.test"),
        ("Host: a.test.", "a.test."),
        ("Host: a_b.test", "a_b.test"),
        ("Host: outbound_.80_._.a.test", "outbound_.80_._.a.test"),
        ("Host: xn--bcher-kva.test", "xn--bcher-kva.test"),
        ("Host: 127.0.0.1:1", "127.0.0.1:1"),
        ("Host: [::1]", "[::1]"),
        ("Host: [::1]:", "[::1]"),
        ("Host: [2001:DB8::ffff:1.2.3.4]:80", "[2001:DB8::ffff:1.2.3.4]:80"),
    )
]
METHODS = [
    _get(method=method)
    for method in (
        *("HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "M-SEARCH"),
        *("PURGE", "LINK", "UNLINK", "SEARCH", "MKCALENDAR", "ACL", "LOCK", "UNSUBSCRIBE"),
    )
]
HTTP_10 = [
    Lawful(
        b"GET /x HTTP/1.0\r\nHost: a.test\r\n" + lines + b"\r\n",
        ("GET", "/x"),
        (HOST,),
        ("connection", "expect"),
    )
    for lines in (
        *(b"", b"Connection: keep-alive\r\n", b"Connection: close\r\n", b"Expect: 100-continue\r\n"),
        *(b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"Connection: keep-alive, close\r\n"),
    )
] + [
    Lawful(
        b"POST /x HTTP/1.0\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello",
        ("POST", "/x"),
        (HOST,),
        body=b"hello",
    ),
    Lawful(b"GET http://a.test/x HTTP/1.0\r\n\r\n", ("GET", "/x"), (HOST,)),
]
WHOLE_SERVERS = [
    Lawful(f"OPTIONS {sent} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode(), ("OPTIONS", got), (("host", host),))
    for sent, got, host in (
        ("http://b.test", "*", "b.test"),
        ("http://b.test:81", "*", "b.test:81"),
        ("http://b.test/", "/", "b.test"),
        ("http://b.test?x", "/?x", "b.test"),
        ("/", "/", "a.test"),
    )
]
HOPS = [
    Lawful(
        f"{method} /x HTTP/1.1\r\nHost: a.test\r\nMax-Forwards: {sent}\r\n\r\n".encode(),
        (method, "/x"),
        (("max-forwards", got),),
    )
    for method, sent, got in (
        ("OPTIONS", "1", "0"),
        ("OPTIONS", "010", "9"),
        ("TRACE", "5", "4"),
        ("TRACE", "99999999999999999999999", "18446744073709551614"),
        ("GET", "0", "0"),
        ("GET", "x", "x"),
    )
]
HOP_BY_HOP = [
    *(
        _get(f"{name}: {value}\r\n".encode(), has=(HOST,), lacks=(name.lower(),))
        for name, value in (
            ("Connection", "keep-alive"),
            ("Connection", "x-none"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("TE", "gzip"),
            ("TE", "chunked"),
            ("Connection", "close, keep-alive"),
            ("Connection", ",close,,"),
            ("Connection", ""),
            ("Proxy-Connection", "close"),
            ("Upgrade", "websocket"),
            ("Upgrade", "h2c"),
        )
    ),
    *(
        _get(
            f"Connection: {named}\r\nX-Own: 1\r\nX-Other: 2\r\n".encode(),
            has=(HOST, ("x-other", "2")),
            lacks=lacks,
        )
        for named, lacks in (
            ("x-own", ("x-own", "connection")),
            ("X-OWN, keep-alive", ("x-own",)),
            ("keep-alive,,x-own", ("x-own",)),
            ("host, x-own", ("x-own",)),
            ("content-length", ()),
            ("transfer-encoding, x-own", ("x-own",)),
        )
    ),
    *(
        _get(
            f"Connection: {name}\r\n{name}: {value}\r\n".encode(),
            has=(HOST, (name, value)),
        )
        for name, value in (
            ("content-type", "x/y"),
            ("x-request-id", "11111111-1111-4111-8111-111111111111"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        )
    ),
    *(
        _get(
            f"Connection: {name}\r\n{name}: v\r\nX-Other: 2\r\n".encode(),
            has=(("x-other", "2"),),
            lacks=(name,),
        )
        for name in (
            "cookie",
            "authorization",
            "accept",
            "user-agent",
            "referer",
            "cache-control",
            "x-unheard-of",
        )
    ),
    _post(b"Connection: content-length\r\nContent-Length: 5\r\n", b"hello", b"hello"),
    _post(b"Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n", b""),
    _get(
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        has=(HOST,),
        lacks=("upgrade", "http2-settings", "connection"),
    ),
    _post(
        b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n",
        b"hello",
        b"hello",
        lacks=("upgrade", "connection"),
    ),
    _get(b"TE: trailers, deflate\r\n", has=(("te", "trailers"),)),
]
EXPECTATIONS = [
    _post(b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello", b"hello", lacks=("expect",)),
    _post(b"Expect: 100-CONTINUE\r\nContent-Length: 5\r\n", b"hello", b"hello", lacks=("expect",)),
    _get(b"Expect: 100-continue\r\n", lacks=("expect",)),
    _chunked(b"5\r\nhello\r\n0\r\n\r\n"),
]
FIELDS = [
    _get(b"X: \xe9\xff\r\n", has=(("x", "\xe9\xff"),)),
    _get(b"X:\r\n", has=(HOST,)),
    _get(b"X:   padded \t \r\n", has=(("x", "padded"),)),
    _get(b"X: a\tb\r\n", has=(("x", "a\tb"),)),
    _get(b"X: a\r\nX: b\r\n", has=(HOST, ("x", "a"), ("x", "b"))),
    _get(b"X: a:b::c\r\nY::::\r\n", has=(("x", "a:b::c"), ("y", ":::"))),
    _get(
        b"x_under_score: 1\r\nX_Content_Length: 2\r\n",
        has=(("x_under_score", "1"), ("x_content_length", "2")),
    ),
    _get(b'X: "a, b" ; c="d\\"e"\r\n', has=(("x", '"a, b" ; c="d\\"e"'),)),
    _get(b"Cookie: a=1\r\nCookie: b=2\r\n", has=(("cookie", "a=1"), ("cookie", "b=2"))),
    *(
        _get(b"X: a" + bytes([byte]) + b"b\r\n", has=(("x", f"a{chr(byte)}b"),))
        for byte in (0x09, *range(0x20, 0x7F), *range(0x80, 0x100))
    ),
    *(
        _get(b"X" + bytes([byte]) + b"Y: v\r\n", has=((f"x{chr(byte)}y".lower(), "v"),))
        for byte in b"!#$%&'*+-.^_`|~" + bytes(range(0x30, 0x3A)) + bytes(range(0x41, 0x5B))
    ),
    _get(b"!#$%&'*+-.^_`|~09azAZ: v\r\n", has=(HOST,)),
    _get(b"X" * 300 + b": v\r\n", has=(HOST,)),
    _get(b"X: " + b"y" * 40_000 + b"\r\n", has=(HOST,)),
    _get(b"\r\n".join(b"X-%d: y" % n for n in range(99)) + b"\r\n", has=(HOST,)),
    Lawful(b"\r\nGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n", ("GET", "/x"), (HOST,)),
]

CLASSES = {
    "framing, lawful": FRAMING,
    "chunks, lawful": CHUNKS,
    "trailers that try to be headers": TRAILERS,
    "targets, lawful": TARGETS,
    "hosts, lawful": HOSTS,
    "methods, lawful": METHODS,
    "HTTP/1.0, lawful": HTTP_10,
    "whole servers": WHOLE_SERVERS,
    "hops counted": HOPS,
    "hop-by-hop fields": HOP_BY_HOP,
    "expectations met": EXPECTATIONS,
    "fields, lawful": FIELDS,
}
