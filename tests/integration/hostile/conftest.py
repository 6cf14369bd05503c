"""One meshproxy in front of one judging upstream, for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.hostile.upstream import Upstream, echo
from tests.support.bootstrap import cluster, direct, http_listener, route, static, virtual_host
from tests.support.proxies import running


@dataclass(frozen=True, slots=True)
class Stage:
    """The proxy normalises paths, answers 403 by itself below /admin, and forwards everything else."""

    port: int
    upstream: Upstream


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    upstream = Upstream()
    everything = route({"prefix": "/"}, {"cluster": "upstream", "timeout": "5s"})
    admin = direct({"path_separated_prefix": "/admin"}, 403, "guarded")
    hosts = [virtual_host(admin, everything)]
    listener = http_listener("edge", hosts, normalize_path=True, merge_slashes=True)
    bootstrap = static([listener], [cluster("upstream", upstream.port)])
    with running("meshproxy", bootstrap, folder) as proxy:
        yield Stage(proxy.port("edge"), upstream)
    upstream.close()


@pytest.fixture(autouse=True)
def fresh(stage: Stage) -> None:
    """Each test starts with an upstream that echoes and has seen nothing."""
    stage.upstream.script = echo
    stage.upstream.requests.clear()
    stage.upstream.violations.clear()
    stage.upstream.truncated = 0
