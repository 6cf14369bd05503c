"""Clusters: for each port of each visible service and each subset of it, and for the workload itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from meshloom.pilot.model.destination_rule import ClientTls, ClientTlsMode, Subset, TrafficPolicy
from meshloom.pilot.model.lookup.destination_rules import MergedRule, traffic_policy
from meshloom.pilot.model.lookup.endpoints import endpoints_of, service_accounts_of
from meshloom.pilot.model.mesh import Endpoint, MeshModel, Registry, Service, ServicePort
from meshloom.pilot.model.protocol import Protocol
from meshloom.pilot.model.service_entry import Resolution
from meshloom.pilot.translate import names, tls
from meshloom.pilot.translate.cluster_policy import Spoken, apply_http2, apply_policy
from meshloom.pilot.translate.endpoints import load_assignment, mesh_metadata
from meshloom.pilot.translate.memo import Memo
from meshloom.pilot.translate.protos import ads, duration, istio_metadata, socket_address
from meshloom.pilot.translate.proxy import HostPort
from meshloom.pilot.translate.resource import Resource, TypeUrl
from meshloom.pilot.translate.settings import TranslateSettings
from meshloom.pilot.translate.traits import Traits

_EDS: int = cluster_pb2.Cluster.EDS
_DISCOVERY: Mapping[Resolution, int] = {
    Resolution.NONE: cluster_pb2.Cluster.STRICT_DNS,
    Resolution.STATIC: _EDS,
    Resolution.DNS: cluster_pb2.Cluster.STRICT_DNS,
    Resolution.DNS_ROUND_ROBIN: cluster_pb2.Cluster.LOGICAL_DNS,
    Resolution.DYNAMIC_DNS: cluster_pb2.Cluster.STRICT_DNS,
}


@dataclass(frozen=True, slots=True)
class OutboundCluster:
    """Which endpoints, under which rule. `subset` is None for the whole service."""

    service: Service
    port: ServicePort
    rule: MergedRule | None
    subset: Subset | None = None

    @property
    def name(self) -> str:
        return names.outbound(self.service.hostname, self.port.number, self.subset_name)

    @property
    def subset_name(self) -> str:
        return self.subset.name if self.subset else ""

    @property
    def policy(self) -> TrafficPolicy:
        return traffic_policy(self.rule, self.port.number, self.subset_name)


def outbound_clusters(service: Service, rule: MergedRule | None) -> Iterator[OutboundCluster]:
    """Every cluster of a service; a wildcard host without endpoints of its own has none."""
    if service.hostname.startswith("*") and service.resolution in (Resolution.NONE, Resolution.DYNAMIC_DNS):
        return
    for port in service.ports:
        if port.protocol is Protocol.UDP:
            continue
        yield OutboundCluster(service, port, rule)
        for subset in rule.subsets if rule else ():
            yield OutboundCluster(service, port, rule, subset)


def discovery_type(service: Service) -> int:
    """Endpoints of platform services are told over EDS; names outside the mesh are for the proxy to resolve.

    A ServiceEntry of resolution NONE means "wherever the client was going": without capture nobody knows,
    so its host is looked up by name.
    """
    if service.registry is Registry.KUBERNETES and not service.mesh_external:
        return _EDS
    return _DISCOVERY[service.resolution]


def is_discovered(service: Service) -> bool:
    """Whether its endpoints are told over EDS."""
    return discovery_type(service) == _EDS


class ClusterBuilder:
    """Makes clusters and endpoint lists of one model for one class of clients."""

    def __init__(self, model: MeshModel, traits: Traits, settings: TranslateSettings, memo: Memo) -> None:
        self._model = model
        self._traits = traits
        self._settings = settings
        self._memo = memo

    def cluster(self, wanted: OutboundCluster) -> Resource:
        """The same for all clients with equal traits that follow the same rule."""
        found = () if is_discovered(wanted.service) else self._endpoints(wanted)
        inputs = (wanted, self._identities(wanted), found)
        key = (TypeUrl.CLUSTER, self._traits, wanted.name, wanted.service.namespace)
        return self._memo.get(key, inputs, lambda: self._make_cluster(wanted))

    def endpoints(self, wanted: OutboundCluster) -> Resource:
        """The same for everybody."""
        found = self._endpoints(wanted)
        key = (TypeUrl.ENDPOINT, wanted.name, wanted.service.namespace)
        return self._memo.get(key, found, lambda: self._make_endpoints(wanted, found))

    def _make_cluster(self, wanted: OutboundCluster) -> Resource:
        made = cluster_pb2.Cluster(name=wanted.name, metadata=_metadata(wanted))
        policy = wanted.policy
        config = self._model.config
        spoken = Spoken.of(policy, wanted.port.protocol, config)
        apply_policy(made, policy, spoken, config)
        if self._traits.grpc:
            made.lb_policy = cluster_pb2.Cluster.ROUND_ROBIN  # the one policy that every gRPC library has
        refers = self._discover(made, wanted)
        self._secure(made, wanted, policy.tls, spoken.http2)
        return Resource.of(made.name, TypeUrl.CLUSTER, made, refers)

    def _make_endpoints(self, wanted: OutboundCluster, found: Sequence[Endpoint]) -> Resource:
        return Resource.of(wanted.name, TypeUrl.ENDPOINT, self._load_assignment(wanted, found))

    def _load_assignment(
        self, wanted: OutboundCluster, found: Sequence[Endpoint]
    ) -> endpoint_pb2.ClusterLoadAssignment:
        def describe(endpoint: Endpoint) -> base_pb2.Metadata | None:
            if wanted.service.mesh_external:
                return None
            return mesh_metadata(endpoint, self._model, self._settings.cluster_id)

        return load_assignment(wanted.name, found, describe)

    def _endpoints(self, wanted: OutboundCluster) -> tuple[Endpoint, ...]:
        labels = wanted.subset.labels if wanted.subset else None
        return endpoints_of(self._model, wanted.service, wanted.port.number, labels)

    def _identities(self, wanted: OutboundCluster) -> tuple[str, ...]:
        return service_accounts_of(self._model, wanted.service, wanted.port.number)

    def _discover(self, made: cluster_pb2.Cluster, wanted: OutboundCluster) -> tuple[str, ...]:
        made.type = discovery_type(wanted.service)
        if made.type == _EDS:
            made.eds_cluster_config.eds_config.CopyFrom(ads())
            made.eds_cluster_config.service_name = made.name
            return (made.name,)
        made.dns_lookup_family = cluster_pb2.Cluster.V4_ONLY
        made.dns_refresh_rate.CopyFrom(duration(self._model.config.dns_refresh_rate))
        made.respect_dns_ttl = True
        assignment = self._load_assignment(wanted, self._endpoints(wanted))
        if not assignment.endpoints:
            assignment = static_assignment(made.name, [HostPort(wanted.service.hostname, wanted.port.number)])
        made.load_assignment.CopyFrom(assignment)
        return ()

    def _secure(
        self, made: cluster_pb2.Cluster, wanted: OutboundCluster, rule: ClientTls | None, http2: bool
    ) -> None:
        """An explicit rule always wins; else mutual TLS to whoever serves it (semantics 35)."""
        match rule:
            case ClientTls(mode=ClientTlsMode.DISABLE):
                return
            case ClientTls(mode=ClientTlsMode.SIMPLE | ClientTlsMode.MUTUAL) as given:
                made.transport_socket.CopyFrom(tls.originate(given, wanted.service.hostname, http2))
            case ClientTls(mode=ClientTlsMode.ISTIO_MUTUAL) as given:
                if self._traits.mesh_tls:
                    made.transport_socket.CopyFrom(self._mesh_socket(wanted, given, http2))
            case _:
                automatic = self._model.config.enable_auto_mtls and not wanted.service.mesh_external
                if automatic and self._traits.mesh_tls and not self._traits.grpc:
                    secure = self._mesh_socket(wanted, ClientTls(), http2)
                    made.transport_socket_matches.extend(tls.automatic(secure))

    def _mesh_socket(
        self, wanted: OutboundCluster, given: ClientTls, http2: bool
    ) -> base_pb2.TransportSocket:
        identities: Sequence[str] = given.subject_alt_names or self._identities(wanted)
        sni = given.sni or names.outbound_sni(wanted.service.hostname, wanted.port.number, wanted.subset_name)
        return tls.mesh_upstream(sni, identities, http2)


def inbound_cluster(port: int, app: HostPort, service: Service | None, http2: bool) -> Resource:
    """The workload itself, as its sidecar reaches it."""
    made = cluster_pb2.Cluster(name=names.inbound(port), type=cluster_pb2.Cluster.STATIC)
    made.connect_timeout.seconds = 10
    made.load_assignment.CopyFrom(static_assignment(made.name, [app]))
    if service is not None:
        made.metadata.CopyFrom(istio_metadata({"services": [_service_metadata(service)]}))
    if http2:
        apply_http2(made)
    return Resource.of(made.name, TypeUrl.CLUSTER, made)


def black_hole() -> Resource:
    """Where traffic goes that has nowhere to go: no endpoints, hence 503."""
    made = cluster_pb2.Cluster(name=names.BLACK_HOLE, type=cluster_pb2.Cluster.STATIC)
    made.load_assignment.cluster_name = made.name
    made.connect_timeout.seconds = 10
    return Resource.of(made.name, TypeUrl.CLUSTER, made)


def static_assignment(name: str, targets: Sequence[HostPort]) -> endpoint_pb2.ClusterLoadAssignment:
    members = [
        endpoint_components_pb2.LbEndpoint(
            endpoint=endpoint_components_pb2.Endpoint(address=socket_address(target.host, target.port))
        )
        for target in targets
    ]
    group = endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=members)
    return endpoint_pb2.ClusterLoadAssignment(cluster_name=name, endpoints=[group])


def _metadata(wanted: OutboundCluster) -> base_pb2.Metadata:
    fields: dict[str, object] = {"services": [_service_metadata(wanted.service)]}
    if wanted.subset is not None:
        fields["subset"] = wanted.subset.name
    if wanted.rule is not None:
        source = wanted.rule.sources[0]
        fields["config"] = names.rule_path("destination-rule", source.namespace, source.name)
    return istio_metadata(fields)


def _service_metadata(service: Service) -> dict[str, str]:
    return {"host": service.hostname, "name": service.name, "namespace": service.namespace}
