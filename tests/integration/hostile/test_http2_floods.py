"""Floods over HTTP/2: who floods is cut at once or pays more than the worker, and nobody else notices."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.integration.hostile.http2_floods import FLOODS, Flood
from tests.integration.hostile.upstream import Upstream
from tests.support.bootstrap import cluster, http_listener, route, static, virtual_host
from tests.support.http2_client import Http2Client, RawClient
from tests.support.process import cost
from tests.support.proxies import Kind, running

KIND: Kind = "meshproxy"
# A flood that is not cut goes on for so long.
SECONDS = 1.5
CUT_WITHIN = 1.2
# The clock of /proc counts hundredths of a second, and neighbours cost something too.
CPU_SLACK = 0.15
MEMORY = 6 << 20
# Requests that one attacking connection may have had sent upstream before it is cut.
UPSTREAM_REQUESTS = 250


@dataclass(frozen=True)
class Target:
    port: int
    worker: int
    upstream: Upstream


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    upstream, quiet = Upstream(), Upstream()
    hosts = [virtual_host(route({"prefix": "/flood"}, "flooded"), route({"prefix": "/"}, "quiet"))]
    clusters = [cluster("flooded", upstream.port), cluster("quiet", quiet.port)]
    bootstrap = static([http_listener("edge", hosts, delayed_close_timeout="0.2s")], clusters)
    with running(KIND, bootstrap, tmp_path_factory.mktemp("floods")) as proxy:
        port = proxy.port("edge")
        with Http2Client(port) as client:  # warm: memory that every connection needs is there
            assert all(client.fetch(path="/warm").status == 200 for _ in range(50))
        yield Target(port, proxy.worker(), upstream)
    upstream.close()
    quiet.close()


class Neighbour(threading.Thread):
    """Somebody else, who goes on making requests on one connection while the flood lasts."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.client = Http2Client(port)
        self.over = threading.Event()
        self.statuses: list[int] = []
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            while not self.over.wait(0.01):
                self.statuses.append(self.client.fetch(path="/neighbour").status)
        except Exception as failure:  # noqa: BLE001  # shown by the test's own thread
            self.failure = failure

    def finish(self) -> list[int]:
        self.over.set()
        self.join(10)
        self.client.socket.close()
        if self.failure:
            raise AssertionError(f"after {len(self.statuses)} answers") from self.failure
        return self.statuses


@dataclass(frozen=True)
class Outcome:
    cut: bool
    seconds: float
    cpu: float


def attack(port: int, flood: Flood) -> Outcome:
    """Floods until cut, to the last piece, or for SECONDS; `cpu` is what sending cost us."""
    writes = flood.writes()
    with RawClient(port, settings=flood.settings) as client:
        client.socket.settimeout(SECONDS)
        client.send(flood.opening)
        began, began_cpu = time.monotonic(), time.thread_time()
        cut = False
        for write in writes:
            if cut or time.monotonic() - began > SECONDS:
                break
            try:
                cut = not client.send(write)
            except TimeoutError:
                break  # nobody reads what is sent: it costs the worker nothing
            if not flood.deaf:
                list(client.receive(0))
                cut = cut or client.closed
        seconds, cpu = time.monotonic() - began, time.thread_time() - began_cpu
        return Outcome(cut or (not flood.deaf and client.cut(CUT_WITHIN - seconds)), seconds, cpu)


@pytest.mark.parametrize("flood", FLOODS, ids=str)
def test_a_flood_is_cut_or_costs_its_sender_more(target: Target, flood: Flood) -> None:
    target.upstream.requests.clear()
    neighbour = Neighbour(target.port)
    before = cost(target.worker)
    neighbour.start()
    outcome = attack(target.port, flood)
    during = cost(target.worker)
    statuses = neighbour.finish()
    assert set(statuses) <= {200}
    spent = during.cpu - before.cpu
    assert (outcome.cut and outcome.seconds < CUT_WITHIN) or spent <= outcome.cpu + CPU_SLACK, (
        outcome,
        spent,
    )
    assert during.memory - before.memory < MEMORY
    assert len(target.upstream.requests) <= UPSTREAM_REQUESTS
    assert target.upstream.violations == []
    with Http2Client(target.port) as client:
        assert client.fetch(path="/after").status == 200
