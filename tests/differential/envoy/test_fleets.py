"""meshproxy spreads, limits, ejects and retries over several endpoints as the real Envoy does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.differential.envoy.fleets import BREAKERS, ENDPOINTS, FLEETS, OUTLIERS, SHARES, Fleet, member
from tests.differential.envoy.observe import settle
from tests.support.bootstrap import http_listener, route, static, virtual_host
from tests.support.client import Client, Response, request
from tests.support.origin import Origin
from tests.support.proxies import Proxy, side_by_side
from tests.support.wait import until

pytestmark = pytest.mark.xdist_group("differential-envoy")

REQUESTS = 400
# Chance alone moves two shares of 400 draws each further apart once in some hundred thousand runs.
TOLERANCE = 0.16
COUNTERS = (
    "upstream_rq_total",
    "upstream_rq_pending_overflow",
    "upstream_rq_active_overflow",
    "upstream_rq_retry",
    "upstream_rq_retry_overflow",
    "upstream_rq_retry_limit_exceeded",
    "upstream_cx_overflow",
    "upstream_cx_connect_fail",
    "upstream_rq_503",
    "upstream_rq_5xx",
    "outlier_detection.ejections_active",
    "outlier_detection.ejections_detected_consecutive_5xx",
    "outlier_detection.ejections_detected_consecutive_gateway_failure",
    "outlier_detection.ejections_enforced_total",
    "outlier_detection.ejections_enforced_consecutive_5xx",
    "outlier_detection.ejections_enforced_consecutive_gateway_failure",
    "outlier_detection.ejections_enforced_consecutive_local_origin_failure",
    "outlier_detection.ejections_overflow",
    "membership_healthy",
    "membership_total",
)
THREE_TO_ONE = [
    {"name": "weightedclusters", "weight": 3},
    {"name": "rreven", "weight": 1},
]


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Proxy]]:
    origins = [Origin(member(number)) for number in range(ENDPOINTS)]
    ports = [origin.port for origin in origins]
    action = {"weighted_clusters": {"clusters": THREE_TO_ONE}}
    hosts = [fleet.virtual_host() for fleet in FLEETS if fleet.name != "weightedclusters"]
    hosts.append(virtual_host(route({"prefix": "/"}, action), domains=["weightedclusters.test"]))
    bootstrap = static([http_listener("l", hosts)], [fleet.resource(ports) for fleet in FLEETS])
    folder: Path = tmp_path_factory.mktemp("fleets")
    with side_by_side(bootstrap, folder) as pair:
        yield pair
    for origin in origins:
        origin.close()


def named(fleets: list[Fleet], name: str) -> Fleet:
    return next(fleet for fleet in fleets if fleet.name == name)


def ask(proxy: Proxy, fleet: Fleet, targets: list[str]) -> list[Response]:
    """One request after the other, on one connection as long as it is kept."""
    answers: list[Response] = []
    client = Client(proxy.port("l"))
    for target in targets:
        client.send(request("GET", target, host=fleet.host))
        answers.append(client.response())
        if answers[-1].header("connection") == "close":
            client.socket.close()
            client = Client(proxy.port("l"))
    client.socket.close()
    return answers


def ask_slowly(proxy: Proxy, fleet: Fleet, targets: list[str]) -> list[Response]:
    """As `ask`, each request after the proxy has drawn its conclusions from the one before.

    Envoy ejects on its main thread, which serves the admin endpoint too: once it answers, that is done.
    """
    answers: list[Response] = []
    for target in targets:
        answers += ask(proxy, fleet, [target])
        proxy.stat(f"cluster.{fleet.name}.outlier_detection.ejections_active")
    return answers


def shares(answers: list[Response]) -> dict[str, float]:
    counted = Counter(
        answer.body.decode() if answer.status == 200 else str(answer.status) for answer in answers
    )
    return {name: count / len(answers) for name, count in counted.items()}


def counters(proxy: Proxy, fleet: Fleet) -> dict[str, int]:
    return {name: proxy.stat(f"cluster.{fleet.name}.{name}") for name in COUNTERS}


def busy(proxy: Proxy, fleet: Fleet, requests: int) -> None:
    """Waits until the proxy has so many requests to the cluster, under way or waiting."""
    names = [f"cluster.{fleet.name}.{name}" for name in ("upstream_rq_active", "upstream_rq_pending_active")]
    until(lambda: sum(proxy.stat(name) for name in names) >= requests, f"{proxy.kind}: {requests} requests")


def told(answer: Response) -> tuple[int, object, bytes]:
    return answer.status, settle(answer.headers, {}), answer.body


@pytest.mark.parametrize("fleet", SHARES, ids=lambda fleet: fleet.name)
def test_requests_are_spread_as_by_envoy(fleet: Fleet, proxies: list[Proxy]) -> None:
    ours, envoys = (shares(ask(proxy, fleet, ["/"] * REQUESTS)) for proxy in proxies)
    assert ours.keys() == envoys.keys()
    assert ours == {name: pytest.approx(share, abs=TOLERANCE) for name, share in envoys.items()}


def test_no_request_beyond_the_limit(proxies: list[Proxy]) -> None:
    fleet = named(BREAKERS, "maxrequests")
    outcomes = []
    for proxy in proxies:
        with ThreadPoolExecutor() as pool:
            slow = pool.submit(ask, proxy, fleet, ["/slow"])
            busy(proxy, fleet, 1)
            refused = ask(proxy, fleet, ["/"])
        outcomes.append(([told(answer) for answer in [*refused, *slow.result()]], counters(proxy, fleet)))
    assert outcomes[0] == outcomes[1]
    assert [status for status, _headers, _body in outcomes[0][0]] == [503, 200]


def test_nothing_waits_where_nothing_may(proxies: list[Proxy]) -> None:
    fleet = named(BREAKERS, "maxpending")
    ours, envoys = ([told(answer) for answer in ask(proxy, fleet, ["/", "/"])] for proxy in proxies)
    assert ours == envoys
    assert counters(proxies[0], fleet) == counters(proxies[1], fleet)


def test_no_connection_and_no_queue_beyond_the_limit(proxies: list[Proxy]) -> None:
    fleet = named(BREAKERS, "maxconnections")
    outcomes = []
    for proxy in proxies:
        with ThreadPoolExecutor() as pool:
            answers = []
            for requests in (1, 2, 3):
                answers.append(pool.submit(ask, proxy, fleet, ["/slow"]))
                busy(proxy, fleet, min(requests, 2))
        statuses = sorted(answer.result()[0].status for answer in answers)
        outcomes.append((statuses, counters(proxy, fleet)))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] == [200, 200, 503]


def test_no_retry_beyond_the_limit(proxies: list[Proxy]) -> None:
    fleet = named(BREAKERS, "maxretries")
    ours, envoys = ([told(answer) for answer in ask(proxy, fleet, ["/fail"])] for proxy in proxies)
    assert ours == envoys
    assert counters(proxies[0], fleet) == counters(proxies[1], fleet)


EJECTIONS = {
    "eject": ["/fail/1"] * 20,
    "ejectgateway": ["/fail/1"] * 20,
    "ejectdead": ["/"] * 20,
    "ejectreset": ["/reset/1"] * 20,
    "ejectfew": ["/fail/1"] * 20,
    "ejectall": ["/fail"] * 20,
    "ejectlocal": ["/"] * 20,
}


@pytest.mark.parametrize("fleet", OUTLIERS, ids=lambda fleet: fleet.name)
def test_what_fails_is_ejected_as_by_envoy(fleet: Fleet, proxies: list[Proxy]) -> None:
    ours, envoys = (
        Counter((a.status, a.body) for a in ask_slowly(proxy, fleet, EJECTIONS[fleet.name]))
        for proxy in proxies
    )
    assert ours == envoys
    assert counters(proxies[0], fleet) == counters(proxies[1], fleet)


@pytest.mark.parametrize("name", ["retryother", "retrydead"])
def test_a_retry_goes_to_another_endpoint(name: str, proxies: list[Proxy]) -> None:
    fleet = named(FLEETS, name)
    ours, envoys = (
        Counter((a.status, a.body) for a in ask(proxy, fleet, ["/fail/1"] * 40)) for proxy in proxies
    )
    assert ours == envoys == {(200, b"0"): 40}


def test_a_retry_may_go_to_the_same_endpoint(proxies: list[Proxy]) -> None:
    """Round robin: the next one is the other one, whatever the predicate."""
    fleet = named(FLEETS, "retrysame")
    ours, envoys = (Counter(a.status for a in ask(proxy, fleet, ["/fail/1"] * 40)) for proxy in proxies)
    assert ours == envoys
