"""Route tables of sidecars: one per service port, and the big one of the HTTP proxy listener."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from meshloom.pilot.model.base import Hostname, MeshObject, Namespace
from meshloom.pilot.model.hosts import is_ip
from meshloom.pilot.model.lookup.virtual_services import HostIndex
from meshloom.pilot.model.mesh import Registry, Service, ServicePort
from meshloom.pilot.model.virtual_service import VirtualService
from meshloom.pilot.translate import names
from meshloom.pilot.translate.resource import Resource
from meshloom.pilot.translate.routes.rules import RouteScope, default_route, routes_of
from meshloom.pilot.translate.routes.tables import (
    HostDraft,
    refuse_unknown_hosts,
    route_table,
    serialised,
)

_HTTP_PORT = 80


@dataclass(frozen=True, slots=True)
class RoutedPort:
    """One HTTP port of one service, with its routes."""

    service: Service
    port: ServicePort
    routes: tuple[bytes, ...]

    @property
    def table_name(self) -> str:
        return names.outbound(self.service.hostname, self.port.number)


def routed_ports(services: Sequence[Service], index: HostIndex, scope: RouteScope) -> list[RoutedPort]:
    """Every port that the client routes as HTTP."""
    return [
        RoutedPort(service, port, _routes(service, port, index, replace(scope, port=port.number)))
        for service in services
        for port in service.ports
        if port.protocol.is_http
    ]


def service_table(routed: RoutedPort) -> Resource:
    """For a listener that only this service is reached by: whatever the Host header, it is meant."""
    name = f"{routed.service.hostname}:{routed.port.number}"
    return route_table(routed.table_name, [HostDraft(name, ("*",), routed.routes)])


def http_proxy_table(
    ports: Sequence[RoutedPort], rules: Sequence[MeshObject[VirtualService]], scope: RouteScope
) -> Resource:
    hosts = [
        HostDraft(f"{routed.service.hostname}:{routed.port.number}", domains, routed.routes)
        for routed, domains in zip(ports, _domains(ports, scope.namespace), strict=True)
    ]
    known = {routed.service.hostname for routed in ports}
    hosts += _hosts_without_service(rules, known, replace(scope, port=_HTTP_PORT))
    return route_table(names.HTTP_PROXY_ROUTE, [*hosts, refuse_unknown_hosts()])


def service_names(service: Service, viewer: Namespace) -> list[str]:
    """Every name that a client in `viewer` may call a service by, the full one first (semantics 7)."""
    found = [str(service.hostname)]
    if service.registry is Registry.KUBERNETES:
        qualified = f"{service.name}.{service.namespace}"
        found += [f"{qualified}.svc", qualified]
        if service.namespace == viewer:
            found.append(service.name)
    found += [address for address in service.addresses if is_ip(address)]
    return found


def _routes(service: Service, port: ServicePort, index: HostIndex, scope: RouteScope) -> tuple[bytes, ...]:
    rule = index.find(service.hostname)
    if rule is None or not rule.spec.http:
        return serialised([default_route(service, port, scope)])
    return serialised(routes_of(rule, scope))


def _domains(ports: Sequence[RoutedPort], viewer: Namespace) -> Iterator[tuple[str, ...]]:
    bare = _bare_ports(ports)
    for routed in ports:
        called = service_names(routed.service, viewer)
        number = routed.port.number
        domains = [f"{_bracketed(name)}:{number}" for name in called]
        if bare[routed.service.hostname] == number:
            domains += [_bracketed(name) for name in called]
        yield tuple(domains)


def _bare_ports(ports: Sequence[RoutedPort]) -> Mapping[Hostname, int]:
    """The port that a host without one stands for: 80, else the service's first."""
    bare: dict[Hostname, int] = {}
    for routed in ports:
        if routed.port.number == _HTTP_PORT:
            bare[routed.service.hostname] = _HTTP_PORT
        bare.setdefault(routed.service.hostname, routed.port.number)
    return bare


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def _hosts_without_service(
    rules: Sequence[MeshObject[VirtualService]], known: set[Hostname], scope: RouteScope
) -> Iterator[HostDraft]:
    """A rule may make up a host: it is served as plain HTTP."""
    for rule in rules:
        if not rule.spec.http:
            continue
        for host in rule.spec.hosts:
            if Hostname(host) in known or host == "*":
                continue
            routes = serialised(routes_of(rule, scope))
            if routes:
                yield HostDraft(f"{host}:{_HTTP_PORT}", (host, f"{host}:{_HTTP_PORT}"), routes)
