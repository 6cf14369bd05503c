"""The mesh model: one immutable picture of services, workloads and rules, replaced whole.

`build.py` makes it. Everything in it is resolved: host names are fully qualified, gateways are `mesh` or
`namespace/name`, endpoints are chosen. The functions in `lookup/` answer the translator's questions.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from meshloom.pilot.model.base import Hostname, Labels, MeshObject, Namespace, ObjectKey, Origin, Value
from meshloom.pilot.model.destination_rule import DestinationRule
from meshloom.pilot.model.gateway import Gateway
from meshloom.pilot.model.kubernetes import (
    ConfigMap,
    Deployment,
    KubernetesNamespace,
    Secret,
    ServiceAccount,
)
from meshloom.pilot.model.mesh_config import MeshConfig
from meshloom.pilot.model.peer_authentication import PeerAuthentication
from meshloom.pilot.model.protocol import Protocol
from meshloom.pilot.model.service_entry import Location, Resolution
from meshloom.pilot.model.virtual_service import VirtualService

EXPORT_ALL = "*"
MESH_GATEWAY = "mesh"


class ServicePort(Value, frozen=True, kw_only=True):
    """`target_port` is a number, the name of a workload port, or None where it equals `number`."""

    number: int
    name: str
    protocol: Protocol
    target_port: int | str | None = None


class Registry(StrEnum):
    """Which kind of object a service was declared by."""

    KUBERNETES = "Kubernetes"
    SERVICE_ENTRY = "External"


class Service(Value, frozen=True, kw_only=True):
    """One host name that can be called.

    `export_to` holds namespaces, or `*` for all; empty means nobody. `addresses` are virtual IPs (or CIDRs
    for service entries). `selector` is None where endpoints are listed, not selected.
    """

    hostname: Hostname
    name: str
    namespace: Namespace
    ports: tuple[ServicePort, ...]
    key: ObjectKey
    origin: Origin
    registry: Registry
    resolution: Resolution
    location: Location
    export_to: frozenset[str]
    selector: Labels | None = None
    addresses: tuple[str, ...] = ()
    headless: bool = False
    subject_alt_names: tuple[str, ...] = ()
    alias_of: Hostname | None = None
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    created: float = 0.0

    def port(self, number: int) -> ServicePort | None:
        return next((port for port in self.ports if port.number == number), None)

    @property
    def mesh_external(self) -> bool:
        return self.location is Location.MESH_EXTERNAL

    @property
    def age_order(self) -> tuple[float, str, str]:
        return (self.created, self.name, self.namespace)


class Health(StrEnum):
    """DRAINING workloads finish what they have and get nothing new."""

    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    DRAINING = "DRAINING"


class TlsMode(StrEnum):
    """ISTIO: a sidecar serves mutual TLS there."""

    ISTIO = "istio"
    DISABLED = "disabled"


class WorkloadPort(Value, frozen=True):
    number: int
    name: str = ""


class Workload(Value, frozen=True, kw_only=True):
    """One running instance, from the registry or from a WorkloadEntry.

    `weight` 0 counts as 1. `entry_ports` (of WorkloadEntry) maps service port names to numbers and beats
    targetPort.
    `owner` is the Deployment (or the like) behind it.
    """

    name: str
    namespace: Namespace
    address: str
    labels: Mapping[str, str] = {}
    ports: tuple[WorkloadPort, ...] = ()
    entry_ports: Mapping[str, int] = {}
    service_account: str = "default"
    owner: str = ""
    locality: str = ""
    weight: int = 0
    health: Health = Health.HEALTHY
    tls_mode: TlsMode = TlsMode.DISABLED
    network: str = ""
    origin: Origin = Origin("registry")

    def spiffe_id(self, trust_domain: str) -> str:
        return f"spiffe://{trust_domain}/ns/{self.namespace}/sa/{self.service_account}"


class Endpoint(Value, frozen=True):
    """Where one port of one service is served. `address` may be a DNS name or `unix://...` (port 0)."""

    address: str
    port: int
    workload: Workload

    @property
    def weight(self) -> int:
        """At least 1."""
        return max(1, self.workload.weight)


class ServicePortKey(Value, frozen=True):
    """Names one port of one service; the same host may be declared in several namespaces."""

    namespace: Namespace
    hostname: Hostname
    port: int


class MeshModel(Value, frozen=True, kw_only=True):
    """Everything a translation may depend on. Rules are sorted oldest first."""

    config: MeshConfig
    domain: str = "cluster.local"
    services: tuple[Service, ...] = ()
    services_by_host: Mapping[Hostname, tuple[Service, ...]] = {}
    workloads: tuple[Workload, ...] = ()
    endpoints: Mapping[ServicePortKey, tuple[Endpoint, ...]] = {}
    virtual_services: tuple[MeshObject[VirtualService], ...] = ()
    destination_rules: Mapping[Hostname, tuple[MeshObject[DestinationRule], ...]] = {}
    gateways: tuple[MeshObject[Gateway], ...] = ()
    peer_authentications: tuple[MeshObject[PeerAuthentication], ...] = ()
    deployments: tuple[MeshObject[Deployment], ...] = ()
    service_accounts: tuple[MeshObject[ServiceAccount], ...] = ()
    namespaces: tuple[MeshObject[KubernetesNamespace], ...] = ()
    secrets: Mapping[ObjectKey, MeshObject[Secret]] = {}
    config_maps: Mapping[ObjectKey, MeshObject[ConfigMap]] = {}
