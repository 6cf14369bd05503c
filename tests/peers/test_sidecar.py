"""The real Envoy and our own proxy as sidecars of our Pilot: they refuse nothing, and both give the outcome
that Istio documents.
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
from tests.peers.proxy import RUN_NAMES, RUNS, DataPlane, Node, Run, pod_ip, running_proxy
from tests.support.pilot import Mesh, running_pilot
from tests.support.wait import until_async

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

    async def until_served(self, by: str, host: str, headers: Mapping[str, str] | None = None) -> None:
        async def check() -> bool:
            return await self.served(host, headers) == by

        await until_async(check, f"{host} served by {by}")

    async def until_status(self, status: int, host: str, headers: Mapping[str, str] | None = None) -> None:
        async def check() -> bool:
            return (await self.get(host, headers=headers))[0] == status

        await until_async(check, f"{status} from {host}")

    async def until_gone(self, host: str, not_among: tuple[str, ...]) -> None:
        """Until only the given ones answer, several times in a row."""

        async def check() -> bool:
            return set(await self.shares(host, 12)) <= set(not_among)

        await until_async(check, f"only {not_among} behind {host}")

    async def settled(self) -> None:
        """Until Envoy has answered everything."""
        async with asyncio.timeout(10):
            while any(s.sync != "SYNCED" for c in self.mesh.hub.connections.values() for s in c.statuses()):
                assert not self.mesh.refusals()
                await asyncio.sleep(0.01)


@asynccontextmanager
async def _sidecar(folder: Path, run: Run) -> AsyncIterator[Sidecar]:
    ip = pod_ip()
    node = Node(
        "sidecar", ip, "client-v1", "default", {"LABELS": {"app": "client"}, "MESHLOOM_MESH_TLS": "false"}
    )
    async with running_pilot() as mesh, running_bookinfo() as app, aiohttp.ClientSession() as client:
        await mesh.run(app.workloads.values())
        await mesh.apply(platform(), rules("destination-rule-all"))
        async with running_proxy(node, mesh.port, folder, run) as proxy:
            yield Sidecar(mesh, app, proxy, ip, client)


@pytest.fixture(params=RUNS, ids=RUN_NAMES)
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

    await sidecar.until_served("reviews-v2", "reviews:9080", {"end-user": "jason"})
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
    await sidecar.until_gone("reviews:9080", not_among=versions)

    shares = await sidecar.shares("reviews:9080", 300)
    assert set(shares) == set(versions)
    assert abs(shares[versions[0]] / 300 - expected) < 0.12  # four standard deviations


async def test_jason_waits_seven_seconds_for_ratings(sidecar: Sidecar) -> None:
    await sidecar.mesh.apply(rules("virtual-service-ratings-test-delay").replace("7s", "700ms"))
    await sidecar.settled()

    async def takes(headers: Mapping[str, str]) -> float:
        started = time.monotonic()
        assert await sidecar.served("ratings:9080", headers) == "ratings-v1"
        return time.monotonic() - started

    async def jason_waits() -> bool:
        return await takes({"end-user": "jason"}) >= 0.7

    await until_async(jason_waits, "a delay for jason")
    assert await takes({}) < 0.5


async def test_jason_gets_an_error_from_ratings(sidecar: Sidecar) -> None:
    await sidecar.mesh.apply(rules("virtual-service-ratings-test-abort"))
    await sidecar.settled()

    await sidecar.until_status(500, "ratings:9080", {"end-user": "jason"})
    assert (await sidecar.get("ratings:9080"))[0] == 200


async def test_a_new_copy_takes_traffic_without_touching_clusters(sidecar: Sidecar) -> None:
    await sidecar.mesh.apply(rules("virtual-service-reviews-v3"))
    await sidecar.settled()
    mesh = sidecar.mesh
    before = mesh.pushed("cds")

    await mesh.run(w for w in sidecar.app.workloads.values() if w.name != "reviews-v3")
    await sidecar.until_status(503, "reviews:9080")
    await mesh.run(sidecar.app.workloads.values())

    await sidecar.until_served("reviews-v3", "reviews:9080")
    assert mesh.pushed("cds") == before
