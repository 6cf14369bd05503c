"""Conversations that meshproxy and Envoy must hold alike: framing, ends, limits, timeouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.differential.envoy.cases import ANY
from tests.differential.envoy.talk import Step
from tests.support.bootstrap import direct, route

ROUTES = [
    direct({"path": "/local"}, 200, "hello"),
    direct({"path": "/nobody"}, 204),
    direct({"path": "/big"}, 200, "x" * 4000),
    route({"prefix": "/quick"}, {"cluster": "origin", "idle_timeout": "0.2s"}),
    route({"prefix": "/hurried"}, {"cluster": "origin", "timeout": "0.2s"}),
    route(ANY, "origin"),
]


@dataclass(frozen=True)
class Conversation:
    """Steps on one connection to a listener with these fields of the connection manager."""

    name: str
    steps: Sequence[Step]
    ends: bool = False
    manager: Mapping[str, Any] = field(default_factory=dict)
    routes: Sequence[Mapping[str, Any]] = field(default_factory=lambda: ROUTES)


def head(first: str, *lines: str) -> bytes:
    return "\r\n".join([first, *lines, "", ""]).encode("latin-1")


def get(target: str = "/", *lines: str, method: str = "GET") -> bytes:
    return head(f"{method} {target} HTTP/1.1", "Host: a.test", *lines)


def post(target: str, body: bytes, *lines: str) -> bytes:
    return get(target, f"Content-Length: {len(body)}", *lines, method="POST") + body


def once(name: str, data: bytes, *answers: str, **fields: Any) -> Conversation:
    """One step; the connection ends after it where `ends` is set, else it takes another request."""
    further = [] if fields.get("ends") else [Step(get("/further"))]
    return Conversation(name, [Step(data, answers or ("GET",)), *further], **fields)


CHUNKED = "Transfer-Encoding: chunked"
HTTP10: dict[str, Any] = {"http_protocol_options": {"accept_http_10": True}}
DEFAULTED: dict[str, Any] = {
    "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "ten.test"}
}

CONNECTIONS = [
    Conversation("kept", [Step(get("/1")), Step(get("/2")), Step(post("/3", b"abc"), ("POST",))]),
    once("pipelined", get("/1") + get("/2") + get("/3"), "GET", "GET", "GET"),
    once("pipelinedbody", post("/1", b"x" * 100) + get("/2"), "POST", "GET"),
    once("pipelinedclose", get("/1") + get("/2", "Connection: close") + get("/3"), "GET", "GET", ends=True),
    once("emptyline", b"\r\n" + get("/1")),
    once("close", get("/", "Connection: close"), ends=True),
    once("closelocal", get("/local", "Connection: close"), ends=True),
    Conversation(
        "spent",
        [Step(get("/1")), Step(get("/2"))],
        ends=True,
        manager={"common_http_protocol_options": {"max_requests_per_connection": 2}},
    ),
    once("ten", head("GET / HTTP/1.0", "Host: a.test"), ends=True),
    once("tenserved", head("GET / HTTP/1.0", "Host: a.test"), ends=True, manager=HTTP10),
    once("tenlocal", head("GET /local HTTP/1.0", "Host: a.test"), ends=True, manager=HTTP10),
    once("tenkept", head("GET / HTTP/1.0", "Host: a.test", "Connection: keep-alive"), manager=HTTP10),
    once("tenchunked", head("GET /chunked HTTP/1.0", "Host: a.test"), ends=True, manager=HTTP10),
    once("tennohost", head("GET / HTTP/1.0"), ends=True, manager=HTTP10),
    once("tendefault", head("GET / HTTP/1.0"), ends=True, manager=DEFAULTED),
    once("elevennohost", head("GET / HTTP/1.1"), ends=True),
    once("absolute", head("GET http://other.test/x?y HTTP/1.1", "Host: a.test")),
    once("absoluteempty", head("GET http://other.test HTTP/1.1", "Host: a.test")),
    once("asterisk", get("*", method="OPTIONS"), "OPTIONS"),
    once("upgrade", get("/", "Connection: upgrade", "Upgrade: websocket"), ends=True),
    once("connect", head("CONNECT a.test:80 HTTP/1.1", "Host: a.test:80"), "CONNECT", ends=True),
]

BODIES = [
    once(
        "chunkedrequest", get("/", CHUNKED, method="POST") + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", "POST"
    ),
    once(
        "requesttrailers",
        get("/", CHUNKED, "Trailer: x-t", method="POST") + b"3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
        "POST",
    ),
    once("chunkedresponse", get("/chunked")),
    once("untilclose", get("/untilclose")),
    once("cutshort", get("/cutshort"), ends=True),
    once("cutchunks", get("/cutchunks"), ends=True),
    once("cutlate", get("/cutlate"), ends=True),
    once("headlength", get("/headlength", method="HEAD"), "HEAD"),
    once("headlocal", get("/big", method="HEAD"), "HEAD"),
    once("nobody", get("/nobody")),
    once("getbody", get("/", "Content-Length: 3") + b"abc"),
    once("deletebody", get("/", "Content-Length: 3", method="DELETE") + b"abc", "DELETE"),
    once("largeup", post("/length", b"u" * 1_500_000), "POST"),
    once("largedown", get("/large")),
    Conversation(
        "slowbody",
        [
            Step(get("/", "Content-Length: 6", method="POST") + b"abc", ()),
            Step(b"def", ("POST",)),
            Step(get("/further")),
        ],
    ),
    Conversation(
        "continued",
        [
            Step(get("/", "Content-Length: 3", "Expect: 100-continue", method="POST"), ("1xx",)),
            Step(b"abc", ("POST",)),
            Step(get("/further")),
        ],
    ),
    once("continuedtoolate", post("/", b"abc", "Expect: 100-continue"), "1xx", "POST"),
    once("expectother", get("/", "Expect: 200-ok")),
    Conversation(
        "localearly",
        [Step(get("/local", "Content-Length: 6", method="POST") + b"abc", ("POST",))],
        ends=True,
    ),
    once("early", get("/early", "Content-Length: 10", method="POST") + b"abc", "POST", ends=True),
    once("earlychunked", get("/early", CHUNKED, method="POST") + b"3\r\nabc\r\n", "POST", ends=True),
    once("earlywhole", post("/early", b"x" * 10), "POST"),
    once("localbody", post("/local", b"abc"), "POST", ends=True),
]

INTERIM = [
    *(once(f"interim{code}", get(f"/interim/{code}")) for code in (100, 102, 103, 199)),
    Conversation("interim101", [Step(get("/interim/101"))]),
]

REFUSED = [
    once("badmethod", head("G@T / HTTP/1.1", "Host: a.test"), ends=True),
    once("unknownmethod", head("FROB / HTTP/1.1", "Host: a.test"), ends=True),
    once("badversion", head("GET / HTTP/9.1", "Host: a.test"), ends=True),
    once("garbage", b"this is not HTTP\r\n\r\n", ends=True),
    once("badlength", get("/", "Content-Length: x", method="POST"), "POST", ends=True),
    once("twolengths", get("/", "Content-Length: 1", "Content-Length: 2", method="POST"), "POST", ends=True),
    once("lengthandchunks", get("/", "Content-Length: 5", CHUNKED, method="POST"), "POST", ends=True),
    once("unknowncoding", get("/", "Transfer-Encoding: gzip", method="POST"), "POST", ends=True),
    once("badheader", get("/", "bad header: 1"), ends=True),
    once("fragment", get("/a#b"), ends=True),
]

LIMITS = [
    once(
        "manyheaders",
        get("/", *(f"x-{n}: 1" for n in range(20))),
        ends=True,
        manager={"common_http_protocol_options": {"max_headers_count": 10}},
    ),
    once("manydefault", get("/", *(f"x-{n}: 1" for n in range(120))), ends=True),
    once(
        "largeheaders", get("/", "x-large: " + "x" * 2000), ends=True, manager={"max_request_headers_kb": 1}
    ),
    once("largedefault", get("/", "x-large: " + "x" * 70_000), ends=True),
    once("largeaccepted", get("/", "x-large: " + "x" * 40_000)),
    once("largepath", get("/" + "x" * 70_000), ends=True),
]

TIMEOUTS = [
    once("streamidle", get("/slow"), manager={"stream_idle_timeout": "0.2s"}),
    once(
        "streamidlerequest",
        get("/", "Content-Length: 6", method="POST") + b"abc",
        "POST",
        ends=True,
        manager={"stream_idle_timeout": "0.2s"},
    ),
    once("drip", get("/drip")),
    once("dripidle", get("/drip"), ends=True, manager={"stream_idle_timeout": "0.2s"}),
    once("driptimeout", get("/hurried/drip"), ends=True),
    once(
        "dripduration",
        get("/drip"),
        ends=True,
        manager={"common_http_protocol_options": {"max_stream_duration": "0.2s"}},
    ),
    once("routeidle", get("/quick/slow")),
    once(
        "requesttimeout",
        get("/", "Content-Length: 6", method="POST") + b"abc",
        "POST",
        ends=True,
        manager={"request_timeout": "0.2s"},
    ),
    once("headtimeout", b"GET / HTTP/1.1\r\nHo", ends=True, manager={"request_headers_timeout": "0.2s"}),
    Conversation(
        "idle",
        [Step(get("/1"))],
        ends=True,
        manager={"common_http_protocol_options": {"idle_timeout": "0.2s"}, "drain_timeout": "0.1s"},
    ),
    once(
        "streamduration",
        get("/slow"),
        manager={"common_http_protocol_options": {"max_stream_duration": "0.2s"}},
    ),
]

CONVERSATIONS: list[Conversation] = [*CONNECTIONS, *BODIES, *INTERIM, *REFUSED, *LIMITS, *TIMEOUTS]
