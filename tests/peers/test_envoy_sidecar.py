"""The real Envoy as a sidecar of our Pilot, over both dialects: no refusal, and the outcome that Istio
documents.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from meshloom.pilot.model.outbound_ports import HTTP_PROXY_PORT

from tests.peers.bookinfo import Bookinfo, platform, rules, running_bookinfo
from tests.peers.proxy import DataPlane, Node, Run, pod_ip, running_proxy
from tests.support.pilot import Mesh, running_pilot

REVIEWS = "reviews.default.svc.cluster.local"


@dataclass
class Sidecar:
    """An Envoy beside an otherwise empty workload, and a client that calls services through it."""

    mesh: Mesh
    app: Bookinfo
    proxy: DataPlane
    ip: str
    client: aiohttp.ClientSession

    async def get(
        self, host: str, path: str = "/", headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, object]]:
        """Through the HTTP proxy listener, by any name of the service."""
        url = f"http://{self.ip}:{HTTP_PROXY_PORT}{path}"
        async with self.client.get(url, headers={"host": host, **(headers or {})}) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else {"text": await answer.text()}

    async def served(self, host: str, headers: Mapping[str, str] | None = None) -> object:
        return (await self.get(host, headers=headers))[1].get("served_by")

    async def shares(self, host: str, count: int) -> Counter[object]:
        return Counter([await self.served(host) for _ in range(count)])

    async def settled(self) -> None:
        """Until Envoy has answered everything."""
        async with asyncio.timeout(10):
            while any(s.sync != "SYNCED" for c in self.mesh.hub.connections.values() for s in c.statuses()):
                assert not self.mesh.refusals()
                await asyncio.sleep(0.01)


@asynccontextmanager
async def _sidecar(folder: Path, delta: bool) -> AsyncIterator[Sidecar]:
    ip = pod_ip()
    node = Node(
        "sidecar", ip, "client-v1", "default", {"LABELS": {"app": "client"}, "MESHLOOM_MESH_TLS": "false"}
    )
    async with running_pilot() as mesh, running_bookinfo() as app, aiohttp.ClientSession() as client:
        await mesh.run(app.workloads.values())
        await mesh.apply(platform(), rules("destination-rule-all"))
        async with running_proxy(node, mesh.port, folder, Run(delta=delta)) as proxy:
            yield Sidecar(mesh, app, proxy, ip, client)


@pytest.fixture(params=[False, True], ids=["sotw", "delta"])
async def sidecar(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Sidecar]:
    async with _sidecar(tmp_path, request.param) as running:
        yield running


@pytest.mark.parametrize("host", ["reviews:9080", "reviews.default:9080", f"{REVIEWS}:9080", "reviews"])
async def test_every_name_of_a_service_reaches_it(sidecar: Sidecar, host: str) -> None:
    assert str(await sidecar.served(host)).startswith("reviews-")
    assert sidecar.mesh.refusals() == []


async def test_a_service_is_reached_on_its_own_listener(sidecar: Sidecar) -> None:
    key = next(k for k in sidecar.mesh.publisher.ports.by_key if k.hostname == REVIEWS)
    url = f"http://{sidecar.ip}:{sidecar.mesh.publisher.ports.by_key[key]}/"
    async with sidecar.client.get(url) as answer:
        assert (await answer.json())["served_by"].startswith("reviews-")


async def test_an_unknown_host_is_refused(sidecar: Sidecar) -> None:
    assert (await sidecar.get("nowhere.example"))[0] == 502


async def test_user_jason_sees_v2_and_everyone_else_v1(sidecar: Sidecar) -> None:
    await sidecar.mesh.apply(rules("virtual-service-all-v1"), rules("virtual-service-reviews-test-v2"))
    await sidecar.settled()

    assert await sidecar.served("reviews:9080", {"end-user": "jason"}) == "reviews-v2"
    assert await sidecar.shares("reviews:9080", 10) == {"reviews-v1": 10}


@pytest.mark.parametrize(
    ("rule", "versions", "expected"),
    [
        ("virtual-service-reviews-80-20", ("reviews-v1", "reviews-v2"), 0.8),
        ("virtual-service-reviews-50-v3", ("reviews-v1", "reviews-v3"), 0.5),
    ],
)
async def test_weights_split_the_traffic(
    sidecar: Sidecar, rule: str, versions: tuple[str, str], expected: float
) -> None:
    await sidecar.mesh.apply(rules(rule))
    await sidecar.settled()

    shares = await sidecar.shares("reviews:9080", 300)
    assert set(shares) == set(versions)
    assert abs(shares[versions[0]] / 300 - expected) < 0.12  # four standard deviations


async def test_jason_waits_seven_seconds_for_ratings(sidecar: Sidecar) -> None:
    await sidecar.mesh.apply(rules("virtual-service-ratings-test-delay").replace("7s", "700ms"))
    await sidecar.settled()

    started = time.monotonic()
    assert await sidecar.served("ratings:9080", {"end-user": "jason"}) == "ratings-v1"
    delayed = time.monotonic() - started
    await sidecar.served("ratings:9080")
    assert delayed >= 0.7
    assert time.monotonic() - started - delayed < 0.5


async def test_jason_gets_an_error_from_ratings(sidecar: Sidecar) -> None:
    await sidecar.mesh.apply(rules("virtual-service-ratings-test-abort"))
    await sidecar.settled()

    assert (await sidecar.get("ratings:9080", headers={"end-user": "jason"}))[0] == 500
    assert (await sidecar.get("ratings:9080"))[0] == 200


async def test_a_new_copy_takes_traffic_without_touching_clusters(sidecar: Sidecar) -> None:
    await sidecar.mesh.apply(rules("virtual-service-reviews-v3"))
    await sidecar.settled()
    before = await sidecar.proxy.stats("cluster_manager")
    mesh = sidecar.mesh

    await mesh.run(w for w in sidecar.app.workloads.values() if w.name != "reviews-v3")
    await sidecar.settled()
    assert (await sidecar.get("reviews:9080"))[0] == 503
    await mesh.run(sidecar.app.workloads.values())
    await sidecar.settled()

    assert await sidecar.served("reviews:9080") == "reviews-v3"
    after = await sidecar.proxy.stats("cluster_manager")
    assert after["cluster_manager.cluster_modified"] == before["cluster_manager.cluster_modified"]
