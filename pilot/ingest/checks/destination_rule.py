"""DestinationRule: hosts, subsets and the rules inside a traffic policy."""

from __future__ import annotations

from collections.abc import Iterator

from meshloom.pilot.ingest.checks.shared import (
    check_export_to,
    check_host,
    check_selector,
    duplicates,
    invalid,
)
from meshloom.pilot.ingest.diagnostic import Fault, Path
from meshloom.pilot.model.destination_rule import (
    ClientTls,
    ClientTlsMode,
    ConnectionPool,
    ConsistentHash,
    DestinationRule,
    LoadBalancer,
    LocalityLbSetting,
    OutlierDetection,
    PortTrafficPolicy,
    TrafficPolicy,
)

_MAGLEV_LIMIT = 5_000_011


def check_destination_rule(spec: DestinationRule) -> Iterator[Fault]:
    yield from check_host(spec.host, ("host",), ip_allowed=True)
    if spec.traffic_policy:
        yield from _policy(spec.traffic_policy, ("trafficPolicy",))
    for index, subset in enumerate(spec.subsets):
        at: Path = ("subsets", index)
        if not subset.name:
            yield Fault((*at, "name"), "subset name cannot be empty")
        if subset.traffic_policy:
            yield from _policy(subset.traffic_policy, (*at, "trafficPolicy"))
    for name in duplicates(subset.name for subset in spec.subsets):
        yield Fault(("subsets",), f'Duplicate value: "{name}": subset names must be unique')
    yield from check_export_to(spec.export_to, ("exportTo",))
    if spec.workload_selector:
        yield from check_selector(spec.workload_selector.match_labels, ("workloadSelector", "matchLabels"))


def _policy(policy: TrafficPolicy, at: Path) -> Iterator[Fault]:
    if policy == TrafficPolicy():
        yield Fault(at, "traffic policy must have at least one field")
    yield from _blocks(policy, at)
    for index, settings in enumerate(policy.port_level_settings):
        where: Path = (*at, "portLevelSettings", index)
        if settings.port is None or settings.port.number is None:
            yield Fault((*where, "port"), "portLevelSettings must have a port", "port: {number: 80}")
        yield from _blocks(settings, where)


def _blocks(policy: TrafficPolicy | PortTrafficPolicy, at: Path) -> Iterator[Fault]:
    if policy.load_balancer:
        yield from _load_balancer(policy.load_balancer, (*at, "loadBalancer"))
    if policy.connection_pool:
        yield from _connection_pool(policy.connection_pool, (*at, "connectionPool"))
    if policy.outlier_detection:
        yield from _outlier(policy.outlier_detection, (*at, "outlierDetection"))
    if policy.tls:
        yield from _tls(policy.tls, (*at, "tls"))


def _load_balancer(balancer: LoadBalancer, at: Path) -> Iterator[Fault]:
    if balancer.simple is not None and balancer.consistent_hash is not None:
        yield Fault(at, "only one of simple and consistentHash can be set")
    if balancer.consistent_hash is not None:
        yield from _consistent_hash(balancer.consistent_hash, (*at, "consistentHash"))
    if balancer.locality_lb_setting is not None:
        yield from _locality(balancer.locality_lb_setting, (*at, "localityLbSetting"))


def _consistent_hash(hashing: ConsistentHash, at: Path) -> Iterator[Fault]:
    keys = {
        "httpHeaderName": hashing.http_header_name,
        "httpCookie": hashing.http_cookie,
        "useSourceIp": hashing.use_source_ip,
        "httpQueryParameterName": hashing.http_query_parameter_name,
    }
    given = [name for name, value in keys.items() if value is not None]
    if len(given) != 1:
        yield Fault(at, f"exactly one hash key is required, found {len(given)}", f"one of {', '.join(keys)}")
    if hashing.ring_hash is not None and hashing.maglev is not None:
        yield Fault(at, "only one of ringHash and maglev can be set")
    size = hashing.maglev.table_size if hashing.maglev else None
    if size is not None and not (size < _MAGLEV_LIMIT and _is_prime(size)):
        yield invalid((*at, "maglev", "tableSize"), size, f"must be a prime below {_MAGLEV_LIMIT}")


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def _locality(setting: LocalityLbSetting, at: Path) -> Iterator[Fault]:
    if setting.distribute and (setting.failover or setting.failover_priority):
        yield Fault(at, "can not simultaneously specify 'distribute' and 'failover' or 'failoverPriority'")
    for index, distribute in enumerate(setting.distribute):
        where: Path = (*at, "distribute", index, "to")
        total = sum(distribute.to.values())
        if total != 100:
            yield invalid(where, dict(distribute.to), f"total locality weight {total} != 100")
    for index, failover in enumerate(setting.failover):
        if failover.from_ is not None and failover.from_ == failover.to:
            reason = f"locality lb failover settings must specify different regions: {failover.to}"
            yield Fault((*at, "failover", index), reason)


def _connection_pool(pool: ConnectionPool, at: Path) -> Iterator[Fault]:
    if pool.http is None and pool.tcp is None:
        yield Fault(at, "connection pool must have at least one field")
    counters = {
        ("http", "http1MaxPendingRequests"): pool.http and pool.http.http1_max_pending_requests,
        ("http", "http2MaxRequests"): pool.http and pool.http.http2_max_requests,
        ("http", "maxRequestsPerConnection"): pool.http and pool.http.max_requests_per_connection,
        ("http", "maxRetries"): pool.http and pool.http.max_retries,
        ("http", "maxConcurrentStreams"): pool.http and pool.http.max_concurrent_streams,
        ("tcp", "maxConnections"): pool.tcp and pool.tcp.max_connections,
    }
    for path, value in counters.items():
        if isinstance(value, int) and value < 0:
            yield invalid((*at, *path), value, "must be non-negative")


def _outlier(outlier: OutlierDetection, at: Path) -> Iterator[Fault]:
    percents = {
        "maxEjectionPercent": outlier.max_ejection_percent,
        "minHealthPercent": outlier.min_health_percent,
    }
    for name, value in percents.items():
        if value is not None and not 0 <= value <= 100:
            yield invalid((*at, name), value, "must be in range 0..100")


def _tls(tls: ClientTls, at: Path) -> Iterator[Fault]:
    files = {
        "clientCertificate": tls.client_certificate,
        "privateKey": tls.private_key,
        "caCertificates": tls.ca_certificates,
    }
    given = [name for name, value in files.items() if value]
    if tls.mode is ClientTlsMode.MUTUAL and not tls.credential_name:
        if not tls.client_certificate:
            path = (*at, "clientCertificate")
            yield Fault(path, "client certificate required for mutual tls", "or a credentialName")
        if not tls.private_key:
            yield Fault((*at, "privateKey"), "private key required for mutual tls", "or a credentialName")
    if tls.credential_name and given:
        yield Fault((*at, given[0]), f"{given[0]} and credentialName cannot both be set")
    if tls.mode is ClientTlsMode.ISTIO_MUTUAL:
        for name in (*given, *(["sni"] if tls.sni == "" else [])):
            yield Fault((*at, name), f"{name} cannot be set for ISTIO_MUTUAL: the mesh's own is used")
