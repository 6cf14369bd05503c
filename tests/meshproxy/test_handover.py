"""Generations and listeners that hand over under kept connections: whoever is told to go has lost nothing."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.background import Background
from tests.support.bootstrap import (
    TYPE,
    Json,
    address,
    cluster,
    http_listener,
    route,
    static,
    tcp_listener,
    virtual_host,
)
from tests.support.client import Client, request
from tests.support.http2_client import RawClient
from tests.support.origin import Answer, Origin, Received, answer
from tests.support.proxies import running
from tests.support.server import free_port
from tests.support.tunnel import TunnelOrigin
from tests.support.wait import until

LISTENER = TYPE + "envoy.config.listener.v3.Listener"
SLOW_SECONDS = 0.6


def script(received: Received) -> Answer:
    return Answer(answer().data, wait=SLOW_SECONDS if received.target == "/slow" else 0.002)


class Keeping(Background):
    """Clients that keep their connections until they are told to go; every request must get its 200."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answered: Counter[str] = Counter()
        self.told: Counter[str] = Counter()
        self.lost: list[str] = []
        work = [self._http1, self._http1, self._http2, self._http2, self._slow]
        super().__init__(*(partial(self._again, each) for each in work))

    def more(self) -> None:
        before = Counter(self.answered)
        kinds = ("http1", "http2", "slow")
        until(lambda: all(self.answered[kind] > before[kind] + 1 for kind in kinds), f"{self.lost[:3]}")

    def _again(self, work: Callable[[], None]) -> None:
        while not self.stop.is_set():
            try:
                work()
            except (OSError, ValueError, AssertionError) as error:
                self.lost.append(f"{work.__name__}: {error!r}")

    def _http1(self, kind: str = "http1", target: str = "/") -> None:
        with Client(self.port) as client:
            while not self.stop.is_set():
                client.send(request("GET", target))
                response = client.response()
                assert response.status == 200
                self.answered[kind] += 1
                if response.header("connection") == "close":
                    self.told[kind] += 1
                    return

    def _slow(self) -> None:
        self._http1("slow", "/slow")

    def _http2(self) -> None:
        with RawClient(self.port) as client:
            for stream in range(1, 100_000, 2):
                if self.stop.is_set():
                    return
                if client.goaway:
                    self.told["http2"] += 1
                    return
                client.request(stream)
                reply = client.answer(stream)
                if not reply.finished and client.goaway:
                    last = int.from_bytes(client.goaway.payload[:4], "big")
                    assert stream > last, f"stream {stream} was taken, up to {last}"
                    return
                assert reply.finished, f"stream {stream}: {client.closed=}"
                assert reply.status == 200
                self.answered["http2"] += 1


def hosts() -> list[Json]:
    to = {"cluster": "up", "upgrade_configs": [{"upgrade_type": "websocket"}]}
    tunnel = {**to, "cluster": "tunnel"}
    return [virtual_host(route({"prefix": "/tunnel"}, tunnel), route({"prefix": "/"}, to))]


@pytest.fixture
def origins() -> Iterator[list[Json]]:
    with Origin(script) as origin, TunnelOrigin() as tunnel:
        yield [cluster("up", origin.port), cluster("tunnel", tunnel.port)]


@contextlib.contextmanager
def tunnels(http: int, tcp: int) -> Iterator[list[socket.socket]]:
    """A WebSocket and a TCP connection whose bytes come back."""
    with Client(http) as upgraded, Client(tcp) as relayed:
        upgraded.send(request("GET", "/tunnel", ("Connection", "Upgrade"), ("Upgrade", "websocket")))
        relayed.send(b"GET / HTTP/1.1\r\n\r\n")
        for each in (upgraded, relayed):
            assert b"101" in each.socket.recv(1000)
        yield [upgraded.socket, relayed.socket]


def echoes(connection: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        connection.sendall(b"there?")
        return connection.recv(100) == b"there?"
    return False


def test_kept_connections_go_to_the_next_generation_without_a_lost_request(
    tmp_path: Path, origins: list[Json]
) -> None:
    http, tcp = free_port(), free_port()
    listeners = [
        http_listener("web", hosts()) | {"address": address(http)},
        tcp_listener("tcp", "tunnel") | {"address": address(tcp)},
    ]
    bootstrap = static(listeners, origins)
    family = ("--base-id", str(os.getpid() * 10 + 7), "--drain-time-s", "2", "--concurrency", "2")
    with contextlib.ExitStack() as stack:
        old = stack.enter_context(running("meshproxy", bootstrap, tmp_path / "0", *family))
        kept = stack.enter_context(tunnels(http, tcp))
        load = stack.enter_context(Keeping(http))
        load.more()
        flags = (*family, "--restart-epoch", "1", "--parent-shutdown-time-s", "3")
        stack.enter_context(running("meshproxy", bootstrap, tmp_path / "1", *flags))
        until(lambda: load.told["http1"] >= 2 and load.told["http2"] >= 2)
        # They have until the old generation ends.
        assert old.process.poll() is None
        assert all(echoes(each) for each in kept)
        assert old.process.wait(15) == 0
        load.more()
        assert load.lost == []


def test_a_changed_listener_lets_kept_connections_go_without_a_lost_request(
    tmp_path: Path, origins: list[Json]
) -> None:
    path = tmp_path / "listeners.json"
    port, tcp = free_port(), free_port()

    def put(version: int, *listeners: Json) -> None:
        resources = [{"@type": LISTENER, **each} for each in listeners]
        path.with_suffix(".new").write_text(
            json.dumps({"version_info": str(version), "resources": resources})
        )
        path.with_suffix(".new").rename(path)

    relay = tcp_listener("tcp", "tunnel") | {"address": address(tcp)}
    web = http_listener("web", hosts()) | {"address": address(port)}
    # Another filter chain in the place of the old one: all of its connections drain.
    changed = http_listener("web", hosts(), stat_prefix="other") | {"address": address(port)}
    put(1, web, relay)
    source = {"lds_config": {"path_config_source": {"path": str(path)}}}
    bootstrap = static([], origins) | {"dynamic_resources": source}
    flags = ("--concurrency", "2", "--drain-time-s", "3")
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(running("meshproxy", bootstrap, tmp_path / "proxy", *flags))
        until(lambda: proxy.stat("listener_manager.total_listeners_active") == 2)
        kept = stack.enter_context(tunnels(port, tcp))
        load = stack.enter_context(Keeping(port))
        load.more()
        put(2, changed, relay)
        until(lambda: load.told["http1"] >= 2 and load.told["http2"] >= 2)
        assert all(echoes(each) for each in kept)
        load.more()
        # The upgraded connection is of the changed listener, and ends with the drain; the relay goes on.
        began = time.monotonic()
        until(lambda: not echoes(kept[0]), within=10)
        assert time.monotonic() - began < 6
        assert echoes(kept[1])
        load.more()
        assert load.lost == []
