"""What is asked over HTTP/1 and HTTP/2 of upstreams of either version, and what these answer by path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.differential.envoy.cases import ANY
from tests.differential.envoy.origins import scripted
from tests.support.bootstrap import direct, fault, route, router
from tests.support.http2_frames import Code, Header
from tests.support.http2_origin import Body, Close, Goaway, Head, Received, Reset, Step, Wait, answer
from tests.support.origin import Answer, Script
from tests.support.origin import answer as answer1

GRPC: tuple[Header, ...] = (("content-type", "application/grpc"), ("te", "trailers"))
MESSAGE = b"\0\0\0\0\2hi"
OK: Header = (":status", "200")
LARGE = b"d" * 300_000


@dataclass(frozen=True)
class Call:
    """One request. `over` says which mixes it is made in: the client's version, `to`, the upstream's."""

    name: str
    path: str = "/"
    fields: tuple[Header, ...] = ()
    method: str = "GET"
    body: bytes = b""
    trailers: tuple[Header, ...] = ()
    authority: str = "a.test"
    over: tuple[str, ...] = ("1to2", "2to1", "2to2")

    def __str__(self) -> str:
        return self.name


def call(name: str, path: str, *fields: Header, **others: Any) -> Call:
    return Call(name, path, fields, **others)


def post(name: str, path: str, *fields: Header, body: bytes = b"abc", **others: Any) -> Call:
    return Call(name, path, fields, "POST", body, **others)


def grpc(name: str, path: str, *fields: Header, body: bytes = MESSAGE, **others: Any) -> Call:
    others.setdefault("over", ("2to2",))
    return Call(name, path, (*GRPC, *fields), "POST", body, **others)


BY2 = ("2to1", "2to2")
TO2 = ("1to2", "2to2")
ONLY2 = ("2to2",)

LOCAL_STATUSES = (400, 401, 403, 404, 418, 429, 500, 502, 503, 504)
# gRPC's status codes and the words of `retry_on` that speak of them.
RETRIED = {
    1: "cancelled",
    4: "deadline-exceeded",
    8: "resource-exhausted",
    13: "internal",
    14: "unavailable",
    5: "cancelled,deadline-exceeded,resource-exhausted,internal,unavailable",
}
# Limits of routes for the time that a call may take.
DEADLINES: dict[str, dict[str, Any]] = {
    "capped": {"max_stream_duration": {"grpc_timeout_header_max": "0.2s"}, "timeout": "0s"},
    "earlier": {
        "max_stream_duration": {"grpc_timeout_header_max": "9s", "grpc_timeout_header_offset": "0.2s"},
        "timeout": "0s",
    },
    "lasting": {"max_stream_duration": {"max_stream_duration": "0.2s"}, "timeout": "0s"},
    "lastingcapped": {
        "max_stream_duration": {"max_stream_duration": "0.2s", "grpc_timeout_header_max": "9s"},
        "timeout": "0s",
    },
    "oldcap": {"max_grpc_timeout": "0.2s", "timeout": "9s"},
    "oldoffset": {"max_grpc_timeout": "0s", "grpc_timeout_offset": "0.2s", "timeout": "9s"},
    "unlimited": {"timeout": "0s"},
    "tries": {"timeout": "9s", "retry_policy": {"retry_on": "5xx", "per_try_timeout": "0.1s"}},
}


def routes(cluster: str) -> list[dict[str, Any]]:
    """The same for each upstream."""
    limited = {"max_stream_duration": {"grpc_timeout_header_max": "0s"}, "timeout": "0s"}
    return [
        direct({"path": "/local"}, 200, "hello"),
        direct({"path": "/local/empty"}, 204),
        {"match": {"path": "/redirect"}, "redirect": {"path_redirect": "/there"}},
        *(direct({"path": f"/local/{code}"}, code, "why") for code in LOCAL_STATUSES),
        route({"path": "/dead"}, "dead"),
        route({"path": "/nowhere"}, "nowhere"),
        route({"path": "/empty"}, "empty"),
        route({"prefix": "/hurried"}, {"cluster": cluster, "timeout": "0.2s"}),
        route({"prefix": "/limited"}, {"cluster": cluster, **limited}),
        *(route({"prefix": f"/{name}"}, {"cluster": cluster, **each}) for name, each in DEADLINES.items()),
        route({"prefix": "/idle"}, {"cluster": cluster, "idle_timeout": "0.2s"}),
        route(
            {"prefix": "/again"},
            {"cluster": cluster, "retry_policy": {"retry_on": "5xx,reset,refused-stream", "num_retries": 1}},
        ),
        *(
            route(
                {"prefix": f"/grpc-again/{code}"},
                {"cluster": cluster, "retry_policy": {"retry_on": words, "num_retries": 1}},
            )
            for code, words in RETRIED.items()
        ),
        route(
            {"prefix": "/grpc-again"},
            {"cluster": cluster, "retry_policy": {"retry_on": "unavailable", "num_retries": 1}},
        ),
        route(ANY, cluster),
    ]


FILTERS = [
    fault(
        abort={"header_abort": {}, "percentage": {"numerator": 100}},
        headers=[{"name": "x-envoy-fault-abort-grpc-request", "present_match": True}],
    ),
    router(),
]

REQUESTS = [
    call("get", "/"),
    call("head", "/headlength", method="HEAD"),
    call("options", "*", method="OPTIONS"),
    call("query", "/a/b?c=d&e"),
    post("post", "/"),
    post("postlength", "/", ("content-length", "3"), over=BY2),
    post("postempty", "/", body=b""),
    post("postlarge", "/", body=b"u" * 300_000),
    call("delete", "/", method="DELETE"),
    call("port", "/", authority="a.test:8080"),
    call("authoritycase", "/", authority="A.Test"),
    call("te", "/", ("te", "trailers"), over=BY2),
    call("tehttp1", "/", ("te", "trailers"), ("connection", "te"), over=("1to2",)),
    call("hop", "/", ("connection", "x-hop"), ("x-hop", "1"), ("keep-alive", "timeout=5"), over=("1to2",)),
    call("crumbs", "/", ("cookie", "a=1"), ("cookie", "b=2")),
    call("several", "/", ("x-a", "1"), ("x-b", "2"), ("x-a", "3")),
    call("emptyvalue", "/", ("x-empty", "")),
    call("forwarded", "/", ("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https")),
    call("expect", "/", ("expect", "100-continue"), over=BY2, method="POST", body=b"abc"),
    post("trailers", "/", trailers=(("x-t", "1"), ("x-u", "2")), over=BY2),
    call("trailersalone", "/", method="POST", trailers=(("x-t", "1"),), over=BY2),
    call("host", "/", ("host", "a.test"), over=BY2),
]

ANSWERS = [
    *(call(f"status{code}", f"/status/{code}") for code in (201, 204, 304, 404, 500, 503)),
    call("headstatus", "/status/200", method="HEAD"),
    call("large", "/large"),
    call("nolength", "/nolength"),
    call("nothing", "/nothing"),
    call("cookies", "/set-cookies"),
    call("server", "/own-server"),
    call("interim", "/interim/103"),
    call("continue", "/interim/100"),
    call("responsetrailers", "/trailers"),
    call("drip", "/drip"),
    call("hopback", "/hop-headers", over=("2to1",)),
    post("early", "/early", body=b"x" * 10),
]

LOCAL = [
    call("local", "/local"),
    call("localempty", "/local/empty"),
    post("localpost", "/local"),
    call("localhead", "/local", method="HEAD"),
    call("redirect", "/redirect"),
    call("dead", "/dead"),
    call("nowhere", "/nowhere"),
    call("empty", "/empty"),
    call("hurried", "/hurried/slow"),
    call("hurrieddrip", "/hurried/drip"),
    call("idle", "/idle/slow"),
    call("idledrip", "/idle/drip"),
]

RESETS = [
    *(
        call(f"reset{code.name}", f"/reset/{code.value}", over=TO2)
        for code in (Code.NO_ERROR, Code.INTERNAL_ERROR, Code.REFUSED_STREAM, Code.CANCEL)
    ),
    call("resetlate", "/resetlate", over=TO2),
    call("resetlatelength", "/resetlatelength", over=TO2),
    post("closed", "/closed"),
    call("closedlate", "/closedlate"),
    call("goaway", "/goaway", over=TO2),
    call("goawaynow", "/goawaynow", over=TO2),
    call("againrefused", "/again/reset/7", over=TO2),
    call("againreset", "/again/reset/2", over=TO2),
    call("again503", "/again/status/503", over=TO2),
    call("lengthshort", "/lengthshort", over=TO2),
    call("lengthlong", "/lengthlong", over=TO2),
]

CALLS = [
    grpc("grpc", "/grpc"),
    grpc("grpcto1", "/trailers", over=("2to1",)),
    grpc("grpcstatus", "/grpc/5"),
    grpc("grpctrailersonly", "/grpc/only/7"),
    grpc("grpcagain", "/grpc-again/only/14"),
    grpc("grpcreset", "/reset/8"),
    grpc("grpcrefused", "/reset/7"),
    grpc("grpclate", "/resetlate"),
    grpc("grpchttp", "/status/503"),
    grpc("grpclocal", "/local"),
    grpc("grpc401", "/local/401"),
    grpc("grpc429", "/local/429"),
    grpc("grpcredirect", "/redirect"),
    grpc("grpcdead", "/dead"),
    grpc("grpcnowhere", "/nowhere"),
    grpc("grpcempty", "/empty"),
    grpc("grpchurried", "/hurried/slow"),
    grpc("grpcabort", "/", ("x-envoy-fault-abort-grpc-request", "8")),
    *(
        grpc(f"grpctimeout{value}", "/limited/slow", ("grpc-timeout", value), over=BY2)
        for value in ("100m", "100000u", "99999999n")
    ),
    *(grpc(f"grpclocal{code}", f"/local/{code}", over=BY2) for code in LOCAL_STATUSES),
    *(grpc(f"grpcagain{code}", f"/grpc-again/{code}/only/{code}") for code in RETRIED),
    *(grpc(f"grpcagainnot{code}", f"/grpc-again/{code}/only/2") for code in RETRIED),
    *(grpc(f"grpcagaintrailers{code}", f"/grpc-again/{code}/trailers/{code}") for code in RETRIED),
    *(grpc(f"grpcagainall{code}", f"/grpc-again/5/only/{code}") for code in range(17)),
    *(
        grpc(f"grpc{name}{value}", f"/{name}/slow", ("grpc-timeout", value), over=BY2)
        for name in DEADLINES
        for value in ("100m", "300m", "10S", "x")
        # An offset that leaves nothing of the time is a race with the upstream.
        if (name, value) != ("earlier", "100m")
    ),
    *(grpc(f"grpc{name}", f"/{name}/slow", over=BY2) for name in DEADLINES),
    *(
        call(f"asks{name}{number}", f"/{name}/slow", (f"x-envoy-upstream-rq-{field}", "100"))
        for name in ("unlimited", "tries", "lasting")
        for number, field in enumerate(("timeout-ms", "per-try-timeout-ms"))
    ),
    *(
        grpc(f"grpcafar{value}", "/limited/", ("grpc-timeout", value), over=BY2)
        for value in ("20S", "1H", "99999999H", "99999999u", "x")
    ),
    grpc("grpcover1", "/grpc", over=("1to2",)),
    *(
        post(f"grpctype{number}", "/dead", ("content-type", value), over=ONLY2)
        for number, value in enumerate(
            ("application/grpc+proto", "application/grpc-web", "application/grpcx")
        )
    ),
]

EVERY: list[Call] = [*REQUESTS, *ANSWERS, *LOCAL, *RESETS, *CALLS]


def http1_script() -> Script:
    """The HTTP/1 upstream."""
    plain = scripted("origin")
    special = {
        "/trailers": Answer(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-t\r\n\r\n"
            b"3\r\nabc\r\n0\r\nx-t: 1\r\nx-u: 2\r\n\r\n"
        ),
        "/nolength": Answer(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        "/nothing": answer1(200, b""),
        "/large": answer1(200, LARGE),
        "/idle/drip": Answer(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\ndrip", rest=b"drop", pause=0.35),
        "/closed": Answer(then="close"),
        "/closedlate": Answer(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\ndrip", then="close"),
    }
    slow = Answer(answer1(200, b"late").data, wait=0.35)
    return lambda received: (
        special.get(received.target) or (slow if received.target.endswith("/slow") else plain(received))
    )


def http2_script(received: Received) -> Sequence[Step]:
    """The HTTP/2 upstream."""
    path = received.target.removeprefix("/again").removeprefix("/limited")
    grpc_head = Head((OK, ("content-type", "application/grpc")))
    words = path.split("/")
    match words[1:]:
        case ["status", code]:
            bodiless = received.method == "HEAD" or code in ("204", "304")
            return [Head(((":status", code),), end=True)] if bodiless else answer(int(code), b"origin")
        case ["interim", code]:
            return [Head(((":status", code), ("x-interim", "1"))), *answer(200, b"final")]
        case ["reset", code]:
            return [Reset(int(code))]
        case ["grpc"]:
            return [grpc_head, Body(MESSAGE), Head((("grpc-status", "0"), ("x-t", "1")), end=True)]
        case [*_, "slow"]:
            return [Wait(0.35), *answer(200, b"late")]
        case ["grpc", "only", code] | ["grpc-again", "only", code] | ["grpc-again", _, "only", code]:
            return [Head((*grpc_head.fields, ("grpc-status", code), ("grpc-message", "no")), end=True)]
        case ["grpc-again", _, "trailers", code]:
            return [grpc_head, Head((("grpc-status", code),), end=True)]
        case ["grpc", code]:
            return [grpc_head, Head((("grpc-status", code), ("grpc-message", "gone%21")), end=True)]
    drip: Sequence[Step] = [
        Head((OK, ("content-length", "8"))),
        Body(b"drip"),
        Wait(0.35),
        Body(b"drop", end=True),
    ]
    special: dict[str, Sequence[Step]] = {
        "/headlength": [Head((OK, ("content-length", "12345")), end=True)],
        "/large": answer(200, LARGE),
        "/nolength": [Head((OK,)), Body(b"abc", end=True)],
        "/nothing": [Head((OK,), end=True)],
        "/set-cookies": answer(200, b"c", ("set-cookie", "a=1"), ("set-cookie", "b=2")),
        "/own-server": answer(200, b"s", ("server", "origin/1")),
        "/trailers": [Head((OK,)), Body(b"abc"), Head((("x-t", "1"), ("x-u", "2")), end=True)],
        "/drip": drip,
        "/hurried/drip": drip,
        "/idle/drip": drip,
        "/resetlate": [Head((OK,)), Body(b"abc"), Wait(0.05), Reset()],
        "/resetlatelength": [Head((OK, ("content-length", "9"))), Body(b"abc"), Wait(0.05), Reset()],
        "/closed": [Close()],
        "/closedlate": [Head((OK, ("content-length", "9"))), Body(b"abc"), Wait(0.05), Close()],
        "/goaway": [Goaway(0x7FFFFFFF), *answer(200, b"last")],
        "/goawaynow": [Goaway(0), Close()],
        "/lengthshort": [Head((OK, ("content-length", "9"))), Body(b"abc", end=True)],
        "/lengthlong": [Head((OK, ("content-length", "2"))), Wait(0.05), Body(b"abc", end=True)],
    }
    return special.get(path) or answer(200, b"origin", ("x-origin", "origin"))


def http2_early(head: Received) -> Sequence[Step]:
    """Refuses what goes to /early as soon as it sees its head."""
    return answer(413, b"too large") if head.target == "/early" else ()
