"""The parts of Kubernetes' own objects that concern a mesh.

Kubernetes' schemas are Kubernetes' to check: what a mesh has no use for (volumes, probes, resources) is
accepted here unread, by name. A field that is in neither list is likely misspelt and gives a warning, but
no error: Kubernetes gets new ones every few months. A Service alone is checked strictly, because a misspelt
field there misroutes traffic.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
from meshloom.pilot.model.base import PortNumber, Schema


class Kubernetes(Schema, frozen=True, forbid_unknown_fields=False):
    """Base of the partial schemas. `UNREAD` are fields that exist and do not concern a mesh."""

    UNREAD: ClassVar[frozenset[str]] = frozenset()


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


def _names(*lines: str) -> frozenset[str]:
    return frozenset(name for line in lines for name in line.split())


class ContainerPort(Kubernetes, frozen=True):
    UNREAD = _names("hostIP hostPort")

    container_port: PortNumber
    name: str | None = None
    protocol: str = "TCP"


class EnvVar(Kubernetes, frozen=True):
    """`value_from` is Kubernetes' to resolve and is kept as written."""

    name: str
    value: str = ""
    value_from: Mapping[str, Any] | None = None


class Container(Kubernetes, frozen=True):
    UNREAD = _names(
        "envFrom imagePullPolicy lifecycle livenessProbe readinessProbe startupProbe resizePolicy resources",
        "restartPolicy restartPolicyRules securityContext stdin stdinOnce tty terminationMessagePath",
        "terminationMessagePolicy volumeDevices volumeMounts",
    )

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    working_dir: str | None = None


class PodSpec(Kubernetes, frozen=True):
    UNREAD = _names(
        "activeDeadlineSeconds affinity automountServiceAccountToken dnsConfig dnsPolicy",
        "enableServiceLinks ephemeralContainers hostAliases hostIPC hostPID hostUsers hostname",
        "hostnameOverride imagePullSecrets initContainers nodeName nodeSelector os overhead",
        "preemptionPolicy priority priorityClassName readinessGates resourceClaims resources",
        "restartPolicy runtimeClassName schedulerName schedulingGates securityContext",
        "setHostnameAsFQDN shareProcessNamespace subdomain terminationGracePeriodSeconds tolerations",
        "topologySpreadConstraints volumes",
    )

    containers: tuple[Container, ...]
    service_account_name: str | None = None
    service_account: str | None = None
    host_network: bool = False

    @property
    def identity(self) -> str:
        """The service account that its copies run as."""
        return self.service_account_name or self.service_account or "default"


class ObjectMeta(Kubernetes, frozen=True):
    """What every object and every pod template says of itself."""

    UNREAD = _names(
        "deletionGracePeriodSeconds deletionTimestamp finalizers generateName generation managedFields",
        "ownerReferences resourceVersion selfLink uid",
    )

    name: str | None = None
    namespace: str | None = None
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    creation_timestamp: str | None = None


class PodTemplate(Kubernetes, frozen=True):
    spec: PodSpec
    metadata: ObjectMeta = ObjectMeta()


class PodSelector(Kubernetes, frozen=True):
    UNREAD = _names("matchExpressions")

    match_labels: Mapping[str, str] = {}


class Deployment(Kubernetes, frozen=True):
    """`spec` of a Deployment: what a supervisor starts `replicas` times."""

    UNREAD = _names("minReadySeconds paused progressDeadlineSeconds revisionHistoryLimit strategy")

    template: PodTemplate
    replicas: int = 1
    selector: PodSelector = PodSelector()


class ServiceAccount(Kubernetes, frozen=True):
    """Exists; nothing in it concerns a mesh."""

    UNREAD = _names("automountServiceAccountToken imagePullSecrets secrets")


class KubernetesNamespace(Kubernetes, frozen=True):
    """Exists; its labels are the object's own."""

    UNREAD = _names("finalizers")


class ConfigMap(Kubernetes, frozen=True):
    UNREAD = _names("binaryData immutable")

    data: Mapping[str, str] = {}


class Secret(Kubernetes, frozen=True):
    """`data` holds base64 text, `string_data` plain text, which wins."""

    UNREAD = _names("immutable")

    type: str = "Opaque"
    data: Mapping[str, str] = {}
    string_data: Mapping[str, str] = {}
