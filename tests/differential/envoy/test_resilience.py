"""Retries, timeouts and faults as in the real Envoy: the answer, the attempts, the access log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.differential.envoy.cases import Ask, Case
from tests.differential.envoy.failures import RESILIENCE, FailingOrigin
from tests.differential.envoy.logs import both
from tests.differential.envoy.managers import INSIDE
from tests.differential.envoy.observe import observe
from tests.differential.envoy.trusted import TRUSTED
from tests.support.bootstrap import cluster, fault, file_log, http_listener, router, static, virtual_host
from tests.support.origin import Origin
from tests.support.proxies import Proxy, side_by_side

CASES = [*RESILIENCE, *TRUSTED]
LOG = (
    "%REQ(:AUTHORITY)% %REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL% %RESPONSE_CODE% "
    "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER_RAW% "
    "%UPSTREAM_REQUEST_ATTEMPT_COUNT% %ROUTE_NAME% %REQ(USER-AGENT)%\n"
)


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin(FailingOrigin()) as failing:
        yield failing


@pytest.fixture(scope="module")
def proxies(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Proxy]]:
    hosts = [virtual_host(*case.routes, domains=[case.host], **case.virtual_host) for case in CASES]
    clusters = [cluster("origin", origin.port), cluster("empty"), cluster("dead", 1)]
    folder: Path = tmp_path_factory.mktemp("resilience")

    def bootstrap(kind: str) -> dict[str, object]:
        log = file_log(folder / f"{kind}.log", LOG)
        # Clients on this machine are trusted.
        manager = {**INSIDE, "use_remote_address": True, "access_log": [log]}
        return static([http_listener("l", hosts, http_filters=[fault(), router()], **manager)], clusters)

    with side_by_side(bootstrap, folder) as pair:
        yield pair


def through(proxy: Proxy, case: Case, ask: Ask, origin: Origin) -> tuple[object, bool]:
    """What was seen, and whether it took longer than the shortest wait that a case sets up."""
    tagged = Ask(ask.target, (*ask.headers, ("x-proxy", proxy.kind)), ask.method, ask.body)
    started = time.monotonic()
    seen = observe(proxy.port("l"), case.host, tagged, (origin,))
    upstream = tuple((method, target, body) for method, target, _headers, body in seen.upstream)
    return (seen.status, seen.headers, seen.body, upstream), time.monotonic() - started > 0.095


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_same_outcome_as_envoy(case: Case, proxies: list[Proxy], origin: Origin) -> None:
    for ask in case.asks:
        ours, envoys = (through(proxy, case, ask, origin) for proxy in proxies)
        assert ours == envoys, f"{case.name}: {ask}"


def test_same_access_log_as_envoy(proxies: list[Proxy], origin: Origin) -> None:
    """Runs after the cases: both logs hold a line for each request, and the lines are equal."""
    wanted = sum(len(case.asks) for case in CASES)
    ours, envoys = both(proxies[0].folder.parent, wanted)
    assert ours == envoys
