"""Plain bytes: TCP proxies, weighted and by SNI (TM-26, TM-27, semantics 15)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from meshloom.pilot.model.base import MeshObject, labels_match
from meshloom.pilot.model.mesh_config import MeshConfig
from meshloom.pilot.model.virtual_service import L4RouteDestination, TcpMatch, TlsMatch, VirtualService
from meshloom.pilot.translate.listeners.access_log import access_logs
from meshloom.pilot.translate.protos import pack
from meshloom.pilot.translate.routes.rules import RouteScope

TCP_FILTER = "envoy.filters.network.tcp_proxy"
TLS = "tls"


def tcp_filter(cluster: str, stat_prefix: str, config: MeshConfig) -> listener_components_pb2.Filter:
    proxy = tcp_proxy_pb2.TcpProxy(stat_prefix=stat_prefix, cluster=cluster, access_log=access_logs(config))
    return listener_components_pb2.Filter(name=TCP_FILTER, typed_config=pack(proxy))


def split_filter(
    shares: Sequence[L4RouteDestination], stat_prefix: str, scope: RouteScope
) -> listener_components_pb2.Filter:
    """Draws one destination per connection."""
    weighted = [share for share in shares if share.weight > 0]
    if len(shares) == 1 or not weighted:
        return tcp_filter(scope.cluster(shares[0].destination), stat_prefix, scope.model.config)
    proxy = tcp_proxy_pb2.TcpProxy(stat_prefix=stat_prefix, access_log=access_logs(scope.model.config))
    for share in weighted:
        proxy.weighted_clusters.clusters.add(name=scope.cluster(share.destination), weight=share.weight)
    return listener_components_pb2.Filter(name=TCP_FILTER, typed_config=pack(proxy))


def tcp_chain(
    rule: MeshObject[VirtualService], stat_prefix: str, scope: RouteScope
) -> listener_components_pb2.FilterChain | None:
    """The first TCP rule that is for this proxy and port."""
    for tcp in rule.spec.tcp:
        if tcp.route and (not tcp.match or any(_concerns(match, scope) for match in tcp.match)):
            return listener_components_pb2.FilterChain(filters=[split_filter(tcp.route, stat_prefix, scope)])
    return None


def sni_chains(
    rule: MeshObject[VirtualService], stat_prefix: str, scope: RouteScope
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
                filter_chain_match=chain_match, filters=[split_filter(tls.route, stat_prefix, scope)]
            )


def _concerns(match: TcpMatch | TlsMatch, scope: RouteScope) -> bool:
    if match.port is not None and match.port != scope.port:
        return False
    if match.gateways:
        return bool(scope.gateways.intersection(match.gateways))
    return labels_match(match.source_labels, scope.labels) and (
        match.source_namespace in (None, "", scope.namespace)
    )
