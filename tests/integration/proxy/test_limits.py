"""Circuit breakers: a limit is one of the whole proxy, however many workers it has."""

from __future__ import annotations

import contextlib
import os
import signal
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.proxy.conftest import MakeOrigin, Start
from tests.support.bootstrap import cluster, http_listener, route, virtual_host
from tests.support.client import fetch
from tests.support.origin import Answer, Received, answer
from tests.support.proxies import Proxy
from tests.support.wait import until

CLIENTS = 24


def slow(_: Received) -> Answer:
    return Answer(answer(200).data, wait=0.8)


def limited(start: Start, port: int, thresholds: dict[str, Any], workers: int) -> Proxy:
    to = cluster("c", port, circuit_breakers={"thresholds": [thresholds]})
    listener = http_listener("l", [virtual_host(route({"prefix": "/"}, "c"))])
    return start([listener], [to], "--concurrency", str(workers))


def at_once(proxy: Proxy) -> list[int]:
    """Statuses of as many requests at a time, on connections of their own."""
    port = proxy.port("l")
    with ThreadPoolExecutor(CLIENTS) as threads:
        return list(threads.map(lambda _: fetch(port, "GET", "/").status, range(CLIENTS)))


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("limit", [1, 4])
def test_requests_at_a_time(start: Start, origin: MakeOrigin, workers: int, limit: int) -> None:
    proxy = limited(start, origin(slow).port, {"max_requests": limit}, workers)
    statuses = at_once(proxy)
    assert sorted(set(statuses)) == [200, 503]
    assert statuses.count(200) == limit
    assert proxy.stat("cluster.c.upstream_rq_active_overflow") == CLIENTS - limit
    # What ended is free again, for every worker.
    assert at_once(proxy).count(200) == limit


def test_a_worker_that_dies_gives_back_what_it_held(start: Start, origin: MakeOrigin) -> None:
    proxy = limited(start, origin(slow).port, {"max_requests": 2}, 2)
    with ThreadPoolExecutor(CLIENTS) as threads:
        port = proxy.port("l")
        for _ in range(CLIENTS):
            threads.submit(fetch, port, "GET", "/")
        until(lambda: proxy.stat("cluster.c.upstream_rq_active") == 2)
        for worker in proxy.workers():
            os.kill(worker, signal.SIGKILL)
    until(lambda: is_ready(proxy))
    assert at_once(proxy).count(200) == 2


def is_ready(proxy: Proxy) -> bool:
    with contextlib.suppress(urllib.error.HTTPError):
        return "LIVE" in proxy.get("/ready")
    return False
