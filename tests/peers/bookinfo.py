"""Stand-ins for the services of Istio's sample application, and the rules that come with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from meshloom.pilot.model.base import Namespace
from meshloom.pilot.model.mesh import TlsMode, Workload, WorkloadPort
from meshloom.runtime.address import Address
from meshloom.runtime.http import Request, Response, serve_http

from tests.peers.proxy import pod_ip
from tests.support.shared import shared_data

COPIES = {"productpage": ("v1",), "reviews": ("v1", "v2", "v3"), "ratings": ("v1",), "details": ("v1", "v2")}
PORT = 9080
SLOW = "/slow"  # takes half a second


def rules(name: str) -> str:
    return (shared_data() / "bookinfo" / "networking" / f"{name}.yaml").read_text()


def platform() -> str:
    return (shared_data() / "bookinfo" / "kube" / "bookinfo.yaml").read_text()


@dataclass
class Bookinfo:
    """Copies by `service-version`; each answers with its own name and what it was asked."""

    workloads: dict[str, Workload] = field(default_factory=dict)


@asynccontextmanager
async def running_bookinfo(tls_mode: TlsMode = TlsMode.DISABLED) -> AsyncIterator[Bookinfo]:
    async with AsyncExitStack() as stack:
        app = Bookinfo()
        for service, versions in COPIES.items():
            for version in versions:
                workload = await stack.enter_async_context(_copy(service, version, tls_mode))
                app.workloads[workload.name] = workload
        yield app


@asynccontextmanager
async def _copy(service: str, version: str, tls_mode: TlsMode) -> AsyncIterator[Workload]:
    name, address = f"{service}-{version}", pod_ip()

    async def answer(request: Request) -> Response:
        if request.path == SLOW:
            await asyncio.sleep(0.5)
        seen = {"served_by": name, "path": request.path, "headers": dict(request.headers)}
        return Response(json.dumps(seen).encode(), content_type="application/json")

    async with serve_http(Address(address, PORT), answer):
        yield Workload(
            name=name,
            namespace=Namespace("default"),
            address=address,
            labels={"app": service, "version": version},
            ports=(WorkloadPort(PORT, "http"),),
            service_account=f"bookinfo-{service}",
            owner=name,
            tls_mode=tls_mode,
        )
