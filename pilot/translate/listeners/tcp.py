"""Plain bytes: TCP proxies, weighted and by SNI (TM-26, TM-27, semantics 15)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from meshloom.pilot.model.base import MeshObject, labels_match
from meshloom.pilot.model.mesh_config import MeshConfig
from meshloom.pilot.model.virtual_service import L4RouteDestination, TcpMatch, TlsMatch, VirtualService
from meshloom.pilot.translate.listeners.access_log import access_logs
from meshloom.pilot.translate.listeners.telemetry import STATS_FILTER, Side, stats
from meshloom.pilot.translate.protos import pack
from meshloom.pilot.translate.routes.rules import RouteScope
from meshloom.pilot.translate.traits import Traits

TCP_FILTER = "envoy.filters.network.tcp_proxy"
TLS = "tls"


@dataclass(frozen=True, slots=True)
class TcpSettings:
    """One TCP proxy, beside where its connections go."""

    side: Side
    stat_prefix: str
    traits: Traits
    config: MeshConfig


def tcp_filters(cluster: str, settings: TcpSettings) -> list[listener_components_pb2.Filter]:
    return _chain(_proxy(settings, cluster=cluster), settings)


def split_filters(
    shares: Sequence[L4RouteDestination], settings: TcpSettings, scope: RouteScope
) -> list[listener_components_pb2.Filter]:
    """Draws one destination per connection."""
    weighted = [share for share in shares if share.weight > 0]
    if len(shares) == 1 or not weighted:
        return tcp_filters(scope.cluster(shares[0].destination), settings)
    proxy = _proxy(settings)
    for share in weighted:
        proxy.weighted_clusters.clusters.add(name=scope.cluster(share.destination), weight=share.weight)
    return _chain(proxy, settings)


def _proxy(settings: TcpSettings, **target: str) -> tcp_proxy_pb2.TcpProxy:
    logs = access_logs(settings.config)
    return tcp_proxy_pb2.TcpProxy(stat_prefix=settings.stat_prefix, access_log=logs, **target)


def _chain(proxy: tcp_proxy_pb2.TcpProxy, settings: TcpSettings) -> list[listener_components_pb2.Filter]:
    filters = [listener_components_pb2.Filter(name=TCP_FILTER, typed_config=pack(proxy))]
    if settings.traits.own:
        counted = listener_components_pb2.Filter(name=STATS_FILTER, typed_config=stats(settings.side))
        filters.insert(0, counted)
    return filters


def tcp_chain(
    rule: MeshObject[VirtualService], settings: TcpSettings, scope: RouteScope
) -> listener_components_pb2.FilterChain | None:
    """The first TCP rule that is for this proxy and port."""
    for tcp in rule.spec.tcp:
        if tcp.route and (not tcp.match or any(_concerns(match, scope) for match in tcp.match)):
            return listener_components_pb2.FilterChain(filters=split_filters(tcp.route, settings, scope))
    return None


def sni_chains(
    rule: MeshObject[VirtualService], settings: TcpSettings, scope: RouteScope
) -> Iterator[listener_components_pb2.FilterChain]:
    """One chain for each TLS rule that is for this proxy and port; a name that was taken stays taken."""
    taken: set[str] = set()
    for tls in rule.spec.tls:
        for match in tls.match:
            hosts = [host for host in match.sni_hosts if host not in taken]
            if not hosts or not tls.route or not _concerns(match, scope):
                continue
            taken.update(hosts)
            chain_match = listener_components_pb2.FilterChainMatch(
                transport_protocol=TLS, server_names=[host for host in hosts if host != "*"]
            )
            yield listener_components_pb2.FilterChain(
                filter_chain_match=chain_match, filters=split_filters(tls.route, settings, scope)
            )


def _concerns(match: TcpMatch | TlsMatch, scope: RouteScope) -> bool:
    if match.port is not None and match.port != scope.port:
        return False
    if match.gateways:
        return bool(scope.gateways.intersection(match.gateways))
    return labels_match(match.source_labels, scope.labels) and (
        match.source_namespace in (None, "", scope.namespace)
    )
