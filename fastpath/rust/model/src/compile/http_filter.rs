//! HTTP filters, and Istio's statistics for TCP.

use std::sync::Arc;
use std::time::Duration;

use meshloom_xds as xds;
use meshloom_xds::envoy::extensions::filters::http::router::v3 as router;
use meshloom_xds::envoy::extensions::filters::network::http_connection_manager::v3 as proto;
use meshloom_xds::udpa::r#type::v1 as udpa;
use meshloom_xds::xds::r#type::v3 as typed;

use super::context::Context;
use super::fault::fault;
use super::parts::{extension, text, unpack, unsupported};
use super::path::{At, Invalid};
use super::types;
use crate::filter::{HttpFilter, HttpFilterKind, PeerMetadata, Reporter, Router, StatsFilter};

const ALLOWED: &str = "give a Router, an HTTPFault, or a TypedStruct of io.istio.http.peer_metadata.Config or stats.PluginConfig";
/// How often Istio's statistics of a long TCP connection are reported, unless set.
const DEFAULT_TCP_REPORTING: Duration = Duration::from_secs(5);

/// The filters of a connection manager, the last of which is the router.
pub(super) fn http_filters(
    values: &[proto::HttpFilter],
    at: &At<'_>,
    cx: &mut Context,
) -> Result<Box<[HttpFilter]>, Invalid> {
    let mut filters: Vec<HttpFilter> = Vec::with_capacity(values.len());
    for (nth, value) in values.iter().enumerate() {
        let at = at.item(nth);
        let filter = http_filter(value, &at, cx)?;
        if filters.iter().any(|other| other.name == filter.name) {
            return Err(at.field("name").refuse(format!("another filter is named {:?}", filter.name)));
        }
        let (last, routes) = (nth + 1 == values.len(), matches!(filter.kind, HttpFilterKind::Router(_)));
        if last != routes {
            return Err(at.refuse("the last filter, and no other, must be the router"));
        }
        filters.push(filter);
    }
    match filters.is_empty() {
        true => Err(at.refuse("give at least the router")),
        false => Ok(filters.into()),
    }
}

fn http_filter(value: &proto::HttpFilter, at: &At<'_>, cx: &mut Context) -> Result<HttpFilter, Invalid> {
    let proto::HttpFilter { name, typed_config, disabled } = value;
    let name = text(name, &at.field("name"))?.into();
    let at_config = at.field("typed_config");
    let (kind, any) = extension(typed_config.as_ref(), &at_config)?;
    let kind = match kind {
        types::ROUTER if *disabled => {
            return Err(at.field("disabled").refuse("the router cannot be disabled"));
        }
        types::ROUTER => {
            let router::Router { suppress_envoy_headers } = unpack(any, &at_config)?;
            HttpFilterKind::Router(Router { suppress_envoy_headers })
        }
        types::FAULT => HttpFilterKind::Fault(Arc::new(fault(unpack(any, &at_config)?, &at_config, cx)?)),
        _ => istio_filter(any, &at_config)?,
    };
    Ok(HttpFilter { name, disabled: *disabled, kind })
}

fn istio_filter(any: &xds::Any, at: &At<'_>) -> Result<HttpFilterKind, Invalid> {
    let Some((kind, value)) = typed_struct(any, at)? else {
        return Err(unsupported(xds::type_name(&any.type_url), ALLOWED, at));
    };
    let at = at.field("value");
    match kind.as_str() {
        types::PEER_METADATA => peer_metadata(&value, &at).map(HttpFilterKind::PeerMetadata),
        types::ISTIO_STATS => stats(&value, &at).map(HttpFilterKind::Stats),
        other => Err(unsupported(other, ALLOWED, &at)),
    }
}

/// Istio's statistics, when that is what the extension is.
pub(super) fn tcp_stats(any: &xds::Any, at: &At<'_>) -> Result<Option<StatsFilter>, Invalid> {
    match typed_struct(any, at)? {
        Some((kind, value)) if kind == types::ISTIO_STATS => stats(&value, &at.field("value")).map(Some),
        _ => Ok(None),
    }
}

/// Type name and content of a `TypedStruct`; `None` when it is something else.
fn typed_struct(any: &xds::Any, at: &At<'_>) -> Result<Option<(String, xds::Struct)>, Invalid> {
    let (type_url, value) = match xds::type_name(&any.type_url) {
        types::TYPED_STRUCT => {
            let typed::TypedStruct { type_url, value } = unpack(any, at)?;
            (type_url, value)
        }
        types::UDPA_TYPED_STRUCT => {
            let udpa::TypedStruct { type_url, value } = unpack(any, at)?;
            (type_url, value)
        }
        _ => return Ok(None),
    };
    Ok(Some((xds::type_name(&type_url).to_owned(), value.unwrap_or_default())))
}

/// An empty configuration discovers and propagates everywhere; with any field set, what is not set is off.
fn peer_metadata(value: &xds::Struct, at: &At<'_>) -> Result<PeerMetadata, Invalid> {
    if value.fields.is_empty() {
        return Ok(PeerMetadata {
            downstream_discovery: true,
            upstream_discovery: true,
            downstream_propagation: true,
            upstream_propagation: true,
            skip_external_clusters: false,
        });
    }
    let mut made = PeerMetadata::default();
    for (key, value) in &value.fields {
        let at = at.key(key);
        match key.as_str() {
            "downstream_discovery" => made.downstream_discovery = by_headers(value, &at)?.is_some(),
            "upstream_discovery" => made.upstream_discovery = by_headers(value, &at)?.is_some(),
            "downstream_propagation" => made.downstream_propagation = by_headers(value, &at)?.is_some(),
            "upstream_propagation" => {
                let skip = by_headers(value, &at)?;
                made.upstream_propagation = skip.is_some();
                made.skip_external_clusters = skip.unwrap_or(false);
            }
            "shared_with_upstream" => {}
            _ => return Err(at.refuse("this field is not supported")),
        }
    }
    Ok(made)
}

/// Is `istio_headers` among the methods, and if so, does it skip external clusters?
fn by_headers(value: &xds::Value, at: &At<'_>) -> Result<Option<bool>, Invalid> {
    use xds::value::Kind;
    let Some(Kind::ListValue(methods)) = &value.kind else { return Err(at.refuse("this must be a list")) };
    let mut found = None;
    for (nth, method) in methods.values.iter().enumerate() {
        let at = at.item(nth);
        let Some(Kind::StructValue(method)) = &method.kind else {
            return Err(at.refuse("this must be an object"));
        };
        for (key, settings) in &method.fields {
            match key.as_str() {
                "istio_headers" => found = Some(bool_in(settings, "skip_external_clusters")),
                // Its discovery asks the control plane, which here says who an endpoint is in the endpoint's metadata.
                "workload_discovery" => {}
                _ => return Err(at.key(key).refuse("only istio_headers is supported")),
            }
        }
    }
    Ok(found)
}

fn bool_in(value: &xds::Value, name: &str) -> bool {
    use xds::value::Kind;
    match &value.kind {
        Some(Kind::StructValue(inner)) => {
            matches!(
                inner.fields.get(name).and_then(|field| field.kind.as_ref()),
                Some(Kind::BoolValue(true))
            )
        }
        _ => false,
    }
}

fn stats(value: &xds::Struct, at: &At<'_>) -> Result<StatsFilter, Invalid> {
    use xds::value::Kind;
    let mut made = StatsFilter {
        reporter: None,
        disable_host_header_fallback: false,
        tcp_reporting_interval: DEFAULT_TCP_REPORTING,
    };
    for (key, value) in &value.fields {
        let at = at.key(key);
        match (key.as_str(), &value.kind) {
            ("disable_host_header_fallback", Some(Kind::BoolValue(disable))) => {
                made.disable_host_header_fallback = *disable
            }
            ("tcp_reporting_duration", Some(Kind::StringValue(text))) => {
                made.tcp_reporting_interval = seconds(text, &at)?
            }
            ("reporter", Some(Kind::StringValue(text))) => {
                made.reporter = match text.as_str() {
                    "UNSPECIFIED" => None,
                    "SERVER_GATEWAY" => Some(Reporter::ServerGateway),
                    _ => return Err(at.refuse("give UNSPECIFIED or SERVER_GATEWAY")),
                }
            }
            _ => return Err(at.refuse("this field is not supported")),
        }
    }
    Ok(made)
}

/// A duration as proto-JSON writes it: `5s`.
fn seconds(text: &str, at: &At<'_>) -> Result<Duration, Invalid> {
    let number = text.strip_suffix('s').and_then(|number| number.parse::<f64>().ok());
    let duration = number.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.filter(|duration| !duration.is_zero()).ok_or_else(|| at.refuse("give a duration such as 5s"))
}
