"""Upstreams that judge, and one meshproxy in front of one of them for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.hostile.upstream import Upstream, echo
from tests.support.bootstrap import Json, cluster, direct, http_listener, route, static, virtual_host
from tests.support.proxies import running


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as one:
        yield one


@dataclass(frozen=True, slots=True)
class Stage:
    """The proxy normalises paths, answers 403 by itself below /admin, and forwards everything else."""

    port: int
    upstream: Upstream


def edge_listener() -> Json:
    everything = route({"prefix": "/"}, {"cluster": "upstream", "timeout": "5s"})
    admin = direct({"path_separated_prefix": "/admin"}, 403, "guarded")
    hosts = [virtual_host(admin, everything)]
    versions = {"accept_http_10": True}
    return http_listener(
        "edge", hosts, normalize_path=True, merge_slashes=True, http_protocol_options=versions
    )


@pytest.fixture(scope="session")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    upstream = Upstream()
    bootstrap = static([edge_listener()], [cluster("upstream", upstream.port)])
    with running("meshproxy", bootstrap, folder) as proxy:
        yield Stage(proxy.port("edge"), upstream)
    upstream.close()


@pytest.fixture
def stage(edge: Stage) -> Stage:
    """The proxy, with an upstream that echoes and has seen nothing."""
    edge.upstream.script = echo
    edge.upstream.requests.clear()
    edge.upstream.violations.clear()
    edge.upstream.truncated = 0
    return edge
