"""A real Envoy takes its certificate from our SDS, and each renewed one without dropping a connection."""

import asyncio
import json
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from meshloom.auth.ca.keys import KeyType
from meshloom.auth.identity.svid import Svid, make_request
from meshloom.auth.identity.workload import WorkloadIdentity
from meshloom.auth.sds.service import SecretServer
from meshloom.auth.spiffe import Identity

from tests.auth.conftest import ORDERS, RunningCa, now
from tests.support.envoy import envoy_binary
from tests.support.server import free_port

TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
HTTP2 = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def bootstrap(port: int, sds: Path, delta: bool) -> dict[str, object]:
    source = {
        "resource_api_version": "V3",
        "api_config_source": {
            "api_type": "DELTA_GRPC" if delta else "GRPC",
            "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": "sds-grpc"}}],
        },
    }
    context = {
        "@type": TLS,
        "require_client_certificate": True,
        "common_tls_context": {
            "tls_certificate_sds_secret_configs": [{"name": "default", "sds_config": source}],
            "validation_context_sds_secret_config": {"name": "ROOTCA", "sds_config": source},
        },
    }
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
    hcm = {
        "@type": HCM,
        "stat_prefix": "in",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [answer]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
    }
    chain = {
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context},
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": hcm}],
    }
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(sds)}}}}
    cluster = {
        "name": "sds-grpc",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "sds-grpc", "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": HTTP2,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {
        "node": {"id": "envoy", "cluster": "test"},
        "static_resources": {
            "listeners": [{"name": "in", "address": address, "filter_chains": [chain]}],
            "clusters": [cluster],
        },
    }


@dataclass
class Served:
    """An Envoy whose identity we hold."""

    port: int
    workload: WorkloadIdentity
    ca: RunningCa

    async def renew(self, identity: Identity = ORDERS) -> Svid:
        key, csr = make_request(identity, KeyType.P256)
        svid = Svid.accept(key, await self.ca.client().sign(csr, identity, timedelta(0)), identity, now())
        self.workload.replace(svid)
        return svid

    async def connect(self, client: Svid) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, int]:
        """Connection, and the serial number of the server's certificate."""
        context = ssl.create_default_context(cadata=self.ca.roots.read_text())
        context.check_hostname = False
        with tempfile.NamedTemporaryFile() as pem:
            pem.write(client.chain_pem + client.key_pem)
            pem.flush()
            context.load_cert_chain(pem.name)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return reader, writer, x509.load_der_x509_certificate(der).serial_number


@pytest.fixture(params=[False, True], ids=["state-of-the-world", "delta"])
async def served(ca: RunningCa, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    binary, port = envoy_binary(), free_port()
    with tempfile.TemporaryDirectory(prefix="mesh-") as folder:
        path = Path(folder) / "sds.sock"
        workload = WorkloadIdentity(ORDERS)
        server = SecretServer(workload, path)
        await server.start()
        config = tmp_path / "envoy.json"
        config.write_text(json.dumps(bootstrap(port, path, request.param)))
        with (tmp_path / "envoy.log").open("w") as log:
            argv = [
                str(binary),
                "-c",
                str(config),
                "--concurrency",
                "1",
                "--use-dynamic-base-id",
                "-l",
                "warn",
            ]
            envoy = subprocess.Popen(argv, stdout=log, stderr=log)
        try:
            yield Served(port, workload, ca)
        finally:
            envoy.kill()
            envoy.wait()
            await server.stop()


async def connected(
    served: Served, client: Svid, serial: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection whose server shows the certificate of that serial number."""
    async with asyncio.timeout(20):
        while True:
            try:
                reader, writer, shown = await served.connect(client)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            if shown == serial:
                return reader, writer
            writer.close()
            await asyncio.sleep(0.02)


async def get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(2)
    return head.split(b"\r\n", 1)[0]


async def test_envoy_serves_with_our_certificate_and_takes_each_renewed_one(served: Served) -> None:
    first = await served.renew()
    reader, writer = await connected(served, first, first.serial)
    assert await get(reader, writer) == b"HTTP/1.1 200 OK"

    second = await served.renew()
    _, fresh = await connected(served, second, second.serial)
    assert await get(reader, writer) == b"HTTP/1.1 200 OK", "the connection made before goes on"
    writer.close()
    fresh.close()
