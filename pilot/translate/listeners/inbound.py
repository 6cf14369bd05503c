"""The inbound listener of one workload port: who may speak to it, and how (semantics 33, 34).

PERMISSIVE tells three kinds of connection apart: mutual TLS of the mesh (known by its ALPN), TLS of the
application's own, and plaintext. STRICT has a chain for the first only, so the others are closed. DISABLE
takes bytes as they come.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from google.protobuf import duration_pb2
from meshloom.pilot.model.mesh import Service
from meshloom.pilot.model.mesh_config import MeshConfig
from meshloom.pilot.model.peer_authentication import MtlsMode
from meshloom.pilot.model.protocol import Protocol
from meshloom.pilot.translate import names, tls
from meshloom.pilot.translate.listeners.draft import ListenerDraft
from meshloom.pilot.translate.listeners.http import HttpSettings, http_filter
from meshloom.pilot.translate.listeners.tcp import TcpSettings, tcp_filters
from meshloom.pilot.translate.listeners.telemetry import Side
from meshloom.pilot.translate.proxy import HostPort
from meshloom.pilot.translate.traits import Traits

_PLAIN = "raw_buffer"
_Chain = listener_components_pb2.FilterChain
_Match = listener_components_pb2.FilterChainMatch


@dataclass(frozen=True, slots=True)
class InboundPort:
    """One port of the workload. `app` is where the program itself listens."""

    number: int
    protocol: Protocol
    app: HostPort
    service: Service | None
    mode: MtlsMode


def inbound_listener(port: InboundPort, traits: Traits, config: MeshConfig) -> ListenerDraft:
    return ListenerDraft.of(list(_chains(port, traits, config)), base_pb2.INBOUND)


def _chains(
    port: InboundPort, traits: Traits, config: MeshConfig
) -> Iterator[listener_components_pb2.FilterChain]:
    filters = _filters(port, traits, config)
    if port.mode is MtlsMode.DISABLE or (port.mode is MtlsMode.PERMISSIVE and not traits.mesh_tls):
        yield _Chain(name=f"inbound_{port.number}", filters=filters)
        return
    domains = (config.trust_domain, *config.trust_domain_aliases)
    secure = _Match(transport_protocol="tls")
    if port.mode is MtlsMode.PERMISSIVE:
        secure.application_protocols.extend(tls.MESH_ALPN)
    yield _Chain(
        name=f"inbound_{port.number}_mtls",
        filter_chain_match=secure,
        filters=filters,
        transport_socket=tls.mesh_downstream(domains, _alpn(port.protocol)),
    )
    if port.mode is not MtlsMode.PERMISSIVE:
        return
    yield _Chain(
        name=f"inbound_{port.number}_tls",
        filter_chain_match=_Match(transport_protocol="tls"),
        filters=_opaque(port, traits, config),
    )
    yield _Chain(
        name=f"inbound_{port.number}", filter_chain_match=_Match(transport_protocol=_PLAIN), filters=filters
    )


def _alpn(protocol: Protocol) -> tuple[str, ...]:
    """What the server agrees to; "istio" for clients that only mark their TLS as the mesh's."""
    if not protocol.is_http:
        return ("istio", "h2", "http/1.1")
    return ("h2", "http/1.1", "istio")


def _filters(port: InboundPort, traits: Traits, config: MeshConfig) -> list[listener_components_pb2.Filter]:
    if not port.protocol.is_http:
        return _opaque(port, traits, config)
    settings = HttpSettings(
        Side.INBOUND, f"inbound_0.0.0.0_{port.number}", traits, config, routes=_routes(port)
    )
    return [http_filter(settings)]


def _opaque(port: InboundPort, traits: Traits, config: MeshConfig) -> list[listener_components_pb2.Filter]:
    name = names.inbound(port.number)
    return tcp_filters(name, TcpSettings(Side.INBOUND, name, traits, config))


def _routes(port: InboundPort) -> route_pb2.RouteConfiguration:
    """Everything to the workload, without a timeout: the caller's side sets those."""
    route = route_components_pb2.Route(name="default", match=route_components_pb2.RouteMatch(prefix="/"))
    route.route.cluster = names.inbound(port.number)
    route.route.timeout.CopyFrom(duration_pb2.Duration())
    route.route.max_grpc_timeout.CopyFrom(duration_pb2.Duration())
    host = route_components_pb2.VirtualHost(name=f"inbound|http|{port.number}", domains=["*"], routes=[route])
    return route_pb2.RouteConfiguration(name=names.inbound(port.number), virtual_hosts=[host])
