"""The routes of one VirtualService for one listener port of one proxy, in the order they are tried."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2
from meshloom.pilot.model.base import Hostname, Labels, MeshObject, Namespace, labels_match
from meshloom.pilot.model.lookup.visibility import find_service
from meshloom.pilot.model.mesh import MeshModel, Service, ServicePort
from meshloom.pilot.model.virtual_service import Destination, HttpMatch, HttpRoute, VirtualService
from meshloom.pilot.translate import names
from meshloom.pilot.translate.protos import istio_metadata, pack
from meshloom.pilot.translate.routes.actions import Forwarding, apply_action, default_forward
from meshloom.pilot.translate.routes.faults import CORS_FILTER, FAULT_FILTER, cors, fault
from meshloom.pilot.translate.routes.matching import is_catch_all, route_match
from meshloom.pilot.translate.traits import Traits

_EVERYTHING = HttpMatch()


@dataclass(frozen=True, slots=True)
class RouteScope:
    """From where rules are read: who asks, through which gateways (`mesh` for a sidecar), on which port."""

    model: MeshModel
    traits: Traits
    namespace: Namespace
    labels: Labels
    gateways: frozenset[str]
    port: int

    def cluster(self, destination: Destination) -> str:
        """The destination's cluster; a host nobody knows leads to the black hole (semantics 12, 14)."""
        service = find_service(self.model, Hostname(destination.host), self.namespace)
        if service is None:
            return names.BLACK_HOLE
        if destination.port is not None:
            port = destination.port.number
        else:
            port = service.ports[0].number if len(service.ports) == 1 else self.port
        return names.outbound(service.hostname, port, destination.subset or "")

    @property
    def forwarding(self) -> Forwarding:
        return Forwarding(self.model.config, self.traits, self.port, self.cluster)


def routes_of(rule: MeshObject[VirtualService], scope: RouteScope) -> list[route_components_pb2.Route]:
    """In list order, each match block a route of its own, and nothing after the first catch-all."""
    metadata = istio_metadata({"config": names.rule_path("virtual-service", rule.namespace, rule.name)})
    found: list[route_components_pb2.Route] = []
    for http in rule.spec.http:
        for match in _matches(http, scope):
            found.append(_route(http, match, metadata, scope))
            if is_catch_all(found[-1].match):
                return found
    return found


def default_route(service: Service, port: ServicePort, scope: RouteScope) -> route_components_pb2.Route:
    made = route_components_pb2.Route(name="default", match=route_components_pb2.RouteMatch(prefix="/"))
    cluster = names.outbound(service.hostname, port.number)
    made.route.CopyFrom(default_forward(cluster, scope.forwarding))
    return made


def depends_on_labels(rules: Collection[MeshObject[VirtualService]]) -> bool:
    """Whether two proxies of one namespace may get different routes."""
    return any(match.source_labels for rule in rules for http in rule.spec.http for match in http.match)


def _matches(http: HttpRoute, scope: RouteScope) -> Iterator[HttpMatch]:
    """The match blocks that concern this proxy and port at all."""
    if not http.match:
        yield _EVERYTHING
    for match in http.match:
        if match.port is not None and match.port != scope.port:
            continue
        if match.gateways:
            if scope.gateways.intersection(match.gateways):
                yield match
        elif labels_match(match.source_labels, scope.labels) and (
            match.source_namespace in (None, "", scope.namespace)
        ):
            yield match


def _route(
    http: HttpRoute, match: HttpMatch, metadata: base_pb2.Metadata, scope: RouteScope
) -> route_components_pb2.Route:
    made = route_components_pb2.Route(
        name=".".join(name for name in (http.name, match.name) if name),
        match=route_match(match),
        metadata=metadata,
        stat_prefix=match.stat_prefix or "",
    )
    apply_action(made, http, scope.forwarding)
    if http.fault is not None:
        made.typed_per_filter_config[FAULT_FILTER].CopyFrom(pack(fault(http.fault)))
    if http.cors_policy is not None and not scope.traits.own and not scope.traits.grpc:
        made.typed_per_filter_config[CORS_FILTER].CopyFrom(pack(cors(http.cors_policy)))
    return made
