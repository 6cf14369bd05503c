//! Listeners.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use meshloom_xds as xds;
use meshloom_xds::envoy::config::listener::v3 as proto;
use prost::Message;

use super::access_log::connection_logs;
use super::bind::{Binding, listens};
use super::context::Context;
use super::filter_chain::filter_chain;
use super::listener_filter::{Implied, listener_filters};
use super::parts::{choice, limit};
use super::path::{At, Invalid};
use crate::filter_chain::{ChainMatch, ChainMatcher, FilterChain, OverlappingChains};
use crate::ids::ListenerName;
use crate::listener::{Fingerprint, Listener, TrafficDirection};

/// Envoy holds 1 MiB, which a thousand slow readers make a gigabyte.
pub(super) const DEFAULT_BUFFER: u32 = 64 * 1024;
const DEFAULT_FILTERS_TIMEOUT: Duration = Duration::from_secs(15);

/// `name` is the name the resource travels under; a listener may leave out its own.
pub(super) fn listener(
    mut value: proto::Listener,
    name: &str,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<Listener, Invalid> {
    let filter_chains = std::mem::take(&mut value.filter_chains);
    let default_filter_chain = value.default_filter_chain.take();
    let shape = fingerprint(&value);
    let proto::Listener {
        name: _,
        address: first,
        additional_addresses: more,
        stat_prefix,
        filter_chains: _,
        default_filter_chain: _,
        use_original_dst,
        per_connection_buffer_limit_bytes,
        listener_filters: filters,
        listener_filters_timeout,
        continue_on_listener_filters_timeout,
        traffic_direction,
        access_log,
        tcp_backlog_size: backlog,
        bind_to_port,
        ignore_global_conn_limit,
        bypass_overload_manager,
        transparent,
        freebind,
        socket_options: options,
        tcp_fast_open_queue_length: fast_open,
    } = value;
    let use_original_dst = use_original_dst.unwrap_or(false);
    let implied = implied(use_original_dst, &filter_chains);
    let (chains, matches) = chains(filter_chains, &at.field("filter_chains"), cx)?;
    let filters = listener_filters(&filters, &implied, &matches, &at.field("listener_filters"))?;
    let default_chain = default_chain(default_filter_chain, chains.is_empty(), at, cx)?;
    Ok(Listener {
        name: ListenerName::try_from(name).map_err(|error| at.field("name").refuse(error))?,
        listens: listens(Binding { first, more, backlog, transparent, freebind, options, fast_open }, at)?,
        bind_to_port: bind_to_port.unwrap_or(true),
        transparent: transparent.unwrap_or(false),
        use_original_dst,
        stat_prefix: (!stat_prefix.is_empty()).then(|| stat_prefix.into()),
        direction: direction(traffic_direction, &at.field("traffic_direction"))?,
        buffer_limit: per_connection_buffer_limit_bytes.unwrap_or(DEFAULT_BUFFER),
        bypass_overload: bypass_overload_manager,
        ignore_global_limit: ignore_global_conn_limit,
        filters,
        filters_timeout: filters_timeout(listener_filters_timeout, at)?,
        continue_on_filters_timeout: continue_on_listener_filters_timeout,
        access_logs: connection_logs(&access_log, &at.field("access_log"), cx)?,
        shape,
        matcher: chain_matcher(matches, &at.field("filter_chains"))?,
        chains: chains.into_iter().map(Arc::new).collect(),
        default_chain,
    })
}

fn implied(original_destination: bool, chains: &[proto::FilterChain]) -> Implied {
    // Envoy reads this field of the first chain only.
    let proxy_protocol = chains.first().is_some_and(|chain| chain.use_proxy_proto == Some(true));
    Implied { original_destination, proxy_protocol }
}

/// What takes the connections that no chain matches. Without any chain there must be one.
fn default_chain(
    value: Option<proto::FilterChain>,
    needed: bool,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<Option<Arc<FilterChain>>, Invalid> {
    if needed && value.is_none() {
        return Err(at.field("filter_chains").refuse("give at least one"));
    }
    let at = at.field("default_filter_chain");
    Ok(value.map(|chain| filter_chain(chain, &at, cx)).transpose()?.map(|(chain, _)| Arc::new(chain)))
}

fn filters_timeout(value: Option<xds::Duration>, at: &At<'_>) -> Result<Option<Duration>, Invalid> {
    limit(value, Some(DEFAULT_FILTERS_TIMEOUT), &at.field("listener_filters_timeout"))
}

/// SipHash twice over, with different beginnings: parts of one configuration do not meet by chance.
pub(super) fn fingerprint(part: &impl Message) -> Fingerprint {
    let bytes = part.encode_to_vec();
    Fingerprint([0u8, 1].map(|nth| {
        let mut hasher = DefaultHasher::new();
        nth.hash(&mut hasher);
        hasher.write(&bytes);
        hasher.finish()
    }))
}

fn direction(value: i32, at: &At<'_>) -> Result<TrafficDirection, Invalid> {
    use meshloom_xds::envoy::config::core::v3::TrafficDirection as Direction;
    Ok(match choice(value, at)? {
        Direction::Unspecified => TrafficDirection::Unspecified,
        Direction::Inbound => TrafficDirection::Inbound,
        Direction::Outbound => TrafficDirection::Outbound,
    })
}

/// Two chains for the same connections are refused at the second.
fn chain_matcher(matches: Vec<ChainMatch>, at: &At<'_>) -> Result<ChainMatcher, Invalid> {
    ChainMatcher::new(matches).map_err(|OverlappingChains(first, second)| {
        at.item(second).refuse(format!("filter_chains[{first}] takes the same connections"))
    })
}

fn chains(
    values: Vec<proto::FilterChain>,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<(Vec<FilterChain>, Vec<ChainMatch>), Invalid> {
    let (mut chains, mut matches) = (Vec::with_capacity(values.len()), Vec::with_capacity(values.len()));
    for (nth, value) in values.into_iter().enumerate() {
        let (chain, matched) = filter_chain(value, &at.item(nth), cx)?;
        chains.push(chain);
        matches.push(matched);
    }
    Ok((chains, matches))
}
