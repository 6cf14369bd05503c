//! Names of the extensions that are known, by the type of their configuration.

pub(super) const LISTENER: &str = "envoy.config.listener.v3.Listener";
pub(super) const ROUTE_TABLE: &str = "envoy.config.route.v3.RouteConfiguration";
pub(super) const CLUSTER: &str = "envoy.config.cluster.v3.Cluster";
pub(super) const ASSIGNMENT: &str = "envoy.config.endpoint.v3.ClusterLoadAssignment";
pub(super) const SECRET: &str = "envoy.extensions.transport_sockets.tls.v3.Secret";

pub(super) const HCM: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
pub(super) const TCP_PROXY: &str = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
pub(super) const CONNECTION_LIMIT: &str =
    "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit";
pub(super) const HTTP_INSPECTOR: &str = "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector";
pub(super) const ORIGINAL_DST: &str = "envoy.extensions.filters.listener.original_dst.v3.OriginalDst";
pub(super) const PROXY_PROTOCOL: &str = "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol";
pub(super) const UPSTREAM_PROXY_PROTOCOL: &str =
    "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport";
pub(super) const TLS_INSPECTOR: &str = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";
pub(super) const ROUTER: &str = "envoy.extensions.filters.http.router.v3.Router";
pub(super) const FAULT: &str = "envoy.extensions.filters.http.fault.v3.HTTPFault";
pub(super) const FILTER_CONFIG: &str = "envoy.config.route.v3.FilterConfig";
pub(super) const DOWNSTREAM_TLS: &str = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
pub(super) const UPSTREAM_TLS: &str = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
pub(super) const SPIFFE_VALIDATOR: &str =
    "envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig";
pub(super) const RAW_BUFFER: &str = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";
pub(super) const HTTP_UPSTREAM: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
pub(super) const FILE_LOG: &str = "envoy.extensions.access_loggers.file.v3.FileAccessLog";
pub(super) const STDOUT_LOG: &str = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog";
pub(super) const STDERR_LOG: &str = "envoy.extensions.access_loggers.stream.v3.StderrAccessLog";
pub(super) const PRESERVE_CASE: &str =
    "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig";
pub(super) const UUID_REQUEST_ID: &str = "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig";
pub(super) const PREVIOUS_HOSTS: &str =
    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";
pub(super) const LB_ROUND_ROBIN: &str = "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin";
pub(super) const LB_LEAST_REQUEST: &str =
    "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest";
pub(super) const LB_RANDOM: &str = "envoy.extensions.load_balancing_policies.random.v3.Random";
pub(super) const LB_RING_HASH: &str = "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash";
pub(super) const LB_MAGLEV: &str = "envoy.extensions.load_balancing_policies.maglev.v3.Maglev";
pub(super) const CARES: &str = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig";
pub(super) const GETADDRINFO: &str =
    "envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig";
pub(super) const XFF: &str = "envoy.extensions.http.original_ip_detection.xff.v3.XffConfig";
pub(super) const TYPED_STRUCT: &str = "xds.type.v3.TypedStruct";
pub(super) const UDPA_TYPED_STRUCT: &str = "udpa.type.v1.TypedStruct";
/// Istio's filters, whose messages Envoy's API lacks: they travel in a `TypedStruct`.
pub(super) const PEER_METADATA: &str = "io.istio.http.peer_metadata.Config";
pub(super) const ISTIO_STATS: &str = "stats.PluginConfig";
