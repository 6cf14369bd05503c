"""Listeners of a gateway: one per port that its Gateway objects open (GW-01..GW-05, semantics 53).

Plaintext HTTP servers of one port share a chain and a route table; a server with TLS has a chain of its
own, chosen by SNI. The oldest server of a port decides whether the port is TLS or not; servers that do not
fit are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_components_pb2
from meshloom.pilot.model.base import MeshObject
from meshloom.pilot.model.gateway import Gateway, Server, ServerTls, ServerTlsMode
from meshloom.pilot.model.lookup.virtual_services import gateway_virtual_services, server_hosts
from meshloom.pilot.model.virtual_service import VirtualService
from meshloom.pilot.translate import tls
from meshloom.pilot.translate.listeners.draft import ListenerDraft
from meshloom.pilot.translate.listeners.http import HttpSettings, http_filter
from meshloom.pilot.translate.listeners.tcp import TcpSettings, sni_chains, tcp_chain
from meshloom.pilot.translate.listeners.telemetry import Side
from meshloom.pilot.translate.resource import Resource
from meshloom.pilot.translate.routes.gateway import (
    BoundServer,
    gateway_table,
    plain_table_name,
    scoped_to,
    tls_table_name,
)
from meshloom.pilot.translate.routes.rules import RouteScope

_HTTP = frozenset({"HTTP", "HTTP2", "GRPC", "GRPC-WEB"})
_PASSED_THROUGH = frozenset({ServerTlsMode.PASSTHROUGH, ServerTlsMode.AUTO_PASSTHROUGH})


@dataclass(frozen=True, slots=True)
class GatewayPort:
    """One port with what is served on it. `bind` is empty where the workload's default applies."""

    bind: str
    number: int
    draft: ListenerDraft
    tables: tuple[Resource, ...]


def gateway_ports(gateways: Sequence[MeshObject[Gateway]], scope: RouteScope) -> list[GatewayPort]:
    made = (
        _gateway_port(bind, number, servers, scope)
        for (bind, number), servers in sorted(_by_port(gateways).items())
    )
    return [port for port in made if port is not None]


def is_secure(server: Server) -> bool:
    """Whether clients speak TLS to this server."""
    return server.port.protocol.upper() in ("HTTPS", "TLS")


def _by_port(gateways: Iterable[MeshObject[Gateway]]) -> dict[tuple[str, int], list[BoundServer]]:
    found: dict[tuple[str, int], list[BoundServer]] = defaultdict(list)
    for gateway in gateways:
        for server in gateway.spec.servers:
            bound = BoundServer(gateway, server)
            same = found[(server.bind or "", server.port.number)]
            if not same or _family(same[0].server) == _family(server):
                same.append(bound)
    return found


def _family(server: Server) -> str:
    if is_secure(server):
        return "tls"
    return "http" if server.port.protocol.upper() in _HTTP else "tcp"


def _gateway_port(
    bind: str, number: int, servers: Sequence[BoundServer], scope: RouteScope
) -> GatewayPort | None:
    at_port = scoped_to(scope, servers, number)
    match _family(servers[0].server):
        case "http":
            chain, table = _http_chain(plain_table_name(number), servers, at_port)
            chains, tables = [chain], [table]
        case "tls":
            chains, tables = _tls_chains(servers, at_port)
        case _:
            chains, tables = list(_tcp_chains(servers, at_port)), []
    if not chains:
        return None
    names = tuple(table.name for table in tables)
    return GatewayPort(bind, number, ListenerDraft.of(chains, base_pb2.OUTBOUND, names), tuple(tables))


def _http_chain(
    table_name: str, servers: Sequence[BoundServer], scope: RouteScope
) -> tuple[listener_components_pb2.FilterChain, Resource]:
    settings = HttpSettings(
        Side.EDGE, f"outbound_0.0.0.0_{scope.port}", scope.traits, scope.model.config, route_name=table_name
    )
    chain = listener_components_pb2.FilterChain(filters=[http_filter(settings)])
    return chain, gateway_table(table_name, servers, scope)


def _tls_chains(
    servers: Sequence[BoundServer], scope: RouteScope
) -> tuple[list[listener_components_pb2.FilterChain], list[Resource]]:
    """Each SNI belongs to the first server that names it."""
    chains: list[listener_components_pb2.FilterChain] = []
    tables: list[Resource] = []
    taken: set[str] = set()
    for bound in servers:
        own = scoped_to(scope, [bound], scope.port)
        settings = bound.server.tls or ServerTls()
        if settings.mode in _PASSED_THROUGH:
            chains.extend(_passthrough_chains(bound, own))
            continue
        hosts = [host for host in _sni(bound.server) if host not in taken]
        if not hosts:
            continue
        taken.update(hosts)
        chain, table = _http_chain(tls_table_name(bound), [bound], own)
        chain.filter_chain_match.transport_protocol = "tls"
        chain.filter_chain_match.server_names.extend(host for host in hosts if host != "*")
        chain.transport_socket.CopyFrom(_server_socket(settings, scope))
        chains.append(chain)
        tables.append(table)
    return chains, tables


def _server_socket(settings: ServerTls, scope: RouteScope) -> base_pb2.TransportSocket:
    alpn = ("h2", "http/1.1")
    if settings.mode is ServerTlsMode.ISTIO_MUTUAL:
        config = scope.model.config
        return tls.mesh_downstream((config.trust_domain, *config.trust_domain_aliases), (*alpn, "istio"))
    credential = settings.credential_name or next(iter(settings.credential_names), None)
    return tls.terminate(settings, tls.secret_name(credential) if credential else None, alpn)


def _sni(server: Server) -> list[str]:
    return [host.rpartition("/")[2] for host in server.hosts]


def _passthrough_chains(
    bound: BoundServer, scope: RouteScope
) -> Iterator[listener_components_pb2.FilterChain]:
    for rule in _rules(bound, scope):
        yield from sni_chains(rule, _tcp_settings(scope), scope)


def _tcp_chains(
    servers: Sequence[BoundServer], scope: RouteScope
) -> Iterator[listener_components_pb2.FilterChain]:
    """A TCP port has one chain: the first rule's."""
    for bound in servers:
        for rule in _rules(bound, scope):
            chain = tcp_chain(rule, _tcp_settings(scope), scope)
            if chain is not None:
                yield chain
                return


def _tcp_settings(scope: RouteScope) -> TcpSettings:
    return TcpSettings(Side.EDGE, f"outbound_0.0.0.0_{scope.port}", scope.traits, scope.model.config)


def _rules(bound: BoundServer, scope: RouteScope) -> list[MeshObject[VirtualService]]:
    visible = gateway_virtual_services(scope.model, bound.gateway, scope.namespace)
    return [rule for rule in visible if server_hosts(bound.gateway, bound.server, rule)]
