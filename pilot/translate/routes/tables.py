"""Virtual hosts and route tables, joined from routes that were serialised once.

The same routes stand in the table of a service's own listener and in that of the HTTP proxy listener, for
every proxy of a namespace; only names and domains around them differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from envoy.config.route.v3 import route_components_pb2, route_pb2
from meshloom.pilot.translate.resource import Resource, TypeUrl
from meshloom.pilot.translate.wirebytes import field

_VIRTUAL_HOST_ROUTES = 3
_TABLE_VIRTUAL_HOSTS = 2
BAD_GATEWAY = 502


@dataclass(frozen=True, slots=True)
class HostDraft:
    """One virtual host. `routes` are serialised; `https_only` redirects plaintext requests."""

    name: str
    domains: tuple[str, ...]
    routes: tuple[bytes, ...]
    https_only: bool = False


def serialised(routes: Iterable[route_components_pb2.Route]) -> tuple[bytes, ...]:
    return tuple(route.SerializeToString(deterministic=True) for route in routes)


def route_table(name: str, hosts: Sequence[HostDraft]) -> Resource:
    """Drops domains that an earlier host has: Envoy refuses a table that names one twice."""
    taken: set[str] = set()
    parts: list[bytes] = [route_pb2.RouteConfiguration(name=name).SerializeToString()]
    for host in hosts:
        domains = [domain for domain in host.domains if domain.lower() not in taken]
        taken.update(domain.lower() for domain in domains)
        if domains:
            parts.append(field(_TABLE_VIRTUAL_HOSTS, _virtual_host(host, domains)))
    return Resource.of_bytes(name, TypeUrl.ROUTE, b"".join(parts))


def refuse_unknown_hosts() -> HostDraft:
    """Istio's `block_all`: a request for a host that no service has."""
    route = route_components_pb2.Route(name="block_all", match=route_components_pb2.RouteMatch(prefix="/"))
    route.direct_response.status = BAD_GATEWAY
    return HostDraft("block_all", ("*",), serialised([route]))


def _virtual_host(host: HostDraft, domains: Sequence[str]) -> bytes:
    head = route_components_pb2.VirtualHost(name=host.name, domains=domains)
    if host.https_only:
        head.require_tls = route_components_pb2.VirtualHost.ALL
    routes = b"".join(field(_VIRTUAL_HOST_ROUTES, route) for route in host.routes)
    start: bytes = head.SerializeToString()
    return start + routes
