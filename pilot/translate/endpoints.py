"""Endpoint lists: who serves one port of one service, or one subset of it, right now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from envoy.config.core.v3 import base_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from meshloom.pilot.model.base import Labels
from meshloom.pilot.model.lookup.peer_authentication import inbound_mtls
from meshloom.pilot.model.mesh import Endpoint, Health, MeshModel, TlsMode, Workload
from meshloom.pilot.model.peer_authentication import MtlsMode
from meshloom.pilot.translate.protos import istio_metadata, socket_address, u32

# What is told of an endpoint beside its address; None for one outside the mesh.
Describe = Callable[[Endpoint], base_pb2.Metadata | None]
TRANSPORT_SOCKET_MATCH = "envoy.transport_socket_match"
_CANONICAL_NAME = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
_CANONICAL_REVISION = ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")


def load_assignment(
    name: str, endpoints: Sequence[Endpoint], describe: Describe
) -> endpoint_pb2.ClusterLoadAssignment:
    """Only healthy endpoints are told: what is not in the list gets nothing, without any probing."""
    by_locality: dict[str, list[Endpoint]] = defaultdict(list)
    for endpoint in endpoints:
        if endpoint.workload.health is Health.HEALTHY:
            by_locality[endpoint.workload.locality].append(endpoint)
    groups = [
        endpoint_components_pb2.LocalityLbEndpoints(
            locality=_locality(locality),
            lb_endpoints=[_endpoint(endpoint, describe(endpoint)) for endpoint in members],
            load_balancing_weight=u32(sum(endpoint.weight for endpoint in members)),
        )
        for locality, members in sorted(by_locality.items())
    ]
    return endpoint_pb2.ClusterLoadAssignment(cluster_name=name, endpoints=groups)


def mesh_metadata(endpoint: Endpoint, model: MeshModel, cluster_id: str) -> base_pb2.Metadata:
    """Who is there, for telemetry, and whether mutual TLS is served."""
    metadata = istio_metadata({"workload": workload_metadata(endpoint.workload, cluster_id)})
    if serves_mesh_tls(model, endpoint):
        metadata.filter_metadata[TRANSPORT_SOCKET_MATCH].update({"tlsMode": "istio"})
    return metadata


def workload_metadata(workload: Workload, cluster_id: str) -> str:
    """`workload;namespace;canonical name;canonical revision;cluster`, as Istio's telemetry reads it."""
    owner = workload.owner or workload.name
    name = canonical_name(workload.labels, owner)
    return f"{owner};{workload.namespace};{name};{canonical_revision(workload.labels)};{cluster_id}"


def canonical_name(labels: Labels, owner: str) -> str:
    return _first(labels, _CANONICAL_NAME) or owner


def canonical_revision(labels: Labels) -> str:
    return _first(labels, _CANONICAL_REVISION) or "latest"


def serves_mesh_tls(model: MeshModel, endpoint: Endpoint) -> bool:
    """A sidecar is there and its port's policy lets it speak mutual TLS (feature S-06)."""
    workload = endpoint.workload
    if workload.tls_mode is not TlsMode.ISTIO or not model.config.enable_auto_mtls:
        return False
    return inbound_mtls(model, workload.namespace, workload.labels, endpoint.port) is not MtlsMode.DISABLE


def _endpoint(endpoint: Endpoint, metadata: base_pb2.Metadata | None) -> endpoint_components_pb2.LbEndpoint:
    return endpoint_components_pb2.LbEndpoint(
        endpoint=endpoint_components_pb2.Endpoint(address=socket_address(endpoint.address, endpoint.port)),
        metadata=metadata,
        load_balancing_weight=u32(endpoint.weight),
    )


def _locality(text: str) -> base_pb2.Locality:
    region, _, rest = text.partition("/")
    zone, _, sub_zone = rest.partition("/")
    return base_pb2.Locality(region=region, zone=zone, sub_zone=sub_zone)


def _first(labels: Labels, keys: Sequence[str]) -> str | None:
    return next((labels[key] for key in keys if labels.get(key)), None)
