"""Bytes through both proxies: a TCP service with rules, and TLS that a gateway passes on by its SNI."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from meshloom.auth.ca.authority import Authority, pem
from meshloom.auth.ca.keys import KeyType, key_pem
from meshloom.auth.spiffe import Identity
from meshloom.pilot.model.base import Namespace
from meshloom.pilot.model.mesh import Workload, WorkloadPort

from tests.peers.identity import make_authority
from tests.peers.proxy import Node, Run, pod_ip, running_proxy
from tests.support.pilot import Mesh, running_pilot
from tests.support.proxies import KINDS, Kind
from tests.support.wait import until_async

PLAIN, SECURE = 5432, 8443
DATABASE = f"""
apiVersion: v1
kind: Service
metadata: {{name: db}}
spec:
  selector: {{app: db}}
  ports: [{{name: tcp, port: {PLAIN}}}, {{name: tls, port: {SECURE}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: db}}
spec: {{host: db, subsets: [{{name: v1, labels: {{version: v1}}}}, {{name: v2, labels: {{version: v2}}}}]}}
"""
ONLY_V2 = f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: db}}
spec:
  hosts: [db]
  tcp:
  - match: [{{port: {PLAIN}}}]
    route:
    - {{destination: {{host: db, subset: v1, port: {{number: {PLAIN}}}}}, weight: 0}}
    - {{destination: {{host: db, subset: v2, port: {{number: {PLAIN}}}}}, weight: 100}}
"""
PASSTHROUGH = f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - {{port: {{number: {SECURE}, name: tls, protocol: TLS}}, hosts: [db.example], tls: {{mode: PASSTHROUGH}}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: edge}}
spec:
  hosts: [db.example]
  gateways: [edge]
  tls:
  - match: [{{port: {SECURE}, sniHosts: [db.example]}}]
    route: [{{destination: {{host: db, subset: v2, port: {{number: {SECURE}}}}}}}]
"""


@asynccontextmanager
async def _database(version: str, context: ssl.SSLContext) -> AsyncIterator[Workload]:
    """Says its version to whoever connects, in plaintext or in TLS of its own."""

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(version.encode())
        await writer.drain()
        writer.close()

    address = pod_ip()
    async with (
        await asyncio.start_server(greet, address, PLAIN),
        await asyncio.start_server(greet, address, SECURE, ssl=context),
    ):
        yield Workload(
            name=f"db-{version}",
            namespace=Namespace("default"),
            address=address,
            labels={"app": "db", "version": version},
            ports=(WorkloadPort(PLAIN), WorkloadPort(SECURE)),
        )


async def _greeting(host: str, port: int, context: ssl.SSLContext | None = None) -> str:
    name = "db.example" if context else None
    try:
        reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=name)
        async with asyncio.timeout(5):
            said = await reader.read()
        writer.close()
    except OSError:
        return ""
    return said.decode()


@asynccontextmanager
async def _mesh(authority: Authority, folder: Path) -> AsyncIterator[Mesh]:
    context = _server_context(authority, folder)
    async with AsyncExitStack() as stack:
        mesh = await stack.enter_async_context(running_pilot())
        await mesh.run([await stack.enter_async_context(_database(v, context)) for v in ("v1", "v2")])
        await mesh.apply(DATABASE)
        yield mesh


def _server_context(authority: Authority, folder: Path) -> ssl.SSLContext:
    key = KeyType.P256.generate()
    owner = Identity("cluster.local", "default", "db")
    leaf = authority.issue_server(owner, "db.example", key.public_key(), datetime.now(UTC))
    chain, private = folder / "db.crt", folder / "db.key"
    chain.write_text("".join(authority.chain_pem(leaf)[:-1]))
    private.write_bytes(key_pem(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, private)
    return context


@pytest.mark.parametrize("kind", KINDS)
async def test_a_tcp_service_is_reached_and_follows_its_rules(kind: Kind, tmp_path: Path) -> None:
    ip = pod_ip()
    node = Node("sidecar", ip, "client", "default", {"MESHLOOM_MESH_TLS": "false"})
    async with (
        _mesh(make_authority(), tmp_path) as mesh,
        running_proxy(node, mesh.port, tmp_path, Run(kind, delta=True)),
    ):
        number = next(n for key, n in mesh.publisher.ports.by_key.items() if key.port == PLAIN)
        greetings = Counter([await _greeting(ip, number) for _ in range(20)])
        assert set(greetings) == {"v1", "v2"}

        await mesh.apply(ONLY_V2)

        async def only_v2() -> bool:
            return {await _greeting(ip, number) for _ in range(10)} == {"v2"}

        await until_async(only_v2, "only v2")
        assert mesh.refusals() == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_gateway_passes_tls_on_by_its_sni(kind: Kind, tmp_path: Path) -> None:
    authority, ip = make_authority(), pod_ip()
    metadata = {"LABELS": {"istio": "ingressgateway"}, "GATEWAY_BIND": ip, "MESHLOOM_MESH_TLS": "false"}
    node = Node("router", ip, "edge", "istio-system", metadata)
    async with _mesh(authority, tmp_path) as mesh:
        await mesh.apply(PASSTHROUGH)
        async with running_proxy(node, mesh.port, tmp_path, Run(kind, delta=True)):
            trusting = ssl.create_default_context(cadata=pem(authority.roots))
            assert await _greeting(ip, SECURE, trusting) == "v2"
            assert mesh.refusals() == []
