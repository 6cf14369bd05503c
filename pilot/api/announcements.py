"""Tells each registered workload where it reaches the services of the mesh: at its own sidecar."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from meshloom.api.registry.v1 import registry_pb2
from meshloom.pilot.model.lookup.visibility import visible_services
from meshloom.pilot.model.mesh import MeshModel, Registry, Service, ServicePortKey, Workload
from meshloom.pilot.model.outbound_ports import HTTP_PROXY_PORT, OutboundPorts


def announce(model: MeshModel, ports: OutboundPorts, workload: Workload) -> registry_pb2.RegistrationResponse:
    """The addresses for `workload`: one per visible service port that has an outbound listener."""
    found = [
        registry_pb2.ServiceAddress(
            service=_called(service, workload),
            fqdn=service.hostname,
            port_name=port.name,
            service_port=port.number,
            address=workload.address,
            port=number,
        )
        for service in visible_services(model, workload.namespace)
        for port in service.ports
        if (number := ports.by_key.get(_key(service, port.number))) is not None
    ]
    return registry_pb2.RegistrationResponse(
        services=found, http_proxy=f"{workload.address}:{HTTP_PROXY_PORT}"
    )


def _called(service: Service, workload: Workload) -> str:
    if service.registry is not Registry.KUBERNETES:
        return service.hostname
    return service.name if service.namespace == workload.namespace else f"{service.name}.{service.namespace}"


def _key(service: Service, port: int) -> ServicePortKey:
    return ServicePortKey(service.namespace, service.hostname, port)


class Announcements:
    """The newest model and port numbers, for the streams that wait for them."""

    def __init__(self) -> None:
        self._newest: tuple[MeshModel, OutboundPorts] | None = None
        self._changed = asyncio.Condition()

    async def publish(self, model: MeshModel, ports: OutboundPorts) -> None:
        self._newest = (model, ports)
        async with self._changed:
            self._changed.notify_all()

    async def of(self, workload: Workload) -> AsyncIterator[registry_pb2.RegistrationResponse]:
        """What `workload` is to know: now, once there is a model, and again when it differs."""
        told: registry_pb2.RegistrationResponse | None = None
        seen: tuple[MeshModel, OutboundPorts] | None = None
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda known=seen: self._newest is not known)  # type: ignore[misc]
            seen = self._newest
            if seen is not None and (response := announce(*seen, workload)) != told:
                told = response
                yield response
