"""Holds one workload's place in Pilot's registry: a stream whose end is the workload's end."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import Enum

import grpc
from meshloom.api.registry.v1 import registry_pb2, registry_pb2_grpc
from meshloom.cli.local.latest import Latest
from meshloom.runtime.log import Log

log = Log("cli.registration")

_RETRY_S = 0.5


class Health(Enum):
    """What Pilot is told. A workload starts as not ready, so that no request comes too early."""

    STARTING = (registry_pb2.HealthUpdate.UNHEALTHY, "starting")
    HEALTHY = (registry_pb2.HealthUpdate.HEALTHY, "")
    UNHEALTHY = (registry_pb2.HealthUpdate.UNHEALTHY, "unhealthy")
    DRAINING = (registry_pb2.HealthUpdate.DRAINING, "draining")


@dataclass(frozen=True, slots=True)
class Assigned:
    """Where the workload reaches the services of the mesh, as environment variables."""

    env: Mapping[str, str]


async def hold(
    channel: grpc.aio.Channel,
    workload: registry_pb2.Workload,
    health: Latest[Health],
    assigned: Latest[Assigned | None],
) -> None:
    """Registers and stays registered, also when Pilot comes back; cancel to leave at once."""
    stub = registry_pb2_grpc.WorkloadRegistryStub(channel)  # type: ignore[no-untyped-call]
    while True:
        try:
            async for response in stub.Register(_messages(workload, health)):
                assigned.put(Assigned(environment(response)))
        except grpc.aio.AioRpcError as error:
            log.warning("registration_lost", workload=workload.name, reason=error.details())
        await asyncio.sleep(_RETRY_S)


async def _messages(
    workload: registry_pb2.Workload, health: Latest[Health]
) -> AsyncIterator[registry_pb2.RegistrationRequest]:
    yield registry_pb2.RegistrationRequest(register=workload)
    async for status in health.changes():
        code, reason = status.value
        update = registry_pb2.HealthUpdate(status=code, reason=reason)
        yield registry_pb2.RegistrationRequest(health=update)


def environment(response: registry_pb2.RegistrationResponse) -> dict[str, str]:
    """Kubernetes' variables for each service, and `http_proxy` for those who look services up by name."""
    env: dict[str, str] = {}
    for at in response.services:
        name = at.service.upper().replace("-", "_").replace(".", "_")
        url = f"tcp://{at.address}:{at.port}"
        # The first port of a service goes without its name, as in Kubernetes.
        env.setdefault(f"{name}_SERVICE_HOST", at.address)
        env.setdefault(f"{name}_SERVICE_PORT", str(at.port))
        env.setdefault(f"{name}_PORT", url)
        if at.port_name:
            env[f"{name}_SERVICE_PORT_{at.port_name.upper().replace('-', '_')}"] = str(at.port)
        prefix = f"{name}_PORT_{at.service_port}_TCP"
        env |= {
            prefix: url,
            f"{prefix}_PROTO": "tcp",
            f"{prefix}_ADDR": at.address,
            f"{prefix}_PORT": str(at.port),
        }
    if response.http_proxy:
        proxy = f"http://{response.http_proxy}"
        env |= {"http_proxy": proxy, "HTTP_PROXY": proxy, "no_proxy": "localhost,127.0.0.1"}
    return env
