"""Upstreams whose TLS handshake stalls or breaks: 503 within `connect_timeout`, or tried elsewhere."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.hostile.tls_cases import UPSTREAMS
from tests.integration.http2.stage import http2_cluster, tls_client_socket, tls_socket
from tests.integration.proxy.pki import Authority
from tests.support.bootstrap import TYPE, Json, cluster, direct, http_listener, route, static, virtual_host
from tests.support.client import fetch
from tests.support.http2_origin import Http2Origin, server_tls
from tests.support.proxies import Proxy, running
from tests.support.server import LoopbackServer
from tests.support.wait import eventually

PACE = 0.01
LIMIT = 0.5
TIMED_OUT = b"upstream connect error or disconnect/reset before headers. reset reason: connection timeout"
FAILED = b"upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
PREVIOUS_HOSTS = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
VERSIONS = ("http1", "http2")


@dataclass
class Server(LoopbackServer):
    """Answers each connection's first bytes with `pieces`, and closes then or stays."""

    pieces: Sequence[bytes]
    closes: bool

    def serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.recv(1 << 16)
        for piece in self.pieces:
            connection.sendall(piece)
            time.sleep(PACE if len(self.pieces) > 1 else 0)
        while not self.closes and connection.recv(1 << 16):
            pass


@dataclass(frozen=True)
class Stage:
    proxy: Proxy
    port: int
    servers: dict[str, Server]


def clusters(server: Server, name: str, good: int, tls: dict[str, Json]) -> list[Json]:
    """For each version of HTTP: the bad server alone, and beside a good one."""
    one: Json = {"connect_timeout": f"{LIMIT}s", "transport_socket": tls["http1"]}
    two: Json = {**one, "transport_socket": tls["http2"]}
    return [
        cluster(f"{name}-http1", server.port, **one),
        http2_cluster(f"{name}-http2", server.port, **two),
        cluster(f"{name}-http1-both", server.port, good, **one),
        http2_cluster(f"{name}-http2-both", server.port, good, **two),
    ]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("tls-upstreams")
    authority = Authority()
    origin = http_listener("origin", [virtual_host(direct({"prefix": "/"}, 200, "served"))])
    origin["filter_chains"][0]["transport_socket"] = tls_socket(authority, folder)
    client = {
        "http1": tls_client_socket(authority, folder, "http/1.1"),
        "http2": tls_client_socket(authority, folder, "h2"),
    }
    servers = {name: Server(*case) for name, case in UPSTREAMS.items()}
    with running("meshproxy", static([origin], []), folder / "origin") as good:
        made = [
            one
            for number, server in enumerate(servers.values())
            for one in clusters(server, f"c{number}", good.port("origin"), client)
        ]
        again = {"retry_on": "connect-failure", "num_retries": 3}
        other = {"name": "other", "typed_config": {"@type": f"{TYPE}{PREVIOUS_HOSTS}"}}
        elsewhere = {"retry_host_predicate": [other]}
        routes = [
            route(
                {"path": f"/{one['name']}"},
                {"cluster": one["name"], "retry_policy": {**again, **elsewhere}}
                if one["name"].endswith("both")
                else {"cluster": one["name"]},
            )
            for one in made
        ]
        edge = http_listener("edge", [virtual_host(*routes)])
        with running("meshproxy", static([edge], made), folder / "edge") as proxy:
            yield Stage(proxy, proxy.port("edge"), servers)
    for server in servers.values():
        server.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_handshake_that_comes_to_nothing_is_a_failed_connection(stage: Stage, version: str) -> None:
    names = {name: f"c{number}-{version}" for number, name in enumerate(UPSTREAMS)}

    def ask(name: str) -> tuple[int, bytes, float]:
        began = time.monotonic()
        answer = fetch(stage.port, target=f"/{names[name]}")
        return answer.status, answer.body, time.monotonic() - began

    with ThreadPoolExecutor(len(names)) as pool:
        answers = dict(zip(names, pool.map(ask, names), strict=True))
    assert {name: answer for name, answer in answers.items() if answer[0] != 503} == {}
    stalled = {name for name, answer in answers.items() if answer[1] == TIMED_OUT}
    assert stalled == {"says nothing", "half a record", "by bytes"}
    failed = {name for name, answer in answers.items() if answer[1].startswith(FAILED)}
    assert failed == names.keys() - stalled
    assert {name for name in stalled if not LIMIT - 0.1 < answers[name][2] < 3.0} == set()
    stats = stage.proxy.get("/stats")
    for name, used in names.items():
        # Who closes has said nothing wrong.
        timeouts, errors = int(name in stalled), int(name not in stalled and not UPSTREAMS[name][1])
        assert f"cluster.{used}.upstream_cx_connect_timeout: {timeouts}\n" in stats, name
        assert f"cluster.{used}.upstream_cx_connect_fail: 1\n" in stats, name
        assert f"cluster.{used}.ssl.connection_error: {errors}\n" in stats, name
    for gauge in ("upstream_cx_active", "upstream_rq_active", "upstream_rq_pending_active"):
        assert eventually(lambda gauge=gauge: _sum(stage.proxy, gauge) == 0), gauge  # type: ignore[misc]


def _sum(proxy: Proxy, gauge: str) -> int:
    lines = (line.partition(": ") for line in proxy.get("/stats").splitlines())
    return sum(int(value) for name, _, value in lines if name.endswith(f".{gauge}"))


def test_thousands_of_session_tickets_do_not_keep_an_answer_from_coming(tmp_path: Path) -> None:
    """More than is read in one turn comes before the answer, without an event of its own."""
    authority = Authority()
    chain, key = authority.issue("spiffe://mesh.test/server", dns=("a.test",)).files(tmp_path / "origin")
    tls = server_tls(chain, key)
    tls.num_tickets = 4_000
    origin = Http2Origin(tls=tls)
    to = http2_cluster("origin", origin.port, transport_socket=tls_client_socket(authority, tmp_path))
    edge = http_listener("edge", [virtual_host(route({"prefix": "/"}, "origin"))])
    with running("meshproxy", static([edge], [to]), tmp_path) as proxy:
        assert fetch(proxy.port("edge")).body == b"ok"
    origin.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_tried_elsewhere(stage: Stage, version: str) -> None:
    targets = [f"/c{number}-{version}-both" for number in range(len(UPSTREAMS))] * 2
    with ThreadPoolExecutor(len(targets)) as pool:
        answers = list(pool.map(lambda target: fetch(stage.port, target=target), targets))
    assert [answer.body for answer in answers] == [b"served"] * len(targets)
