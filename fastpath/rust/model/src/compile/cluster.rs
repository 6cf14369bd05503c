//! Clusters.

mod balance;
mod discovery;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use meshloom_xds as xds;
use meshloom_xds::envoy::config::cluster::v3 as proto;
use meshloom_xds::envoy::config::core::v3 as core;

use balance::{balance, panic_threshold, subsets_of};
use discovery::endpoint_source;

use super::context::Context;
use super::endpoint::{labels, text_in};
use super::health::health_check;
use super::http_upstream::{Options, Spoken, http_upstream};
use super::listener::DEFAULT_BUFFER;
use super::outlier::{circuit_breakers, outlier_detection};
use super::parts::{extension, host_and_port, positive, unpack, unsupported};
use super::path::{At, Invalid};
use super::proxy_header::proxy_header;
use super::{tls, types};
use crate::cluster::{
    Balance, Cluster, DestinationService, EndpointSource, HealthEffects, TcpKeepalive, TransportMatch,
    UpstreamTransport,
};
use crate::ids::ClusterName;
use crate::proxy_header::ProxyHeader;

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What Linux takes for `TCP_KEEPCNT`, and for `TCP_KEEPIDLE` and `TCP_KEEPINTVL`.
const MAX_KEEPALIVE_PROBES: u32 = 127;
const MAX_KEEPALIVE_SECONDS: u32 = 32_767;

pub(super) fn cluster(mut value: proto::Cluster, at: &At<'_>, cx: &mut Context) -> Result<Cluster, Invalid> {
    let Reach { endpoints, balance, travel, http: (http, names), effects } = reach(&mut value, at, cx)?;
    let proto::Cluster {
        transport_socket_matches: _,
        name,
        alt_stat_name,
        r#type: _,
        eds_cluster_config: _,
        connect_timeout,
        per_connection_buffer_limit_bytes,
        lb_policy: _,
        load_assignment: _,
        max_requests_per_connection: _,
        circuit_breakers: breakers,
        common_http_protocol_options: _,
        http_protocol_options: _,
        http2_protocol_options: _,
        upstream_http_protocol_options: _,
        typed_extension_protocol_options: _,
        dns_refresh_rate: _,
        outlier_detection: outlier,
        common_lb_config,
        transport_socket: _,
        metadata,
        upstream_connection_options,
        close_connections_on_host_health_failure: _,
        cleanup_interval: _,
        health_checks,
        ignore_health_on_host_removal: _,
        lb_subset_config,
        lb_config: _,
        load_balancing_policy: _,
        upstream_bind_config,
        typed_dns_resolver_config: _,
    } = value;
    let istio = metadata.as_ref().and_then(|metadata| metadata.filter_metadata.get("istio"));
    Ok(Cluster {
        balance,
        subsets: subsets_of(lb_subset_config, &endpoints, at)?,
        health: health_check(health_checks, &at.field("health_checks"), cx)?,
        health_effects: effects,
        endpoints,
        name: ClusterName::try_from(name.as_str()).map_err(|error| at.field("name").refuse(error))?,
        alt_stat_name: (!alt_stat_name.is_empty()).then(|| alt_stat_name.into()),
        connect_timeout: positive(connect_timeout, DEFAULT_CONNECT_TIMEOUT, &at.field("connect_timeout"))?,
        buffer_limit: per_connection_buffer_limit_bytes.unwrap_or(DEFAULT_BUFFER),
        breakers: circuit_breakers(breakers.unwrap_or_default(), &at.field("circuit_breakers"))?,
        outlier: outlier.map(|value| outlier_detection(value, &at.field("outlier_detection"))).transpose()?,
        panic_threshold_percent: panic_threshold(common_lb_config, at)?,
        transport: travel.transport,
        proxy_header: travel.proxy_header,
        transport_matches: travel.matches,
        http,
        server_names: names,
        bind_address: bind_address(upstream_bind_config, &at.field("upstream_bind_config"))?,
        tcp_keepalive: keepalive(upstream_connection_options, at)?,
        service: istio.and_then(service).map(Arc::new),
        external: istio.is_some_and(is_external),
    })
}

/// Names are resolved in one way only, which two of Envoy's resolvers describe.
fn resolver(value: Option<core::TypedExtensionConfig>, at: &At<'_>) -> Result<(), Invalid> {
    let Some(core::TypedExtensionConfig { name: _, typed_config }) = value else { return Ok(()) };
    match extension(typed_config.as_ref(), &at.field("typed_config"))? {
        (types::CARES | types::GETADDRINFO, _) => Ok(()),
        (other, _) => Err(unsupported(
            other,
            "give a GetAddrInfoDnsResolverConfig or a CaresDnsResolverConfig",
            &at.field("typed_config"),
        )),
    }
}

/// Where connections come from, to endpoints of the same family.
fn bind_address(value: Option<core::BindConfig>, at: &At<'_>) -> Result<Option<SocketAddr>, Invalid> {
    let Some(core::BindConfig { source_address }) = value else { return Ok(None) };
    let Some(source) = source_address else { return Ok(None) };
    let at = at.field("source_address");
    let (host, port) = host_and_port(&source, &at)?;
    let ip = host.parse().map_err(|_| at.field("address").refuse(format!("{host:?} is no IP address")))?;
    Ok(Some(SocketAddr::new(ip, port)))
}

/// Where the endpoints come from, which one is chosen, and how it is spoken to: what depends on several fields.
struct Reach {
    endpoints: EndpointSource,
    balance: Balance,
    travel: Travel,
    http: Spoken,
    effects: HealthEffects,
}

fn reach(value: &mut proto::Cluster, at: &At<'_>, cx: &mut Context) -> Result<Reach, Invalid> {
    resolver(value.typed_dns_resolver_config.take(), &at.field("typed_dns_resolver_config"))?;
    let endpoints = endpoint_source(value, at, cx)?;
    let options = protocol_options(value, at)?;
    let balance = balance(value, &endpoints, at)?;
    let travel = travel(value.transport_socket.as_ref(), &value.transport_socket_matches, at, cx)?;
    let http = travel.spoken(options, at)?;
    Ok(Reach { endpoints, balance, travel, http, effects: health_effects(value) })
}

fn protocol_options(value: &mut proto::Cluster, at: &At<'_>) -> Result<Options, Invalid> {
    Ok(Options {
        common: value.common_http_protocol_options.take(),
        http1: value.http_protocol_options.take(),
        http2: value.http2_protocol_options.take(),
        extension: protocol_extension(std::mem::take(&mut value.typed_extension_protocol_options), at)?,
        names: value.upstream_http_protocol_options.take(),
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
    fn spoken(&self, options: Options, at: &At<'_>) -> Result<Spoken, Invalid> {
        http_upstream(options, matches!(self.transport, UpstreamTransport::Tls(_)), at)
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
