"""The parts of Kubernetes' own objects that concern a mesh.

Kubernetes' schemas are Kubernetes' to check: what a mesh has no use for (volumes, probes, resources) is
accepted here unread. A Service alone lists all its fields, because a misspelt one there misroutes traffic.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from meshloom.pilot.model.base import PortNumber, Schema


class Kubernetes(Schema, frozen=True, forbid_unknown_fields=False):
    """Base of the partial schemas."""


class KubernetesServicePort(Schema, frozen=True):
    """`target_port` is a number or the name of a container port; absent, it equals `port`."""

    port: PortNumber
    name: str | None = None
    protocol: str = "TCP"
    app_protocol: str | None = None
    target_port: int | str | None = None
    node_port: int | None = None


class KubernetesService(Schema, frozen=True):
    """`spec` of a Service. `cluster_ip` "None" makes it headless."""

    ports: tuple[KubernetesServicePort, ...] = ()
    selector: Mapping[str, str] = {}
    type: str = "ClusterIP"
    cluster_ip: str | None = msgspec.field(default=None, name="clusterIP")
    cluster_ips: tuple[str, ...] = msgspec.field(default=(), name="clusterIPs")
    external_ips: tuple[str, ...] = msgspec.field(default=(), name="externalIPs")
    external_name: str | None = None
    publish_not_ready_addresses: bool = False
    traffic_distribution: str | None = None
    session_affinity: str | None = None
    session_affinity_config: Mapping[str, Any] | None = None
    allocate_load_balancer_node_ports: bool | None = None
    external_traffic_policy: str | None = None
    internal_traffic_policy: str | None = None
    health_check_node_port: int | None = None
    ip_families: tuple[str, ...] = ()
    ip_family_policy: str | None = None
    load_balancer_class: str | None = None
    load_balancer_ip: str | None = msgspec.field(default=None, name="loadBalancerIP")
    load_balancer_source_ranges: tuple[str, ...] = ()


class ContainerPort(Kubernetes, frozen=True):
    container_port: PortNumber
    name: str | None = None
    protocol: str = "TCP"


class EnvVar(Kubernetes, frozen=True):
    """`value_from` is Kubernetes' to resolve and is kept as written."""

    name: str
    value: str = ""
    value_from: Mapping[str, Any] | None = None


class Container(Kubernetes, frozen=True):
    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    working_dir: str | None = None


class PodSpec(Kubernetes, frozen=True):
    containers: tuple[Container, ...]
    service_account_name: str | None = None
    service_account: str | None = None
    host_network: bool = False

    @property
    def identity(self) -> str:
        """The service account that its copies run as."""
        return self.service_account_name or self.service_account or "default"


class TemplateMeta(Kubernetes, frozen=True):
    name: str | None = None
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}


class PodTemplate(Kubernetes, frozen=True):
    spec: PodSpec
    metadata: TemplateMeta = TemplateMeta()


class PodSelector(Kubernetes, frozen=True):
    match_labels: Mapping[str, str] = {}


class Deployment(Kubernetes, frozen=True):
    """`spec` of a Deployment: what a supervisor starts `replicas` times."""

    template: PodTemplate
    replicas: int = 1
    selector: PodSelector = PodSelector()


class Pod(PodSpec, frozen=True):
    """`spec` of a bare Pod; its labels are the object's own."""


class ServiceAccount(Kubernetes, frozen=True):
    """Exists; nothing in it concerns a mesh."""


class KubernetesNamespace(Kubernetes, frozen=True):
    """Exists; its labels are the object's own."""


class ConfigMap(Kubernetes, frozen=True):
    data: Mapping[str, str] = {}


class Secret(Kubernetes, frozen=True):
    """`data` holds base64 text, `string_data` plain text, which wins."""

    type: str = "Opaque"
    data: Mapping[str, str] = msgspec.field(default_factory=dict)
    string_data: Mapping[str, str] = msgspec.field(default_factory=dict)
