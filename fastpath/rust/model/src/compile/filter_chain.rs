//! Filter chains and their matches.

use std::sync::Arc;
use std::time::Duration;

use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::config::listener::v3 as proto;
use meshloom_xds::envoy::extensions::filters::network::connection_limit::v3 as limits;

use super::context::Context;
use super::hcm::connection_manager;
use super::http_filter::tcp_stats;
use super::listener::fingerprint;
use super::parts::{choice, duration, extension, limit, prefixes, text, unpack, unsupported};
use super::path::{At, Invalid};
use super::tcp::tcp_proxy;
use super::{tls, types};
use crate::filter_chain::{
    ChainMatch, ConnectionLimit, DownstreamTransport, FilterChain, NetworkFilter, ServerName, SourceType,
};

/// Envoy has no limit; a client that shakes hands slower than this is an attack.
const DEFAULT_HANDSHAKE: Duration = Duration::from_secs(10);

/// A chain and which connections it takes.
pub(super) fn filter_chain(
    value: proto::FilterChain,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<(FilterChain, ChainMatch), Invalid> {
    let fingerprint = fingerprint(&value);
    let proto::FilterChain {
        name,
        filter_chain_match,
        filters,
        use_proxy_proto: _,
        transport_socket,
        transport_socket_connect_timeout,
    } = value;
    let (limits, filters) = connection_limits(&filters, &at.field("filters"))?;
    let chain = FilterChain {
        name: name.into(),
        fingerprint,
        limits,
        transport: transport(transport_socket.as_ref(), &at.field("transport_socket"), cx)?,
        handshake_timeout: limit(
            transport_socket_connect_timeout,
            Some(DEFAULT_HANDSHAKE),
            &at.field("transport_socket_connect_timeout"),
        )?,
        filter: network_filter(filters, &at.field("filters"), cx)?,
    };
    let matched = chain_match(filter_chain_match.unwrap_or_default(), &at.field("filter_chain_match"))?;
    Ok((chain, matched))
}

fn transport(
    value: Option<&core::TransportSocket>,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<DownstreamTransport, Invalid> {
    let Some(core::TransportSocket { name: _, typed_config }) = value else {
        return Ok(DownstreamTransport::Plain);
    };
    let at = at.field("typed_config");
    match extension(typed_config.as_ref(), &at)? {
        (types::RAW_BUFFER, _) => Ok(DownstreamTransport::Plain),
        (types::DOWNSTREAM_TLS, any) => {
            Ok(DownstreamTransport::Tls(Arc::new(tls::downstream(unpack(any, &at)?, &at, cx)?)))
        }
        (other, _) => Err(unsupported(other, "give a DownstreamTlsContext or a RawBuffer", &at)),
    }
}

/// Limits stand before everything else: they look at no byte.
fn connection_limits<'v>(
    values: &'v [proto::Filter],
    at: &At<'_>,
) -> Result<(Box<[ConnectionLimit]>, Filters<'v>), Invalid> {
    let mut made = Vec::new();
    for (nth, value) in values.iter().enumerate() {
        let at = at.item(nth);
        let at = at.field("typed_config");
        match extension(value.typed_config.as_ref(), &at)? {
            (types::CONNECTION_LIMIT, any) => made.push(connection_limit(unpack(any, &at)?, &at)?),
            _ => break,
        }
    }
    let left = values.get(made.len()..).unwrap_or_default();
    Ok((made.into(), Filters { before: values.len() - left.len(), values: left }))
}

fn connection_limit(value: limits::ConnectionLimit, at: &At<'_>) -> Result<ConnectionLimit, Invalid> {
    let limits::ConnectionLimit { stat_prefix, max_connections, delay, runtime_enabled } = value;
    let max_connections = at.field("max_connections").required(max_connections)?;
    if max_connections == 0 {
        return Err(at.field("max_connections").refuse("give at least 1"));
    }
    Ok(ConnectionLimit {
        stat_prefix: text(&stat_prefix, &at.field("stat_prefix"))?.into(),
        max_connections,
        delay: duration(delay, &at.field("delay"))?.unwrap_or_default(),
        enabled: runtime_enabled.and_then(|flag| flag.default_value).unwrap_or(true),
    })
}

/// The filters that are left, and how many came before them.
struct Filters<'v> {
    before: usize,
    values: &'v [proto::Filter],
}

/// The last filter reads the bytes. Before a TCP proxy there may be Istio's statistics.
fn network_filter(
    Filters { before: skipped, values }: Filters<'_>,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<NetworkFilter, Invalid> {
    const ALLOWED: &str = "give an HttpConnectionManager or a TcpProxy";
    let Some((last, before)) = values.split_last() else { return Ok(NetworkFilter::Close) };
    let mut stats = None;
    for (nth, value) in before.iter().enumerate() {
        let at = at.item(skipped + nth);
        let at = at.field("typed_config");
        let (name, any) = extension(value.typed_config.as_ref(), &at)?;
        let found = tcp_stats(any, &at)?;
        stats = Some(found.ok_or_else(|| {
            unsupported(name, "before the last filter only stats.PluginConfig may stand", &at)
        })?);
    }
    let at = at.item(skipped + before.len());
    let proto::Filter { name, typed_config } = last;
    text(name, &at.field("name"))?;
    let at = at.field("typed_config");
    match (extension(typed_config.as_ref(), &at)?, stats) {
        ((types::HCM, _), Some(_)) => {
            Err(at.refuse("statistics of HTTP are a filter in http_filters, not a network filter"))
        }
        ((types::HCM, any), None) => {
            Ok(NetworkFilter::Http(Arc::new(connection_manager(unpack(any, &at)?, &at, cx)?)))
        }
        ((types::TCP_PROXY, any), stats) => {
            Ok(NetworkFilter::Tcp(Arc::new(tcp_proxy(unpack(any, &at)?, stats, &at, cx)?)))
        }
        ((other, _), _) => Err(unsupported(other, ALLOWED, &at)),
    }
}

fn chain_match(value: proto::FilterChainMatch, at: &At<'_>) -> Result<ChainMatch, Invalid> {
    use proto::filter_chain_match::ConnectionSourceType as Source;
    let proto::FilterChainMatch {
        destination_port,
        prefix_ranges,
        direct_source_prefix_ranges,
        source_type,
        source_prefix_ranges,
        source_ports,
        server_names,
        transport_protocol,
        application_protocols,
    } = value;
    let names = server_names.iter().enumerate();
    Ok(ChainMatch {
        destination_port: destination_port
            .map(|port| self::port(port, &at.field("destination_port")))
            .transpose()?,
        destination: prefixes(&prefix_ranges, &at.field("prefix_ranges"))?,
        server_names: names
            .map(|(nth, name)| server_name(name, &at.field("server_names").item(nth)))
            .collect::<Result<_, _>>()?,
        transport_protocol: match transport_protocol.as_str() {
            "" => None,
            known @ ("tls" | "raw_buffer") => Some(known.into()),
            _ => return Err(at.field("transport_protocol").refuse("give tls or raw_buffer")),
        },
        application_protocols: application_protocols
            .into_iter()
            .map(|name| name.into_bytes().into())
            .collect(),
        direct_source: prefixes(&direct_source_prefix_ranges, &at.field("direct_source_prefix_ranges"))?,
        source_type: match choice(source_type, &at.field("source_type"))? {
            Source::Any => SourceType::Any,
            Source::SameIpOrLoopback => SourceType::Local,
            Source::External => SourceType::External,
        },
        source: prefixes(&source_prefix_ranges, &at.field("source_prefix_ranges"))?,
        source_ports: source_ports
            .iter()
            .enumerate()
            .map(|(nth, value)| port(*value, &at.field("source_ports").item(nth)))
            .collect::<Result<_, _>>()?,
    })
}

fn port(value: u32, at: &At<'_>) -> Result<u16, Invalid> {
    match u16::try_from(value) {
        Ok(port @ 1..) => Ok(port),
        _ => Err(at.refuse("a port is 1 to 65535")),
    }
}

fn server_name(name: &str, at: &At<'_>) -> Result<ServerName, Invalid> {
    let lower = name.to_ascii_lowercase();
    match lower.strip_prefix('*') {
        Some(suffix) if suffix.starts_with('.') && suffix.len() > 1 && !suffix.contains('*') => {
            Ok(ServerName::Suffix(suffix.into()))
        }
        None if !lower.is_empty() && !lower.contains('*') => Ok(ServerName::Exact(lower.into())),
        _ => Err(at.refuse("a server name is a name or *.suffix")),
    }
}
