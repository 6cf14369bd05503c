"""Active health checks: endpoints leave and come back by what they answer, in every worker."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from tests.integration.proxy.conftest import MakeOrigin, Start
from tests.support.bootstrap import TYPE, cluster, http_listener, route, virtual_host
from tests.support.client import fetch
from tests.support.http2_origin import Http2Origin
from tests.support.origin import Answer, Received, Script, answer
from tests.support.proxies import Proxy
from tests.support.server import LoopbackServer
from tests.support.wait import until

UPSTREAM_TLS = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


class Member:
    """An endpoint that says its number, and of its health what it is told to say."""

    def __init__(self, number: int) -> None:
        self.number, self.health = number, answer(200, b"fine")
        self.checks: list[Received] = []

    def __call__(self, received: Received) -> Answer:
        if received.target == "/health":
            self.checks.append(received)
            return self.health
        return answer(200, str(self.number).encode())


def check(**fields: Any) -> dict[str, Any]:
    return {
        "timeout": "1s",
        "interval": "0.05s",
        "no_traffic_interval": "0.05s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 2,
        "http_health_check": {"path": "/health"},
        **fields,
    }


def serve(start: Start, ports: list[int], health: dict[str, Any], *flags: str, **fields: Any) -> Proxy:
    listener = http_listener("l", [virtual_host(route({"prefix": "/"}, "c"))])
    return start([listener], [cluster("c", *ports, health_checks=[health], **fields)], *flags)


def reached(proxy: Proxy, requests: int = 12) -> set[str]:
    answers = [fetch(proxy.port("l"), "GET", "/") for _ in range(requests)]
    return {each.body.decode() if each.status == 200 else str(each.status) for each in answers}


def flags_of(proxy: Proxy, port: int) -> str:
    prefix = f"c::127.0.0.1:{port}::health_flags::"
    lines = proxy.get("/clusters").splitlines()
    return next(line.removeprefix(prefix) for line in lines if line.startswith(prefix))


def test_an_endpoint_is_out_while_it_fails_and_back_when_it_passes(start: Start, origin: MakeOrigin) -> None:
    members = [Member(0), Member(1)]
    origins = [origin(member) for member in members]
    proxy = serve(start, [each.port for each in origins], check())
    assert reached(proxy) == {"0", "1"}
    assert proxy.stat("cluster.c.membership_healthy") == 2
    members[1].health = answer(503, b"ill")
    until(lambda: proxy.stat("cluster.c.membership_healthy") == 1, "nobody was taken out")
    assert reached(proxy) == {"0"}
    assert flags_of(proxy, origins[1].port) == "/failed_active_hc"
    assert flags_of(proxy, origins[0].port) == "healthy"
    members[1].health = answer(200)
    until(lambda: proxy.stat("cluster.c.membership_healthy") == 2, "nobody came back")
    assert reached(proxy) == {"0", "1"}
    assert proxy.stat("cluster.c.health_check.healthy") == 2
    attempts = proxy.stat("cluster.c.health_check.attempt")
    assert attempts >= proxy.stat("cluster.c.health_check.success") >= 4
    assert proxy.stat("cluster.c.health_check.failure") >= 1


def test_a_check_asks_as_configured_over_one_connection(start: Start, origin: MakeOrigin) -> None:
    member = Member(0)
    upstream = origin(member)
    http = {
        "path": "/health",
        "host": "who.test",
        "method": "POST",
        "send": {"text": "68656c6c6f"},
        "request_headers_to_add": [{"header": {"key": "X-Check", "value": "yes"}}],
        "request_headers_to_remove": ["user-agent"],
    }
    proxy = serve(start, [upstream.port], check(http_health_check=http))
    until(lambda: len(member.checks) >= 3, "nobody checks")
    received = member.checks[0]
    assert (received.method, received.body) == ("POST", b"hello")
    assert (received.header("host"), received.header("x-check")) == ("who.test", "yes")
    assert received.header("user-agent") is None
    assert upstream.connections == 1
    assert proxy.stat("cluster.c.upstream_cx_total") == 0


def test_without_reuse_each_check_connects(start: Start, origin: MakeOrigin) -> None:
    member = Member(0)
    upstream = origin(member)
    serve(start, [upstream.port], check(reuse_connection=False))
    until(lambda: len(member.checks) >= 3, "nobody checks")
    assert upstream.connections >= len(member.checks) - 1


def test_nobody_is_asked_before_the_first_check(start: Start, origin: MakeOrigin) -> None:
    members = [Member(0), Member(1)]
    members[0].health = Answer(answer(200, b"late").data, wait=0.5)
    members[1].health = answer(500)
    ports = [origin(member).port for member in members]
    proxy = serve(start, ports, check(timeout="2s"))
    assert reached(proxy) == {"0"}


def test_answers_are_judged_by_status_body_and_service(start: Start, origin: MakeOrigin) -> None:
    member = Member(0)
    http = {
        "path": "/health",
        "expected_statuses": [{"start": 204, "end": 300}, {"start": 404, "end": 405}],
        "receive": [{"text": "666f6f"}, {"text": "626172"}],
        "service_name_matcher": {"prefix": "shop"},
    }
    service = ("x-envoy-upstream-healthchecked-cluster", "shop-eu")
    member.health = answer(404, b"foo and bar", service)
    proxy = serve(start, [origin(member).port], check(http_health_check=http))
    healthy = "cluster.c.membership_healthy"
    assert proxy.stat(healthy) == 1
    for wrong in (answer(404, b"bar, foo", service), answer(200, b"foobar", service), answer(404, b"foobar")):
        member.health = wrong
        until(lambda: proxy.stat(healthy) == 0, f"{wrong} passes")
        member.health = answer(299, b"foobar", service)
        until(lambda: proxy.stat(healthy) == 1, "the right answer does not pass")
    assert proxy.stat("cluster.c.health_check.verify_cluster") > 0


def test_a_degraded_endpoint_serves_when_the_others_cannot(start: Start, origin: MakeOrigin) -> None:
    members = [Member(0), Member(1)]
    members[1].health = answer(200, b"", ("x-envoy-degraded", ""))
    origins = [origin(member) for member in members]
    proxy = serve(start, [each.port for each in origins], check())
    until(lambda: proxy.stat("cluster.c.membership_degraded") == 1, "nobody is degraded")
    assert flags_of(proxy, origins[1].port) == "/degraded_active_hc"
    members[0].health = answer(503)
    until(lambda: proxy.stat("cluster.c.membership_healthy") == 0, "nobody was taken out")
    assert reached(proxy) == {"1"}


def test_no_answer_in_time_is_a_failure(start: Start, origin: MakeOrigin) -> None:
    members = [Member(0), Member(1)]
    ports = [origin(member).port for member in members]
    proxy = serve(start, ports, check(timeout="0.2s"))
    members[0].health = Answer(wait=5.0)
    until(lambda: flags_of(proxy, ports[0]) == "/failed_active_hc/active_hc_timeout", "it still passes")
    assert proxy.stat("cluster.c.health_check.network_failure") >= 2
    assert reached(proxy) == {"1"}


def test_where_nobody_passes_everybody_is_asked_in_panic(start: Start, origin: MakeOrigin) -> None:
    members = [Member(0), Member(1)]
    for member in members:
        member.health = answer(503)
    proxy = serve(start, [origin(member).port for member in members], check())
    assert proxy.stat("cluster.c.membership_healthy") == 0
    assert reached(proxy) == {"0", "1"}


def test_every_worker_knows_and_one_alone_asks(start: Start, origin: MakeOrigin) -> None:
    members = [Member(0), Member(1)]
    origins = [origin(member) for member in members]
    proxy = serve(start, [each.port for each in origins], check(), "--concurrency", "3")
    assert [each.connections for each in origins] == [1, 1]
    members[0].health = answer(503)
    until(lambda: flags_of(proxy, origins[0].port) != "healthy", "it still passes")
    until(lambda: reached(proxy, 40) == {"1"}, "some worker does not know")


def test_a_worker_that_is_started_anew_knows_what_was_found(start: Start, origin: MakeOrigin) -> None:
    members = [Member(0), Member(1)]
    ports = [origin(member).port for member in members]
    slow = check(interval="30s", no_traffic_interval="30s", unhealthy_interval="30s")
    members[0].health = answer(503)
    proxy = serve(start, ports, slow, "--concurrency", "2")
    assert reached(proxy) == {"1"}
    made = sum(len(member.checks) for member in members)
    for worker in proxy.workers()[1:]:
        os.kill(worker, signal.SIGKILL)
        until(lambda worker=worker: worker not in proxy.workers(), "it is still there")  # type: ignore[misc]
    until(lambda: len(proxy.workers()) == 2, "nobody took its place")
    assert reached(proxy, 30) == {"1"}
    assert sum(len(member.checks) for member in members) == made


@dataclass
class Talker(LoopbackServer):
    """Says `greeting`, then answers what it hears."""

    greeting: bytes
    reply: Callable[[bytes], bytes]

    def serve(self, connection: socket.socket) -> None:
        connection.sendall(self.greeting)
        while heard := connection.recv(1000):
            connection.sendall(self.reply(heard))


def test_tcp_checks_say_and_wait_for_bytes(start: Start, origin: MakeOrigin) -> None:
    tcp = {"send": {"text": "50494e47"}, "receive": [{"text": "504f4e47"}]}
    health = check(tcp_health_check=tcp, timeout="0.3s")
    del health["http_health_check"]
    words = {"reply": b"PO"}

    def reply(heard: bytes) -> bytes:
        assert heard == b"PING"
        return words["reply"] + b"NG"

    with Talker(b"", reply) as talker:
        proxy = serve(start, [talker.port, origin(Member(0)).port], health)
        assert flags_of(proxy, talker.port) == "healthy"
        assert proxy.stat("cluster.c.membership_healthy") == 1
        words["reply"] = b"NO"
        until(lambda: proxy.stat("cluster.c.membership_healthy") == 0, "it still passes")


def test_a_connection_is_enough_where_nothing_is_to_be_said(start: Start, origin: MakeOrigin) -> None:
    health = check(tcp_health_check={})
    del health["http_health_check"]
    upstream = origin(Member(0))
    proxy = serve(start, [upstream.port, 1], health)
    assert proxy.stat("cluster.c.membership_healthy") == 1
    until(lambda: upstream.connections >= 3, "nobody checks")


def test_an_endpoint_may_be_checked_elsewhere_or_not_at_all(start: Start, origin: MakeOrigin) -> None:
    members = [Member(0), Member(1), Member(2)]
    for member in members:
        member.health = answer(503)
    elsewhere = Member(9)
    ports = [origin(member).port for member in members]
    config = cluster("c", *ports, health_checks=[check()])
    endpoints = config["load_assignment"]["endpoints"][0]["lb_endpoints"]
    moved = {"port_value": origin(elsewhere).port, "hostname": "check.test"}
    endpoints[0]["endpoint"]["health_check_config"] = moved
    endpoints[1]["endpoint"]["health_check_config"] = {"disable_active_health_check": True}
    listener = http_listener("l", [virtual_host(route({"prefix": "/"}, "c"))])
    proxy = start([listener], [config])
    assert reached(proxy) == {"0", "1"}
    assert elsewhere.checks[0].header("host") == "check.test"
    assert not members[0].checks
    assert not members[1].checks


def test_events_are_written_as_envoy_writes_them(start: Start, origin: MakeOrigin, tmp_path: Path) -> None:
    member = Member(0)
    port = origin(member).port
    path = tmp_path / "events"
    proxy = serve(start, [port], check(event_log_path=str(path)))
    member.health = answer(503)
    until(lambda: proxy.stat("cluster.c.membership_healthy") == 0, "it still passes")
    until(lambda: path.exists() and path.read_text().count("\n") >= 2, "no events")
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert events[0]["add_healthy_event"] == {"first_check": True}
    assert events[1]["eject_unhealthy_event"] == {"failure_type": "ACTIVE", "http_status_code": 503}
    assert {(each["cluster_name"], each["health_checker_type"]) for each in events} == {("c", "HTTP")}
    assert events[0]["host"]["socket_address"]["port_value"] == port


def test_connections_to_an_endpoint_that_fails_are_closed_where_asked(
    start: Start, origin: MakeOrigin
) -> None:
    member = Member(0)
    script: Script = member
    upstream = origin(script)
    proxy = serve(start, [upstream.port], check(), close_connections_on_host_health_failure=True)
    assert fetch(proxy.port("l"), "GET", "/").status == 200
    assert proxy.stat("cluster.c.upstream_cx_active") == 1
    member.health = answer(503)
    until(lambda: proxy.stat("cluster.c.upstream_cx_active") == 0, "it is still open")


@contextmanager
def grpc_health(status: dict[str, int], asked: list[bytes]) -> Iterator[int]:
    """A gRPC server whose health service says the number in `status`; without one, that nobody is known."""

    def answer_check(message: bytes, context: grpc.ServicerContext) -> bytes:
        asked.append(message)
        if "now" not in status:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return bytes([8, status["now"]])

    handler = grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(answer_check)}
    )
    server = grpc.server(ThreadPoolExecutor(2), handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None)


def test_grpc_checks_ask_for_a_service(start: Start) -> None:
    status, asked = {"now": 1}, list[bytes]()
    health = check(grpc_health_check={"service_name": "shop", "authority": "shop.test"})
    del health["http_health_check"]
    with grpc_health(status, asked) as port:
        proxy = serve(start, [port], health)
        assert flags_of(proxy, port) == "healthy"
        assert asked[0] == b"\x0a\x04shop"
        for unwell in ({"now": 2}, {"now": 0}, {}):
            status.clear()
            status.update(unwell)
            until(lambda: flags_of(proxy, port) == "/failed_active_hc", f"{unwell} passes")
            status["now"] = 1
            until(lambda: flags_of(proxy, port) == "healthy", "serving does not pass")


def test_http_checks_may_be_made_over_http2(start: Start) -> None:
    with Http2Origin() as upstream:
        http = {"path": "/health", "codec_client_type": "HTTP2"}
        proxy = serve(start, [upstream.port], check(http_health_check=http))
        assert flags_of(proxy, upstream.port) == "healthy"
        until(lambda: [asked.target for asked in upstream.received].count("/health") >= 3, "nobody checks")


def test_checks_speak_tls_by_their_own_labels(start: Start, origin: MakeOrigin) -> None:
    # Only labels of the check lead to TLS, which this endpoint does not speak.
    labels = {"tls": "yes"}
    tls = {"name": "tls", "typed_config": {"@type": TYPE + UPSTREAM_TLS}}
    matches = [{"name": "tls", "match": labels, "transport_socket": tls}]
    upstream = origin(Member(0))
    health = check(transport_socket_match_criteria=labels)
    proxy = serve(start, [upstream.port], health, transport_socket_matches=matches)
    assert flags_of(proxy, upstream.port).startswith("/failed_active_hc")
    assert proxy.stat("cluster.c.health_check.network_failure") >= 1
    assert reached(proxy) == {"0"}
