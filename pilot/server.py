"""Pilot as a whole. `serve` is the wiring diagram: every long-lived part and task is named there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import grpc.aio
from meshloom.api.config.v1 import config_pb2_grpc
from meshloom.api.registry.v1 import registry_pb2_grpc
from meshloom.pilot.api.announcements import Announcements
from meshloom.pilot.api.config_service import ConfigService
from meshloom.pilot.api.registry_service import RegistryService
from meshloom.pilot.ingest.configuration import Configuration
from meshloom.pilot.ingest.diagnostic import Diagnostic, Severity
from meshloom.pilot.ingest.files import FileSource
from meshloom.pilot.model.base import MeshObject, ObjectKey, Origin
from meshloom.pilot.model.build import build_model
from meshloom.pilot.model.mesh import MeshModel
from meshloom.pilot.model.mesh_config import MeshConfig
from meshloom.pilot.monitoring import Monitoring
from meshloom.pilot.push import Publisher, push_loop
from meshloom.pilot.registry.memory import MemoryRegistry
from meshloom.pilot.settings import Settings
from meshloom.pilot.store.open import APPLIED, open_store
from meshloom.pilot.tls import server_credentials
from meshloom.pilot.translate.settings import TranslateSettings
from meshloom.pilot.xds.csds import StatusServer
from meshloom.pilot.xds.debounce import Changes, DebounceSettings
from meshloom.pilot.xds.hub import Hub
from meshloom.pilot.xds.metrics import PilotMetrics
from meshloom.pilot.xds.server import AdsServer, AdsSettings
from meshloom.runtime.address import Address, publish_addresses
from meshloom.runtime.http import serve_http
from meshloom.runtime.log import Log

VERSION = "0.1.0"
POLL_S = 0.25  # how often the directory is looked at
STOP_GRACE_S = 1.0
# Keep-alives find dead clients; Envoy and gRPC may send their own as often as they like.
_GRPC_OPTIONS = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.max_receive_message_length", 32 << 20),
    ("grpc.so_reuseport", 0),
)
_log = Log("pilot")


async def serve(settings: Settings) -> None:
    """Until cancelled. Raises OSError where an address is taken or the directory cannot be read."""
    metrics = PilotMetrics()
    metrics.info.labels(version=VERSION).set(1)
    hub = Hub(metrics, VERSION, time.monotonic)
    registry, announcements = MemoryRegistry(), Announcements()
    configuration = _configuration(settings)
    publisher = Publisher(hub, metrics, TranslateSettings(settings.cluster_id), told=[announcements.publish])
    changes = Changes(DebounceSettings(), time.monotonic)

    def build() -> MeshModel:
        return build_model([_mesh_defaults(settings), *configuration.objects()], registry.workloads())

    registry.subscribe(changes.note)
    await publisher.publish(build(), time.monotonic())
    monitoring = Monitoring(hub, metrics, publisher, configuration)

    def add_services(server: grpc.aio.Server) -> None:
        ads = AdsServer(hub, metrics, time.monotonic, AdsSettings(_identifier()))
        server.add_generic_rpc_handlers((ads.handler(), StatusServer(hub).handler()))
        rules, workloads = ConfigService(configuration), RegistryService(registry, announcements)
        config_pb2_grpc.add_ConfigServiceServicer_to_server(rules, server)  # type: ignore[no-untyped-call]
        registry_pb2_grpc.add_WorkloadRegistryServicer_to_server(  # type: ignore[no-untyped-call]
            workloads, server
        )

    async with (
        _grpc_server(settings.grpc_listen, None, add_services) as bound,
        _secure_server(settings, hub, metrics) as secure_bound,
        serve_http(settings.http_listen, monitoring.answer) as http_bound,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(configuration.run(POLL_S), name="poll-configuration")
        tasks.create_task(_note_changes(configuration, changes, metrics), name="note-changes")
        tasks.create_task(_report_faults(configuration), name="report-faults")
        tasks.create_task(push_loop(changes, build, publisher), name="push")
        addresses = {"grpc": bound, "http": http_bound, **secure_bound}
        publish_addresses(settings.address_path, addresses)
        _log.info("serving", **{name: str(address) for name, address in addresses.items()})


def _configuration(settings: Settings) -> Configuration:
    store = open_store(settings.store, settings.config_dir)
    files = FileSource(settings.config_dir, frozenset({APPLIED}))
    return Configuration(files, store, lambda: datetime.now(UTC))


def _mesh_defaults(settings: Settings) -> MeshObject[MeshConfig]:
    """What the flags say about the mesh; a MeshConfig of the user's is younger and wins."""
    config = MeshConfig(trust_domain=settings.trust_domain, root_namespace=settings.root_namespace)
    key = ObjectKey("MeshConfig", "", "flags")
    return MeshObject(key=key, spec=config, origin=Origin("flags"), created=float("-inf"))


@asynccontextmanager
async def _grpc_server(
    listen: Address,
    credentials: grpc.ServerCredentials | None,
    add_services: Callable[[grpc.aio.Server], None],
) -> AsyncIterator[Address]:
    server = grpc.aio.server(options=_GRPC_OPTIONS)
    add_services(server)
    if credentials is None:
        port = server.add_insecure_port(str(listen))
    else:
        port = server.add_secure_port(str(listen), credentials)
    await server.start()
    try:
        yield Address(listen.host, port)
    finally:
        await server.stop(STOP_GRACE_S)


@asynccontextmanager
async def _secure_server(
    settings: Settings, hub: Hub, metrics: PilotMetrics
) -> AsyncIterator[Mapping[str, Address]]:
    """The mTLS port offers xDS alone: whoever has a certificate may not change rules with it."""
    if settings.secure is None:
        yield {}
        return
    ads = AdsServer(hub, metrics, time.monotonic, AdsSettings(_identifier(), settings.trust_domain))

    def add_services(server: grpc.aio.Server) -> None:
        server.add_generic_rpc_handlers((ads.handler(),))

    credentials = server_credentials(settings.secure.tls)
    async with _grpc_server(settings.secure.listen, credentials, add_services) as bound:
        yield {"secure_grpc": bound}


def _identifier() -> str:
    """What responses name as their sender."""
    return f"meshloom-pilot/{VERSION}"


async def _note_changes(configuration: Configuration, changes: Changes, metrics: PilotMetrics) -> None:
    seen = configuration.revision
    while True:
        seen = await configuration.newer(seen)
        metrics.config_events.inc()
        changes.note()


async def _report_faults(configuration: Configuration) -> None:
    """Logs what is wrong with the configuration, each fault once for as long as it lasts."""
    known: Sequence[Diagnostic] = ()
    while True:
        for fault in configuration.diagnostics:
            if fault not in known:
                tell = _log.error if fault.severity is Severity.ERROR else _log.warning
                at = f"{fault.source}:{fault.line}"
                tell("configuration_fault", at=at, field=fault.path, reason=fault.message, hint=fault.hint)
        known = configuration.diagnostics
        await asyncio.sleep(POLL_S)
