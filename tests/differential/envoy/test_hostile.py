"""Odd but lawful requests become what Envoy makes of them, but for a table of wanted differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from tests.differential.envoy.differences import LAWFUL
from tests.integration.hostile.conversation import converse
from tests.integration.hostile.lawful import CLASSES, Lawful
from tests.integration.hostile.upstream import Upstream
from tests.support.bootstrap import cluster, http_listener, route, static, virtual_host
from tests.support.proxies import Proxy, side_by_side

pytestmark = pytest.mark.xdist_group("differential-envoy")

# Envoy does not count hops, nor take HTTP/1.0 unless told to; ours is tested in tests/integration/hostile.
OWN = {"hops counted", "HTTP/1.0, lawful"}
Outcome = tuple[list[int], list[tuple[object, bytes, str | None]]]


@pytest.fixture(scope="module")
def proxies(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Proxy]]:
    folder = tmp_path_factory.mktemp("lawful")
    hosts = [virtual_host(route({"prefix": "/"}, "upstream"))]
    listener = http_listener("edge", hosts, normalize_path=True, merge_slashes=True)
    bootstrap = static([listener], [cluster("upstream", upstream.port)])
    with side_by_side(bootstrap, folder) as pair:
        yield pair


def outcome(proxy: Proxy, upstream: Upstream, case: Lawful) -> Outcome:
    upstream.requests.clear()
    answers = converse(proxy.port("edge"), [case.data], expect=1, methods=[case.start[0]])
    return answers.statuses, [(r.start, r.body, r.value("host")) for r in upstream.requests]


@pytest.mark.parametrize("name", [name for name in CLASSES if name not in OWN])
def test_the_upstream_gets_what_envoy_sends(name: str, proxies: list[Proxy], upstream: Upstream) -> None:
    cases: Sequence[Lawful] = CLASSES[name]
    for case in cases:
        ours, envoys = (outcome(proxy, upstream, case) for proxy in proxies)
        line, _, head = case.data.lstrip().partition(b"\r\n")
        wanted = next((True for part in LAWFUL if part in line or part in head), False)
        assert (ours != envoys) is wanted, f"{case.data[:200]!r}: {ours} and {envoys}"
