"""The rule API and the registry over real gRPC connections."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from meshloom.api.config.v1 import config_pb2, config_pb2_grpc
from meshloom.api.registry.v1 import registry_pb2, registry_pb2_grpc
from meshloom.pilot.api.announcements import Announcements
from meshloom.pilot.api.config_service import ConfigService
from meshloom.pilot.api.registry_service import RegistryService
from meshloom.pilot.ingest.configuration import Configuration
from meshloom.pilot.ingest.files import FileSource
from meshloom.pilot.model.mesh import Health, TlsMode
from meshloom.pilot.model.outbound_ports import OutboundPorts
from meshloom.pilot.registry.memory import MemoryRegistry
from meshloom.pilot.store.sqlite import SqliteStore

from tests.pilot.ingest.documents import document, model
from tests.support.wait import until_async

WEB = document("Service", "shop/web", {"ports": [{"port": 80, "name": "http"}]})


@dataclass
class Pilot:
    registry: MemoryRegistry
    announcements: Announcements
    rules: Any
    workloads: Any


@asynccontextmanager
async def serving(tmp_path: Path) -> AsyncIterator[Pilot]:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "file.yaml").write_text(
        document("Service", "shop/from-file", {"ports": [{"port": 1}]})
    )
    store = SqliteStore(tmp_path / "rules.db")
    configuration = Configuration(FileSource(tmp_path / "config"), store, lambda: datetime.now(UTC))
    registry, announcements = MemoryRegistry(), Announcements()
    server = grpc.aio.server()
    config_pb2_grpc.add_ConfigServiceServicer_to_server(ConfigService(configuration), server)  # type: ignore[no-untyped-call]
    registry_pb2_grpc.add_WorkloadRegistryServicer_to_server(  # type: ignore[no-untyped-call]
        RegistryService(registry, announcements), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            rules = config_pb2_grpc.ConfigServiceStub(channel)  # type: ignore[no-untyped-call]
            workloads = registry_pb2_grpc.WorkloadRegistryStub(channel)  # type: ignore[no-untyped-call]
            yield Pilot(registry, announcements, rules, workloads)
    finally:
        await server.stop(0)
        store.close()


@pytest.fixture
async def pilot(tmp_path: Path) -> AsyncIterator[Pilot]:
    async with serving(tmp_path) as running:
        yield running


def reason(error: grpc.aio.AioRpcError) -> str:
    """The structured reason of a failed call."""
    trailing: dict[str, Any] = dict(error.trailing_metadata() or ())  # type: ignore[arg-type]
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return str(info.reason)


class TestConfigService:
    async def test_apply_then_list(self, pilot: Pilot) -> None:
        applied = await pilot.rules.Apply(config_pb2.ApplyRequest(documents=WEB, source="web.yaml"))
        (result,) = applied.results
        assert result.change == config_pb2.ApplyResult.CREATED
        assert result.key.api_version == "v1"
        listed = await pilot.rules.List(config_pb2.ListRequest(kind="services", name="web"))
        (found,) = listed.objects
        assert json.loads(found.document)["spec"] == {"ports": [{"port": 80, "name": "http"}]}
        assert found.resource_version == result.resource_version
        assert int(listed.resource_version) >= int(found.resource_version)

    async def test_a_secret_is_not_told_and_what_is_shown_cannot_be_applied(self, pilot: Pilot) -> None:
        secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: c}\ndata: {tls.key: c2VjcmV0}\n"
        await pilot.rules.Apply(config_pb2.ApplyRequest(documents=secret))
        listed = await pilot.rules.List(config_pb2.ListRequest(kind="Secret"))
        shown = listed.objects[0].document
        assert "c2VjcmV0" not in shown
        assert json.loads(shown)["data"] == {"tls.key": "(not shown)"}
        back = await pilot.rules.Apply(config_pb2.ApplyRequest(documents=shown))
        assert [d.message for d in back.diagnostics] == ["Invalid value: must be base64"]

    async def test_faults_come_with_place_path_and_hint(self, pilot: Pilot) -> None:
        faulty = WEB.replace("port:", "prot:")
        applied = await pilot.rules.Apply(config_pb2.ApplyRequest(documents=faulty, source="web.yaml"))
        assert [r.change for r in applied.results] == [config_pb2.ApplyResult.REJECTED]
        first = applied.diagnostics[0]
        assert (first.source, first.line, first.path) == ("web.yaml", 8, "spec.ports[0].prot")
        assert first.severity == config_pb2.Diagnostic.ERROR
        assert first.hint == 'did you mean "port"?'
        assert first.object.name == "web"

    async def test_delete_says_where_a_file_declares_an_object(self, pilot: Pilot) -> None:
        await pilot.rules.Apply(config_pb2.ApplyRequest(documents=WEB))
        keys = [
            config_pb2.ObjectKey(kind="svc", namespace="shop", name=name)
            for name in ("web", "from-file", "nothing")
        ]
        done = await pilot.rules.Delete(config_pb2.DeleteRequest(keys=keys))
        assert [key.name for key in done.deleted] == ["web"]
        assert [key.name for key in done.not_found] == ["nothing"]
        (fault,) = done.diagnostics
        assert (fault.object.name, fault.line, Path(fault.source).name) == ("from-file", 1, "file.yaml")

    async def test_watch_starts_with_what_is_there_and_follows(self, pilot: Pilot) -> None:
        call = pilot.rules.Watch(config_pb2.WatchRequest(kind="Service"))
        events = [await call.read()]
        await pilot.rules.Apply(config_pb2.ApplyRequest(documents=WEB))
        await pilot.rules.Apply(config_pb2.ApplyRequest(documents=WEB.replace("80", "81")))
        events += [await call.read(), await call.read()]
        call.cancel()
        assert [(e.type, e.object.key.name) for e in events] == [
            (config_pb2.WatchEvent.ADDED, "from-file"),
            (config_pb2.WatchEvent.ADDED, "web"),
            (config_pb2.WatchEvent.MODIFIED, "web"),
        ]

    async def test_a_watcher_that_is_too_late_is_told_to_list(self, pilot: Pilot) -> None:
        call = pilot.rules.Watch(config_pb2.WatchRequest(resource_version="1"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
        assert reason(caught.value) == "RESOURCE_VERSION_TOO_OLD"

    async def test_an_unknown_kind_is_refused_by_name(self, pilot: Pilot) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pilot.rules.List(config_pb2.ListRequest(kind="wasm"))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert reason(caught.value) == "UNKNOWN_KIND"


def register(**fields: Any) -> registry_pb2.RegistrationRequest:
    given = {"name": "web-1", "namespace": "shop", "address": "127.1.0.1", "mesh_tls": True, **fields}
    return registry_pb2.RegistrationRequest(register=registry_pb2.Workload(**given))


def health(status: registry_pb2.HealthUpdate.Status) -> registry_pb2.RegistrationRequest:
    return registry_pb2.RegistrationRequest(health=registry_pb2.HealthUpdate(status=status))


class TestWorkloadRegistry:
    async def test_a_workload_is_unhealthy_until_it_says_otherwise(self, pilot: Pilot) -> None:
        call = pilot.workloads.Register()
        await call.write(register(ports=[registry_pb2.Port(number=80, name="http")]))
        await until_async(lambda: len(pilot.registry.workloads()) == 1)
        (workload,) = pilot.registry.workloads()
        assert (workload.health, workload.tls_mode) == (Health.UNHEALTHY, TlsMode.ISTIO)
        await call.write(health(registry_pb2.HealthUpdate.HEALTHY))
        await until_async(lambda: pilot.registry.workloads()[0].health is Health.HEALTHY)
        call.cancel()

    async def test_it_is_told_where_services_are_and_again_when_that_changes(self, pilot: Pilot) -> None:
        mesh = model(WEB)
        ports = OutboundPorts().extended(mesh)
        await pilot.announcements.publish(mesh, ports)
        call = pilot.workloads.Register()
        await call.write(register())
        first = await call.read()
        (address,) = first.services
        assert (address.service, address.service_port, address.address) == ("web", 80, "127.1.0.1")
        assert address.port in ports.by_key.values()
        assert first.http_proxy == "127.1.0.1:15002"
        await pilot.announcements.publish(mesh, ports)
        more = model(WEB, document("Service", "other/db", {"ports": [{"port": 5432}]}))
        await pilot.announcements.publish(more, ports.extended(more))
        second = await call.read()
        assert {found.service for found in second.services} == {"web", "db.other"}
        call.cancel()

    @pytest.mark.parametrize("how", ["deregister", "cancel", "done_writing"])
    async def test_it_is_gone_at_once_when_its_stream_ends(self, pilot: Pilot, how: str) -> None:
        call = pilot.workloads.Register()
        await call.write(register())
        await until_async(lambda: len(pilot.registry.workloads()) == 1)
        if how == "deregister":
            await call.write(registry_pb2.RegistrationRequest(deregister=registry_pb2.Deregister()))
            assert await call.read() is grpc.aio.EOF  # type: ignore[attr-defined]
        elif how == "cancel":
            call.cancel()
        else:
            await call.done_writing()
        await until_async(lambda: pilot.registry.workloads() == ())

    @pytest.mark.parametrize(
        ("request_", "words"),
        [
            (register(name=""), "register.name: must be set"),
            (register(address="web"), 'register.address: "web" is not an IP address'),
            (register(ports=[registry_pb2.Port(number=0)]), "register.ports[0].number: 0 is not in 1-65535"),
            (health(registry_pb2.HealthUpdate.HEALTHY), "the first message of a stream must be register"),
        ],
    )
    async def test_what_cannot_be_registered_is_refused_with_the_field(
        self, pilot: Pilot, request_: registry_pb2.RegistrationRequest, words: str
    ) -> None:
        call = pilot.workloads.Register()
        await call.write(request_)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert words in (caught.value.details() or "")
        assert reason(caught.value) == "INVALID_WORKLOAD"
        assert pilot.registry.workloads() == ()
