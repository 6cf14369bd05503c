"""Istio's DestinationRule, every field of its schema. Features R-04..R-24 say what each one means."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

import msgspec
from meshloom.pilot.model.base import Int32, LabelSelector, PortNumber, Schema, UInt32, UInt64
from meshloom.pilot.model.duration import Duration, PositiveDuration

Percentage = Annotated[float, msgspec.Meta(ge=0, le=100)]


class SimpleLoadBalancer(StrEnum):
    UNSPECIFIED = "UNSPECIFIED"
    LEAST_CONN = "LEAST_CONN"
    RANDOM = "RANDOM"
    PASSTHROUGH = "PASSTHROUGH"
    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_REQUEST = "LEAST_REQUEST"


class CookieAttribute(Schema, frozen=True):
    name: str
    value: str | None = None


class HttpCookie(Schema, frozen=True):
    """No `ttl`: the cookie is read, never minted. Zero: a session cookie."""

    name: str
    path: str | None = None
    ttl: Duration | None = None
    attributes: tuple[CookieAttribute, ...] = ()


class RingHash(Schema, frozen=True):
    minimum_ring_size: UInt64 | None = None


class Maglev(Schema, frozen=True):
    table_size: UInt64 | None = None


class ConsistentHash(Schema, frozen=True):
    http_header_name: str | None = None
    http_cookie: HttpCookie | None = None
    use_source_ip: bool | None = None
    http_query_parameter_name: str | None = None
    ring_hash: RingHash | None = None
    maglev: Maglev | None = None
    minimum_ring_size: UInt64 | None = None


class LocalityDistribute(Schema, frozen=True):
    from_: str | None = msgspec.field(default=None, name="from")
    to: Mapping[str, UInt32] = {}


class LocalityFailover(Schema, frozen=True):
    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None


class LocalityLbSetting(Schema, frozen=True):
    enabled: bool | None = None
    distribute: tuple[LocalityDistribute, ...] = ()
    failover: tuple[LocalityFailover, ...] = ()
    failover_priority: tuple[str, ...] = ()


class ZoneAwareLbSetting(Schema, frozen=True):
    enabled: bool | None = None
    failover: tuple[LocalityFailover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    min_cluster_size: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Warmup(Schema, frozen=True):
    duration: PositiveDuration
    minimum_percent: Percentage | None = None
    aggression: Annotated[float, msgspec.Meta(ge=0)] | None = None


class LoadBalancer(Schema, frozen=True):
    simple: SimpleLoadBalancer | None = None
    consistent_hash: ConsistentHash | None = None
    locality_lb_setting: LocalityLbSetting | None = None
    zone_aware_lb_setting: ZoneAwareLbSetting | None = None
    warmup: Warmup | None = None
    warmup_duration_secs: PositiveDuration | None = None


class TcpKeepalive(Schema, frozen=True):
    probes: UInt32 | None = None
    time: PositiveDuration | None = None
    interval: PositiveDuration | None = None


class TcpPool(Schema, frozen=True):
    """`idle_timeout` may be zero: connections are never idle."""

    max_connections: Int32 | None = None
    connect_timeout: PositiveDuration | None = None
    tcp_keepalive: TcpKeepalive | None = None
    max_connection_duration: PositiveDuration | None = None
    idle_timeout: Duration | None = None


class Http2KeepAlive(Schema, frozen=True):
    interval: PositiveDuration | None = None
    timeout: PositiveDuration | None = None


class H2UpgradePolicy(StrEnum):
    DEFAULT = "DEFAULT"
    DO_NOT_UPGRADE = "DO_NOT_UPGRADE"
    UPGRADE = "UPGRADE"


class HttpPool(Schema, frozen=True):
    http1_max_pending_requests: Int32 | None = None
    http2_max_requests: Int32 | None = None
    max_requests_per_connection: Int32 | None = None
    max_retries: Int32 | None = None
    idle_timeout: PositiveDuration | None = None
    h2_upgrade_policy: H2UpgradePolicy = H2UpgradePolicy.DEFAULT
    use_client_protocol: bool | None = None
    max_concurrent_streams: Int32 | None = None
    http2_keep_alive: Http2KeepAlive | None = None


class ConnectionPool(Schema, frozen=True):
    tcp: TcpPool | None = None
    http: HttpPool | None = None


class OutlierDetection(Schema, frozen=True):
    split_external_local_origin_errors: bool | None = None
    consecutive_local_origin_failures: UInt32 | None = None
    consecutive_gateway_errors: UInt32 | None = None
    consecutive5xx_errors: UInt32 | None = msgspec.field(default=None, name="consecutive5xxErrors")
    consecutive_errors: Int32 | None = None
    interval: PositiveDuration | None = None
    base_ejection_time: PositiveDuration | None = None
    max_ejection_percent: Int32 | None = None
    min_health_percent: Int32 | None = None
    outlier_detection_http_error_codes: tuple[Annotated[int, msgspec.Meta(ge=100, le=599)], ...] = ()


class ClientTlsMode(StrEnum):
    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


class ClientTls(Schema, frozen=True):
    mode: ClientTlsMode = ClientTlsMode.DISABLE
    client_certificate: str | None = None
    private_key: str | None = None
    ca_certificates: str | None = None
    credential_name: str | None = None
    subject_alt_names: tuple[str, ...] = ()
    sni: str | None = None
    insecure_skip_verify: bool | None = None
    ca_crl: str | None = None


class PolicyPort(Schema, frozen=True):
    number: PortNumber | None = None


class PortTrafficPolicy(Schema, frozen=True):
    """Replaces the destination's policy for its port wholesale: what is unset here is the default."""

    port: PolicyPort | None = None
    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTls | None = None


class Tunnel(Schema, frozen=True):
    target_host: str
    target_port: PortNumber
    protocol: str | None = None


class ProxyProtocolVersion(StrEnum):
    V1 = "V1"
    V2 = "V2"


class ProxyProtocol(Schema, frozen=True):
    version: ProxyProtocolVersion = ProxyProtocolVersion.V1


class RetryBudget(Schema, frozen=True):
    percent: Percentage | None = None
    min_retry_concurrency: UInt32 | None = None
    budget_interval: Duration | None = None


class TrafficPolicy(Schema, frozen=True):
    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTls | None = None
    port_level_settings: tuple[PortTrafficPolicy, ...] = ()
    tunnel: Tunnel | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None


class Subset(Schema, frozen=True):
    name: str
    labels: Mapping[str, str] = {}
    traffic_policy: TrafficPolicy | None = None


class DestinationRule(Schema, frozen=True):
    """In a `MeshModel` `host` is fully qualified."""

    host: str
    traffic_policy: TrafficPolicy | None = None
    subsets: tuple[Subset, ...] = ()
    export_to: tuple[str, ...] = ()
    workload_selector: LabelSelector | None = None
