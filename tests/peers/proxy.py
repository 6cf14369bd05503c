"""A real Envoy, or our own proxy, from one and the same bootstrap: all else it takes from Pilot."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.proxies import Kind, command

_START_S = 20.0


def pod_ip() -> str:
    """A loopback address that no other test of this machine is likely to have."""
    return f"127.{random.randint(2, 254)}.{random.randint(1, 254)}.{random.randint(1, 254)}"


@dataclass(frozen=True)
class Node:
    """`role` is sidecar or router; `metadata` is Istio's."""

    role: str
    ip: str
    name: str
    namespace: str
    metadata: Mapping[str, Any]

    @property
    def id(self) -> str:
        return f"{self.role}~{self.ip}~{self.name}.{self.namespace}~{self.namespace}.svc.cluster.local"


@dataclass
class DataPlane:
    admin: str
    log: Path

    async def config(self) -> str:
        async with aiohttp.ClientSession() as client, client.get(f"http://{self.admin}/config_dump") as got:
            return await got.text()

    async def stats(self, prefix: str) -> dict[str, int]:
        url = f"http://{self.admin}/stats?format=json&filter={prefix}"
        async with aiohttp.ClientSession() as client, client.get(url) as got:
            found = json.loads(await got.text())["stats"]
        return {each["name"]: each["value"] for each in found if "name" in each and "value" in each}


def bootstrap(node: Node, pilot_port: int, *, delta: bool, sds_socket: Path) -> dict[str, Any]:
    http2 = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
    return {
        "node": {
            "id": node.id,
            "cluster": f"{node.name}.{node.namespace}",
            "metadata": {"NAMESPACE": node.namespace, "NAME": node.name, **node.metadata},
        },
        "admin": {"address": _socket("127.0.0.1", 0)},
        "dynamic_resources": {
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
            "ads_config": {
                "api_type": "DELTA_GRPC" if delta else "GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "xds-grpc",
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "typed_extension_protocol_options": http2,
                    "load_assignment": _assignment("xds-grpc", _socket("127.0.0.1", pilot_port)),
                },
                {
                    "name": "sds-grpc",
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "typed_extension_protocol_options": http2,
                    "load_assignment": _assignment("sds-grpc", {"pipe": {"path": str(sds_socket)}}),
                },
            ]
        },
    }


def _socket(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _assignment(name: str, address: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "cluster_name": name,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
    }


@dataclass(frozen=True)
class Run:
    """Which proxy, in which dialect of xDS, with which SDS socket (none: no identity)."""

    kind: Kind = "envoy"
    delta: bool = False
    sds_socket: Path | None = None


RUNS = (Run("envoy", delta=False), Run("envoy", delta=True), Run("meshproxy", delta=True))
RUN_NAMES = tuple(f"{run.kind}-{'delta' if run.delta else 'sotw'}" for run in RUNS)


@contextlib.asynccontextmanager
async def running_proxy(
    node: Node, pilot_port: int, folder: Path, run: Run = Run()
) -> AsyncIterator[DataPlane]:
    """Ready when the block starts, which means that it has its clusters and listeners."""
    config, admin, log = (folder / f"{node.name}.{kind}" for kind in ("json", "admin", "log"))
    sds_socket = run.sds_socket or folder / "no-sds.sock"
    config.write_text(json.dumps(bootstrap(node, pilot_port, delta=run.delta, sds_socket=sds_socket)))
    flags = ["-c", str(config), "--admin-address-path", str(admin), "--concurrency", "1", "-l", "warning"]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command(run.kind),
            *flags,
            "--disable-hot-restart",
            "--drain-time-s",
            "1",
            stdout=output,
            stderr=output,
        )
    proxy = DataPlane("", log)
    try:
        async with asyncio.timeout(_START_S):
            while not admin.exists() or not (text := admin.read_text().strip()):
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.02)
            proxy.admin = text
            await _ready(proxy)
        yield proxy
    except TimeoutError:
        raise AssertionError(f"{run.kind} is not ready:\n{log.read_text()}") from None
    finally:
        await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError, TimeoutError):
        process.terminate()
        async with asyncio.timeout(10):
            await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()


async def _ready(proxy: DataPlane) -> None:
    async with aiohttp.ClientSession() as client:
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with client.get(f"http://{proxy.admin}/ready") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.02)
