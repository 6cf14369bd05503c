"""The ADS server over a real socket: what the stream machine alone cannot show."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from envoy.service.status.v3 import csds_pb2, csds_pb2_grpc
from meshloom.pilot.translate.resource import TypeUrl

from tests.support.pilot import Mesh, running_pilot

NODE = "sidecar~10.0.0.9~front.default~default.svc.cluster.local"


def _ask(node: str = NODE, type_url: str = TypeUrl.CLUSTER) -> discovery_pb2.DiscoveryRequest:
    request = discovery_pb2.DiscoveryRequest(type_url=type_url)
    request.node.id = node
    return request


def _open(channel: grpc.aio.Channel) -> Any:
    return ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel).StreamAggregatedResources()


def _service(number: int) -> str:
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: service-{number}}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
"""


@pytest.mark.parametrize(
    "node", ["front", "pigeon~10.0.0.9~front.default~x", "sidecar~nowhere~front.default~x"]
)
async def test_a_node_that_makes_no_sense_is_told_what_would(node: str) -> None:
    async with running_pilot() as mesh, grpc.aio.insecure_channel(f"127.0.0.1:{mesh.port}") as channel:
        call = _open(channel)
        await call.write(_ask(node))
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "want" in await call.details()


async def test_a_client_that_does_not_read_is_dropped() -> None:
    async with running_pilot(write_patience=0.3) as mesh:
        await mesh.apply("".join(_service(number) for number in range(6000)))
        window = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{mesh.port}", window) as channel:
            call = _open(channel)
            await call.write(_ask())
            await _until(lambda: _value(mesh) == 1)
            assert not mesh.hub.connections


async def test_status_tells_who_runs_what() -> None:
    async with running_pilot() as mesh, grpc.aio.insecure_channel(f"127.0.0.1:{mesh.port}") as channel:
        await mesh.publish()
        call, status = _open(channel), csds_pb2_grpc.ClientStatusDiscoveryServiceStub(channel)
        await call.write(_ask())
        response = await call.read()
        assert isinstance(response, discovery_pb2.DiscoveryResponse)
        assert await _states(status) == {(NODE, csds_pb2.STALE, "")}

        await call.write(
            discovery_pb2.DiscoveryRequest(type_url=TypeUrl.CLUSTER, response_nonce=response.nonce)
        )
        async with asyncio.timeout(5):
            while await _states(status) != {(NODE, csds_pb2.SYNCED, response.version_info)}:
                await asyncio.sleep(0.01)


async def _states(status: csds_pb2_grpc.ClientStatusDiscoveryServiceStub) -> set[tuple[str, int, str]]:
    told = await status.FetchClientStatus(csds_pb2.ClientStatusRequest())
    return {
        (client.node.id, each.config_status, each.version_info)
        for client in told.config
        for each in client.generic_xds_configs
    }


def _value(mesh: Mesh) -> float:
    return mesh.metrics.write_timeouts._value.get()  # type: ignore[no-any-return]


async def _until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not check():
            await asyncio.sleep(0.02)
