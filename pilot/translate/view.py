"""What all proxies of one namespace (with equal traits, and equal labels where those matter) have in
common.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meshloom.pilot.model.base import Namespace
from meshloom.pilot.model.lookup.destination_rules import Client, destination_rule_for
from meshloom.pilot.model.lookup.virtual_services import HostIndex, mesh_host_index, mesh_virtual_services
from meshloom.pilot.model.lookup.visibility import visible_services
from meshloom.pilot.model.mesh import MESH_GATEWAY, MeshModel, Service, ServicePortKey
from meshloom.pilot.model.protocol import Protocol
from meshloom.pilot.translate.clusters import (
    ClusterBuilder,
    OutboundCluster,
    black_hole,
    is_discovered,
    outbound_clusters,
)
from meshloom.pilot.translate.listeners import outbound
from meshloom.pilot.translate.listeners.draft import ListenerDraft
from meshloom.pilot.translate.listeners.grpc import grpc_listeners
from meshloom.pilot.translate.memo import Memo
from meshloom.pilot.translate.proxy import Proxy
from meshloom.pilot.translate.resource import NO_RESOURCES, Resource, ResourceSet, TypeUrl
from meshloom.pilot.translate.routes.rules import RouteScope, depends_on_labels
from meshloom.pilot.translate.routes.sidecar import (
    RoutedPort,
    http_proxy_table,
    routed_ports,
    service_table,
)
from meshloom.pilot.translate.settings import TranslateSettings
from meshloom.pilot.translate.snapshot import Snapshot
from meshloom.pilot.translate.traits import Traits


@dataclass(frozen=True, slots=True)
class ViewKey:
    """`labels` is empty where no rule of the model looks at them, so that more proxies share a view."""

    namespace: Namespace
    labels: tuple[tuple[str, str], ...]
    traits: Traits

    @classmethod
    def of(cls, model: MeshModel, proxy: Proxy, traits: Traits) -> ViewKey:
        labels = tuple(sorted(proxy.labels.items())) if _labels_matter(model) else ()
        return cls(proxy.namespace, labels, traits)


@dataclass(frozen=True, slots=True)
class View:
    """`service_listeners` are without addresses, by service port; `scope` is where rules are read from."""

    scope: RouteScope
    clusters: ResourceSet
    endpoints: ResourceSet
    routes: ResourceSet
    routed: tuple[RoutedPort, ...]
    http_proxy: ListenerDraft
    service_listeners: Mapping[ServicePortKey, ListenerDraft]

    @classmethod
    def of(cls, model: MeshModel, key: ViewKey, settings: TranslateSettings, memo: Memo) -> View:
        scope = RouteScope(model, key.traits, key.namespace, dict(key.labels), frozenset({MESH_GATEWAY}), 0)
        services = visible_services(model, key.namespace)
        index = mesh_host_index(model, key.namespace)
        routed = tuple(routed_ports(services, index, scope))
        rules = mesh_virtual_services(model, key.namespace)
        wanted = _wanted_clusters(model, services, Client(key.namespace, dict(key.labels)))
        builder = ClusterBuilder(model, key.traits, settings, memo)

        def kept(part: str, made: list[Resource]) -> ResourceSet:
            return memo.settled((part, key), ResourceSet.of(made))

        return cls(
            scope=scope,
            clusters=kept("clusters", [black_hole(), *(builder.cluster(each) for each in wanted)]),
            endpoints=kept(
                "endpoints", [builder.endpoints(each) for each in wanted if is_discovered(each.service)]
            ),
            routes=kept(
                "routes", [*(service_table(each) for each in routed), http_proxy_table(routed, rules, scope)]
            ),
            routed=routed,
            http_proxy=memo.get(("http_proxy", key.traits), (), lambda: outbound.http_proxy(scope)),
            service_listeners=_service_listeners(services, index, scope, memo),
        )

    def grpc_snapshot(self) -> Snapshot:
        listeners = (each for port in self.routed for each in grpc_listeners(port, self.scope.namespace))
        return Snapshot.build(
            {
                TypeUrl.CLUSTER: self.clusters,
                TypeUrl.ENDPOINT: self.endpoints,
                TypeUrl.SECRET: NO_RESOURCES,
                TypeUrl.LISTENER: ResourceSet.of(listeners),
                TypeUrl.ROUTE: self.routes,
            }
        )


def _labels_matter(model: MeshModel) -> bool:
    rules = (rule for same in model.destination_rules.values() for rule in same)
    return any(rule.spec.workload_selector for rule in rules) or depends_on_labels(model.virtual_services)


def _wanted_clusters(
    model: MeshModel, services: tuple[Service, ...], client: Client
) -> list[OutboundCluster]:
    return [
        cluster
        for service in services
        for cluster in outbound_clusters(service, destination_rule_for(model, service, client))
    ]


def _service_listeners(
    services: tuple[Service, ...], index: HostIndex, scope: RouteScope, memo: Memo
) -> Mapping[ServicePortKey, ListenerDraft]:
    """A wildcard host has no listener: which of its names is meant only a Host header can tell."""
    made: dict[ServicePortKey, ListenerDraft] = {}
    for service in services:
        if service.hostname.startswith("*"):
            continue
        for port in service.ports:
            key = ServicePortKey(service.namespace, service.hostname, port.number)
            if port.protocol.is_http:
                made[key] = memo.get(
                    ("listener", scope.traits, key),
                    (),
                    lambda service=service, port=port: outbound.http_service(service, port, scope),  # type: ignore[misc]
                )
            elif port.protocol is not Protocol.UDP:
                made[key] = outbound.opaque_service(service, port, index.find(service.hostname), scope)
    return made
