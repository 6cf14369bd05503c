"""VirtualService: hosts, gateways, and TLS and TCP routes. HTTP routes are in `http_route.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshloom.pilot.ingest.checks.http_route import check_http_route
from meshloom.pilot.ingest.checks.routing import check_destination, check_weights
from meshloom.pilot.ingest.checks.shared import (
    check_export_to,
    check_host,
    check_network,
    duplicates,
    invalid,
)
from meshloom.pilot.ingest.diagnostic import Fault, Path
from meshloom.pilot.model.hosts import host_matches
from meshloom.pilot.model.virtual_service import L4RouteDestination, TcpRoute, TlsRoute, VirtualService

_MESH = "mesh"


def check_virtual_service(spec: VirtualService) -> Iterator[Fault]:
    yield from (_rooted(spec) if spec.hosts else _delegate(spec))
    for index, http in enumerate(spec.http):
        for fault in check_http_route(http, delegate=not spec.hosts):
            yield fault.under(("http", index))
    for index, tls in enumerate(spec.tls):
        yield from _tls_route(tls, spec.hosts, ("tls", index))
    for index, tcp in enumerate(spec.tcp):
        yield from _tcp_route(tcp, ("tcp", index))
    yield from check_export_to(spec.export_to, ("exportTo",))


def _rooted(spec: VirtualService) -> Iterator[Fault]:
    if not (spec.http or spec.tls or spec.tcp):
        yield Fault((), "http, tcp or tls must be provided in virtual service")
    mesh = not spec.gateways or _MESH in spec.gateways
    for index, host in enumerate(spec.hosts):
        if host == "*" and mesh:
            reason = "wildcard host * is not allowed for virtual services bound to the mesh gateway"
            yield invalid(("hosts", index), host, reason, "name hosts, or list gateways without mesh")
        yield from check_host(host, ("hosts", index), ip_allowed=True)
    for host in duplicates(spec.hosts):
        yield Fault(("hosts",), f'Duplicate value: "{host}"')
    for index, gateway in enumerate(spec.gateways):
        if not gateway or gateway.count("/") > 1:
            yield invalid(("gateways", index), gateway, "must be name, namespace/name or mesh")


def _delegate(spec: VirtualService) -> Iterator[Fault]:
    """Without hosts it can only serve as another rule's delegate."""
    if not spec.http:
        yield Fault(("hosts",), "virtual service must have at least one host")
    for name, given in (("gateways", spec.gateways), ("tls", spec.tls), ("tcp", spec.tcp)):
        if given:
            yield Fault((name,), f"delegate virtual service must have no {name}", "or name its hosts")


def _tls_route(route: TlsRoute, hosts: Sequence[str], at: Path) -> Iterator[Fault]:
    if not route.match:
        yield Fault((*at, "match"), "TLS route must have at least one match condition")
    for index, match in enumerate(route.match):
        where: Path = (*at, "match", index)
        if not match.sni_hosts:
            yield Fault((*where, "sniHosts"), "TLS match must have at least one SNI host")
        for number, sni in enumerate(match.sni_hosts):
            if not any(host_matches(host, sni) for host in hosts):
                compatible = ", ".join(hosts)
                reason = "is not a compatible subset of any of the virtual service's hosts"
                yield Fault((*where, "sniHosts", number), f'SNI host "{sni}" {reason}: [{compatible}]')
        for number, subnet in enumerate(match.destination_subnets):
            yield from check_network(subnet, (*where, "destinationSubnets", number))
    yield from _l4_destinations(route.route, "TLS", at)


def _tcp_route(route: TcpRoute, at: Path) -> Iterator[Fault]:
    for index, match in enumerate(route.match):
        where: Path = (*at, "match", index)
        for number, subnet in enumerate(match.destination_subnets):
            yield from check_network(subnet, (*where, "destinationSubnets", number))
        if match.source_subnet:
            yield from check_network(match.source_subnet, (*where, "sourceSubnet"))
    yield from _l4_destinations(route.route, "TCP", at)


def _l4_destinations(routes: Sequence[L4RouteDestination], layer: str, at: Path) -> Iterator[Fault]:
    if not routes:
        yield Fault((*at, "route"), f"{layer} route must have at least one destination")
    for index, destination in enumerate(routes):
        yield from check_destination(destination.destination, (*at, "route", index, "destination"))
    yield from check_weights([destination.weight for destination in routes], (*at, "route"))
