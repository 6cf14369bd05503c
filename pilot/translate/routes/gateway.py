"""Route tables of gateways: what the servers of one port, and the rules bound to them, add up to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from envoy.config.route.v3 import route_components_pb2
from meshloom.pilot.model.base import Hostname, MeshObject
from meshloom.pilot.model.gateway import Gateway, Server
from meshloom.pilot.model.lookup.virtual_services import gateway_virtual_services, server_hosts
from meshloom.pilot.model.virtual_service import VirtualService
from meshloom.pilot.translate.resource import Resource
from meshloom.pilot.translate.routes.matching import is_catch_all
from meshloom.pilot.translate.routes.rules import RouteScope, routes_of
from meshloom.pilot.translate.routes.tables import HostDraft, route_table, serialised


@dataclass(frozen=True, slots=True)
class BoundServer:
    """One server of one Gateway object, as a gateway workload serves it."""

    gateway: MeshObject[Gateway]
    server: Server

    @property
    def gateway_name(self) -> str:
        return f"{self.gateway.namespace}/{self.gateway.name}"

    @property
    def redirects_to_https(self) -> bool:
        return self.server.tls is not None and self.server.tls.https_redirect


def plain_table_name(port: int) -> str:
    return f"http.{port}"


def tls_table_name(bound: BoundServer) -> str:
    port = bound.server.port
    return f"https.{port.number}.{port.name}.{bound.gateway.name}.{bound.gateway.namespace}"


def gateway_table(name: str, servers: Sequence[BoundServer], scope: RouteScope) -> Resource:
    """Hosts of all servers; one that several rules serve gets the routes of all, catch-alls last (semantics
    1).
    """
    rules: dict[Hostname, list[MeshObject[VirtualService]]] = defaultdict(list)
    redirecting: set[Hostname] = set()
    for bound in servers:
        for rule in gateway_virtual_services(scope.model, bound.gateway, scope.namespace):
            for host in server_hosts(bound.gateway, bound.server, rule):
                if rule not in rules[host]:
                    rules[host].append(rule)
        if bound.redirects_to_https:
            redirecting.update(_server_hostnames(bound.server))
    hosts = [
        HostDraft(
            f"{host}:{scope.port}", _domains(host, scope.port), _routes(rules.get(host, ()), scope), https
        )
        for host, https in _in_order(rules, redirecting)
    ]
    if not hosts:
        hosts = [HostDraft(f"blackhole:{scope.port}", ("*",), ())]  # answers 404, as Istio's gateways do
    return route_table(name, hosts)


def _in_order(rules: Iterable[Hostname], redirecting: set[Hostname]) -> list[tuple[Hostname, bool]]:
    """A redirect to HTTPS needs no rule; the order only keeps tables stable."""
    return [(host, _covered(host, redirecting)) for host in sorted({*rules, *redirecting})]


def _covered(host: Hostname, redirecting: set[Hostname]) -> bool:
    return any(
        pattern in ("*", host) or (pattern.startswith("*") and host.endswith(pattern[1:]))
        for pattern in redirecting
    )


def _server_hostnames(server: Server) -> set[Hostname]:
    return {Hostname(host.rpartition("/")[2]) for host in server.hosts}


def _routes(rules: Iterable[MeshObject[VirtualService]], scope: RouteScope) -> tuple[bytes, ...]:
    found: list[route_components_pb2.Route] = []
    for rule in sorted(rules, key=lambda each: each.age_order):
        found.extend(routes_of(rule, scope))
    ordered = sorted(found, key=lambda route: is_catch_all(route.match))  # stable
    return serialised(ordered)


def _domains(host: Hostname, port: int) -> tuple[str, ...]:
    """With any port where the pattern allows it: a gateway's outside port is not known to it."""
    if host == "*":
        return ("*",)
    if host.startswith("*"):
        return (host, f"{host}:{port}")
    return (host, f"{host}:*")


def scoped_to(scope: RouteScope, servers: Iterable[BoundServer], port: int) -> RouteScope:
    """Rules' conditions on gateways and ports are about these servers."""
    return replace(scope, gateways=frozenset(bound.gateway_name for bound in servers), port=port)
