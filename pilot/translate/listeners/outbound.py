"""Outbound listeners of a sidecar: one per service port, and the HTTP proxy for everything that is HTTP."""

from __future__ import annotations

from dataclasses import replace

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_components_pb2
from meshloom.pilot.model.base import MeshObject
from meshloom.pilot.model.mesh import Service, ServicePort
from meshloom.pilot.model.virtual_service import VirtualService
from meshloom.pilot.translate import names
from meshloom.pilot.translate.listeners.draft import ListenerDraft
from meshloom.pilot.translate.listeners.http import HttpSettings, http_filter
from meshloom.pilot.translate.listeners.tcp import TcpSettings, sni_chains, tcp_chain, tcp_filters
from meshloom.pilot.translate.listeners.telemetry import Side
from meshloom.pilot.translate.routes.rules import RouteScope


def http_service(service: Service, port: ServicePort, scope: RouteScope) -> ListenerDraft:
    name = names.outbound(service.hostname, port.number)
    return _http(name, f"outbound_{service.hostname}_{port.number}", scope)


def http_proxy(scope: RouteScope) -> ListenerDraft:
    return _http(names.HTTP_PROXY_ROUTE, "outbound_http_proxy", scope)


def opaque_service(
    service: Service, port: ServicePort, rule: MeshObject[VirtualService] | None, scope: RouteScope
) -> ListenerDraft:
    """Not routed as HTTP: by SNI where rules say so, else to where TCP rules say, else home."""
    at_port = replace(scope, port=port.number)
    home = names.outbound(service.hostname, port.number)
    settings = TcpSettings(Side.OUTBOUND, home, scope.traits, scope.model.config)
    chains: list[listener_components_pb2.FilterChain] = []
    rest: listener_components_pb2.FilterChain | None = None
    if rule is not None and port.protocol.is_tls:
        chains.extend(sni_chains(rule, settings, at_port))
    elif rule is not None:
        rest = tcp_chain(rule, settings, at_port)
    if rest is None:
        rest = listener_components_pb2.FilterChain(filters=tcp_filters(home, settings))
    return ListenerDraft.of([*chains, rest], base_pb2.OUTBOUND)


def _http(route_name: str, stat_prefix: str, scope: RouteScope) -> ListenerDraft:
    settings = HttpSettings(
        Side.OUTBOUND, stat_prefix, scope.traits, scope.model.config, route_name=route_name
    )
    chain = listener_components_pb2.FilterChain(filters=[http_filter(settings)])
    return ListenerDraft.of([chain], base_pb2.OUTBOUND, (route_name,))
