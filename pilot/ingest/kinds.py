"""Which kinds we read, and which we know but do not act on yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from meshloom.pilot.ingest.checks.advice import advise_virtual_service
from meshloom.pilot.ingest.checks.destination_rule import check_destination_rule
from meshloom.pilot.ingest.checks.gateway import check_gateway
from meshloom.pilot.ingest.checks.kubernetes import check_deployment, check_secret, check_service
from meshloom.pilot.ingest.checks.peer_authentication import check_peer_authentication
from meshloom.pilot.ingest.checks.service_entry import check_service_entry, check_workload_entry
from meshloom.pilot.ingest.checks.virtual_service import check_virtual_service
from meshloom.pilot.ingest.diagnostic import Fault
from meshloom.pilot.model.base import Value
from meshloom.pilot.model.destination_rule import DestinationRule
from meshloom.pilot.model.gateway import Gateway
from meshloom.pilot.model.kubernetes import (
    ConfigMap,
    Deployment,
    KubernetesNamespace,
    KubernetesService,
    Secret,
    ServiceAccount,
)
from meshloom.pilot.model.peer_authentication import PeerAuthentication
from meshloom.pilot.model.service_entry import ServiceEntry, WorkloadEntry
from meshloom.pilot.model.virtual_service import VirtualService

Check = Callable[[Any], Iterator[Fault]]


def _nothing_to_check(_: Any) -> Iterator[Fault]:
    return iter(())


class Kind(Value, frozen=True, kw_only=True):
    """One kind we read. What `check` finds keeps an object out; what `advise` finds is a warning.

    `flat` kinds have their content beside `metadata` and not under `spec`; `spec_required` ones may not do
    without a spec even where each of its fields is optional.
    """

    group: str
    name: str
    versions: tuple[str, ...]
    spec: type
    check: Check = _nothing_to_check
    advise: Check = _nothing_to_check
    flat: bool = False
    namespaced: bool = True
    spec_required: bool = False


_NETWORKING = "networking.istio.io"
_NETWORKING_VERSIONS = ("v1", "v1beta1", "v1alpha3")

_READ = (
    Kind(
        group=_NETWORKING,
        name="VirtualService",
        versions=_NETWORKING_VERSIONS,
        spec=VirtualService,
        check=check_virtual_service,
        advise=advise_virtual_service,
    ),
    Kind(
        group=_NETWORKING,
        name="DestinationRule",
        versions=_NETWORKING_VERSIONS,
        spec=DestinationRule,
        check=check_destination_rule,
    ),
    Kind(
        group=_NETWORKING,
        name="Gateway",
        versions=_NETWORKING_VERSIONS,
        spec=Gateway,
        check=check_gateway,
    ),
    Kind(
        group=_NETWORKING,
        name="ServiceEntry",
        versions=_NETWORKING_VERSIONS,
        spec=ServiceEntry,
        check=check_service_entry,
        spec_required=True,
    ),
    Kind(
        group=_NETWORKING,
        name="WorkloadEntry",
        versions=_NETWORKING_VERSIONS,
        spec=WorkloadEntry,
        check=check_workload_entry,
        spec_required=True,
    ),
    Kind(
        group="security.istio.io",
        name="PeerAuthentication",
        versions=("v1", "v1beta1"),
        spec=PeerAuthentication,
        check=check_peer_authentication,
    ),
    Kind(group="", name="Service", versions=("v1",), spec=KubernetesService, check=check_service),
    Kind(group="apps", name="Deployment", versions=("v1",), spec=Deployment, check=check_deployment),
    Kind(group="", name="ServiceAccount", versions=("v1",), spec=ServiceAccount, flat=True),
    Kind(group="", name="Namespace", versions=("v1",), spec=KubernetesNamespace, namespaced=False),
    Kind(group="", name="ConfigMap", versions=("v1",), spec=ConfigMap, flat=True),
    Kind(group="", name="Secret", versions=("v1",), spec=Secret, check=check_secret, flat=True),
)

KINDS: Mapping[tuple[str, str], Kind] = {(kind.group, kind.name): kind for kind in _READ}

NOT_YET: Mapping[str, frozenset[str]] = {
    _NETWORKING: frozenset({"Sidecar", "EnvoyFilter", "ProxyConfig", "WorkloadGroup"}),
    "security.istio.io": frozenset({"AuthorizationPolicy", "RequestAuthentication"}),
    "telemetry.istio.io": frozenset({"Telemetry"}),
    "extensions.istio.io": frozenset({"WasmPlugin", "TrafficExtension"}),
    "gateway.networking.k8s.io": frozenset(
        {
            "Gateway",
            "GatewayClass",
            "HTTPRoute",
            "GRPCRoute",
            "TLSRoute",
            "TCPRoute",
            "UDPRoute",
            "ReferenceGrant",
            "BackendTLSPolicy",
            "ListenerSet",
        }
    ),
    "networking.k8s.io": frozenset({"Ingress", "IngressClass"}),
    "": frozenset({"Pod", "Endpoints"}),
    "apps": frozenset({"StatefulSet", "DaemonSet", "ReplicaSet"}),
    "discovery.k8s.io": frozenset({"EndpointSlice"}),
}
"""Kinds that concern a mesh and are accepted with a warning; any other group and kind is foreign to us."""


def kind_named(name: str) -> Kind | None:
    """Finds a kind as people type it: `virtualservice`, `VirtualServices`, `vs`."""
    lowered = name.lower()
    plural = {"svc": "service", "vs": "virtualservice", "dr": "destinationrule", "gw": "gateway"}
    plural |= {"se": "serviceentry", "we": "workloadentry", "pa": "peerauthentication"}
    plural |= {"deploy": "deployment", "sa": "serviceaccount", "ns": "namespace", "cm": "configmap"}
    wanted = plural.get(lowered, lowered)
    return next((k for k in _READ if wanted in (k.name.lower(), _plural(k.name.lower()))), None)


def _plural(name: str) -> str:
    return f"{name.removesuffix('y')}ies" if name.endswith("y") else f"{name}s"
