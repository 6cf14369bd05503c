"""Two real sidecars, one behind the other, and Mixer: every request is in the totals, once for each side."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.meshproxy.test_lifecycle import worker_pids
from tests.mixer.support import Mixer, eventually, mixer
from tests.support.bootstrap import cluster, http_listener, route, router, static, virtual_host
from tests.support.client import fetch
from tests.support.origin import Answer, Origin, Received, answer
from tests.support.proxies import Proxy, running

TYPED_STRUCT = "type.googleapis.com/xds.type.v3.TypedStruct"
HEADERS: dict[str, Any] = {"istio_headers": {}}
REQUESTS = "istio_requests_total"
DURATION = "istio_request_duration_milliseconds"


@pytest.fixture
def origin() -> Iterator[Origin]:
    def coded(received: Received) -> Answer:
        return answer(503 if received.target == "/broken" else 200, b"0123456789")

    server = Origin()
    server.script = coded
    yield server
    server.close()


def istio(name: str, kind: str, **value: Any) -> dict[str, Any]:
    type_url = f"type.googleapis.com/{kind}"
    return {"name": name, "typed_config": {"@type": TYPED_STRUCT, "type_url": type_url, "value": value}}


def sidecar(workload: str, direction: str, port: int, report_to: Mixer) -> dict[str, Any]:
    """A sidecar of `workload` with one listener, as Pilot makes it for this direction."""
    side = "upstream" if direction == "OUTBOUND" else "downstream"
    told = {f"{side}_discovery": [HEADERS], f"{side}_propagation": [HEADERS]}
    filters = [
        istio("istio.metadata_exchange", "io.istio.http.peer_metadata.Config", **told),
        istio("istio.stats", "stats.PluginConfig"),
        router(),
    ]
    listener = http_listener("web", [virtual_host(route({"prefix": "/"}, "up"))], http_filters=filters)
    service = {"host": "orders.shop.svc.cluster.local", "name": "orders", "namespace": "shop"}
    metadata = {"filter_metadata": {"istio": {"services": [service]}}}
    node = {
        "id": f"sidecar~127.0.0.1~{workload}.shop~shop.svc.cluster.local",
        "cluster": workload,
        "metadata": {
            "NAMESPACE": "shop",
            "WORKLOAD_NAME": workload,
            "LABELS": {"app": workload.partition("-")[0], "version": "v1"},
            "MESHLOOM_MIXER": str(report_to.grpc),
        },
    }
    bootstrap = static(
        [listener | {"traffic_direction": direction}], [cluster("up", port, metadata=metadata)]
    )
    return bootstrap | {"node": node}


@contextlib.contextmanager
def pair(folder: Path, origin: Origin, report_to: Mixer) -> Iterator[tuple[Proxy, Proxy]]:
    """The storefront's sidecar, which sends to the orders' sidecar, which sends to `origin`."""
    behind = sidecar("orders-v1", "INBOUND", origin.port, report_to)
    with running("meshproxy", behind, folder / "orders", "--concurrency", "2") as orders:
        before = sidecar("storefront-v1", "OUTBOUND", orders.port("web"), report_to)
        with running("meshproxy", before, folder / "storefront", "--concurrency", "2") as storefront:
            yield storefront, orders


async def ask(proxy: Proxy, times: int, target: str = "/") -> None:
    port = await asyncio.to_thread(proxy.port, "web")
    for _ in range(times):
        await asyncio.to_thread(fetch, port, "GET", target)


def has_workers(proxy: Proxy, count: int) -> bool:
    return len(worker_pids(proxy)) == count


async def test_each_side_counts_every_request_with_both_names(tmp_path: Path, origin: Origin) -> None:
    async with mixer(tmp_path) as running_mixer:
        with pair(tmp_path, origin, running_mixer) as (storefront, _):
            await ask(storefront, 30)
            await ask(storefront, 5, "/broken")
            await eventually(lambda: running_mixer.total(REQUESTS) == 70, "35 requests from both sides")
        for reporter in ("source", "destination"):
            names = {
                "reporter": reporter,
                "source_workload": "storefront-v1",
                "destination_workload": "orders-v1",
                "destination_version": "v1",
                "destination_service": "orders.shop.svc.cluster.local",
                "request_protocol": "http",
            }
            assert running_mixer.total(REQUESTS, response_code="200", **names) == 30
            assert running_mixer.total(REQUESTS, response_code="503", **names) == 5
            assert running_mixer.total(f"{DURATION}_count", **names) == 35
            assert running_mixer.total("istio_response_bytes_sum", **names) > 350


async def test_killed_workers_lose_no_count(tmp_path: Path, origin: Origin) -> None:
    async with mixer(tmp_path) as running_mixer:
        with pair(tmp_path, origin, running_mixer) as (storefront, orders):
            for killed in (storefront, orders):
                await ask(storefront, 20)
                await asyncio.sleep(0.3)  # a worker that is killed in its first moments is taken for a crash
                for pid in worker_pids(killed):
                    os.kill(pid, signal.SIGKILL)
                await eventually(functools.partial(has_workers, killed, 2), "new workers")
            await ask(storefront, 20)
        assert running_mixer.total(REQUESTS, reporter="source") == 60
        assert running_mixer.total(REQUESTS, reporter="destination") == 60
