"""A cluster with health checks that changes: who answers, before and after, as with the real Envoy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.bootstrap import TYPE, Json, cluster, http_listener, route, static, virtual_host
from tests.support.client import Client, request
from tests.support.origin import Answer, Origin, Received, Script, answer
from tests.support.proxies import KINDS, Kind, Proxy, running
from tests.support.wait import until

pytestmark = pytest.mark.xdist_group("differential-envoy")

CLUSTER = TYPE + "envoy.config.cluster.v3.Cluster"
CHECK: Json = {
    "timeout": "5s",
    "interval": "0.1s",
    "no_traffic_interval": "0.1s",
    "unhealthy_threshold": 1,
    "healthy_threshold": 1,
    "http_health_check": {"path": "/health"},
}


def member(word: bytes, wait: float = 0.0) -> Script:
    """Answers requests with its word, and checks after a while."""

    def script(received: Received) -> Answer:
        if received.target == "/health":
            return Answer(answer().data, wait=wait)
        return answer(200, word)

    return script


class Clusters:
    """A file of clusters."""

    def __init__(self, path: Path) -> None:
        self.path, self.version = path, 0

    def put(self, *ports: int, **fields: Any) -> None:
        self.version += 1
        resource = {"@type": CLUSTER, **cluster("c", *ports, health_checks=[CHECK], **fields)}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps({"version_info": str(self.version), "resources": [resource]}))
        new.rename(self.path)


def who(proxy: Proxy, requests: int = 12) -> set[bytes]:
    with Client(proxy.port("l")) as client:
        words = set()
        for _ in range(requests):
            client.send(request())
            response = client.response()
            words.add(response.body if response.status == 200 else b"%d" % response.status)
        return words


def seen_until(proxy: Proxy, last: set[bytes]) -> set[bytes]:
    """Everybody who answered until it was only these."""
    seen: set[bytes] = set()

    def settled() -> bool:
        now = who(proxy)
        seen.update(now)
        return now == last

    until(settled, f"{last} alone; {seen} answered", within=10)
    return seen


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ((0, 1), (0,), {}),
        ((0, 1), (1, 2), {}),
        ((0,), (2,), {}),
        ((0, 1), (2,), {"connect_timeout": "2s"}),
    ],
    ids=["removed", "exchanged", "replaced", "changed-too"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_the_old_endpoints_answer_until_the_new_ones_are_checked(
    kind: Kind, before: Sequence[int], after: Sequence[int], changed: Json, tmp_path: Path
) -> None:
    words = [b"first", b"second", b"third"]
    with ExitStack() as stack:
        waits = (0.0, 0.0, 0.7)
        scripts = [member(word, wait) for word, wait in zip(words, waits, strict=True)]
        ports = [stack.enter_context(Origin(each)).port for each in scripts]
        clusters = Clusters(tmp_path / "clusters.json")
        clusters.put(*(ports[number] for number in before))
        listener = http_listener("l", [virtual_host(route({"prefix": "/"}, "c"))])
        source = {"cds_config": {"path_config_source": {"path": str(clusters.path)}}}
        bootstrap = static([listener], []) | {
            "node": {"id": "n", "cluster": "n"},
            "dynamic_resources": source,
        }
        proxy = stack.enter_context(running(kind, bootstrap, tmp_path / kind))
        until(lambda: who(proxy) == {words[number] for number in before})
        clusters.put(*(ports[number] for number in after), **changed)
        wanted = {words[number] for number in after}
        assert seen_until(proxy, wanted) <= {words[number] for number in (*before, *after)}
        assert who(proxy, 30) == wanted


ASSIGNMENT = TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment"


class Endpoints:
    """A file with the endpoints of `c`."""

    def __init__(self, path: Path) -> None:
        self.path, self.version = path, 0

    def put(self, *ports: int) -> None:
        self.version += 1
        resource = {"@type": ASSIGNMENT, **cluster("c", *ports)["load_assignment"]}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps({"version_info": str(self.version), "resources": [resource]}))
        new.rename(self.path)

    def cluster(self, **fields: Any) -> Json:
        source = {"path_config_source": {"path": str(self.path)}, "resource_api_version": "V3"}
        made = {**cluster("c"), "type": "EDS", "eds_cluster_config": {"eds_config": source}, **fields}
        del made["load_assignment"]
        return made


def members(proxy: Proxy) -> dict[str, str]:
    prefix, flags = "c::127.0.0.1:", "::health_flags::"
    lines = [
        line for line in proxy.get("/clusters").splitlines() if line.startswith(prefix) and flags in line
    ]
    return dict(line.removeprefix(prefix).split(flags) for line in lines)


@pytest.mark.parametrize("ignores", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_discovered_endpoint_that_is_removed_stays_while_it_passes(
    kind: Kind, ignores: bool, tmp_path: Path
) -> None:
    health = {0: 200, 1: 200}

    def script(number: int) -> Script:
        def reply(received: Received) -> Answer:
            return answer(health[number] if received.target == "/health" else 200, b"%d" % number)

        return reply

    with ExitStack() as stack:
        ports = [stack.enter_context(Origin(script(number))).port for number in (0, 1)]
        endpoints = Endpoints(tmp_path / "endpoints.json")
        endpoints.put(*ports)
        listener = http_listener("l", [virtual_host(route({"prefix": "/"}, "c"))])
        resource = endpoints.cluster(health_checks=[CHECK], ignore_health_on_host_removal=ignores)
        bootstrap = static([listener], [resource]) | {"node": {"id": "n", "cluster": "n"}}
        proxy = stack.enter_context(running(kind, bootstrap, tmp_path / kind))
        until(lambda: who(proxy) == {b"0", b"1"})
        before = proxy.stat("cluster.c.update_success")
        endpoints.put(ports[0])
        until(lambda: proxy.stat("cluster.c.update_success") > before, within=10)
        if ignores:
            until(lambda: who(proxy) == {b"0"})
            return
        assert who(proxy, 30) == {b"0", b"1"}
        assert members(proxy) == {str(ports[0]): "healthy", str(ports[1]): "/pending_dynamic_removal"}
        health[1] = 503
        until(lambda: who(proxy) == {b"0"})
        until(lambda: members(proxy) == {str(ports[0]): "healthy"})
