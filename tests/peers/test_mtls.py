"""Two sidecars of our Pilot, each the real Envoy or our own, speak mutual TLS with identities of our CA."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from meshloom.auth.spiffe import Identity
from meshloom.pilot.model.base import Namespace
from meshloom.pilot.model.mesh import TlsMode, Workload, WorkloadPort
from meshloom.pilot.model.outbound_ports import HTTP_PROXY_PORT
from meshloom.runtime.address import Address
from meshloom.runtime.http import Request, Response, serve_http

from tests.peers.identity import make_authority, sds_socket
from tests.peers.proxy import Node, Run, pod_ip, running_proxy
from tests.support.pilot import Mesh, running_pilot
from tests.support.proxies import KINDS, Kind

CLIENT = Identity("cluster.local", "default", "front")
SERVER = Identity("cluster.local", "default", "orders")
ORDERS = """
apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 80, targetPort: 8080}]
"""


def peer_authentication(mode: str) -> str:
    return f"""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default}}
spec: {{mtls: {{mode: {mode}}}}}
"""


@dataclass
class Pair:
    mesh: Mesh
    folder: Path
    client_ip: str
    server_ip: str
    http: aiohttp.ClientSession

    async def call(self) -> tuple[int, Mapping[str, str]]:
        """Through both sidecars; the headers are what the program behind the second one saw."""
        url = f"http://{self.client_ip}:{HTTP_PROXY_PORT}/"
        async with self.http.get(url, headers={"host": "orders"}) as answer:
            return answer.status, json.loads(await answer.text()) if answer.status == 200 else {}

    async def call_in_plaintext(self) -> int:
        async with self.http.get(f"http://{self.server_ip}:8080/") as answer:
            return answer.status


@asynccontextmanager
async def _pair(mode: str, kinds: Kinds, folder: Path) -> AsyncIterator[Pair]:
    async def answer(request: Request) -> Response:
        return Response(json.dumps(dict(request.headers)).encode(), content_type="application/json")

    authority = make_authority()
    async with AsyncExitStack() as stack:
        mesh = await stack.enter_async_context(running_pilot())
        app = await stack.enter_async_context(serve_http(Address("127.0.0.1", 0), answer))
        server_ip, client_ip = pod_ip(), pod_ip()
        await mesh.run([_orders(server_ip)])
        await mesh.apply(ORDERS, peer_authentication(mode))
        ports = {"MESHLOOM_APP_PORTS": {"8080": str(app)}}
        for identity, ip, metadata, kind in (
            (SERVER, server_ip, ports, kinds[1]),
            (CLIENT, client_ip, {}, kinds[0]),
        ):
            account = identity.service_account
            node = Node("sidecar", ip, account, "default", {"SERVICE_ACCOUNT": account, **metadata})
            socket = await stack.enter_async_context(sds_socket(authority, identity))
            run = Run(kind, delta=True, sds_socket=socket)
            await stack.enter_async_context(running_proxy(node, mesh.port, folder, run))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield Pair(mesh, folder, client_ip, server_ip, http)


def _orders(address: str) -> Workload:
    return Workload(
        name="orders-v1",
        namespace=Namespace("default"),
        address=address,
        labels={"app": "orders"},
        ports=(WorkloadPort(8080, "http"),),
        service_account="orders",
        tls_mode=TlsMode.ISTIO,
    )


Kinds = tuple[Kind, Kind]
pairs = pytest.mark.parametrize("kinds", list(itertools.product(KINDS, KINDS)), ids="-to-".join)


@pairs
async def test_a_permissive_workload_takes_both_and_knows_who_calls(kinds: Kinds, tmp_path: Path) -> None:
    async with _pair("PERMISSIVE", kinds, tmp_path) as pair:
        status, seen = await pair.call()

        assert status == 200
        assert f"URI={CLIENT}" in seen["x-forwarded-client-cert"]
        assert f"By={SERVER}" in seen["x-forwarded-client-cert"]
        assert await pair.call_in_plaintext() == 200
        assert pair.mesh.refusals() == []


@pairs
async def test_a_strict_workload_closes_plaintext_connections(kinds: Kinds, tmp_path: Path) -> None:
    async with _pair("STRICT", kinds, tmp_path) as pair:
        assert (await pair.call())[0] == 200
        with pytest.raises(aiohttp.ClientConnectionError):
            await pair.call_in_plaintext()


@pairs
async def test_without_mutual_tls_nobody_is_known(kinds: Kinds, tmp_path: Path) -> None:
    async with _pair("DISABLE", kinds, tmp_path) as pair:
        status, seen = await pair.call()
        assert status == 200
        assert "x-forwarded-client-cert" not in seen
        assert await pair.call_in_plaintext() == 200
