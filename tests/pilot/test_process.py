"""`python -m meshloom.pilot` as a process: rules over gRPC and by file, registration, xDS, mTLS, its end."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import grpc
import grpc.aio
import pytest
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from meshloom.api.config.v1 import config_pb2, config_pb2_grpc
from meshloom.api.registry.v1 import registry_pb2, registry_pb2_grpc
from meshloom.auth.ca.authority import pem
from meshloom.auth.ca.keys import KeyType, key_pem
from meshloom.auth.spiffe import Identity
from meshloom.pilot.translate.resource import TypeUrl
from meshloom.runtime.address import Address, read_addresses

from tests.peers.identity import issue, make_authority
from tests.pilot.translate.mesh import SERVICES

ORDERS = "outbound|80||orders.default.svc.cluster.local"
CANARY = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - fault: {abort: {httpStatus: 555, percentage: {value: 100}}}
    route: [{destination: {host: orders}}]
"""


@dataclass
class Pilot:
    process: asyncio.subprocess.Process
    bound: dict[str, Address]
    config_dir: Path

    def channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(str(self.bound["grpc"]))

    async def page(self, path: str) -> str:
        async with aiohttp.ClientSession() as http, http.get(f"http://{self.bound['http']}{path}") as answer:
            assert answer.status == 200
            return await answer.text()


@asynccontextmanager
async def running(folder: Path, *flags: str) -> AsyncIterator[Pilot]:
    config_dir, addresses = folder / "config", folder / "addresses.json"
    config_dir.mkdir(exist_ok=True)
    (config_dir / "services.yaml").write_text(SERVICES)
    argv: list[object] = [
        "--config-dir",
        config_dir,
        "--address-path",
        addresses,
        "--grpc-listen",
        "127.0.0.1:0",
    ]
    argv += ["--http-listen", "127.0.0.1:0", *flags]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "meshloom.pilot", *(str(each) for each in argv)
    )
    try:
        async with asyncio.timeout(20):
            while not addresses.exists():
                assert process.returncode is None
                await asyncio.sleep(0.02)
        yield Pilot(process, read_addresses(addresses), config_dir)
    finally:
        if process.returncode is None:
            process.terminate()
        assert await process.wait() == 0


class Watcher:
    """Asks for one type by name, acknowledges, and gives each response's resources."""

    def __init__(self, channel: grpc.aio.Channel, type_url: TypeUrl, *names: str) -> None:
        self._call = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel).StreamAggregatedResources()
        self._type, self._names = type_url, names

    async def start(self, service_account: str = "front") -> None:
        request = discovery_pb2.DiscoveryRequest(type_url=self._type, resource_names=self._names)
        request.node.id = "sidecar~10.0.0.9~front.default~default.svc.cluster.local"
        request.node.metadata.update({"NAMESPACE": "default", "SERVICE_ACCOUNT": service_account})
        await self._call.write(request)

    async def next(self) -> discovery_pb2.DiscoveryResponse:
        async with asyncio.timeout(10):
            response = await self._call.read()
        assert isinstance(response, discovery_pb2.DiscoveryResponse), await self._call.details()
        ack = discovery_pb2.DiscoveryRequest(
            type_url=self._type, resource_names=self._names, response_nonce=response.nonce
        )
        await self._call.write(ack)
        return response


async def test_a_rule_that_is_applied_reaches_the_proxy(tmp_path: Path) -> None:
    async with running(tmp_path) as pilot, pilot.channel() as channel:
        routes = Watcher(channel, TypeUrl.ROUTE, ORDERS)
        await routes.start()
        assert b"555" not in (await routes.next()).resources[0].value

        rules = config_pb2_grpc.ConfigServiceStub(channel)  # type: ignore[no-untyped-call]
        applied = await rules.Apply(config_pb2.ApplyRequest(documents=CANARY, default_namespace="default"))
        assert [each.change for each in applied.results] == [config_pb2.ApplyResult.CREATED]

        assert "orders" in str((await routes.next()).resources[0].value)
        syncz = json.loads(await pilot.page("/debug/syncz"))
        assert syncz[0]["rds"]["status"] in ("SYNCED", "STALE")
        assert 'pilot_xds_pushes_total{type="rds"} 2.0' in await pilot.page("/metrics")


async def test_a_file_that_is_written_reaches_the_proxy(tmp_path: Path) -> None:
    async with running(tmp_path) as pilot, pilot.channel() as channel:
        routes = Watcher(channel, TypeUrl.ROUTE, ORDERS)
        await routes.start()
        first = await routes.next()
        (pilot.config_dir / "rule.yaml").write_text(CANARY)
        assert (await routes.next()).version_info != first.version_info


async def test_a_workload_is_an_endpoint_for_as_long_as_its_stream_lasts(tmp_path: Path) -> None:
    async with running(tmp_path) as pilot, pilot.channel() as channel:
        endpoints = Watcher(channel, TypeUrl.ENDPOINT, ORDERS)
        await endpoints.start()
        assert _addresses(await endpoints.next()) == []

        stream = registry_pb2_grpc.WorkloadRegistryStub(channel).Register()  # type: ignore[no-untyped-call]
        workload = registry_pb2.Workload(
            name="orders-1", namespace="default", address="10.0.0.1", labels={"app": "orders"}
        )
        await stream.write(registry_pb2.RegistrationRequest(register=workload))
        told = await stream.read()
        assert {each.service for each in told.services} == {"orders", "mail.other", "db"}
        healthy = registry_pb2.HealthUpdate(status=registry_pb2.HealthUpdate.HEALTHY)
        await stream.write(registry_pb2.RegistrationRequest(health=healthy))
        assert _addresses(await endpoints.next()) == ["10.0.0.1"]

        stream.cancel()
        assert _addresses(await endpoints.next()) == []


async def test_the_secure_port_serves_a_node_only_to_its_own_identity(tmp_path: Path) -> None:
    authority = make_authority()
    key = KeyType.P256.generate()
    pilot_id = Identity("cluster.local", "istio-system", "pilot")
    leaf = authority.issue_server(pilot_id, "pilot.example", key.public_key(), datetime.now(UTC))
    files = {
        "cert": authority.chain_pem(leaf)[0].encode(),
        "key": key_pem(key),
        "roots": pem(authority.roots).encode(),
    }
    flags = ["--secure-grpc-listen", "127.0.0.1:0"]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        flags += [f"--tls-{name}", str(tmp_path / name)]
    front = issue(authority, Identity("cluster.local", "default", "front"))
    credentials = grpc.ssl_channel_credentials(front.roots_pem, front.key_pem, front.chain_pem)
    options = (("grpc.ssl_target_name_override", "pilot.example"),)

    async with (
        running(tmp_path, *flags) as pilot,
        grpc.aio.secure_channel(str(pilot.bound["secure_grpc"]), credentials, options) as channel,
    ):
        allowed = Watcher(channel, TypeUrl.CLUSTER)
        await allowed.start("front")
        assert (await allowed.next()).resources

        stolen = Watcher(channel, TypeUrl.CLUSTER)
        await stolen.start("orders")
        with pytest.raises(grpc.aio.AioRpcError, match="the certificate proves"):
            await stolen.next()

        rules = config_pb2_grpc.ConfigServiceStub(channel)  # type: ignore[no-untyped-call]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await rules.Apply(config_pb2.ApplyRequest(documents=CANARY))
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def _addresses(response: discovery_pb2.DiscoveryResponse) -> list[str]:
    lists = (endpoint_pb2.ClusterLoadAssignment.FromString(each.value) for each in response.resources)
    return [
        endpoint.endpoint.address.socket_address.address
        for made in lists
        for group in made.endpoints
        for endpoint in group.lb_endpoints
    ]
