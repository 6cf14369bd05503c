"""meshloom.registry.v1.WorkloadRegistry: a workload is in the mesh for as long as its stream lasts."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Mapping

import grpc
from meshloom.api.registry.v1 import registry_pb2, registry_pb2_grpc
from meshloom.pilot.api.announcements import Announcements
from meshloom.pilot.api.refusal import refuse
from meshloom.pilot.model.base import Namespace, Origin
from meshloom.pilot.model.mesh import Health, TlsMode, Workload, WorkloadPort
from meshloom.pilot.registry.base import Registration, WorkloadRegistry
from meshloom.runtime.log import Log

Context = grpc.aio.ServicerContext[object, object]
Requests = AsyncIterator[registry_pb2.RegistrationRequest]

_HEALTH: Mapping[int, Health] = {
    registry_pb2.HealthUpdate.HEALTHY: Health.HEALTHY,
    registry_pb2.HealthUpdate.UNHEALTHY: Health.UNHEALTHY,
    registry_pb2.HealthUpdate.DRAINING: Health.DRAINING,
}
_log = Log("pilot.registry")


class InvalidWorkload(ValueError):
    """A registration that cannot be taken; its text names the field."""


class RegistryService(registry_pb2_grpc.WorkloadRegistryServicer):
    def __init__(self, registry: WorkloadRegistry, announcements: Announcements) -> None:
        self._registry = registry
        self._announcements = announcements

    async def Register(
        self, requests: Requests, context: Context
    ) -> AsyncIterator[registry_pb2.RegistrationResponse]:
        first = await anext(requests, None)
        if first is None:
            return
        try:
            workload = workload_of(first)
        except InvalidWorkload as error:
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_WORKLOAD", str(error))
        registration = self._registry.register(workload)
        where = f"{workload.namespace}/{workload.name}"
        _log.info("workload_registered", workload=where, address=workload.address)
        reader = asyncio.create_task(_follow(requests, registration), name=f"registry {where}")
        try:
            async for response in _until(reader, self._announcements.of(workload)):
                yield response
        finally:
            # Also when the connection breaks: a supervisor that is gone takes its workload with it.
            registration.end()
            reader.cancel()
            _log.info("workload_gone", workload=where)


def workload_of(request: registry_pb2.RegistrationRequest) -> Workload:
    """A new workload counts as unhealthy until it says otherwise. Raises InvalidWorkload."""
    if request.WhichOneof("message") != "register":
        raise InvalidWorkload("the first message of a stream must be register")
    given = request.register
    for field in ("name", "namespace", "address"):
        if not getattr(given, field):
            raise InvalidWorkload(f"register.{field}: must be set")
    try:
        ipaddress.ip_address(given.address)
    except ValueError:
        raise InvalidWorkload(f'register.address: "{given.address}" is not an IP address') from None
    for index, port in enumerate(given.ports):
        if not 1 <= port.number <= 65535:
            raise InvalidWorkload(f"register.ports[{index}].number: {port.number} is not in 1-65535")
    return Workload(
        name=given.name,
        namespace=Namespace(given.namespace),
        address=given.address,
        labels=dict(given.labels),
        ports=tuple(WorkloadPort(port.number, port.name) for port in given.ports),
        service_account=given.service_account or "default",
        owner=given.owner or given.name,
        locality=given.locality,
        weight=given.weight,
        health=Health.UNHEALTHY,
        tls_mode=TlsMode.ISTIO if given.mesh_tls else TlsMode.DISABLED,
        origin=Origin("registry"),
    )


async def _follow(requests: Requests, registration: Registration) -> None:
    """Ends with the stream, or when the workload deregisters."""
    async for request in requests:
        match request.WhichOneof("message"):
            case "health":
                if (health := _HEALTH.get(request.health.status)) is not None:
                    _tell(registration, health, request.health.reason)
            case "deregister":
                return
            case _:
                _log.warning("message_ignored", workload=registration.workload.name)


def _tell(registration: Registration, health: Health, reason: str) -> None:
    workload = registration.workload
    if workload.health is not health:
        where = f"{workload.namespace}/{workload.name}"
        _log.info("workload_health", workload=where, health=health, reason=reason)
        registration.set_health(health)


async def _until(
    end: asyncio.Task[None], responses: AsyncIterator[registry_pb2.RegistrationResponse]
) -> AsyncIterator[registry_pb2.RegistrationResponse]:
    """Passes `responses` on until `end` is done, and raises what `end` raised."""
    while True:
        following = asyncio.ensure_future(anext(responses))
        try:
            await asyncio.wait({end, following}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                end.result()
                return
            yield following.result()
        finally:
            following.cancel()
