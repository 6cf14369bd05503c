"""meshproxy finds the endpoints of a subset, and its way when there are none, as the real Envoy does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.bootstrap import address, http_listener, route, static, virtual_host
from tests.support.client import Client, request
from tests.support.origin import Origin, answer
from tests.support.proxies import Proxy, side_by_side

pytestmark = pytest.mark.xdist_group("differential-envoy")

ENDPOINTS: list[dict[str, Any]] = [
    {"stage": "prod", "version": "1.0", "type": "std"},
    {"stage": "prod", "version": "1.1", "type": "std", "tags": ["a", "b"]},
    {"stage": "prod", "version": "1.0", "type": "bigmem", "tags": ["b", "c"], "shard": 7},
    {"stage": "dev", "version": "1.2-pre", "type": "std", "canary": True},
]
SELECTORS: list[dict[str, Any]] = [
    # Before the selector that has this key and more: behind it, Envoy forgets the policy.
    {"keys": ["stage"], "fallback_policy": "NO_FALLBACK"},
    {"keys": ["stage", "version"], "fallback_policy": "KEYS_SUBSET", "fallback_keys_subset": ["stage"]},
    {"keys": ["type"], "fallback_policy": "ANY_ENDPOINT"},
    {"keys": ["version"]},
    {"keys": ["tags"]},
    {"keys": ["shard"]},
    {"keys": ["canary"], "fallback_policy": "DEFAULT_SUBSET"},
]
CLUSTERS: dict[str, dict[str, Any]] = {
    "none": {"subset_selectors": SELECTORS},
    "any": {"fallback_policy": "ANY_ENDPOINT", "subset_selectors": SELECTORS, "list_as_any": True},
    "default": {
        "fallback_policy": "DEFAULT_SUBSET",
        "default_subset": {"stage": "prod"},
        "subset_selectors": SELECTORS,
    },
    "panic": {
        "fallback_policy": "DEFAULT_SUBSET",
        "default_subset": {"stage": "nowhere"},
        "subset_selectors": SELECTORS,
        "panic_mode_any": True,
    },
    "single": {"subset_selectors": [{"keys": ["version"], "single_host_per_subset": True}]},
    "list": {"subset_selectors": SELECTORS, "metadata_fallback_policy": "FALLBACK_LIST"},
    "undivided": {"fallback_policy": "NO_FALLBACK"},
}
CRITERIA: list[dict[str, Any]] = [
    {},
    {"stage": "prod", "version": "1.0"},
    {"stage": "prod", "version": "9"},
    {"stage": "test", "version": "1.0"},
    {"stage": "test"},
    {"type": "bigmem"},
    {"type": "tiny"},
    {"version": "1.0"},
    {"version": "9"},
    {"tags": "b"},
    {"tags": ["a", "b"]},
    {"shard": 7},
    {"shard": "7"},
    {"canary": True},
    {"canary": False},
    {"type": "std", "stage": "prod"},
    {"fallback_list": [{"version": "9"}, {"version": "1.1"}]},
]
COUNTERS = ("lb_subsets_selected", "lb_subsets_fallback", "lb_subsets_fallback_panic")
REQUESTS = 24


def resource(name: str, config: dict[str, Any], ports: Sequence[int]) -> dict[str, Any]:
    members = [
        {"endpoint": {"address": address(port)}, "metadata": {"filter_metadata": {"envoy.lb": labels}}}
        for port, labels in zip(ports, ENDPOINTS, strict=True)
    ]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "lb_subset_config": config,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": members}]},
    }


def to(name: str, number: int) -> dict[str, Any]:
    """The route `/<cluster>/<number>/`; every other one says what it wants beside the cluster's weight."""
    metadata = {"filter_metadata": {"envoy.lb": CRITERIA[number]}}
    match = {"prefix": f"/{name}/{number}/"}
    if number % 2:
        entry = {"name": name, "weight": 1, "metadata_match": metadata}
        overruled = {"filter_metadata": {"envoy.lb": dict.fromkeys(CRITERIA[number], "overruled")}}
        return route(match, {"weighted_clusters": {"clusters": [entry]}, "metadata_match": overruled})
    return route(match, {"cluster": name, "metadata_match": metadata})


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Proxy]]:
    origins = [
        Origin(lambda _, number=number: answer(200, str(number).encode()))  # type: ignore[misc]
        for number in range(len(ENDPOINTS))
    ]
    ports = [origin.port for origin in origins]
    routes = [to(name, number) for name in CLUSTERS for number in range(len(CRITERIA))]
    clusters = [resource(name, config, ports) for name, config in CLUSTERS.items()]
    bootstrap = static([http_listener("l", [virtual_host(*routes)])], clusters)
    folder: Path = tmp_path_factory.mktemp("subsets")
    with side_by_side(bootstrap, folder) as pair:
        yield pair
    for origin in origins:
        origin.close()


def reach(proxy: Proxy, name: str, number: int) -> set[str]:
    """Which endpoints answer, or the status where none does."""
    with Client(proxy.port("l")) as client:
        found = set()
        for _ in range(REQUESTS):
            client.send(request("GET", f"/{name}/{number}/"))
            response = client.response()
            found.add(response.body.decode() if response.status == 200 else str(response.status))
        return found


@pytest.mark.parametrize("name", CLUSTERS)
def test_each_request_reaches_the_endpoints_that_it_reaches_with_envoy(
    proxies: list[Proxy], name: str
) -> None:
    ours, envoy = proxies
    for number, criteria in enumerate(CRITERIA):
        assert reach(ours, name, number) == reach(envoy, name, number), criteria
    for counter in COUNTERS:
        stat = f"cluster.{name}.{counter}"
        assert ours.stat(stat) == envoy.stat(stat), stat
    # Envoy has the subsets in its main thread as well.
    for counter in ("lb_subsets_created", "lb_subsets_active"):
        stat = f"cluster.{name}.{counter}"
        assert 2 * ours.stat(stat) == envoy.stat(stat), stat
