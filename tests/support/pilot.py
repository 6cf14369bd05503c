"""Pilot in this process, driven by tests: YAML and workloads in, xDS over a real port out."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc.aio
from meshloom.pilot.ingest.parse import parse_text
from meshloom.pilot.model.base import ObjectKey
from meshloom.pilot.model.build import AnyObject, build_model
from meshloom.pilot.model.mesh import MeshModel, Workload
from meshloom.pilot.push import Publisher
from meshloom.pilot.translate.settings import TranslateSettings
from meshloom.pilot.xds.csds import StatusServer
from meshloom.pilot.xds.hub import Hub
from meshloom.pilot.xds.metrics import PilotMetrics
from meshloom.pilot.xds.server import AdsServer, AdsSettings


@dataclass
class Mesh:
    """A running Pilot. Each call that changes it pushes at once, so that tests need no debounce."""

    publisher: Publisher
    hub: Hub
    metrics: PilotMetrics
    port: int
    objects: dict[ObjectKey, AnyObject] = field(default_factory=dict)
    workloads: tuple[Workload, ...] = ()

    async def apply(self, *texts: str) -> None:
        for text in texts:
            parsed = parse_text(text, "test")
            assert not parsed.has_errors, parsed.diagnostics
            self.objects |= {accepted.object.key: accepted.object for accepted in parsed.accepted}
        await self.publish()

    async def delete(self, *keys: ObjectKey) -> None:
        for key in keys:
            del self.objects[key]
        await self.publish()

    async def run(self, workloads: Iterable[Workload]) -> None:
        self.workloads = tuple(workloads)
        await self.publish()

    async def publish(self) -> None:
        await self.publisher.publish(self.model(), time.monotonic())

    def model(self) -> MeshModel:
        return build_model(self.objects.values(), self.workloads)

    def pushed(self, kind: str) -> float:
        """Responses of a type (`cds`, ...) sent so far, to everybody."""
        return self.metrics.pushes.labels(type=kind)._value.get()  # type: ignore[no-any-return]

    def refusals(self) -> Sequence[str]:
        """What connected clients said no to."""
        return [
            f"{connection.node.id} {status.type_url}: {status.reason}"
            for connection in self.hub.connections.values()
            for status in connection.statuses()
            if status.reason
        ]


@asynccontextmanager
async def running_pilot(write_patience: float = 30.0) -> AsyncIterator[Mesh]:
    metrics = PilotMetrics()
    hub = Hub(metrics, "test", time.monotonic)
    publisher = Publisher(hub, metrics, TranslateSettings())
    server = grpc.aio.server()
    ads = AdsServer(hub, metrics, time.monotonic, AdsSettings("test", write_patience=write_patience))
    server.add_generic_rpc_handlers((ads.handler(), StatusServer(hub).handler()))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Mesh(publisher, hub, metrics, port)
    finally:
        await server.stop(grace=0)
