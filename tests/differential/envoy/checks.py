"""Health checks and what is answered to them, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.differential.envoy.checked import Checked, Say
from tests.support.bootstrap import TYPE, cluster

OK, ILL, LOST = Say(200, body=b"fine"), Say(503), Say(404)
CLOSE = Say(None, close=True)
AT_ONCE = [("x-envoy-immediate-health-check-fail", "true")]
SERVICE = "x-envoy-upstream-healthchecked-cluster"
GRPC = ("content-type", "application/grpc")
SERVING = b"\0\0\0\0\2\x08\1"
ANY_5XX = {"retriable_statuses": [{"start": 500, "end": 600}]}
PING = {"send": {"text": "50494e47"}, "receive": [{"text": "504f4e47"}]}
FOO = {"receive": [{"text": "666f6f"}]}
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
KINDS = {"http": "http_health_check", "h2": "http_health_check", "grpc": "grpc_health_check"}


def grpc(status: int, goaway: bool = False, close: bool = False) -> Say:
    message = SERVING[:-1] + bytes([status])
    return Say(200, [GRPC], message, [("grpc-status", "0")], goaway=goaway, close=close)


def reply(message: bytes, *headers: tuple[str, str], trailers: str | None = "0") -> Say:
    return Say(200, headers or [GRPC], message, [("grpc-status", trailers)] if trailers else [])


@dataclass(frozen=True)
class Case:
    """One cluster of one endpoint. `fields` are those of the check's own message, `more` those around it."""

    name: str
    script: Sequence[Say]
    kind: str = "http"
    fields: Mapping[str, Any] = field(default_factory=dict)
    endpoint: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def origin(self) -> Checked:
        return Checked(self.script, http2=self.kind in ("h2", "grpc"), tcp=4 if self.kind == "tcp" else 0)

    def resource(self, port: int) -> dict[str, Any]:
        own = dict(self.fields)
        if self.kind in ("http", "h2"):
            own = {"path": "/health", **own}
        if self.kind == "h2":
            own["codec_client_type"] = "HTTP2"
        check = {
            "timeout": "20s",
            "interval": "0.02s",
            "no_traffic_interval": "0.02s",
            "unhealthy_threshold": 2,
            "healthy_threshold": 2,
            KINDS.get(self.kind, "tcp_health_check"): own,
            **self.more,
        }
        made = cluster(self.name, port, health_checks=[check])
        if self.kind in ("h2", "grpc"):
            options = {"@type": TYPE + HTTP_OPTIONS, "explicit_http_config": {"http2_protocol_options": {}}}
            made["typed_extension_protocol_options"] = {HTTP_OPTIONS: options}
        if self.endpoint:
            member = made["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
            member["health_check_config"] = dict(self.endpoint)
        return made


def add(key: str, value: str, **fields: Any) -> dict[str, Any]:
    return {"header": {"key": key, "value": value}, **fields}


CASES = [
    Case("plain", [OK, OK]),
    Case("one-failure", [OK, CLOSE]),
    Case("two-failures", [OK, CLOSE, CLOSE]),
    Case("failure-success-failure", [OK, CLOSE, OK, CLOSE]),
    Case("wrong-answer", [OK, ILL]),
    Case("wrong-and-right", [OK, ILL, OK]),
    Case("back", [ILL, OK, OK]),
    Case("first-fails", [ILL]),
    Case("first-is-lost", [CLOSE]),
    Case(
        "three-of-each",
        [OK, CLOSE, CLOSE, CLOSE, OK, OK, OK],
        more={"unhealthy_threshold": 3, "healthy_threshold": 3},
    ),
    Case("no-http", [OK, Say(raw=b"hello\r\n\r\n")]),
    Case("cut-short", [OK, Say(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", close=True)]),
    Case("ends-with-connection", [OK, Say(raw=b"HTTP/1.1 200 OK\r\n\r\nabc", close=True), OK]),
    Case("connection-close", [OK, Say(200, [("connection", "close")]), OK]),
    Case("http-1-0", [Say(raw=b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n"), OK]),
    Case("interim", [Say(raw=b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), OK]),
    Case("degraded", [Say(200, [("x-envoy-degraded", "")]), OK, Say(200, [("x-envoy-degraded", "1")])]),
    Case("degraded-and-ill", [Say(503, [("x-envoy-degraded", "")])]),
    Case("at-once", [OK, Say(503, AT_ONCE)]),
    Case("at-once-though-well", [OK, Say(200, AT_ONCE)]),
    Case("at-once-and-back", [OK, Say(503, AT_ONCE), OK, OK]),
    Case("at-once-and-half-back", [OK, Say(503, AT_ONCE), OK]),
    Case("at-once-and-ill", [OK, Say(503, AT_ONCE), ILL]),
    Case("at-once-and-lost", [OK, Say(503, AT_ONCE), CLOSE]),
    Case("at-once-wrong-body", [Say(body=b"foo"), Say(200, AT_ONCE, b"bar")], fields=FOO),
    Case("at-once-retriable", [OK, Say(503, AT_ONCE)], fields=ANY_5XX),
    Case("retriable", [OK, ILL, ILL], fields=ANY_5XX),
    Case("retriable-of-three", [OK, ILL, ILL], fields=ANY_5XX, more={"unhealthy_threshold": 3}),
    Case("retriable-then-wrong", [OK, ILL, ILL, LOST], fields=ANY_5XX, more={"unhealthy_threshold": 5}),
    Case("expected", [Say(204), OK], fields={"expected_statuses": [{"start": 204, "end": 205}]}),
    Case("host", [OK], fields={"host": "who.test"}),
    Case("query", [OK], fields={"path": "/health?x=1&y"}),
    Case("head", [Say(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")] * 2, fields={"method": "HEAD"}),
    *(
        Case(method.lower(), [OK], fields={"method": method})
        for method in ("POST", "PUT", "PATCH", "OPTIONS", "DELETE", "TRACE")
    ),
    Case("body", [OK], fields={"method": "PUT", "send": {"text": "68656c6c6f"}}),
    Case("binary-body", [OK], fields={"method": "POST", "send": {"binary": "aGVsbG8="}}),
    Case(
        "adds",
        [OK],
        fields={
            "request_headers_to_add": [add("X-Check", "yes"), add("x-check", "two"), add("user-agent", "me")]
        },
    ),
    Case(
        "replaces",
        [OK],
        fields={
            "request_headers_to_add": [
                add("user-agent", "me", append_action="OVERWRITE_IF_EXISTS_OR_ADD"),
                add("x-a", "me", append_action="ADD_IF_ABSENT"),
                add("user-agent", "you", append_action="ADD_IF_ABSENT"),
                add("x-b", "me", append_action="OVERWRITE_IF_EXISTS"),
            ]
        },
    ),
    Case(
        "removes",
        [OK],
        fields={
            "request_headers_to_remove": ["user-agent", "x-b"],
            "request_headers_to_add": [add("x-b", "yes")],
        },
    ),
    Case(
        "receives",
        [Say(body=b"xxfooyybar"), Say(body=b"barfoo")],
        fields={"receive": [{"text": "666f6f"}, {"text": "626172"}]},
    ),
    Case("receives-half", [Say(body=b"foo"), Say(body=b"fo")], fields=FOO),
    Case("too-far-behind", [Say(body=b"x" * 1022 + b"foo")], fields=FOO),
    Case("larger-buffer", [Say(body=b"x" * 1022 + b"foo")], fields={**FOO, "response_buffer_size": 2000}),
    Case("any-buffer", [Say(body=b"x" * 100000 + b"foo")], fields={**FOO, "response_buffer_size": 0}),
    Case(
        "service",
        [Say(200, [(SERVICE, "shop-1")]), Say(200, [(SERVICE, "hop-1")])],
        fields={"service_name_matcher": {"prefix": "shop"}},
    ),
    Case("no-service", [OK], fields={"service_name_matcher": {"prefix": "shop"}}),
    Case(
        "service-that-is-ill",
        [Say(503, [(SERVICE, "shop-1")])],
        fields={"service_name_matcher": {"prefix": "shop"}},
    ),
    Case("anew", [OK, OK, OK], more={"reuse_connection": False}),
    Case("hostname", [OK], endpoint={"hostname": "check.test"}),
    Case("hostname-before-host", [OK], endpoint={"hostname": "check.test"}, fields={"host": "who.test"}),
    Case("unchecked", [], endpoint={"disable_active_health_check": True}),
    Case("h2", [OK, ILL, OK, OK], "h2"),
    Case("h2-anew", [OK, OK, OK], "h2", more={"reuse_connection": False}),
    Case("h2-body", [OK], "h2", {"method": "POST", "send": {"text": "68656c6c6f"}}),
    Case("h2-post", [OK], "h2", {"method": "POST"}),
    Case("h2-host", [OK], "h2", {"host": "a.test", "request_headers_to_add": [add("X-Check", "yes")]}),
    Case("h2-goaway", [OK, Say(200, goaway=True), OK], "h2"),
    Case("h2-goaway-and-end", [OK, Say(200, goaway=True, close=True), OK], "h2"),
    Case("h2-end", [OK, CLOSE], "h2"),
    Case("h2-ends", [OK, CLOSE, CLOSE], "h2"),
    Case("grpc", [grpc(1), grpc(2), grpc(1), grpc(1)], "grpc"),
    Case("grpc-unknown", [grpc(1), grpc(0)], "grpc"),
    Case("grpc-no-such-service", [grpc(1), grpc(3)], "grpc"),
    Case("grpc-unimplemented", [grpc(1), Say(200, [GRPC, ("grpc-status", "12")])], "grpc"),
    Case("grpc-unavailable", [grpc(1), Say(200, [GRPC, ("grpc-status", "14")])], "grpc"),
    Case("grpc-http-error", [grpc(1), Say(503)], "grpc"),
    Case("grpc-no-grpc", [grpc(1), Say(200, [("content-type", "text/plain")], b"abc")], "grpc"),
    Case("grpc-no-content-type", [grpc(1), reply(SERVING, ("x", "y"))], "grpc"),
    Case("grpc-no-status", [grpc(1), reply(SERVING, trailers=None)], "grpc"),
    Case("grpc-early-status", [reply(SERVING, GRPC, ("grpc-status", "0"), trailers=None)], "grpc"),
    Case("grpc-two-statuses", [reply(SERVING, GRPC, ("grpc-status", "0"))], "grpc"),
    Case("grpc-bad-status", [grpc(1), reply(SERVING, trailers="2")], "grpc"),
    Case("grpc-two-messages", [grpc(1), reply(SERVING * 2)], "grpc"),
    Case("grpc-newer-message", [reply(b"\0\0\0\0\4\x08\1\x10\1")], "grpc"),
    Case("grpc-empty-message", [grpc(1), reply(b"\0\0\0\0\0")], "grpc"),
    Case("grpc-no-message", [grpc(1), reply(b"")], "grpc"),
    Case(
        "grpc-named",
        [grpc(1)],
        "grpc",
        {"service_name": "shop", "authority": "shop.test", "initial_metadata": [add("X-Meta", "m")]},
    ),
    Case("grpc-hostname", [grpc(1)], "grpc", {"authority": "shop.test"}, endpoint={"hostname": "check.test"}),
    Case("grpc-end", [grpc(1), CLOSE, grpc(1)], "grpc"),
    Case("grpc-ends", [grpc(1), CLOSE, CLOSE], "grpc"),
    Case("grpc-goaway", [grpc(1), grpc(1, goaway=True), grpc(1)], "grpc"),
    Case("grpc-goaway-and-end", [grpc(1), grpc(1, goaway=True, close=True), grpc(1)], "grpc"),
    Case("grpc-anew", [grpc(1), grpc(1)], "grpc", more={"reuse_connection": False}),
    Case(
        "tcp",
        [Say(raw=b"PONG"), Say(raw=b"xxPOyyNG")],
        "tcp",
        {**PING, "receive": [{"text": "504f"}, {"text": "4e47"}]},
    ),
    Case("tcp-half", [Say(raw=b"PONG"), Say(raw=b"PO", close=True), Say(raw=b"PONG")], "tcp", PING),
    Case("tcp-ends", [Say(raw=b"PONG"), CLOSE, CLOSE], "tcp", PING),
    Case("tcp-anew", [Say(raw=b"PONG"), Say(raw=b"PONG")], "tcp", PING, more={"reuse_connection": False}),
    Case("tcp-answer-and-end", [Say(raw=b"PONG", close=True), Say(raw=b"PONG", close=True)], "tcp", PING),
]
