"""What a DestinationRule's policy does to a cluster: balancing, pools, breakers, outliers (R-06..R-14)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2, outlier_detection_pb2
from envoy.config.core.v3 import address_pb2, protocol_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.type.v3 import percent_pb2
from meshloom.pilot.model.destination_rule import (
    ConnectionPool,
    H2UpgradePolicy,
    HttpPool,
    OutlierDetection,
    SimpleLoadBalancer,
    TcpPool,
    TrafficPolicy,
)
from meshloom.pilot.model.mesh_config import MeshConfig
from meshloom.pilot.model.protocol import Protocol
from meshloom.pilot.translate.protos import duration, pack, u32

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_UNLIMITED = 2**32 - 1
# More than this the kernel refuses for TCP keep-alive.
_MOST_PROBES = 127
_MOST_KERNEL_SECONDS = 32_767
_LEAST_REQUEST: int = cluster_pb2.Cluster.LEAST_REQUEST
_LB_POLICY: Mapping[SimpleLoadBalancer, int] = {
    SimpleLoadBalancer.RANDOM: cluster_pb2.Cluster.RANDOM,
    SimpleLoadBalancer.ROUND_ROBIN: cluster_pb2.Cluster.ROUND_ROBIN,
}


@dataclass(frozen=True, slots=True)
class Spoken:
    """What is spoken to an upstream. `client_http2`: whichever HTTP the client speaks, HTTP/2 included."""

    http: bool
    http2: bool
    client_http2: bool

    @classmethod
    def of(cls, policy: TrafficPolicy, protocol: Protocol, config: MeshConfig) -> Spoken:
        """HTTP/2 by the port, or upgraded by rule."""
        http = (policy.connection_pool or ConnectionPool()).http or HttpPool()
        http2 = _upstream_http2(http, protocol, config)
        return cls(protocol.is_http, http2, bool(http.use_client_protocol))


def apply_policy(
    cluster: cluster_pb2.Cluster, policy: TrafficPolicy, spoken: Spoken, config: MeshConfig
) -> None:
    pool = policy.connection_pool or ConnectionPool()
    tcp, http = pool.tcp or TcpPool(), pool.http or HttpPool()
    cluster.connect_timeout.CopyFrom(duration(tcp.connect_timeout or config.connect_timeout))
    cluster.lb_policy = lb_policy(policy)
    cluster.circuit_breakers.thresholds.append(_thresholds(tcp, http))
    _keep_alive(cluster, tcp)
    if policy.outlier_detection is not None:
        _outliers(cluster, policy.outlier_detection)
    if (options := _http_options(http, spoken)) is not None:
        cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(pack(options))


def apply_http2(cluster: cluster_pb2.Cluster) -> None:
    """Speaks HTTP/2 to a workload whose port says so."""
    options = http_protocol_options_pb2.HttpProtocolOptions()
    options.explicit_http_config.http2_protocol_options.SetInParent()
    cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(pack(options))


def lb_policy(policy: TrafficPolicy) -> int:
    """LEAST_REQUEST unless the rule says otherwise (R-06)."""
    simple = policy.load_balancer.simple if policy.load_balancer else None
    if simple is None:
        return _LEAST_REQUEST
    return _LB_POLICY.get(simple, _LEAST_REQUEST)


def _upstream_http2(http: HttpPool, protocol: Protocol, config: MeshConfig) -> bool:
    if protocol.is_http2:
        return True
    upgrade = http.h2_upgrade_policy
    if upgrade is H2UpgradePolicy.DEFAULT:
        upgrade = config.h2_upgrade_policy
    return protocol is Protocol.HTTP and upgrade is H2UpgradePolicy.UPGRADE


def _thresholds(tcp: TcpPool, http: HttpPool) -> circuit_breaker_pb2.CircuitBreakers.Thresholds:
    """Zero and absent both mean Istio's default: no limit."""
    return circuit_breaker_pb2.CircuitBreakers.Thresholds(
        max_connections=u32(tcp.max_connections or _UNLIMITED),
        max_pending_requests=u32(http.http1_max_pending_requests or _UNLIMITED),
        max_requests=u32(http.http2_max_requests or _UNLIMITED),
        max_retries=u32(http.max_retries or _UNLIMITED),
        track_remaining=True,
    )


def _keep_alive(cluster: cluster_pb2.Cluster, tcp: TcpPool) -> None:
    if tcp.tcp_keepalive is None:
        return
    alive = address_pb2.TcpKeepalive()
    if tcp.tcp_keepalive.probes:
        alive.keepalive_probes.CopyFrom(u32(min(tcp.tcp_keepalive.probes, _MOST_PROBES)))
    if tcp.tcp_keepalive.time:
        alive.keepalive_time.CopyFrom(u32(_kernel_seconds(tcp.tcp_keepalive.time)))
    if tcp.tcp_keepalive.interval:
        alive.keepalive_interval.CopyFrom(u32(_kernel_seconds(tcp.tcp_keepalive.interval)))
    cluster.upstream_connection_options.tcp_keepalive.CopyFrom(alive)


def _kernel_seconds(wanted: timedelta) -> int:
    """What Linux takes for TCP_KEEPIDLE and TCP_KEEPINTVL: whole seconds, at least one."""
    return min(max(1, round(wanted.total_seconds())), _MOST_KERNEL_SECONDS)


def _outliers(cluster: cluster_pb2.Cluster, rule: OutlierDetection) -> None:
    """Success-rate detection is off, as in Istio; a detector set to 0 is counted but not enforced."""
    made = outlier_detection_pb2.OutlierDetection(enforcing_success_rate=u32(0))
    if rule.consecutive5xx_errors is not None:
        made.consecutive_5xx.CopyFrom(u32(rule.consecutive5xx_errors))
        made.enforcing_consecutive_5xx.CopyFrom(u32(100 if rule.consecutive5xx_errors else 0))
    gateway = rule.consecutive_gateway_errors
    if gateway is None and rule.consecutive_errors:
        gateway = rule.consecutive_errors
    if gateway is not None:
        made.consecutive_gateway_failure.CopyFrom(u32(gateway))
        made.enforcing_consecutive_gateway_failure.CopyFrom(u32(100 if gateway else 0))
    if rule.interval:
        made.interval.CopyFrom(duration(rule.interval))
    if rule.base_ejection_time:
        made.base_ejection_time.CopyFrom(duration(rule.base_ejection_time))
    if rule.max_ejection_percent:
        made.max_ejection_percent.CopyFrom(u32(rule.max_ejection_percent))
    if rule.split_external_local_origin_errors:
        made.split_external_local_origin_errors = True
        if rule.consecutive_local_origin_failures is not None:
            made.consecutive_local_origin_failure.CopyFrom(u32(rule.consecutive_local_origin_failures))
            enforced = 100 if rule.consecutive_local_origin_failures else 0
            made.enforcing_consecutive_local_origin_failure.CopyFrom(u32(enforced))
    cluster.outlier_detection.CopyFrom(made)
    # With all endpoints ejected the answer is 503, not a try at the sick ones (semantics 28).
    panic = percent_pb2.Percent(value=float(rule.min_health_percent or 0))
    cluster.common_lb_config.healthy_panic_threshold.CopyFrom(panic)


def _http_options(http: HttpPool, spoken: Spoken) -> http_protocol_options_pb2.HttpProtocolOptions | None:
    """None where Envoy's defaults are what is wanted: HTTP/1.1, an hour of idling."""
    made = http_protocol_options_pb2.HttpProtocolOptions()
    if http.idle_timeout is not None:
        made.common_http_protocol_options.idle_timeout.CopyFrom(duration(http.idle_timeout))
    if http.max_requests_per_connection:
        limit = u32(http.max_requests_per_connection)
        made.common_http_protocol_options.max_requests_per_connection.CopyFrom(limit)
    needed = spoken.http2 or spoken.client_http2 or made.HasField("common_http_protocol_options")
    if not needed or not spoken.http:
        return None
    if spoken.client_http2:
        made.use_downstream_protocol_config.http2_protocol_options.CopyFrom(_http2_options(http))
        made.use_downstream_protocol_config.http_protocol_options.SetInParent()
    elif spoken.http2:
        made.explicit_http_config.http2_protocol_options.CopyFrom(_http2_options(http))
    else:
        made.explicit_http_config.http_protocol_options.SetInParent()
    return made


def _http2_options(http: HttpPool) -> protocol_pb2.Http2ProtocolOptions:
    options = protocol_pb2.Http2ProtocolOptions()
    if http.max_concurrent_streams:
        options.max_concurrent_streams.CopyFrom(u32(http.max_concurrent_streams))
    if http.http2_keep_alive and http.http2_keep_alive.interval:
        options.connection_keepalive.interval.CopyFrom(duration(http.http2_keep_alive.interval))
        if http.http2_keep_alive.timeout:
            options.connection_keepalive.timeout.CopyFrom(duration(http.http2_keep_alive.timeout))
    return options
