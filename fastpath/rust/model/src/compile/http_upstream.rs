//! How HTTP is spoken with an upstream.

use std::time::Duration;

use meshloom_xds as xds;
use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::extensions::upstreams::http::v3 as proto;

use super::hcm::{DEFAULT_MAX_HEADERS, at_least_one};
use super::parts::{choice, extension, limit, unpack, unsupported};
use super::path::{At, Invalid};
use super::types;
use crate::cluster::HttpUpstream;

const DEFAULT_IDLE: Duration = Duration::from_secs(3600);
const DEFAULT_MAX_HEADERS_KB: u32 = 60;
const MAX_HEADERS_KB: u32 = 8192;

/// The protocol options of a cluster, in their old fields or in the extension that took their place.
pub(super) struct Options {
    pub(super) common: Option<core::HttpProtocolOptions>,
    pub(super) http1: Option<core::Http1ProtocolOptions>,
    pub(super) extension: Option<xds::Any>,
    pub(super) max_requests: Option<u32>,
}

pub(super) fn http_upstream(value: Options, at: &At<'_>) -> Result<HttpUpstream, Invalid> {
    let Options { common, http1, extension: any, max_requests } = value;
    let Some(any) = any else {
        let at_common = at.field("common_http_protocol_options");
        return options(common, http1, max_requests, &at_common, &at.field("http_protocol_options"));
    };
    if common.is_some() || http1.is_some() {
        return Err(at
            .field("common_http_protocol_options")
            .refuse("typed_extension_protocol_options excludes this"));
    }
    let at = at.field("typed_extension_protocol_options");
    let at = at.key(types::HTTP_UPSTREAM);
    let (kind, any) = extension(Some(&any), &at)?;
    if kind != types::HTTP_UPSTREAM {
        return Err(unsupported(kind, "give HttpProtocolOptions", &at));
    }
    let proto::HttpProtocolOptions { common_http_protocol_options, explicit_http_config } = unpack(any, &at)?;
    let at_explicit = at.field("explicit_http_config");
    let explicit = at_explicit.required(explicit_http_config)?;
    let proto::http_protocol_options::ExplicitHttpConfig { http_protocol_options } = explicit;
    let at_common = at.field("common_http_protocol_options");
    let at_http1 = at_explicit.field("http_protocol_options");
    options(common_http_protocol_options, http_protocol_options, max_requests, &at_common, &at_http1)
}

fn options(
    common: Option<core::HttpProtocolOptions>,
    http1: Option<core::Http1ProtocolOptions>,
    max_requests: Option<u32>,
    at: &At<'_>,
    at_http1: &At<'_>,
) -> Result<HttpUpstream, Invalid> {
    use core::http_protocol_options::HeadersWithUnderscoresAction as Underscores;
    let core::HttpProtocolOptions {
        idle_timeout,
        max_connection_duration,
        max_headers_count,
        max_response_headers_kb,
        max_stream_duration,
        headers_with_underscores_action,
        max_requests_per_connection,
    } = common.unwrap_or_default();
    let at_underscores = at.field("headers_with_underscores_action");
    if choice::<Underscores>(headers_with_underscores_action, &at_underscores)? != Underscores::Allow {
        return Err(
            at_underscores.refuse("responses are passed on; give this in the HTTP connection manager")
        );
    }
    let kilobytes = max_response_headers_kb.unwrap_or(DEFAULT_MAX_HEADERS_KB);
    if !(1..=MAX_HEADERS_KB).contains(&kilobytes) {
        return Err(at.field("max_response_headers_kb").refuse(format!("give 1 to {MAX_HEADERS_KB}")));
    }
    if max_stream_duration.is_some() {
        let at = at.field("max_stream_duration");
        return Err(
            at.refuse("give a timeout in the route, or max_stream_duration in the HTTP connection manager")
        );
    }
    server_only(&http1.unwrap_or_default(), at_http1)?;
    Ok(HttpUpstream {
        idle_timeout: limit(idle_timeout, Some(DEFAULT_IDLE), &at.field("idle_timeout"))?,
        max_connection_duration: limit(max_connection_duration, None, &at.field("max_connection_duration"))?,
        max_requests_per_connection: max_requests_per_connection.or(max_requests).filter(|limit| *limit > 0),
        max_response_headers: at_least_one(
            max_headers_count,
            DEFAULT_MAX_HEADERS,
            &at.field("max_headers_count"),
        )?,
        max_response_headers_bytes: kilobytes * 1024,
    })
}

/// Options that only a server has mean nothing towards an upstream, and there are no others.
fn server_only(value: &core::Http1ProtocolOptions, at: &At<'_>) -> Result<(), Invalid> {
    let core::Http1ProtocolOptions {
        allow_absolute_url: _,
        accept_http_10: _,
        default_host_for_http_10: _,
        override_stream_error_on_invalid_http_message: keep_connection,
    } = value;
    match keep_connection {
        Some(true) => {
            let at = at.field("override_stream_error_on_invalid_http_message");
            Err(at.refuse("a connection with a badly framed message is always closed; give false"))
        }
        Some(false) | None => Ok(()),
    }
}
