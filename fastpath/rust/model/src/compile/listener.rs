//! Listeners.

use std::sync::Arc;
use std::time::Duration;

use meshloom_xds::envoy::config::listener::v3 as proto;

use super::context::Context;
use super::filter_chain::filter_chain;
use super::parts::{address, choice, extension, limit, unsupported};
use super::path::{At, Invalid};
use super::types;
use crate::address::Address;
use crate::filter_chain::{ChainMatch, ChainMatcher, FilterChain, OverlappingChains};
use crate::ids::ListenerName;
use crate::listener::{Listener, ListenerFilters, TrafficDirection};

/// Envoy holds 1 MiB, which a thousand slow readers make a gigabyte.
pub(super) const DEFAULT_BUFFER: u32 = 64 * 1024;
/// The kernel cuts this down to `net.core.somaxconn`, which is Envoy's default.
const DEFAULT_BACKLOG: u32 = 65_535;
const DEFAULT_FILTERS_TIMEOUT: Duration = Duration::from_secs(15);

/// `name` is the name the resource travels under; a listener may leave out its own.
pub(super) fn listener(
    value: proto::Listener,
    name: &str,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<Listener, Invalid> {
    let proto::Listener {
        name: _,
        address: first,
        additional_addresses,
        stat_prefix,
        filter_chains,
        default_filter_chain,
        use_original_dst,
        per_connection_buffer_limit_bytes,
        listener_filters,
        listener_filters_timeout,
        continue_on_listener_filters_timeout,
        traffic_direction,
        tcp_backlog_size,
        bind_to_port,
        ignore_global_conn_limit,
        bypass_overload_manager,
    } = value;
    if filter_chains.is_empty() && default_filter_chain.is_none() {
        return Err(at.field("filter_chains").refuse("give at least one"));
    }
    captured(use_original_dst, bind_to_port, at)?;
    let (chains, matches) = chains(filter_chains, &at.field("filter_chains"), cx)?;
    let filters = listener_filters_of(&listener_filters, &matches, &at.field("listener_filters"))?;
    let matcher = chain_matcher(matches, &at.field("filter_chains"))?;
    let default_chain = default_filter_chain
        .map(|chain| filter_chain(chain, &at.field("default_filter_chain"), cx))
        .transpose()?;
    Ok(Listener {
        name: ListenerName::try_from(name).map_err(|error| at.field("name").refuse(error))?,
        addresses: addresses(first, additional_addresses, at)?,
        bind_to_port: true,
        use_original_dst: false,
        backlog: tcp_backlog_size.unwrap_or(DEFAULT_BACKLOG),
        stat_prefix: (!stat_prefix.is_empty()).then(|| stat_prefix.into()),
        direction: direction(traffic_direction, &at.field("traffic_direction"))?,
        buffer_limit: per_connection_buffer_limit_bytes.unwrap_or(DEFAULT_BUFFER),
        bypass_overload: bypass_overload_manager,
        ignore_global_limit: ignore_global_conn_limit,
        filters,
        filters_timeout: limit(
            listener_filters_timeout,
            Some(DEFAULT_FILTERS_TIMEOUT),
            &at.field("listener_filters_timeout"),
        )?,
        continue_on_filters_timeout: continue_on_listener_filters_timeout,
        matcher,
        chains: chains.into_iter().map(Arc::new).collect(),
        default_chain: default_chain.map(|(chain, _)| Arc::new(chain)),
    })
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

fn addresses(
    first: Option<meshloom_xds::envoy::config::core::v3::Address>,
    more: Vec<proto::AdditionalAddress>,
    at: &At<'_>,
) -> Result<Box<[Address]>, Invalid> {
    let mut made = vec![bindable(first, &at.field("address"))?];
    let at = at.field("additional_addresses");
    for (nth, proto::AdditionalAddress { address: value }) in more.into_iter().enumerate() {
        made.push(bindable(value, &at.item(nth).field("address"))?);
    }
    Ok(made.into())
}

/// An address to listen at.
fn bindable(
    value: Option<meshloom_xds::envoy::config::core::v3::Address>,
    at: &At<'_>,
) -> Result<Address, Invalid> {
    match address(value, at)? {
        made @ Address::Ip(_) => Ok(made),
        Address::Unix(_) => Err(at.field("pipe").refuse("listeners take TCP only: give socket_address")),
    }
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

/// Listeners that hand connections to each other by original destination are for captured traffic.
fn captured(use_original_dst: Option<bool>, bind_to_port: Option<bool>, at: &At<'_>) -> Result<(), Invalid> {
    const REASON: &str = "redirected traffic is not captured yet";
    match (use_original_dst, bind_to_port) {
        (Some(true), _) => Err(at.field("use_original_dst").refuse(REASON)),
        (_, Some(false)) => Err(at.field("bind_to_port").refuse(REASON)),
        _ => Ok(()),
    }
}

fn needs_client_hello(chain: &ChainMatch) -> bool {
    !chain.server_names.is_empty()
        || !chain.application_protocols.is_empty()
        || chain.transport_protocol.is_some()
}

fn listener_filters_of(
    values: &[proto::ListenerFilter],
    matches: &[ChainMatch],
    at: &At<'_>,
) -> Result<ListenerFilters, Invalid> {
    // Envoy adds the inspector too, where a chain cannot be chosen without it.
    let needed = matches.iter().any(needs_client_hello);
    let mut filters = ListenerFilters { tls_inspector: needed, ..ListenerFilters::default() };
    for (nth, value) in values.iter().enumerate() {
        let proto::ListenerFilter { name: _, typed_config } = value;
        let at = at.item(nth);
        let at = at.field("typed_config");
        match extension(typed_config.as_ref(), &at)? {
            (types::TLS_INSPECTOR, _) => filters.tls_inspector = true,
            (other, _) => {
                return Err(unsupported(
                    other,
                    "give a TlsInspector; redirected traffic is not captured yet",
                    &at,
                ));
            }
        }
    }
    Ok(filters)
}
