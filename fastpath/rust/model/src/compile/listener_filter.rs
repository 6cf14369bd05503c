//! Listener filters.

use std::sync::Arc;

use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::config::listener::v3 as proto;
use meshloom_xds::envoy::extensions::filters::listener::{
    proxy_protocol::v3 as proxy, tls_inspector::v3 as tls,
};
use meshloom_xds::envoy::r#type::v3::Int32Range;

use super::parts::{choice, extension, unpack, unsupported};
use super::path::{At, Invalid};
use super::types;
use crate::filter_chain::ChainMatch;
use crate::listener_filter::{
    ConnectionPredicate, ListenerFilter, ListenerFilterKind, ProxyProtocol, TlsInspector, TlvTypes,
};

/// Envoy's bound; hellos with post-quantum keys have less than 2 KiB.
const MAX_HELLO: u32 = 16 * 1024;
const MIN_HELLO: u32 = 256;

/// What fields outside of `listener_filters` ask for.
pub(super) struct Implied {
    pub(super) original_destination: bool,
    pub(super) proxy_protocol: bool,
}

/// The filters that are listed, and behind them those that other fields imply.
pub(super) fn listener_filters(
    values: &[proto::ListenerFilter],
    implied: &Implied,
    matches: &[ChainMatch],
    at: &At<'_>,
) -> Result<Box<[ListenerFilter]>, Invalid> {
    use ListenerFilterKind as Kind;
    let mut made = Vec::with_capacity(values.len());
    for (nth, value) in values.iter().enumerate() {
        made.push(listener_filter(value, &at.item(nth))?);
    }
    let has = |made: &[ListenerFilter], test: fn(&Kind) -> bool| made.iter().any(|filter| test(&filter.kind));
    let mut add = |kind| made.push(ListenerFilter { disabled: None, kind });
    if implied.original_destination {
        add(Kind::OriginalDestination);
    }
    if implied.proxy_protocol {
        add(Kind::ProxyProtocol(Arc::default()));
    }
    // Where a chain cannot be chosen without it, Envoy adds the inspector too.
    if matches.iter().any(needs_client_hello) && !has(&made, |kind| matches!(kind, Kind::TlsInspector(_))) {
        made.push(ListenerFilter { disabled: None, kind: Kind::TlsInspector(TlsInspector::default()) });
    }
    Ok(made.into())
}

impl Default for TlsInspector {
    fn default() -> Self {
        Self { max_hello: MAX_HELLO as usize, close_on_errors: false }
    }
}

fn needs_client_hello(chain: &ChainMatch) -> bool {
    match chain.transport_protocol.as_deref() {
        Some(protocol) => protocol == "tls",
        None => !chain.server_names.is_empty() || !chain.application_protocols.is_empty(),
    }
}

fn listener_filter(value: &proto::ListenerFilter, at: &At<'_>) -> Result<ListenerFilter, Invalid> {
    let proto::ListenerFilter { name: _, typed_config, filter_disabled } = value;
    let disabled =
        filter_disabled.as_ref().map(|value| predicate(value, &at.field("filter_disabled"))).transpose()?;
    let at = at.field("typed_config");
    let kind = match extension(typed_config.as_ref(), &at)? {
        (types::TLS_INSPECTOR, any) => {
            ListenerFilterKind::TlsInspector(tls_inspector(unpack(any, &at)?, &at)?)
        }
        (types::HTTP_INSPECTOR, _) => ListenerFilterKind::HttpInspector,
        (types::ORIGINAL_DST, _) => ListenerFilterKind::OriginalDestination,
        (types::PROXY_PROTOCOL, any) => {
            ListenerFilterKind::ProxyProtocol(Arc::new(proxy_protocol(unpack(any, &at)?, &at)?))
        }
        (other, _) => {
            let allowed = "give a TlsInspector, an HttpInspector, an OriginalDst or a ProxyProtocol";
            return Err(unsupported(other, allowed, &at));
        }
    };
    Ok(ListenerFilter { disabled, kind })
}

fn tls_inspector(value: tls::TlsInspector, at: &At<'_>) -> Result<TlsInspector, Invalid> {
    let tls::TlsInspector { close_connection_on_client_hello_parsing_errors, max_client_hello_size } = value;
    let max_hello = max_client_hello_size.unwrap_or(MAX_HELLO);
    if !(MIN_HELLO..=MAX_HELLO).contains(&max_hello) {
        let reason = format!("give a number of bytes from {MIN_HELLO} to {MAX_HELLO}");
        return Err(at.field("max_client_hello_size").refuse(reason));
    }
    Ok(TlsInspector {
        max_hello: max_hello as usize,
        close_on_errors: close_connection_on_client_hello_parsing_errors,
    })
}

fn proxy_protocol(value: proxy::ProxyProtocol, at: &At<'_>) -> Result<ProxyProtocol, Invalid> {
    use core::proxy_protocol_config::Version;
    let proxy::ProxyProtocol {
        allow_requests_without_proxy_protocol,
        pass_through_tlvs,
        disallowed_versions,
        stat_prefix,
    } = value;
    let mut made = ProxyProtocol {
        optional: allow_requests_without_proxy_protocol,
        stat_prefix: stat_prefix.into(),
        passed: tlv_types(pass_through_tlvs.as_ref(), &at.field("pass_through_tlvs"))?,
        ..ProxyProtocol::default()
    };
    for (nth, version) in disallowed_versions.into_iter().enumerate() {
        match choice(version, &at.field("disallowed_versions").item(nth))? {
            Version::V1 => made.no_v1 = true,
            Version::V2 => made.no_v2 = true,
        }
    }
    Ok(made)
}

/// Types of fields that are passed on.
pub(super) fn tlv_types(
    value: Option<&core::ProxyProtocolPassThroughTLVs>,
    at: &At<'_>,
) -> Result<TlvTypes, Invalid> {
    use core::proxy_protocol_pass_through_tl_vs::PassTLVsMatchType as Match;
    let Some(core::ProxyProtocolPassThroughTLVs { match_type, tlv_type }) = value else {
        return Ok(TlvTypes::None);
    };
    match choice(*match_type, &at.field("match_type"))? {
        Match::IncludeAll => Ok(TlvTypes::All),
        Match::Include => {
            let at = at.field("tlv_type");
            let kinds = tlv_type.iter().enumerate();
            let kind = |(nth, value): (usize, &u32)| tlv_kind(*value, &at.item(nth));
            Ok(TlvTypes::These(kinds.map(kind).collect::<Result<_, _>>()?))
        }
    }
}

/// The type of a field.
pub(super) fn tlv_kind(value: u32, at: &At<'_>) -> Result<u8, Invalid> {
    u8::try_from(value).map_err(|_| at.refuse("a type is at most 255"))
}

fn predicate(
    value: &proto::ListenerFilterChainMatchPredicate,
    at: &At<'_>,
) -> Result<ConnectionPredicate, Invalid> {
    use proto::listener_filter_chain_match_predicate::{MatchSet, Rule};
    let set = |MatchSet { rules }: &MatchSet, at: &At<'_>| {
        if rules.len() < 2 {
            return Err(at.field("rules").refuse("give at least two"));
        }
        let at = at.field("rules");
        rules.iter().enumerate().map(|(nth, rule)| predicate(rule, &at.item(nth))).collect()
    };
    Ok(match &value.rule {
        Some(Rule::OrMatch(rules)) => ConnectionPredicate::Or(set(rules, &at.field("or_match"))?),
        Some(Rule::AndMatch(rules)) => ConnectionPredicate::And(set(rules, &at.field("and_match"))?),
        Some(Rule::NotMatch(inner)) => {
            ConnectionPredicate::Not(Box::new(predicate(inner, &at.field("not_match"))?))
        }
        Some(Rule::AnyMatch(true)) => ConnectionPredicate::Any,
        Some(Rule::AnyMatch(false)) => {
            return Err(at.field("any_match").refuse("give true, or leave it out"));
        }
        Some(Rule::DestinationPortRange(Int32Range { start, end })) => {
            ConnectionPredicate::DestinationPort(*start, *end)
        }
        None => return Err(at.refuse("give a rule")),
    })
}
