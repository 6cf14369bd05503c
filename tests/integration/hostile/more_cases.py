"""More hostile requests by class: `cases` names attacks, this goes through the bytes of each place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.integration.hostile.cases import BODY, SMUGGLED, Case

# Bytes that some parsers take for white space, for a line end, or for the end of the text.
ODD = (b"\0", b"\x01", b"\x0b", b"\x0c", b"\r", b"\x1c", b"\x1f", b"\x7f", b"\x85", b"\xa0", b"\xff")
MEGABYTES_3 = 3 << 20
MEGABYTES_5 = 5 << 20


def _case(data: bytes, *statuses: int) -> Case:
    return Case(data, frozenset(statuses or (400,)))


def _readable(data: bytes, *statuses: int) -> Case:
    return Case(data, frozenset(statuses), closes=False)


def _post(lines: bytes, body: bytes = BODY, version: bytes = b"HTTP/1.1") -> Case:
    data = b"POST /case " + version + b"\r\nHost: a\r\n" + lines + b"\r\n\r\n" + body + SMUGGLED
    return _case(data, 400, 411, 413, 426, 431, 501)


def _get(lines: bytes, *statuses: int) -> Case:
    return _case(b"GET /case HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n\r\n" + SMUGGLED, *statuses)


def _around(word: bytes, odd: Iterable[bytes]) -> Iterator[bytes]:
    """The word with each odd byte before it, in it, and behind it."""
    half = len(word) // 2
    for byte in odd:
        yield from (byte + word, word[:half] + byte + word[half:], word + byte)


DISGUISED_CODINGS = [
    *(_post(b"Transfer-Encoding: " + value) for value in _around(b"chunked", ODD)),
    *(_post(b"Transfer-Encoding: " + value) for value in (b"chunke", b"chunkedd", b"chun ked", b"'chunked'")),
    *(_post(b"Transfer-Encoding: chunked" + rest) for rest in (b" ;", b";", b" x", b"=", b"\t,\t", b",,")),
    *(_post(b"Transfer-Encoding:" + value) for value in (b" ", b"\t", b" ,", b" ,chunked, ", b" x, chunked")),
    *(
        _post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: " + value)
        for value in (b"", b"chunked", b"gzip", b"x")
    ),
]
_NO_LINE_ENDS = (b"\n", b"\r", b"\r\r", b"\0", b"\n\r")
CODING_NAMES = [
    *(
        _post(name + b": chunked")
        for name in _around(b"Transfer-Encoding", [*ODD, b" ", b"\t", b"\n", b"\r\n", b"\n "])
        if not name.startswith((b"\r\n", b"\n", b"\r"))
    ),
    *(
        _post(b"X: x" + end + b"Transfer-Encoding: chunked")
        for end in (b"\n", b"\r", b"\r\r", b"\0", b"\n\r")
    ),
    *(
        _post(name + b": chunked")
        for name in (b"Transfer_Encoding", b"transfer_encoding", b"TRANSFER_ENCODING", b"Transfer_encodinG")
    ),
    *(_post(name + b": 5", b"hello") for name in (b"Content_Length", b"content_length", b"CONTENT_LENGTH")),
    _post(b"Content-Length: 5\r\nTransfer_Encoding: chunked", b"hello"),
    _post(b"Content-Length: 5\r\nContent_Length: 6", b"hello"),
    _post(b"Content-Length: 5\r\nTransfer-Encoding: chunked"),
]
CODINGS_IN_HTTP_10 = [
    _post(lines, version=b"HTTP/1.0")
    for lines in (
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: identity",
        b"Connection: keep-alive\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Transfer-Encoding: chunked\r\nConnection: keep-alive\r\nContent-Length: 0",
    )
]
_BAD_LENGTHS = b"5 ,5|5;5|05x|five|5L|0b101|4294967301x|-0|+0| +5|5\t5|,5".split(b"|")
LENGTHS = [
    *(_post(b"Content-Length: " + value, b"hello") for value in (*_around(b"5", ODD), *_BAD_LENGTHS)),
    *(_post(b"Content-Length: " + b"9" * digits, b"hello") for digits in (20, 21, 32, 64, 1000)),
    *(
        _post(b"Content-Length: " + first + b"\r\nContent-Length: " + second, b"hello")
        for first in (b"5", b"0", b"05", b"")
        for second in (b"5", b"6", b"0", b"")
    ),
    *(_post(b"Content-Length : 5", b"hello"), _post(b"Content-Length\t: 5", b"hello")),
]
_BAD_SIZES = b"5h|0X5|5\t|\t5|5 x|5 x;y|+0|-0|5,5|5.|5_|g|\xb5".split(b"|")
CHUNK_SIZES = [
    *(
        _post(b"Transfer-Encoding: chunked", size + b"\r\nhello\r\n0\r\n\r\n")
        for size in (*_around(b"05", ODD), *_BAD_SIZES)
    ),
    *(_post(b"Transfer-Encoding: chunked", b"1" + b"0" * zeros + b"\r\n") for zeros in (16, 17, 20, 100)),
]
_AFTER_DATA = (b"", b"\n", b"\r", b"\r\r", b"\n\n", b" \r\n", b"!!\r\n", b"\r\n\r\n", b"\0\0", b"\r\n ")
_AFTER_SIZE = (
    *(b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\r", b" \r\n", b"\r \n"),
    *(b";\n", b";\r", b";a\n", b";a\r;\n"),
)
CHUNK_ENDS = [
    *(_post(b"Transfer-Encoding: chunked", b"5\r\nhello" + end + b"0\r\n\r\n") for end in _AFTER_DATA),
    *(_post(b"Transfer-Encoding: chunked", b"5" + end + b"hello\r\n0\r\n\r\n") for end in _AFTER_SIZE),
]
_EXTENSIONS = (b"a\0b", b"a\nb", b"a\rb", b"a\x0bb", b"a\x7fb", b'a="\n"', b'a="\r"')
EXTENSIONS = [
    *(_post(b"Transfer-Encoding: chunked", b"5;" + ext + b"\r\nhello\r\n0\r\n\r\n") for ext in _EXTENSIONS),
    _post(b"Transfer-Encoding: chunked", b"5;" + b"a" * MEGABYTES_3),
    _post(b"Transfer-Encoding: chunked", (b"1;" + b"a" * 400 + b"\r\nx\r\n") * 2_000 + b"0\r\n\r\n"),
]
_TRAILERS = (
    *(b"X: a" + byte + b"b" for byte in (b"\0", b"\x01", b"\n", b"\r", b"\x0b", b"\x7f")),
    *(b" X: y|X : y|X|: y|X: y\r\n z|X\x80: y|X y: z|\tX: y".split(b"|")),
    *(b"X: " + b"y" * MEGABYTES_3, b"X: y\r\n" * 20_000),
)
TRAILERS = [
    _post(b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n" + lines + b"\r\n\r\n") for lines in _TRAILERS
]
_IN_HOSTS = (*ODD, b"\xc3\xa9", *(bytes([byte]) for byte in b'"<|{^`;=%'))
_BAD_HOSTS = [
    *(b"a" + byte + b"b" for byte in _IN_HOSTS),
    *b"a b|a\tb|user@a|user:pw@a|a@|@a|a/|/a|http://a|a?|#a|a\\|a,b|a, b| , a|a;b|a%00|a%2eb".split(b"|"),
    *b"a::|a:x|a:80x|a:-80|a:+80|a: 80|a:80:80|a:65536|a:99999999999|::1|[::1|::1]|[]|[x]".split(b"|"),
    *b"[::1]x|[::1]::|[::1]:x|[1.2.3.4]|[::1%25eth0]|[:::]|*|[|]|:|:80".split(b"|"),
]
_BAD_HOST_LINES = (
    *(b"Host: a\r\nHost: a", b"Host: a\r\nhost: b", b"Host: a\r\nX: y\r\nHOST: b", b"Host:\r\nHost: a"),
    *(b"Host", b"Host : a", b"Host\t: a", b" Host: a", b"Host: a\r\n b", b"Hos\rt: a", b"H\0st: a", b"X: y"),
)
_BAD_ABSOLUTES = [
    *b"http://|http:///case|http://u@a/|http://u:p@a/|http://a:x/|http://[::1/|http://:80/".split(b"|"),
    *b"http://a b/|http://a\\b/|http://a%00/|http:/a/|http:a/|http//a/|//a/x y|://a/|ftp://a/".split(b"|"),
    *b"file:///x|javascript://a/|gopher://a/|HTTP2://a/|http+unix://a/".split(b"|"),
]
HOSTS = [
    *(_case(b"GET /case HTTP/1.1\r\nHost: " + host + b"\r\n\r\n") for host in _BAD_HOSTS),
    *(_case(b"GET /case HTTP/1.1\r\n" + lines + b"\r\n\r\n") for lines in _BAD_HOST_LINES),
    *(_case(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n") for target in _BAD_ABSOLUTES),
]
NAMES = [
    _get(b"X" + bytes([byte]) + b"Y: v")
    for byte in range(256)
    if byte not in b"!#$%&'*+-.^_`|~:0123456789" and not (byte < 0x80 and chr(byte).isalpha())
]
VALUES = [_get(b"X: a" + bytes([byte]) + b"b") for byte in (*range(0x09), *range(0x0A, 0x20), 0x7F)]
LINES = [
    *(_get(line) for line in (b"X", b"X\t:v", b"X :v", b":v", b": v", b" ", b"\t", b" :v", b"X\r\n:v")),
    *(_get(b"X: v\r\n" + fold) for fold in (b" w", b"\tw", b" ", b"\t", b"  w: x", b" Content-Length: 5")),
    *(
        _case(data)
        for data in (
            b"GET /case HTTP/1.1\nHost: a\n\n",
            b"GET /case HTTP/1.1\r\nHost: a\n\r\n",
            b"GET /case HTTP/1.1\r\nHost: a\r\n\n",
            b"GET /case HTTP/1.1\nHost: a\r\n\r\n",
            b"GET /case HTTP/1.1\rHost: a\r\r",
            b"GET /case HTTP/1.1\r\r\nHost: a\r\n\r\n",
            b"GET /case HTTP/1.1\r\nHost: a\r\n\rZ",
            b"GET /case HTTP/1.1\r\nHost: a\r\n\r\r\n",
            b"GET /case HTTP/1.1\r\n\nHost: a\r\n\r\n",
            b"GET /case HTTP/1.1\r\n Host: a\r\n\r\n",
            b"GET /case HTTP/1.1\r\n\tX: y\r\nHost: a\r\n\r\n",
        )
    ),
]
METHODS = [
    _case(method + b" /case HTTP/1.1\r\nHost: a\r\n\r\n", 400, 405, 501)
    for method in (
        *(
            b"",
            b" GET",
            b"\tGET",
            b"GET\t",
            b"GE T",
            b"get",
            b"Get",
            b"GET\0",
            b"G\x80T",
            b"GET:",
            b"GET;x",
            b"\xef\xbb\xbfGET",
        ),
        *(
            b"FROB",
            b"X" * 70,
            b"GET,POST",
            b'"GET"',
            b"GET/",
            b"{}",
            b"(",
            b"GET\x0b",
            b"GET\x0c",
            b"\0GET",
            b"MATCH",
            b"QUERY\0",
        ),
    )
]
VERSIONS = [
    _case(b"GET /case " + version + b"\r\nHost: a\r\n\r\n", 400, 426, 505)
    for version in (
        *(
            b"",
            b"HTTP",
            b"HTTP/",
            b"HTTP/1",
            b"HTTP/1.",
            b"HTTP/.1",
            b"HTTP/11",
            b"HTTP/1.1.1",
            b"HTTP/1.10",
            b"HTTP/01.1",
        ),
        *(
            b"HTTP/1.01",
            b"HTTP/1.2",
            b"HTTP/1.9",
            b"HTTP/2.0",
            b"HTTP/2",
            b"HTTP/3.0",
            b"HTTP/0.9",
            b"HTTP/9.9",
            b"HTTP/ 1.1",
        ),
        *(
            b"HTTP/1 .1",
            b"HTTP /1.1",
            b"HTTP/1.1 ",
            b" HTTP/1.1",
            b"HTTP/1.1\t",
            b"\tHTTP/1.1",
            b"HTTP/1.1\0",
            b"http/1.1",
        ),
        *(
            b"Http/1.1",
            b"HTTPS/1.1",
            b"HTTP\\1.1",
            b"HTTP/1,1",
            b"HTTP/-1.1",
            b"HTTP/+1.1",
            b"HTTP/1.x",
            b"HTTP/\xb1.1",
        ),
        *(
            b"ICY/1.1",
            b"SHTTP/1.1",
            b"HTTP/1.1 HTTP/1.1",
            b"HTTP/1.1x",
            b"xHTTP/1.1",
            b"HTTP/0x1.1",
            b"RTSP/1.0",
        ),
    )
]
TARGETS = [
    _case(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n", 400, 404)
    for target in (
        *(b"/a" + bytes([byte]) + b"b" for byte in (*range(0x21), 0x7F, 0x80, 0x85, 0xA0, 0xC3, 0xFF)),
        *(
            b"*",
            b"a",
            b"?",
            b"?x",
            b"#",
            b"/#",
            b"/a#b",
            b"/a?b#c",
            b"a:80",
            b"a/b",
            b"./a",
            b"../a",
            b"\\a",
            b"%2f",
        ),
        *(
            b"",
            b" /",
            b"/a b",
            b"/ HTTP/1.1 /",
            b"host:80",
            b"[::1]:80",
            b"http",
            b"http:",
            b"mailto:a",
            b"/\xe2\x82\xac",
        ),
    )
]
TUNNELS = [
    _case(data, 400, 403, 404, 405, 501)
    for data in (
        b"CONNECT /case HTTP/1.1\r\nHost: a\r\n\r\n" + SMUGGLED,
        b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n" + SMUGGLED,
        b"CONNECT a:x HTTP/1.1\r\nHost: a\r\n\r\n" + SMUGGLED,
        b"CONNECT http://a:80/ HTTP/1.1\r\nHost: a:80\r\n\r\n" + SMUGGLED,
        b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\n\r\nhello" + SMUGGLED,
        b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n" + SMUGGLED,
        b"GET /case HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n" + SMUGGLED,
        b"GET /case HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: nobody/1\r\n\r\n\x81\x05hello",
        b"GET /case HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket, h2c\r\n\r\n" + SMUGGLED,
    )
]
OTHER_PROTOCOLS = [
    _case(data, 400, 426, 505)
    for data in (
        b"GET /case\r\n\r\n",
        b"GET /case\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
        b"\x16\x03\x03\x00\x05hello\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"EHLO a\r\n",
        b"USER a\r\n\r\n",
        b"\x80\x2e\x01\x00\x02" + b"\0" * 60,
        b"\0" * 64,
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n\r\n\0\r\nQUIT\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"\r\n\r\nGET /case HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\nGET /case HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n" * 100_000,
        b"\xef\xbb\xbfGET /case HTTP/1.1\r\nHost: a\r\n\r\n",
    )
]
EXPECTATIONS = [
    _case(b"POST /case HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n" + lines + b"\r\n\r\nhello", 417)
    for lines in (
        b"Expect: 200-ok",
        b"Expect: 100-continue, x",
        b"Expect: 100-continue;q=1",
        b"Expect:",
        b"Expect: 100",
        b"Expect: 100-continu",
        b"Expect: 100-continue\r\nExpect: 100-continue",
        b'Expect: "100-continue"',
    )
]
CONNECTION_OPTIONS = [
    _get(b"Connection: " + value)
    for value in (
        *(b"a b", b"close x", b"(x)", b"x:y", b"a/b", b"x\x0b", b'"close"', b"close;x", b"@", b"\xa0close"),
        *(b",".join(b"x%d" % n for n in range(33)), b"," * 40),
    )
]
LAST_HOPS = [
    *(
        _readable(b"OPTIONS /case HTTP/1.1\r\nHost: a\r\nMax-Forwards: " + value + b"\r\n\r\n", 200)
        for value in (b"0", b"00", b"000000000000000000000000000")
    ),
    _readable(b"TRACE /case HTTP/1.1\r\nHost: a\r\nCookie: secret\r\nMax-Forwards: 0\r\n\r\n", 405, 501),
    *(
        _readable(method + b" /case HTTP/1.1\r\nHost: a\r\nMax-Forwards: " + value + b"\r\n\r\n", 400)
        for method in (b"OPTIONS", b"TRACE")
        for value in (b"x", b"-1", b"+1", b"1.0", b"", b"1, 2", b"0x1", b"1\r\nMax-Forwards: 2")
    ),
]
TOO_MUCH = [
    _case(b"GET /" + b"a" * MEGABYTES_5 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, 431),
    _case(b"GET /?" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, 431),
    _case(b"a" * MEGABYTES_5, 400, 414, 431),
    _get(b"X: " + b"y" * MEGABYTES_5, 431),
    _get(b"X" * 70_000 + b": y", 431),
    _get(b"Cookie: " + b"a=b; " * 20_000, 431),
    _get(b"X: y\r\n" * 100_000, 431),
    _get(b"\r\n".join([b"X: y"] * 100), 431),
    _get(b"\r\n".join(b"X-%d: %s" % (n, b"y" * 1_000) for n in range(80)), 431),
    _get(b"Host: " + b"a" * 70_000, 400, 431),
]
GUARDED = [
    _readable(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n", 307, 400, 403)
    for target in (
        *(
            b"/admin",
            b"/admin/",
            b"/admin/x",
            b"/admin?x",
            b"http://a/admin",
            b"HTTP://a/admin/x",
            b"https://a/admin",
        ),
        *(
            b"/x/../admin",
            b"/./admin",
            b"/x/./../admin",
            b"/../admin",
            b"/../../admin",
            b"/x/y/../../admin",
            b"/x/..//admin",
        ),
        *(
            b"/x/%2e%2e/admin",
            b"/x/%2E%2e/admin",
            b"/x/.%2e/admin",
            b"/x/%2e./admin",
            b"/%2e/admin",
            b"/%2e%2e/admin",
        ),
        *(
            b"/%61dmin",
            b"/%61%64%6d%69%6e",
            b"/adm%69n",
            b"/%61dmin/x",
            b"//admin",
            b"///admin",
            b"//x/../admin",
        ),
        *(
            b"/x\\..\\admin",
            b"/\\admin",
            b"\\admin",
            b"/x/..\\admin",
            b"/x\\../admin",
            b"/admin\\x",
            b"http://a/\\admin",
        ),
        *(
            b"/x/..%2fadmin",
            b"/x%2f..%2fadmin",
            b"/x/..%5cadmin",
            b"/x%5c..%5cadmin",
            b"/x/%2e%2e%2fadmin",
            b"/x/%2e%2e%5cadmin",
        ),
        *(
            b"/x/..;/admin",
            b"/x/..;a=b/admin",
            b"/..;/admin",
            b"/.;/admin",
            b"/;/admin",
            b"/;x/admin",
            b"/x/%2e%2e;/admin",
        ),
        *(
            b"/x/..%3b/admin",
            b"/x/%252e%252e/admin",
            b"/x/%252e%252e%252fadmin",
            b"/x/..%252fadmin",
            b"/%25252e%25252e/admin",
        ),
        *(
            b"/x%00/../admin",
            b"/admin%00",
            b"/%00/admin",
            b"/x/%c0%ae%c0%ae/admin",
            b"/x/..%c0%afadmin",
            b"/%c0%afadmin",
        ),
        *(
            b"/x/%e0%80%ae./admin",
            b"/x/%f0%80%80%ae%2e/admin",
            b"/x/%25c0%25ae/admin",
            b"/admin#x",
            b"/x#/../admin",
            b"/#/admin",
        ),
        *(b"/admin;", b"/admin;x=1", b"/admin;x/y", b"/%61dmin;", b"/admin%3b", b"/admin%2f", b"/admin%5Cx"),
        *(b"/%2fadmin", b"/%5cadmin", b"/%2F/admin", b"/%252fadmin", b"/%255cadmin", b"/./%2fadmin"),
    )
]

CLASSES = {
    "disguised codings, by byte": DISGUISED_CODINGS,
    "names of Transfer-Encoding, by byte": CODING_NAMES,
    "codings in HTTP/1.0": CODINGS_IN_HTTP_10,
    "content lengths, by byte": LENGTHS,
    "chunk sizes, by byte": CHUNK_SIZES,
    "chunk ends": CHUNK_ENDS,
    "chunk extensions": EXTENSIONS,
    "trailers": TRAILERS,
    "hosts, by byte": HOSTS,
    "field names, by byte": NAMES,
    "field values, by byte": VALUES,
    "lines": LINES,
    "methods": METHODS,
    "versions": VERSIONS,
    "targets, by byte": TARGETS,
    "tunnels": TUNNELS,
    "other protocols": OTHER_PROTOCOLS,
    "expectations": EXPECTATIONS,
    "connection options": CONNECTION_OPTIONS,
    "last hops": LAST_HOPS,
    "too much": TOO_MUCH,
    "guarded paths": GUARDED,
}
