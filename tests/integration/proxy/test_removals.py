"""Clusters and endpoints that change under requests: what is under way ends well, what waits has its turn."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.proxy.conftest import MakeOrigin, Start
from tests.support.bootstrap import (
    TYPE,
    Json,
    cluster,
    http_listener,
    route,
    static,
    tcp_listener,
    virtual_host,
)
from tests.support.client import Client, Response, fetch, request
from tests.support.http2_origin import Http2Origin, Wait
from tests.support.http2_origin import answer as answer2
from tests.support.origin import Answer, Origin, Received, Script, answer
from tests.support.proxies import Proxy, running
from tests.support.tunnel import TunnelOrigin
from tests.support.wait import until

CLUSTER = TYPE + "envoy.config.cluster.v3.Cluster"
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


class Managed:
    """A proxy that takes its clusters from a file; `l` sends requests to `c`, `t` connections."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "clusters.json"
        self.proxy: Proxy
        self._version = 0

    def put(self, *clusters: Json) -> None:
        self._version += 1
        resources = [{"@type": CLUSTER, **each} for each in clusters]
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps({"version_info": str(self._version), "resources": resources}))
        new.rename(self.path)

    def change(self, *clusters: Json) -> None:
        """Puts them and waits until every worker has them."""
        self.put(*clusters)
        version = f'version_info": "{self._version}"'
        until(lambda: version in self.proxy.get("/config_dump"), within=10)
        until(self.settled)

    def settled(self) -> bool:
        """The agent has them first; a request that follows meets them in the workers within a moment."""
        time.sleep(0.1)
        return True

    def send(self, target: str = "/") -> Response:
        return fetch(self.proxy.port("l"), "GET", target)


@pytest.fixture
def managed(tmp_path: Path) -> Iterator[Callable[..., Managed]]:
    with contextlib.ExitStack() as stack:

        def begin(*clusters: Json, workers: int = 1) -> Managed:
            made = Managed(tmp_path)
            made.put(*clusters)
            to = {"cluster": "c", "upgrade_configs": [{"upgrade_type": "websocket"}]}
            listeners = [
                http_listener("l", [virtual_host(route({"prefix": "/"}, to))]),
                tcp_listener("t", "c"),
            ]
            bootstrap = static(listeners, []) | {
                "dynamic_resources": {"cds_config": {"path_config_source": {"path": str(made.path)}}}
            }
            flags = ["--concurrency", str(workers)]
            made.proxy = stack.enter_context(running("meshproxy", bootstrap, tmp_path / "proxy", *flags))
            return made

        yield begin


def http2(name: str, *ports: int, streams: int = 100, **fields: Any) -> Json:
    limits = {"max_concurrent_streams": streams}
    spoken = {"@type": TYPE + OPTIONS, "explicit_http_config": {"http2_protocol_options": limits}}
    return cluster(name, *ports, typed_extension_protocol_options={OPTIONS: spoken}, **fields)


def limited(**limits: int) -> Json:
    return {"circuit_breakers": {"thresholds": [limits]}}


def gated(gate: threading.Event, word: bytes = b"ok") -> Script:
    def script(received: Received) -> Answer:
        if received.target == "/slow":
            gate.wait(10)
        return answer(200, word)

    return script


@contextlib.contextmanager
def several(count: int, work: Callable[[], Response]) -> Iterator[list[Future[Response]]]:
    with ThreadPoolExecutor(count) as pool:
        yield [pool.submit(work) for _ in range(count)]


def bodies(futures: list[Future[Response]]) -> list[tuple[int, bytes]]:
    answers = [future.result(10) for future in futures]
    return [(each.status, each.body) for each in answers]


def test_requests_that_wait_in_a_removed_cluster_are_served(
    managed: Callable[..., Managed], origin: MakeOrigin
) -> None:
    gate = threading.Event()
    upstream = origin(gated(gate))
    proxy = managed(cluster("c", upstream.port, **limited(max_connections=1)))
    with several(4, lambda: proxy.send("/slow")) as futures:
        until(lambda: proxy.proxy.stat("cluster.c.upstream_rq_pending_active") == 3)
        proxy.change()
        assert proxy.send().status == 503
        gate.set()
        assert bodies(futures) == [(200, b"ok")] * 4
    until(lambda: proxy.proxy.stat("cluster.c.upstream_cx_active") == 0)


def test_streams_that_wait_in_a_removed_cluster_are_served(managed: Callable[..., Managed]) -> None:
    with Http2Origin(lambda _: [Wait(1.5), *answer2()]) as upstream:
        proxy = managed(http2("c", upstream.port, streams=2, **limited(max_connections=1)))
        with several(5, proxy.send) as futures:
            until(lambda: proxy.proxy.stat("cluster.c.upstream_rq_pending_active") == 3)
            proxy.change()
            assert bodies(futures) == [(200, b"ok")] * 5
        assert not upstream.violations
        until(lambda: upstream.open == 0)


def test_limits_hold_for_a_cluster_that_was_away(managed: Callable[..., Managed], origin: MakeOrigin) -> None:
    gate = threading.Event()
    upstream = origin(gated(gate))
    resource = cluster("c", upstream.port, **limited(max_requests=2))
    proxy = managed(resource)
    with several(2, lambda: proxy.send("/slow")) as futures:
        until(lambda: proxy.proxy.stat("cluster.c.upstream_rq_active") == 2)
        proxy.change()
        proxy.change(resource)
        assert proxy.send().status == 503
        gate.set()
        assert bodies(futures) == [(200, b"ok")] * 2
    assert [proxy.send().status for _ in range(5)] == [200] * 5
    assert proxy.proxy.stat("cluster.c.upstream_rq_active") == 0


def test_tunnels_and_connections_outlive_their_cluster(managed: Callable[..., Managed]) -> None:
    with TunnelOrigin() as upstream:
        proxy = managed(cluster("c", upstream.port))
        with Client(proxy.proxy.port("l")) as tunnel, Client(proxy.proxy.port("t")) as relayed:
            tunnel.send(request("GET", "/", ("Connection", "Upgrade"), ("Upgrade", "websocket")))
            relayed.send(b"GET / HTTP/1.1\r\n\r\n")
            for client in (tunnel, relayed):
                assert b"101" in client.socket.recv(1000)
            proxy.change()
            for client in (tunnel, relayed):
                client.send(b"still there")
                assert client.socket.recv(100) == b"still there"


@pytest.mark.parametrize("version", ["http1", "http2"])
@pytest.mark.parametrize("workers", [1, 3])
def test_endpoints_are_replaced_under_load_without_a_lost_request(
    managed: Callable[..., Managed], version: str, workers: int
) -> None:
    def made() -> Origin | Http2Origin:
        if version == "http1":
            return Origin(lambda _: Answer(answer().data, wait=0.005))
        return Http2Origin(lambda _: [Wait(0.005), *answer2()])

    make = cluster if version == "http1" else http2
    with contextlib.ExitStack() as stack:
        origins = [stack.enter_context(contextlib.closing(made())) for _ in range(6)]
        pairs = itertools.cycle(itertools.pairwise(origins))
        proxy = managed(make("c", origins[0].port), workers=workers)
        done = threading.Event()
        port = proxy.proxy.port("l")

        def load() -> list[int]:
            statuses = []
            with Client(port) as client:
                while not done.is_set():
                    client.send(request())
                    statuses.append(client.response().status)
            return statuses

        with ThreadPoolExecutor(6) as pool:
            futures = [pool.submit(load) for _ in range(6)]
            for pair in itertools.islice(pairs, 4):
                proxy.change(make("c", *(each.port for each in pair)))
            done.set()
            statuses = [status for future in futures for status in future.result(10)]
    assert set(statuses) == {200}
    assert len(statuses) > 100


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield listener


def test_who_waits_for_a_connection_that_cannot_be_made_is_told_at_once(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    resource = cluster("c", **limited(max_connections=1))
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(path)}}}}
    resource["load_assignment"]["endpoints"] = [{"lb_endpoints": [endpoint]}]
    with listening(path) as listener:
        proxy = start([http_listener("l", [virtual_host(route({"prefix": "/"}, "c"))])], [resource])
        port = proxy.port("l")
        with several(3, lambda: fetch(port)) as futures:
            connection, _ = listener.accept()
            until(lambda: proxy.stat("cluster.c.upstream_rq_pending_active") == 2)
            path.unlink()
            began = time.monotonic()
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            connection.close()
            assert sorted(status for status, _ in bodies(futures)) == [200, 503, 503]
            # Not the 15 s of the route.
            assert time.monotonic() - began < 5
    assert proxy.stat("cluster.c.upstream_rq_pending_active") == 0
    assert proxy.stat("cluster.c.upstream_rq_pending_failure_eject") == 2
