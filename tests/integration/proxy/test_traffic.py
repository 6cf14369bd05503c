"""What the configuration does to traffic: splits, breakers, outliers, faults, timeouts, logs, TCP, drain."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.proxy.conftest import MakeOrigin, Start
from tests.support.bootstrap import (
    TYPE,
    cluster,
    file_log,
    http_listener,
    route,
    tcp_listener,
    virtual_host,
)
from tests.support.client import Client, fetch, request
from tests.support.origin import Answer, Received, answer
from tests.support.proxies import Proxy
from tests.support.wait import eventually

Simple = Callable[..., Proxy]


def named(name: bytes) -> Callable[[Received], Answer]:
    return lambda _received: answer(200, name)


def test_weights_share_the_requests(start: Start, origin: MakeOrigin) -> None:
    split = {"clusters": [{"name": "a", "weight": 3}, {"name": "b", "weight": 1}]}
    listener = http_listener("l", [virtual_host(route({"prefix": "/"}, {"weighted_clusters": split}))])
    clusters = [cluster("a", origin(named(b"a")).port), cluster("b", origin(named(b"b")).port)]
    proxy = start([listener], clusters)
    seen: Counter[bytes] = Counter()
    with Client(proxy.port("l")) as client:
        for _ in range(400):
            client.send(request())
            seen[client.response().body] += 1
    assert 255 <= seen[b"a"] <= 345


def test_endpoints_take_turns(simple: Simple, origin: MakeOrigin) -> None:
    proxy = simple(*(origin(named(name)).port for name in (b"1", b"2", b"3")))
    with Client(proxy.port("l")) as client:
        client.send(request() * 9)
        assert Counter(client.response().body for _ in range(9)) == {b"1": 3, b"2": 3, b"3": 3}


def test_a_dead_endpoint_costs_no_request_with_retries(simple: Simple, origin: MakeOrigin) -> None:
    dead = socket.create_server(("127.0.0.1", 0))
    port = dead.getsockname()[1]
    dead.close()
    policy = {"retry_on": "connect-failure", "num_retries": 3}
    proxy = simple(origin(named(b"alive")).port, port, retry_policy=policy)
    with Client(proxy.port("l")) as client:
        for _ in range(10):
            client.send(request())
            assert client.response().status == 200
    assert proxy.stat("cluster.origin.upstream_rq_retry_success") >= 4


def test_a_kept_connection_that_dies_is_replaced(simple: Simple, origin: MakeOrigin) -> None:
    replies = iter([answer(200, b"1"), Answer(b"", "close"), answer(200, b"2")])
    upstream = origin(lambda _: next(replies))
    proxy = simple(upstream.port)
    with Client(proxy.port("l")) as client:
        client.send(request())
        assert client.response().body == b"1"
        client.send(request())
        assert client.response().body == b"2"


def test_a_post_is_never_sent_twice(simple: Simple, origin: MakeOrigin) -> None:
    replies = iter([answer(200, b"1"), Answer(b"", "close"), answer(200, b"2")])
    upstream = origin(lambda _: next(replies))
    proxy = simple(upstream.port)
    with Client(proxy.port("l")) as client:
        client.send(request("POST", "/", body=b"one"))
        assert client.response().body == b"1"
        client.send(request("POST", "/", body=b"two"))
        assert client.response().status == 503
    assert len(upstream.received) == 2


def test_failing_endpoints_are_ejected(start: Start, origin: MakeOrigin) -> None:
    outlier = {"consecutive_5xx": 3, "max_ejection_percent": 100, "base_ejection_time": "60s"}
    broken, healthy = origin(lambda _: answer(500, b"broken")), origin(named(b"fine"))
    listener = http_listener("l", [virtual_host(route({"prefix": "/"}, "c"))])
    proxy = start([listener], [cluster("c", broken.port, healthy.port, outlier_detection=outlier)])
    with Client(proxy.port("l")) as client:
        for _ in range(20):
            client.send(request())
            client.response()
    assert len(broken.received) == 3
    assert proxy.stat("cluster.c.outlier_detection.ejections_enforced_consecutive_5xx") == 1


def test_breakers_refuse_what_is_too_much(start: Start, origin: MakeOrigin) -> None:
    started = threading.Event()

    def slow(_received: Received) -> Answer:
        started.set()
        return Answer(answer(200, b"slow").data, wait=0.5)

    limits = {"thresholds": [{"max_requests": 1}]}
    listener = http_listener("l", [virtual_host(route({"prefix": "/"}, "c"))])
    proxy = start([listener], [cluster("c", origin(slow).port, circuit_breakers=limits)])
    with Client(proxy.port("l")) as first:
        first.send(request())
        assert started.wait(5)
        refused = fetch(proxy.port("l"))
        assert (refused.status, refused.header("x-envoy-overloaded")) == (503, "true")
        assert first.response().body == b"slow"


def test_the_access_log_says_what_happened(simple: Simple, origin: MakeOrigin, tmp_path: Path) -> None:
    counts = "%BYTES_RECEIVED% %BYTES_SENT%"
    text = f"%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% {counts} %REQ(X-A)%\n"
    log = tmp_path / "access.log"
    proxy = simple(origin(named(b"fine")).port, hcm={"access_log": [file_log(log, text)]})
    fetch(proxy.port("l"), "POST", "/a?b", ("X-A", "v"), body=b"12345")
    assert eventually(lambda: log.exists() and log.read_text() == "POST /a?b 200 - 5 4 v\n")


def test_tcp_passes_bytes_and_half_close(start: Start) -> None:
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            received = b""
            while piece := connection.recv(65536):
                received += piece
            connection.sendall(received[::-1])

    threading.Thread(target=serve, daemon=True).start()
    proxy = start([tcp_listener("t", "c")], [cluster("c", server.getsockname()[1])])
    data = bytes(range(256)) * 8192
    with socket.create_connection(("127.0.0.1", proxy.port("t")), 5) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        received = b""
        while piece := client.recv(65536):
            received += piece
    assert received == data[::-1]
    assert eventually(lambda: proxy.stat("tcp.t.downstream_cx_rx_bytes_total") == len(data))


def test_tcp_without_an_upstream_closes(start: Start) -> None:
    proxy = start([tcp_listener("t", "c")], [cluster("c")])
    with socket.create_connection(("127.0.0.1", proxy.port("t")), 5) as client:
        assert client.recv(1) == b""


def test_connections_are_logged_as_their_filter_says(start: Start, tmp_path: Path) -> None:
    def flagged(path: Path, flag: str) -> dict[str, Any]:
        log: dict[str, Any] = file_log(path, "%RESPONSE_FLAGS% %EMIT_TIME(%Y)%\n")
        return {**log, "filter": {"response_flag_filter": {"flags": [flag]}}}

    chosen, other = tmp_path / "chosen.log", tmp_path / "other.log"
    logs = [flagged(other, "UF"), flagged(chosen, "UH")]
    proxy = start([tcp_listener("t", "c", access_log=logs)], [cluster("c")])
    with socket.create_connection(("127.0.0.1", proxy.port("t")), 5) as client:
        assert client.recv(1) == b""
    assert eventually(lambda: chosen.exists() and chosen.read_text()[:5] == "UH 20")
    assert other.read_text() == ""


def test_a_long_connection_is_counted_while_it_lasts(start: Start) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    listener = tcp_listener("t", "c")
    value = {"tcp_reporting_duration": "0.1s"}
    kind = TYPE + "stats.PluginConfig"
    stats = {"@type": TYPE + "udpa.type.v1.TypedStruct", "type_url": kind, "value": value}
    listener["filter_chains"][0]["filters"].insert(0, {"name": "istio.stats", "typed_config": stats})
    proxy = start([listener], [cluster("c", server.getsockname()[1])])

    def counted(name: str) -> float:
        lines = (line for line in proxy.get("/stats/prometheus").splitlines() if line.startswith(name + "{"))
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    with socket.create_connection(("127.0.0.1", proxy.port("t")), 5) as client:
        assert eventually(lambda: counted("istio_tcp_connections_opened_total") == 1)
        client.sendall(b"12345")
        assert eventually(lambda: counted("istio_tcp_received_bytes_total") == 5)
        assert counted("istio_tcp_connections_closed_total") == 0
        accepted = server.accept()[0]
    accepted.close()
    assert eventually(lambda: counted("istio_tcp_connections_closed_total") == 1)
    assert counted("istio_tcp_connections_opened_total") == 1
    assert counted("istio_tcp_received_bytes_total") == 5


def test_sigterm_finishes_what_is_under_way(simple: Simple, origin: MakeOrigin) -> None:
    started = threading.Event()

    def slow(_received: Received) -> Answer:
        started.set()
        return Answer(answer(200, b"done").data, wait=0.5)

    proxy = simple(origin(slow).port)
    with Client(proxy.port("l")) as client:
        client.send(request())
        assert started.wait(5)
        proxy.process.send_signal(signal.SIGTERM)
        reply = client.response()
        assert (reply.body, reply.header("connection")) == (b"done", "close")
    assert proxy.process.wait(5) == 0


def test_a_killed_worker_is_replaced_and_counts_on(simple: Simple, origin: MakeOrigin) -> None:
    import json
    import os

    proxy = simple(origin(named(b"fine")).port)
    port = proxy.port("l")
    assert fetch(port).status == 200
    before = proxy.stat("http.l.downstream_rq_total")
    os.kill(proxy.worker(), signal.SIGKILL)
    started = time.monotonic()
    assert fetch(port).status == 200
    assert time.monotonic() - started < 2
    assert eventually(lambda: proxy.stat("http.l.downstream_rq_total") == before + 1)
    assert json.loads(proxy.get("/listeners?format=json"))
