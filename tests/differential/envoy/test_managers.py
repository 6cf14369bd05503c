"""The connection manager's settings mean what they mean in the real Envoy: requests, answers, access logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.differential.envoy import differences
from tests.differential.envoy.locations import LOCATIONS
from tests.differential.envoy.logs import both
from tests.differential.envoy.managers import MANAGED, Managed
from tests.differential.envoy.observe import observe
from tests.differential.envoy.origins import scripted
from tests.differential.envoy.replies import REPLIES
from tests.support.bootstrap import cluster, file_log, http_listener, static, virtual_host
from tests.support.client import fetch
from tests.support.origin import Origin
from tests.support.proxies import Proxy, side_by_side

CASES = [*MANAGED, *REPLIES, *LOCATIONS]
LOG = (
    "%REQ(:AUTHORITY)% %REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL% %RESPONSE_CODE% "
    "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER% "
    "%UPSTREAM_REQUEST_ATTEMPT_COUNT% %ROUTE_NAME% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% "
    "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% %REQ(X-FORWARDED-FOR)% %GRPC_STATUS% "
    "%RESP(CONTENT-TYPE)% %REQ(X-IN)% %UPSTREAM_PROTOCOL%\n"
)


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin(scripted("origin")) as one:
        yield one


@pytest.fixture(scope="module")
def proxies(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Proxy]]:
    folder: Path = tmp_path_factory.mktemp("managers")
    clusters = [cluster("origin", origin.port), cluster("empty"), cluster("dead", 1)]

    def bootstrap(kind: str) -> dict[str, object]:
        log = file_log(folder / f"{kind}.log", LOG)
        listeners = [
            http_listener(
                case.name, [virtual_host(*case.routes, **case.hosts)], access_log=[log], **case.manager
            )
            for case in CASES
        ]
        return static(listeners, clusters)

    with side_by_side(bootstrap, folder) as pair:
        yield pair


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_same_outcome_as_envoy(case: Managed, proxies: list[Proxy], origin: Origin) -> None:
    for ask in case.asks:
        ours, envoys = (observe(proxy.port(case.name), case.host, ask, (origin,)) for proxy in proxies)
        if differences.climbs(case.manager, ask.target):
            assert (ours.status, envoys.status) == (400, 200), f"{case.name}: {ask}"
        else:
            assert ours == envoys, f"{case.name}: {ask}"


def test_same_access_log_as_envoy(proxies: list[Proxy]) -> None:
    """Runs after the cases: both logs hold a line for each request, and the lines are equal."""
    wanted = sum(len(case.asks) for case in CASES)
    ours, envoys = both(proxies[0].folder.parent, wanted)
    assert ours == envoys


def test_redirects_count_as_direct_responses(proxies: list[Proxy]) -> None:
    """Runs after the cases: routes that redirect and hosts that require TLS."""
    for name in ("redirectempty", "tlsall", "direct404with"):
        counts = [proxy.stat(f"http.{name}.rq_direct_response") for proxy in proxies]
        assert counts[0] == counts[1] > 0, name


def test_a_status_without_a_body_has_none_in_any_form(proxies: list[Proxy]) -> None:
    """Envoy sends the formatted body after a 204, where RFC 9110 6.4.1 has none."""
    seen = fetch(proxies[0].port("jsonform"), target="/empty", host="jsonform.test")

    assert (seen.status, seen.body, seen.header("content-length")) == (204, b"", None)
