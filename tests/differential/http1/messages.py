"""Generators of messages: right ones, and right ones with something broken in them."""

from __future__ import annotations

from hypothesis import strategies as st

_TOKEN = st.text("abcXYZ019-_~!", min_size=1, max_size=12).map(lambda name: "x-" + name)
_VALUE = st.text("".join(map(chr, range(32, 127))) + "\t\x80\xff", max_size=20).map(str.strip)
_FIELD = st.builds(lambda name, value: f"{name}: {value}\r\n", _TOKEN, _VALUE)
_METHODS = st.sampled_from(
    ["GET", "POST", "PUT", "HEAD", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "M-SEARCH"]
)
_TARGETS = st.one_of(
    st.text("abc/?=&%.;-_~!$'()*+,:@|", max_size=20).map("/".__add__),
    st.sampled_from(["http://h:80/a?b", "https://h/", "HTTP://h", "http://[::1]:1?a", "http://h:/"]),
)
_VERSIONS = st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"])
_STATUS_LINES = st.sampled_from(
    [
        "200 OK",
        "404 Not Found",
        "204 No Content",
        "304 Not Modified",
        "500 ",
        "299",
        "101 Switch",
        "999 odd",
        "205 Reset",
        "600 x",
    ]
)
_EXTENSIONS = st.sampled_from(["", "", "", ";a", ";a=b", ';a="q r"', ";", ";a;b = c", ";\xff"])

# What is put in, taken out or doubled to make a message wrong. Whole lines, so that the wrong ones go deep.
_BROKEN = st.sampled_from(
    [
        *(
            "\r",
            "\n",
            "\r\n",
            " ",
            "\t",
            "\0",
            "\x0b",
            "\x7f",
            "\xa0",
            ":",
            ";",
            ",",
            "#",
            "+",
            "-",
            "0",
            "5",
            "0x",
            "\r\n ",
            "\r\n\t",
        ),
        *(
            "Content-Length: 3\r\n",
            "Content-Length: 0\r\n",
            "Content-Length: +3\r\n",
            "Content-Length: 3, 3\r\n",
        ),
        *(
            "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding : chunked\r\n",
        ),
        *(
            "Host: a\r\n",
            "Host: a b\r\n",
            "Connection: close\r\n",
            "Connection: x y\r\n",
            "Expect: 100-continue\r\n",
            "Expect: x\r\n",
        ),
        *(
            "X: y\r\n z\r\n",
            "X\r\n",
            ": y\r\n",
            "X : y\r\n",
            "HTTP/1.1",
            "HTTP/2.0",
            "GET / HTTP/1.1\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
        ),
        *(
            "Content-Length: 003\r\n",
            "Content-Length: 3\r\nContent-Length: 3\r\n",
            "Content-Length:\r\n",
            "Content_Length: 3\r\n",
            "Content-Length: 18446744073709551619\r\n",
        ),
        *(
            "Transfer-Encoding: Chunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding:\x0bchunked\r\n",
            "Transfer_Encoding: chunked\r\n",
            "Transfer-Encoding: \r\n",
        ),
        *(
            "Host: a:\r\n",
            "Host: a,b\r\n",
            "Host:\r\n",
            "Host: u@a\r\n",
            "Host: [::1]:80\r\n",
            "http://b:/",
            "//",
            "*",
        ),
        *(
            "Connection: host, content-length, x-a\r\n",
            "Connection: ,,\r\n",
            "Upgrade: x\r\n",
            "TE: trailers\r\n",
        ),
        *("Connection: upgrade\r\nUpgrade: x\r\n", "Max-Forwards: 0\r\n", "Expect: 100-continue\r\n" * 2),
        *(
            "HTTP/1.2",
            "HTTP/1.0",
            "HTTP/0.9",
            "http/1.1",
            "  ",
            "\r\r\n",
            "\n\r",
            "\x85",
            "\xff",
            "%00",
            "@",
            "\\",
        ),
        *(" ;a", ";a\n", ';a="', ";a\rb", "00000000000000003\r\nabc\r\n", "-3\r\n", "0;x\r\nHost: b\r\n\r\n"),
        *(
            "HTTP/1.1 101 Switch\r\n\r\n",
            "HTTP/1.1 204 No\r\n\r\n",
            "HTTP/1.1 099 x\r\n\r\n",
            "HTTP/1.1 102\r\n\r\n",
        ),
        *("0\r\n\r\n", "3\r\nabc\r\n", "3 \r\nabc\r\n", "ffffffffffffffffff\r\n"),
    ]
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, str]:
    """A framing line and the body that goes with it."""
    match draw(st.sampled_from(["none", "length", "chunked", "chunked"])):
        case "none":
            return "", ""
        case "length":
            body = draw(st.text("abc\r\n\0\xff", max_size=30))
            return f"Content-Length: {len(body)}\r\n", body
        case _:
            chunks = draw(st.lists(st.text("abc\r\n\0\xff", min_size=1, max_size=40), max_size=4))
            framed = "".join(f"{len(chunk):x}{draw(_EXTENSIONS)}\r\n{chunk}\r\n" for chunk in chunks)
            trailers = "".join(draw(st.lists(_FIELD, max_size=2)))
            return "Transfer-Encoding: chunked\r\n", f"{framed}0\r\n{trailers}\r\n"


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    framing, body = draw(bodies())
    version = "HTTP/1.1" if "chunked" in framing else draw(_VERSIONS)
    line = f"{draw(_METHODS)} {draw(_TARGETS)} {version}\r\n"
    lines = draw(st.permutations(["Host: shop:80\r\n", framing, *draw(st.lists(_FIELD, max_size=4))]))
    return _encode(line + "".join(lines) + "\r\n" + body)


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    framing, body = draw(bodies())
    version = "HTTP/1.1" if "chunked" in framing else draw(_VERSIONS)
    interim = draw(
        st.sampled_from(["", "", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n"])
    )
    lines = draw(st.permutations([framing, *draw(st.lists(_FIELD, max_size=4))]))
    return _encode(f"{interim}{version} {draw(_STATUS_LINES)}\r\n" + "".join(lines) + "\r\n" + body)


@st.composite
def broken(draw: st.DrawFn, messages: st.SearchStrategy[bytes]) -> bytes:
    """A message with one to three things put in, taken out, or doubled."""
    message = draw(messages)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(message)))
        length = draw(st.integers(0, 12))
        match draw(st.sampled_from(["insert", "insert", "line", "line", "delete", "double"])):
            case "insert":
                message = message[:at] + _encode(draw(_BROKEN)) + message[at:]
            case "line":
                line_start = message.rfind(b"\r\n", 0, at) + 2 if b"\r\n" in message[:at] else 0
                message = message[:line_start] + _encode(draw(_BROKEN)) + message[line_start:]
            case "delete":
                message = message[:at] + message[at + length :]
            case _:
                message = message[:at] + message[at : at + length] + message[at:]
    return message


def cuts() -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(1, 60), max_size=8)


def cut(message: bytes, lengths: list[int]) -> list[bytes]:
    pieces = []
    for length in lengths:
        pieces.append(message[:length])
        message = message[length:]
    return [*pieces, message]


def _encode(text: str) -> bytes:
    return text.encode("latin-1")
