"""Makes rules absolute: host names, gateway names and export lists are relative to the rule's namespace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from meshloom.pilot.model.base import MeshObject, Namespace, Value
from meshloom.pilot.model.destination_rule import DestinationRule
from meshloom.pilot.model.hosts import resolve_host
from meshloom.pilot.model.mesh import EXPORT_ALL, MESH_GATEWAY
from meshloom.pilot.model.mesh_config import MeshConfig
from meshloom.pilot.model.virtual_service import (
    Destination,
    HttpMatch,
    HttpRoute,
    L4RouteDestination,
    MirrorPolicy,
    RouteDestination,
    TcpMatch,
    TlsMatch,
    VirtualService,
)

Routed = TypeVar("Routed", RouteDestination, L4RouteDestination, MirrorPolicy)
Matched = TypeVar("Matched", HttpMatch, TlsMatch, TcpMatch)


def resolve_export_to(
    export_to: Sequence[str], namespace: Namespace, default: Sequence[str]
) -> tuple[str, ...]:
    """Namespaces, or `*` alone for all; empty for nobody (`~`). Sorted, so that equal lists compare equal."""
    given = {namespace if entry == "." else entry for entry in (export_to or default or (EXPORT_ALL,))}
    if EXPORT_ALL in given:
        return (EXPORT_ALL,)
    return tuple(sorted(given - {"~"}))


def resolve_gateway(name: str, namespace: Namespace) -> str:
    """`mesh` or `namespace/name`; `./name` and the old `name.namespace.svc...` form are understood."""
    if name == MESH_GATEWAY:
        return name
    if "/" in name:
        owner, _, local = name.partition("/")
        return f"{namespace if owner == '.' else owner}/{local}"
    parts = name.split(".")
    return f"{parts[1]}/{parts[0]}" if len(parts) > 1 else f"{namespace}/{name}"


def resolve_destination_rule(
    rule: MeshObject[DestinationRule], config: MeshConfig, domain: str
) -> MeshObject[DestinationRule]:
    default = config.default_destination_rule_export_to
    spec = msgspec.structs.replace(
        rule.spec,
        host=resolve_host(rule.spec.host, rule.namespace, domain),
        export_to=resolve_export_to(rule.spec.export_to, rule.namespace, default),
    )
    return msgspec.structs.replace(rule, spec=spec)


def resolve_virtual_service(
    rule: MeshObject[VirtualService], config: MeshConfig, domain: str
) -> MeshObject[VirtualService]:
    scope = _Scope(rule.namespace, domain)
    spec = rule.spec
    resolved = msgspec.structs.replace(
        spec,
        hosts=tuple(resolve_host(host, rule.namespace, domain) for host in spec.hosts),
        gateways=tuple(resolve_gateway(g, rule.namespace) for g in spec.gateways) or (MESH_GATEWAY,),
        http=tuple(scope.http_route(route) for route in spec.http),
        tls=tuple(
            msgspec.structs.replace(r, match=scope.matches(r.match), route=scope.routed(r.route))
            for r in spec.tls
        ),
        tcp=tuple(
            msgspec.structs.replace(r, match=scope.matches(r.match), route=scope.routed(r.route))
            for r in spec.tcp
        ),
        export_to=resolve_export_to(spec.export_to, rule.namespace, config.default_virtual_service_export_to),
    )
    return msgspec.structs.replace(rule, spec=resolved)


class _Scope(Value, frozen=True):
    """What names inside one rule are relative to."""

    namespace: Namespace
    domain: str

    def destination(self, destination: Destination) -> Destination:
        host = resolve_host(destination.host, self.namespace, self.domain)
        return msgspec.structs.replace(destination, host=host)

    def routed(self, routes: Sequence[Routed]) -> tuple[Routed, ...]:
        return tuple(
            msgspec.structs.replace(route, destination=self.destination(route.destination))
            for route in routes
        )

    def matches(self, matches: Sequence[Matched]) -> tuple[Matched, ...]:
        return tuple(
            msgspec.structs.replace(m, gateways=tuple(resolve_gateway(g, self.namespace) for g in m.gateways))
            for m in matches
        )

    def http_route(self, route: HttpRoute) -> HttpRoute:
        return msgspec.structs.replace(
            route,
            match=self.matches(route.match),
            route=self.routed(route.route),
            mirror=self.destination(route.mirror) if route.mirror else None,
            mirrors=self.routed(route.mirrors),
        )
