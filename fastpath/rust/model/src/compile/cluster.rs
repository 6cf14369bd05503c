//! Clusters.

use std::sync::Arc;
use std::time::Duration;

use meshloom_xds as xds;
use meshloom_xds::envoy::config::cluster::v3 as proto;
use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::config::endpoint::v3 as endpoint_proto;

use super::context::Context;
use super::endpoint::{endpoints, labels, text_in};
use super::health::health_check;
use super::http_upstream::{Options, http_upstream};
use super::listener::DEFAULT_BUFFER;
use super::matching::header_name;
use super::outlier::{circuit_breakers, outlier_detection};
use super::parts::{choice, duration, extension, host_and_port, percent, positive, unpack, unsupported};
use super::path::{At, Invalid};
use super::proxy_header::proxy_header;
use super::subset::subsets;
use super::{tls, types};
use crate::cluster::{
    Cluster, DestinationService, DnsTarget, EndpointSource, HealthEffects, HttpProtocol, HttpUpstream,
    LoadBalance, OriginalDestination, SlowStart, TcpKeepalive, TransportMatch, UpstreamTransport,
};
use crate::ids::ClusterName;
use crate::proxy_header::ProxyHeader;
use crate::subset::Subsets;

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_DNS_REFRESH: Duration = Duration::from_secs(5);
const DEFAULT_CLEANUP: Duration = Duration::from_secs(5);
const ORIGINAL_HEADER: &str = "x-envoy-original-dst-host";
const DEFAULT_PANIC_PERCENT: f64 = 50.0;
/// What Linux takes for `TCP_KEEPCNT`, and for `TCP_KEEPIDLE` and `TCP_KEEPINTVL`.
const MAX_KEEPALIVE_PROBES: u32 = 127;
const MAX_KEEPALIVE_SECONDS: u32 = 32_767;

pub(super) fn cluster(mut value: proto::Cluster, at: &At<'_>, cx: &mut Context) -> Result<Cluster, Invalid> {
    let endpoints = endpoint_source(&value, at, cx)?;
    let (options, health_effects) = (protocol_options(&mut value, at)?, health_effects(&value));
    let proto::Cluster {
        transport_socket_matches,
        name,
        alt_stat_name,
        r#type: _,
        eds_cluster_config: _,
        connect_timeout,
        per_connection_buffer_limit_bytes,
        lb_policy,
        load_assignment: _,
        max_requests_per_connection: _,
        circuit_breakers: breakers,
        common_http_protocol_options: _,
        http_protocol_options: _,
        http2_protocol_options: _,
        typed_extension_protocol_options: _,
        dns_refresh_rate: _,
        outlier_detection: outlier,
        common_lb_config,
        transport_socket,
        metadata,
        upstream_connection_options,
        close_connections_on_host_health_failure: _,
        cleanup_interval: _,
        health_checks,
        ignore_health_on_host_removal: _,
        lb_subset_config,
        lb_config,
    } = value;
    let common = common_lb_config.unwrap_or_default();
    let istio = metadata.as_ref().and_then(|metadata| metadata.filter_metadata.get("istio"));
    let travel = travel(transport_socket.as_ref(), &transport_socket_matches, at, cx)?;
    let http = travel.spoken(options, at)?;
    Ok(Cluster {
        balance: load_balance(lb_policy, lb_config.as_ref(), &endpoints, at)?,
        slow_start: slow_start(lb_config, at)?,
        weighted_localities: common.locality_weighted_lb_config.is_some(),
        subsets: subsets_of(lb_subset_config, &endpoints, at)?,
        health: health_check(health_checks, &at.field("health_checks"), cx)?,
        health_effects,
        endpoints,
        name: ClusterName::try_from(name.as_str()).map_err(|error| at.field("name").refuse(error))?,
        alt_stat_name: (!alt_stat_name.is_empty()).then(|| alt_stat_name.into()),
        connect_timeout: positive(connect_timeout, DEFAULT_CONNECT_TIMEOUT, &at.field("connect_timeout"))?,
        buffer_limit: per_connection_buffer_limit_bytes.unwrap_or(DEFAULT_BUFFER),
        breakers: circuit_breakers(breakers.unwrap_or_default(), &at.field("circuit_breakers"))?,
        outlier: outlier.map(|value| outlier_detection(value, &at.field("outlier_detection"))).transpose()?,
        panic_threshold_percent: panic_threshold(&common, at)?,
        transport: travel.transport,
        proxy_header: travel.proxy_header,
        transport_matches: travel.matches,
        http,
        tcp_keepalive: keepalive(upstream_connection_options, at)?,
        service: istio.and_then(service).map(Arc::new),
        external: istio.is_some_and(is_external),
    })
}

fn endpoint_source(value: &proto::Cluster, at: &At<'_>, cx: &mut Context) -> Result<EndpointSource, Invalid> {
    use proto::cluster::DiscoveryType;
    let at_assignment = at.field("load_assignment");
    let given = value.load_assignment.as_ref();
    match choice(value.r#type.unwrap_or(0), &at.field("type"))? {
        DiscoveryType::Static => {
            // Without endpoints it is a cluster that nobody answers for, as with Envoy.
            let assignment = given.cloned().unwrap_or_default();
            Ok(EndpointSource::Static(Arc::new(endpoints(assignment, &at_assignment)?)))
        }
        DiscoveryType::Eds => {
            let config = at.field("eds_cluster_config").required(value.eds_cluster_config.as_ref())?;
            let name = if config.service_name.is_empty() { &value.name } else { &config.service_name };
            cx.assignment(name, &at.field("name")).map(EndpointSource::Assigned)
        }
        kind @ (DiscoveryType::StrictDns | DiscoveryType::LogicalDns) => {
            let targets = dns_targets(at_assignment.required(given)?, &at_assignment)?;
            let first_address_only = kind == DiscoveryType::LogicalDns;
            if first_address_only && targets.len() != 1 {
                return Err(at_assignment.refuse("a cluster of type LOGICAL_DNS has exactly one endpoint"));
            }
            let assignment = cx.assignment(&format!("dns|{}", value.name), &at.field("name"))?;
            let refresh =
                positive(value.dns_refresh_rate, DEFAULT_DNS_REFRESH, &at.field("dns_refresh_rate"))?;
            Ok(EndpointSource::Dns { assignment, targets, first_address_only, refresh })
        }
        DiscoveryType::OriginalDst => match given {
            Some(_) => Err(at_assignment.refuse("a cluster of type ORIGINAL_DST has no endpoints")),
            None => original_destination(value, at).map(EndpointSource::OriginalDestination),
        },
    }
}

fn original_destination(value: &proto::Cluster, at: &At<'_>) -> Result<OriginalDestination, Invalid> {
    let config = match &value.lb_config {
        Some(proto::cluster::LbConfig::OriginalDstLbConfig(config)) => config.clone(),
        _ => Default::default(),
    };
    let proto::cluster::OriginalDstLbConfig { use_http_header, http_header_name, upstream_port_override } =
        config;
    let at_config = at.field("original_dst_lb_config");
    let name = if http_header_name.is_empty() { ORIGINAL_HEADER } else { &http_header_name };
    let header =
        use_http_header.then(|| header_name(name, &at_config.field("http_header_name"))).transpose()?;
    let port = upstream_port_override.map(u16::try_from).transpose();
    Ok(OriginalDestination {
        header,
        port: port
            .map_err(|_| at_config.field("upstream_port_override").refuse("a port is at most 65535"))?,
        cleanup: positive(value.cleanup_interval, DEFAULT_CLEANUP, &at.field("cleanup_interval"))?,
    })
}

fn subsets_of(
    value: Option<proto::cluster::LbSubsetConfig>,
    endpoints: &EndpointSource,
    at: &At<'_>,
) -> Result<Option<Arc<Subsets>>, Invalid> {
    let at = at.field("lb_subset_config");
    match (value, endpoints) {
        (Some(_), EndpointSource::OriginalDestination(_)) => {
            Err(at.refuse("a cluster of type ORIGINAL_DST has no subsets"))
        }
        (value, _) => Ok(value.map(|value| subsets(value, &at)).transpose()?.flatten().map(Arc::new)),
    }
}

fn slow_start(value: Option<proto::cluster::LbConfig>, at: &At<'_>) -> Result<Option<SlowStart>, Invalid> {
    use proto::cluster::LbConfig;
    let (config, at) = match value {
        Some(LbConfig::RoundRobinLbConfig(config)) => {
            (config.slow_start_config, at.field("round_robin_lb_config"))
        }
        Some(LbConfig::LeastRequestLbConfig(config)) => {
            (config.slow_start_config, at.field("least_request_lb_config"))
        }
        _ => return Ok(None),
    };
    let at = at.field("slow_start_config");
    let Some(proto::cluster::SlowStartConfig { slow_start_window, aggression, min_weight_percent }) = config
    else {
        return Ok(None);
    };
    let aggression = aggression.map_or(1.0, |value| value.default_value);
    if !(aggression > 0.0 && aggression.is_finite()) {
        return Err(at.field("aggression").field("default_value").refuse("this must be more than 0"));
    }
    let Some(window) = duration(slow_start_window, &at.field("slow_start_window"))? else { return Ok(None) };
    let least_percent = percent(min_weight_percent, 10.0, &at.field("min_weight_percent"))?;
    Ok((!window.is_zero()).then_some(SlowStart { window, aggression, least_percent }))
}

/// The host names of a cluster. What they resolve to comes as an assignment.
fn dns_targets(
    value: &endpoint_proto::ClusterLoadAssignment,
    at: &At<'_>,
) -> Result<Box<[DnsTarget]>, Invalid> {
    let at = at.field("endpoints");
    let mut targets = Vec::new();
    for (nth, group) in value.endpoints.iter().enumerate() {
        let at = at.item(nth);
        let at = at.field("lb_endpoints");
        for (position, member) in group.lb_endpoints.iter().enumerate() {
            let at = at.item(position);
            let at = at.field("endpoint");
            let at = at.field("address");
            let found = member.endpoint.as_ref().and_then(|endpoint| endpoint.address.as_ref());
            match found.and_then(|address| address.address.as_ref()) {
                Some(core::address::Address::SocketAddress(socket)) => {
                    let (host, port) = host_and_port(socket, &at.field("socket_address"))?;
                    targets.push(DnsTarget { host: host.into(), port });
                }
                _ => return Err(at.refuse("give a socket_address")),
            }
        }
    }
    Ok(targets.into())
}

fn load_balance(
    policy: i32,
    config: Option<&proto::cluster::LbConfig>,
    endpoints: &EndpointSource,
    at: &At<'_>,
) -> Result<LoadBalance, Invalid> {
    use proto::cluster::{LbConfig, LbPolicy};
    let at_policy = at.field("lb_policy");
    let balance = match (choice(policy, &at_policy)?, config) {
        (LbPolicy::RoundRobin, _) => LoadBalance::RoundRobin,
        (LbPolicy::LeastRequest, Some(LbConfig::LeastRequestLbConfig(config))) => {
            let choices = config.choice_count.unwrap_or(2);
            if choices < 2 {
                return Err(at
                    .field("least_request_lb_config")
                    .field("choice_count")
                    .refuse("this must be at least 2"));
            }
            LoadBalance::LeastRequest { choices }
        }
        (LbPolicy::LeastRequest, _) => LoadBalance::LeastRequest { choices: 2 },
        (LbPolicy::Random, _) => LoadBalance::Random,
        (LbPolicy::ClusterProvided, _) => LoadBalance::OriginalDestination,
        (LbPolicy::RingHash | LbPolicy::Maglev, _) => {
            return Err(at_policy.refuse(
                "consistent hashing is not implemented yet; give ROUND_ROBIN, LEAST_REQUEST or RANDOM",
            ));
        }
        (LbPolicy::LoadBalancingPolicyConfig, _) => {
            return Err(at_policy.refuse("give ROUND_ROBIN, LEAST_REQUEST or RANDOM"));
        }
    };
    let original = matches!(endpoints, EndpointSource::OriginalDestination(_));
    match original == (balance == LoadBalance::OriginalDestination) {
        true => Ok(balance),
        false => Err(at_policy.refuse("CLUSTER_PROVIDED goes with the type ORIGINAL_DST, and with no other")),
    }
}

fn protocol_options(value: &mut proto::Cluster, at: &At<'_>) -> Result<Options, Invalid> {
    Ok(Options {
        common: value.common_http_protocol_options.take(),
        http1: value.http_protocol_options.take(),
        http2: value.http2_protocol_options.take(),
        extension: protocol_extension(std::mem::take(&mut value.typed_extension_protocol_options), at)?,
        max_requests: value.max_requests_per_connection,
    })
}

fn health_effects(value: &proto::Cluster) -> HealthEffects {
    let common = value.common_lb_config.as_ref();
    HealthEffects {
        ignore_unchecked: common.is_some_and(|common| common.ignore_new_hosts_until_first_hc),
        remove_at_once: value.ignore_health_on_host_removal,
        close_connections: value.close_connections_on_host_health_failure,
    }
}

fn panic_threshold(value: &proto::cluster::CommonLbConfig, at: &At<'_>) -> Result<f64, Invalid> {
    let at = at.field("common_lb_config");
    percent(
        value.healthy_panic_threshold.clone(),
        DEFAULT_PANIC_PERCENT,
        &at.field("healthy_panic_threshold"),
    )
}

fn keepalive(
    value: Option<proto::UpstreamConnectionOptions>,
    at: &At<'_>,
) -> Result<Option<TcpKeepalive>, Invalid> {
    let at = at.field("upstream_connection_options");
    let given = value.and_then(|options| options.tcp_keepalive);
    given.map(|value| tcp_keepalive(value, &at.field("tcp_keepalive"))).transpose()
}

/// How bytes travel to the endpoints of a cluster.
struct Travel {
    transport: UpstreamTransport,
    proxy_header: Option<Arc<ProxyHeader>>,
    matches: Box<[TransportMatch]>,
}

fn travel(
    socket: Option<&core::TransportSocket>,
    matches: &[proto::cluster::TransportSocketMatch],
    at: &At<'_>,
    cx: &mut Context,
) -> Result<Travel, Invalid> {
    let (transport, proxy_header) = transport(socket, &at.field("transport_socket"), cx)?;
    Ok(Travel { transport, proxy_header, matches: transport_matches(matches, at, cx)? })
}

impl Travel {
    /// Which HTTP is spoken over it.
    fn spoken(&self, options: Options, at: &At<'_>) -> Result<HttpUpstream, Invalid> {
        let http = http_upstream(options, matches!(self.transport, UpstreamTransport::Tls(_)), at)?;
        let told =
            self.proxy_header.is_some() || self.matches.iter().any(|other| other.proxy_header.is_some());
        if told && http.protocol != HttpProtocol::Http1 {
            // The header tells of one client, and streams of many would share the connection.
            return Err(at.field("transport_socket").refuse("behind a PROXY header only HTTP/1.1 is spoken"));
        }
        Ok(http)
    }
}

/// How bytes travel, and the PROXY header before them.
fn transport(
    value: Option<&core::TransportSocket>,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<(UpstreamTransport, Option<Arc<ProxyHeader>>), Invalid> {
    let Some(core::TransportSocket { name: _, typed_config }) = value else {
        return Ok((UpstreamTransport::Plain, None));
    };
    let at = at.field("typed_config");
    match extension(typed_config.as_ref(), &at)? {
        (types::RAW_BUFFER, _) => Ok((UpstreamTransport::Plain, None)),
        (types::UPSTREAM_TLS, any) => {
            Ok((UpstreamTransport::Tls(Arc::new(tls::upstream(unpack(any, &at)?, &at, cx)?)), None))
        }
        (types::UPSTREAM_PROXY_PROTOCOL, any) => {
            let (header, inner) = proxy_header(unpack(any, &at)?, &at)?;
            let at = at.field("transport_socket");
            match transport(Some(&inner), &at, cx)? {
                (transport, None) => Ok((transport, Some(Arc::new(header)))),
                (_, Some(_)) => Err(at.refuse("one PROXY header is enough")),
            }
        }
        (other, _) => Err(unsupported(
            other,
            "give an UpstreamTlsContext, a RawBuffer or a ProxyProtocolUpstreamTransport",
            &at,
        )),
    }
}

fn transport_matches(
    values: &[proto::cluster::TransportSocketMatch],
    at: &At<'_>,
    cx: &mut Context,
) -> Result<Box<[TransportMatch]>, Invalid> {
    let at = at.field("transport_socket_matches");
    let mut made = Vec::with_capacity(values.len());
    for (nth, value) in values.iter().enumerate() {
        let proto::cluster::TransportSocketMatch { name, r#match, transport_socket } = value;
        let (transport, proxy_header) =
            transport(transport_socket.as_ref(), &at.item(nth).field("transport_socket"), cx)?;
        made.push(TransportMatch {
            name: name.as_str().into(),
            labels: r#match.as_ref().map(labels).unwrap_or_default(),
            transport,
            proxy_header,
        });
    }
    Ok(made.into())
}

fn protocol_extension(
    values: std::collections::BTreeMap<String, xds::Any>,
    at: &At<'_>,
) -> Result<Option<xds::Any>, Invalid> {
    let mut found = None;
    for (key, any) in values {
        match key.as_str() {
            types::HTTP_UPSTREAM => found = Some(any),
            _ => {
                let at = at.field("typed_extension_protocol_options");
                return Err(unsupported(&key, "only HttpProtocolOptions are known", &at));
            }
        }
    }
    Ok(found)
}

fn tcp_keepalive(value: core::TcpKeepalive, at: &At<'_>) -> Result<TcpKeepalive, Invalid> {
    let core::TcpKeepalive { keepalive_probes, keepalive_time, keepalive_interval } = value;
    let within = |value: Option<u32>, most: u32, name: &'static str| match value {
        Some(number) if !(1..=most).contains(&number) => {
            Err(at.field(name).refuse(format!("give 1 to {most}, which is what the system takes")))
        }
        value => Ok(value),
    };
    let seconds = |value, name| {
        within(value, MAX_KEEPALIVE_SECONDS, name).map(|value| Some(Duration::from_secs(value?.into())))
    };
    Ok(TcpKeepalive {
        probes: within(keepalive_probes, MAX_KEEPALIVE_PROBES, "keepalive_probes")?,
        time: seconds(keepalive_time, "keepalive_time")?,
        interval: seconds(keepalive_interval, "keepalive_interval")?,
    })
}

/// `services: [{host, name, namespace}]`, as Istio's control plane and ours say what a cluster stands for.
fn service(istio: &xds::Struct) -> Option<DestinationService> {
    use xds::value::Kind;
    let Kind::ListValue(services) = istio.fields.get("services")?.kind.as_ref()? else { return None };
    let Kind::StructValue(first) = services.values.first()?.kind.as_ref()? else { return None };
    let part = |key| text_in(first, key).unwrap_or_default();
    Some(DestinationService {
        host: text_in(first, "host")?,
        name: part("name"),
        namespace: part("namespace"),
    })
}

fn is_external(istio: &xds::Struct) -> bool {
    matches!(
        istio.fields.get("external").and_then(|value| value.kind.as_ref()),
        Some(xds::value::Kind::BoolValue(true))
    )
}
