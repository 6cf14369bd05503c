"""meshproxy decides as the real Envoy does: the same bootstrap, the same requests, the same outcome."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.differential.envoy.cases import ROUTING, Case
from tests.differential.envoy.differences import wanted
from tests.differential.envoy.observe import observe
from tests.differential.envoy.origins import scripted
from tests.support.bootstrap import cluster, http_listener, static, virtual_host
from tests.support.client import fetch
from tests.support.origin import Origin
from tests.support.proxies import KINDS, Proxy, side_by_side


@pytest.fixture(scope="module")
def origins() -> Iterator[tuple[Origin, Origin]]:
    pair = Origin(scripted("origin")), Origin(scripted("second"))
    yield pair
    for origin in pair:
        origin.close()


@pytest.fixture(scope="module")
def proxies(
    origins: tuple[Origin, Origin], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Proxy]]:
    hosts = [virtual_host(*case.routes, domains=[case.host], **case.virtual_host) for case in ROUTING]
    clusters = [
        cluster("origin", origins[0].port),
        cluster("second", origins[1].port),
        cluster("empty"),
        cluster("dead", 1),
    ]
    bootstrap = static([http_listener("l", hosts)], clusters)
    folder: Path = tmp_path_factory.mktemp("routing")
    with side_by_side(bootstrap, folder) as pair:
        yield pair


@pytest.mark.parametrize("case", ROUTING, ids=lambda case: case.name)
def test_same_outcome_as_envoy(case: Case, proxies: list[Proxy], origins: tuple[Origin, Origin]) -> None:
    assert [proxy.kind for proxy in proxies] == list(KINDS)
    for number, ask in enumerate(case.asks):
        ours, envoys = (observe(proxy.port("l"), case.host, ask, origins) for proxy in proxies)
        assert ours == wanted(case.name, number, envoys), f"{case.name}: {ask}"


@pytest.mark.parametrize("values", [("x",), ("",), ("-1",), ("1.5",), ("0x3c",), ("1x",), ("0", "0")])
def test_a_choice_that_is_no_number_is_left_to_chance(values: tuple[str, ...], proxies: list[Proxy]) -> None:
    """`header_name` of weighted clusters; one try in ten million sees a single cluster."""
    lines = [("x-pick", value) for value in values]
    for proxy in proxies:
        chosen = {
            fetch(proxy.port("l"), "GET", "/", *lines, host="headerchoice.test").body for _ in range(46)
        }
        assert chosen == {b"origin", b"second"}, proxy.kind
