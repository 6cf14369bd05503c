"""Floods over HTTP/2: who floods is cut at once or pays more than the worker, and nobody else notices.

The upstreams speak HTTP/1 and HTTP/2; with HTTP/2 the neighbour's requests go over the same connection.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.integration.hostile.flooding import TRIES, Outcome, Stage, table
from tests.integration.hostile.http2_floods import BYTES, DEAF, FLOODS, HUGE, RESETS, Flood
from tests.integration.hostile.upstream import Reply, Upstream, echo
from tests.integration.http2.stage import http2_cluster
from tests.support.bootstrap import cluster, http_listener, route, static, virtual_host
from tests.support.http2_client import Http2Client, RawClient
from tests.support.http2_origin import Http2Origin
from tests.support.proxies import running

# A flood that is not cut goes on for so long.
SECONDS = 1.5
WITHIN = 5.0
# Requests that one attacking connection may have had sent upstream before it is cut.
UPSTREAM_REQUESTS = 250
UPSTREAM_STREAMS = 20


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    huge = Reply(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BYTES + bytes(BYTES))
    one = Upstream(script=lambda message: huge if message.start == ("GET", HUGE) else echo(message))
    yield one
    one.close()


@pytest.fixture(scope="module")
def http1(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Stage]:
    quiet = Upstream()
    hosts = [virtual_host(route({"prefix": "/flood"}, "flooded"), route({"prefix": "/"}, "quiet"))]
    clusters = [cluster("flooded", upstream.port), cluster("quiet", quiet.port)]
    bootstrap = static([http_listener("edge", hosts, delayed_close_timeout="0.2s")], clusters)
    with running("meshproxy", bootstrap, tmp_path_factory.mktemp("floods")) as proxy:
        yield (made := Stage(proxy))
        print(table("floods of HTTP/2, upstreams of HTTP/1", made))
    quiet.close()


@dataclass
class Shared:
    """The attacker and the neighbour share one server of HTTP/2."""

    origin: Http2Origin
    stage: Stage


@pytest.fixture(scope="module")
def http2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    origin = Http2Origin(settings={3: UPSTREAM_STREAMS})
    hosts = [virtual_host(route({"prefix": "/"}, "flooded"))]
    bootstrap = static(
        [http_listener("edge", hosts, delayed_close_timeout="0.2s")],
        [http2_cluster("flooded", origin.port, http2={"max_concurrent_streams": UPSTREAM_STREAMS})],
    )
    with running("meshproxy", bootstrap, tmp_path_factory.mktemp("floods2")) as proxy:
        yield (made := Shared(origin, Stage(proxy)))
        print(table("floods of HTTP/2, upstreams of HTTP/2", made.stage))
    origin.close()


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
        if not cut and not flood.deaf:
            client.settled(WITHIN)  # all of it was dealt with, or the connection is closed
        return Outcome(cut or client.closed, seconds, cpu)


@pytest.mark.parametrize("flood", FLOODS, ids=str)
def test_a_flood_is_cut_or_costs_its_sender_more(http1: Stage, upstream: Upstream, flood: Flood) -> None:
    upstream.requests.clear()
    http1.assert_bounded(flood.name, lambda port: attack(port, flood))
    assert len(upstream.requests) <= TRIES * UPSTREAM_REQUESTS
    assert upstream.violations == []
    http1.assert_nothing_left()
    with Http2Client(http1.port) as client:
        assert client.fetch(path="/after").status == 200


@pytest.mark.parametrize("flood", [*RESETS, *DEAF], ids=str)
def test_a_flood_does_not_reach_an_upstream_of_http2(http2: Shared, flood: Flood) -> None:
    """The server checks by the h2 library that it never has more streams than it allows."""
    received, resets = len(http2.origin.received), len(http2.origin.resets)
    connections = http2.origin.connections
    http2.stage.assert_bounded(flood.name, lambda port: attack(port, flood))
    mine = [one for one in http2.origin.received[received:] if one.target.startswith("/flood")]
    assert len(mine) + len(http2.origin.resets) - resets <= TRIES * 2 * UPSTREAM_REQUESTS
    assert http2.origin.violations == []
    assert http2.origin.connections - connections <= TRIES * 8
    http2.stage.assert_nothing_left()
