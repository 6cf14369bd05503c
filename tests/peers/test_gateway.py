"""The real Envoy and our own proxy as ingress gateways of our Pilot: Istio's sample, TLS, redirects."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from meshloom.auth.ca.authority import Authority, pem
from meshloom.auth.ca.keys import KeyType, key_pem
from meshloom.auth.spiffe import Identity

from tests.peers.bookinfo import platform, rules, running_bookinfo
from tests.peers.identity import make_authority
from tests.peers.proxy import RUN_NAMES, RUNS, Node, Run, pod_ip, running_proxy
from tests.support.pilot import Mesh, running_pilot
from tests.support.wait import until_async

GATEWAY = Identity("cluster.local", "istio-system", "gateway")
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.example]
  gateways: [edge]
  http:
  - route: [{destination: {host: details}}]
"""


@dataclass
class Edge:
    mesh: Mesh
    ip: str
    http: aiohttp.ClientSession

    async def get(self, path: str, host: str = "any.example", port: int = 8080) -> tuple[int, str]:
        url = f"http://{self.ip}:{port}{path}"
        async with self.http.get(url, headers={"host": host}, allow_redirects=False) as answer:
            return answer.status, answer.headers.get("location", "") or await answer.text()

    async def get_tls(self, host: str, context: ssl.SSLContext) -> tuple[int, str]:
        url = f"https://{self.ip}:8443/"
        async with self.http.get(url, headers={"host": host}, ssl=context, server_hostname=host) as answer:
            return answer.status, await answer.text()

    async def is_open(self, port: int) -> bool:
        try:
            _reader, writer = await asyncio.open_connection(self.ip, port)
        except OSError:
            return False
        writer.close()
        return True

    async def until_open(self, port: int) -> None:
        async def check() -> bool:
            return await self.is_open(port)

        await until_async(check, f"port {port} open")

    async def settled(self) -> None:
        async with asyncio.timeout(10):
            while any(s.sync != "SYNCED" for c in self.mesh.hub.connections.values() for s in c.statuses()):
                assert not self.mesh.refusals()
                await asyncio.sleep(0.01)


@pytest.fixture(params=RUNS, ids=RUN_NAMES)
async def edge(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Edge]:
    async with _edge(tmp_path, request.param) as running:
        yield running


@asynccontextmanager
async def _edge(folder: Path, run: Run) -> AsyncIterator[Edge]:
    ip = pod_ip()
    metadata = {
        "LABELS": {"istio": "ingressgateway"},
        "GATEWAY_BIND": ip,
        "MESHLOOM_PORT_MAP": {"80": "8081", "443": "8443"},
        "MESHLOOM_MESH_TLS": "false",
    }
    node = Node("router", ip, "ingressgateway", "istio-system", metadata)
    async with running_pilot() as mesh, running_bookinfo() as app, aiohttp.ClientSession() as http:
        await mesh.run(app.workloads.values())
        await mesh.apply(platform(), rules("bookinfo-gateway"))
        async with running_proxy(node, mesh.port, folder, run):
            yield Edge(mesh, ip, http)


def _gateway(protocol: str, tls: str, port: int = 443, namespace: str = "default") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge, namespace: {namespace}}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - port: {{number: {port}, name: edge, protocol: {protocol}}}
    hosts: [shop.example]
    tls: {tls}
"""


def _server_pair(authority: Authority) -> tuple[bytes, bytes]:
    """Certificate and key for shop.example."""
    key = KeyType.P256.generate()
    leaf = authority.issue_server(GATEWAY, "shop.example", key.public_key(), datetime.now(UTC))
    return "".join(authority.chain_pem(leaf)[:-1]).encode(), key_pem(key)


def _trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=pem(authority.roots))


async def test_the_sample_gateway_serves_the_paths_it_lists(edge: Edge) -> None:
    for path in ("/productpage", "/login", "/static/x.css", "/api/v1/products/0"):
        status, body = await edge.get(path)
        assert (status, "productpage-v1" in body) == (200, True)
    assert (await edge.get("/productpage/more"))[0] == 404
    assert edge.mesh.refusals() == []


async def test_a_gateway_port_that_closes_is_gone(edge: Edge) -> None:
    gateway = next(key for key in edge.mesh.objects if key.kind == "Gateway")
    await edge.mesh.delete(gateway)
    await edge.settled()

    async def closed() -> bool:
        return not await edge.is_open(8080)

    await until_async(closed, "port 8080 closed")


async def test_tls_with_certificate_files(edge: Edge, tmp_path: Path) -> None:
    authority = make_authority()
    chain, key = _server_pair(authority)
    (tmp_path / "tls.crt").write_bytes(chain)
    (tmp_path / "tls.key").write_bytes(key)
    files = f"{{mode: SIMPLE, serverCertificate: {tmp_path}/tls.crt, privateKey: {tmp_path}/tls.key}}"
    await edge.mesh.apply(_gateway("HTTPS", files), ROUTE)
    await edge.settled()
    await edge.until_open(8443)

    status, body = await edge.get_tls("shop.example", _trusting(authority))
    assert (status, "details-" in body) == (200, True)


async def test_tls_with_a_secret_that_is_replaced(edge: Edge) -> None:
    old, new = make_authority(), make_authority()
    await edge.mesh.apply(_secret(old), _gateway("HTTPS", "{mode: SIMPLE, credentialName: shop}"), ROUTE)
    await edge.settled()
    await edge.until_open(8443)
    assert (await edge.get_tls("shop.example", _trusting(old)))[0] == 200

    await edge.mesh.apply(_secret(new))
    await edge.settled()

    async def new_certificate() -> bool:
        async with aiohttp.ClientSession() as edge.http:
            try:
                return (await edge.get_tls("shop.example", _trusting(new)))[0] == 200
            except aiohttp.ClientConnectorCertificateError:
                return False

    await until_async(new_certificate, "the new certificate")


async def test_plaintext_is_redirected_to_https(edge: Edge) -> None:
    await edge.mesh.apply(_gateway("HTTP", "{httpsRedirect: true}", port=80))
    await edge.settled()

    await edge.until_open(8081)
    assert await edge.get("/a?b", "shop.example", 8081) == (301, "https://shop.example/a?b")
    assert (await edge.get("/", "other.example", 8081))[0] == 404


def _secret(authority: Authority) -> str:
    chain, key = (base64.b64encode(part).decode() for part in _server_pair(authority))
    return f"""
apiVersion: v1
kind: Secret
metadata: {{name: shop, namespace: istio-system}}
type: kubernetes.io/tls
data: {{tls.crt: {chain}, tls.key: {key}}}
"""
