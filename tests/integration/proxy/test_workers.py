"""Several workers before HTTP/2 upstreams: limits hold for all together, who leaves costs no request."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import h2.settings
import pytest

from tests.integration.proxy.conftest import Start
from tests.support.bootstrap import TYPE, cluster, http_listener, route, virtual_host
from tests.support.client import Client, fetch, request
from tests.support.http2_origin import Goaway, Http2Origin, Received, Reset, Step, Wait, answer
from tests.support.proxies import Proxy
from tests.support.wait import until

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
WORKERS = 3


def serve(start: Start, *ports: int, policy: dict[str, Any] | None = None, **fields: Any) -> Proxy:
    spoken = {"@type": TYPE + OPTIONS, "explicit_http_config": {"http2_protocol_options": {}}}
    to: dict[str, Any] = {"cluster": "c"}
    if policy:
        to["retry_policy"] = policy
    resource = cluster("c", *ports, typed_extension_protocol_options={OPTIONS: spoken}, **fields)
    listener = http_listener("l", [virtual_host(route({"prefix": "/"}, to))])
    return start([listener], [resource], "--concurrency", str(WORKERS))


def load(port: int, clients: int, each: int) -> Counter[int]:
    """Every client keeps its connection, so that the workers share them."""

    def client(_: int) -> list[int]:
        statuses = []
        with Client(port) as connection:
            for _ in range(each):
                connection.send(request("POST", "/", body=b"payload"))
                statuses.append(connection.response("POST").status)
        return statuses

    with ThreadPoolExecutor(clients) as pool:
        return Counter(status for statuses in pool.map(client, range(clients)) for status in statuses)


def leaves_after(streams: int) -> Any:
    """Answers, and says farewell with the last of so many streams; at later ones it does not look."""

    def script(received: Received) -> list[Step]:
        last = 2 * streams - 1
        if received.stream > last:
            return []
        steps = [Wait(0.002), *answer()]
        return [Goaway(last), *steps] if received.stream == last else steps

    return script


@pytest.mark.parametrize("most", [1, 3, 100])
def test_upstreams_that_say_farewell_again_and_again_lose_no_request(start: Start, most: int) -> None:
    settings: dict[int, int] = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: most}
    with ExitStack() as stack:
        origins = [
            stack.enter_context(Http2Origin(leaves_after(count), settings=settings)) for count in (5, 8, 13)
        ]
        proxy = serve(start, *(origin.port for origin in origins))
        assert load(proxy.port("l"), clients=12, each=40) == {200: 480}
        assert not any(origin.violations for origin in origins)
        # Nobody stands aside.
        assert all(len(origin.received) > 40 for origin in origins)
        assert sum(origin.connections for origin in origins) > 3 * WORKERS
    assert proxy.stat("cluster.c.upstream_rq_active") == 0
    assert proxy.stat("cluster.c.upstream_rq_pending_active") == 0


def test_refused_streams_are_repeated_by_policy_in_every_worker(start: Start) -> None:
    counts = Counter[int]()

    def script(received: Received) -> list[Step]:
        counts[received.connection] += 1
        return [Reset(7)] if counts[received.connection] % 4 == 0 else answer()

    with Http2Origin(script) as origin:
        policy = {"retry_on": "refused-stream", "num_retries": 5}
        limits = {"circuit_breakers": {"thresholds": [{"max_retries": 100}]}}
        proxy = serve(start, origin.port, policy=policy, **limits)
        assert load(proxy.port("l"), clients=6, each=30) == {200: 180}
        assert proxy.stat("cluster.c.upstream_rq_retry") > 20


def test_the_breaker_of_requests_is_exact_over_all_workers(start: Start) -> None:
    gate = threading.Event()

    def script(_: Received) -> list[Step]:
        gate.wait(10)
        return answer()

    with Http2Origin(script) as origin, ThreadPoolExecutor(24) as pool:
        limits = {"circuit_breakers": {"thresholds": [{"max_requests": 5}]}}
        proxy = serve(start, origin.port, **limits)
        port = proxy.port("l")
        futures = [pool.submit(lambda: fetch(port).status) for _ in range(24)]
        until(lambda: proxy.stat("cluster.c.upstream_rq_active_overflow") == 19)
        assert proxy.stat("cluster.c.upstream_rq_active") == 5
        gate.set()
        assert Counter(future.result(10) for future in futures) == {200: 5, 503: 19}
