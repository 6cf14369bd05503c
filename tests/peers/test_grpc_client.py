"""gRPC's own xDS client, with no proxy at all, resolves and balances over our Pilot."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
import pytest
from meshloom.pilot.model.base import Namespace
from meshloom.pilot.model.mesh import Workload, WorkloadPort

from tests.peers import grpc_client
from tests.peers.proxy import pod_ip
from tests.support.pilot import Mesh, running_pilot

ECHO = """
apiVersion: v1
kind: Service
metadata: {name: echo}
spec:
  selector: {app: echo}
  ports: [{name: grpc, port: 7070}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: echo}
spec:
  host: echo
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
"""
CANARY = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo}
spec:
  hosts: [echo]
  http:
  - route:
    - {destination: {host: echo, subset: v1}, weight: 0}
    - {destination: {host: echo, subset: v2}, weight: 100}
"""


@asynccontextmanager
async def _echo(version: str) -> AsyncIterator[Workload]:
    async def name(_request: bytes, _context: object) -> bytes:
        return version.encode()

    address = pod_ip()
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(name)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", {"Name": handler}),))
    port = server.add_insecure_port(f"{address}:7070")
    await server.start()
    try:
        yield Workload(
            name=f"echo-{version}",
            namespace=Namespace("default"),
            address=address,
            labels={"app": "echo", "version": version},
            ports=(WorkloadPort(port, "grpc"),),
        )
    finally:
        await server.stop(grace=0)


@dataclass
class Client:
    process: asyncio.subprocess.Process

    async def calls(self, count: int) -> Mapping[str, int]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{count}\n".encode())
        async with asyncio.timeout(20):
            line = await self.process.stdout.readline()
        found: Mapping[str, int] = json.loads(line)
        return found

    async def until(self, expected: set[str]) -> None:
        """Until exactly these servers answer: a client learns of a change a little after Pilot told it."""
        async with asyncio.timeout(15):
            while set(await self.calls(10)) != expected:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def _client(mesh: Mesh, target: str) -> AsyncIterator[Client]:
    bootstrap = {
        "xds_servers": [
            {
                "server_uri": f"127.0.0.1:{mesh.port}",
                "channel_creds": [{"type": "insecure"}],
                "server_features": ["xds_v3"],
            }
        ],
        "node": {
            "id": "sidecar~127.0.0.1~client.default~default.svc.cluster.local",
            "metadata": {"GENERATOR": "grpc", "NAMESPACE": "default"},
        },
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(grpc_client.__file__)),
        target,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "GRPC_XDS_BOOTSTRAP_CONFIG": json.dumps(bootstrap)},
    )
    try:
        yield Client(process)
    finally:
        process.kill()
        await process.communicate()


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    async with AsyncExitStack() as stack:
        mesh = await stack.enter_async_context(running_pilot())
        mesh.workloads = tuple([await stack.enter_async_context(_echo(v)) for v in ("v1", "v2")])
        await mesh.apply(ECHO)
        yield mesh


@pytest.mark.parametrize("host", ["echo.default.svc.cluster.local", "echo"])
async def test_calls_are_spread_over_the_endpoints(mesh: Mesh, host: str) -> None:
    async with _client(mesh, f"xds:///{host}:7070") as client:
        await client.until({"v1", "v2"})  # both connected
        assert dict(await client.calls(20)) == {"v1": 10, "v2": 10}
        assert mesh.refusals() == []


async def test_an_endpoint_that_goes_gets_no_more_calls_and_comes_back(mesh: Mesh) -> None:
    async with _client(mesh, "xds:///echo.default.svc.cluster.local:7070") as client:
        await client.until({"v1", "v2"})
        everyone = mesh.workloads
        await mesh.run(everyone[:1])
        await client.until({"v1"})
        await mesh.run(everyone)
        await client.until({"v1", "v2"})


async def test_a_rule_moves_the_traffic(mesh: Mesh) -> None:
    async with _client(mesh, "xds:///echo.default.svc.cluster.local:7070") as client:
        await client.until({"v1", "v2"})
        await mesh.apply(CANARY)
        await client.until({"v2"})
        assert mesh.refusals() == []
