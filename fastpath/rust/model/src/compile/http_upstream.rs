//! How HTTP is spoken with an upstream.

use std::time::Duration;

use meshloom_xds as xds;
use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::extensions::upstreams::http::v3 as proto;

use super::hcm::{DEFAULT_MAX_HEADERS, at_least_one};
use super::header_case::header_case;
use super::http2::http2_options;
use super::parts::{extension, limit, unpack, unsupported};
use super::path::{At, Invalid};
use super::types;
use crate::cluster::{HttpProtocol, HttpUpstream, ServerNames};
use crate::header_case::HeaderCase;
use crate::http2::Http2Options;
use crate::matcher::HeaderName;

/// Less than another meshproxy lets a kept connection wait (75 s), so that no request meets its end. Envoy: 1 h.
const DEFAULT_IDLE: Duration = Duration::from_secs(60);
const DEFAULT_MAX_HEADERS_KB: u32 = 60;
const MAX_HEADERS_KB: u32 = 8192;

/// The protocol options of a cluster, in their old fields or in the extension that took their place.
pub(super) struct Options {
    pub(super) common: Option<core::HttpProtocolOptions>,
    pub(super) http1: Option<core::Http1ProtocolOptions>,
    pub(super) http2: Option<core::Http2ProtocolOptions>,
    pub(super) extension: Option<xds::Any>,
    pub(super) names: Option<core::UpstreamHttpProtocolOptions>,
    pub(super) max_requests: Option<u32>,
}

/// How HTTP is spoken, and which names of requests TLS takes.
pub(super) type Spoken = (HttpUpstream, Option<ServerNames>);

pub(super) fn http_upstream(value: Options, tls: bool, at: &At<'_>) -> Result<Spoken, Invalid> {
    let Options { common, http1, http2, extension: any, names, max_requests } = value;
    let at_common = at.field("common_http_protocol_options");
    let Some(any) = any else {
        let protocol = if http2.is_some() { HttpProtocol::Http2 } else { HttpProtocol::Http1 };
        let codecs = codecs(protocol, http1, http2, at)?;
        let names = server_names(names, &at.field("upstream_http_protocol_options"))?;
        return Ok((options(common, codecs, max_requests, &at_common)?, names));
    };
    if common.is_some() || http1.is_some() || http2.is_some() || names.is_some() {
        return Err(at_common.refuse("typed_extension_protocol_options excludes this"));
    }
    let at = at.field("typed_extension_protocol_options");
    let at = at.key(types::HTTP_UPSTREAM);
    let (kind, any) = extension(Some(&any), &at)?;
    if kind != types::HTTP_UPSTREAM {
        return Err(unsupported(kind, "give HttpProtocolOptions", &at));
    }
    let proto::HttpProtocolOptions {
        common_http_protocol_options: common,
        upstream_http_protocol_options: names,
        upstream_protocol_options,
    } = unpack(any, &at)?;
    let codecs = chosen(at.required(upstream_protocol_options)?, tls, &at)?;
    let names = server_names(names, &at.field("upstream_http_protocol_options"))?;
    Ok((options(common, codecs, max_requests, &at.field("common_http_protocol_options"))?, names))
}

fn server_names(
    value: Option<core::UpstreamHttpProtocolOptions>,
    at: &At<'_>,
) -> Result<Option<ServerNames>, Invalid> {
    let Some(value) = value else { return Ok(None) };
    let core::UpstreamHttpProtocolOptions { auto_sni, auto_san_validation, override_auto_sni_header } = value;
    let header = match override_auto_sni_header.as_str() {
        "" => None,
        name => Some(HeaderName::parse(name).ok_or_else(|| {
            at.field("override_auto_sni_header").refuse(format!("{name:?} is no header name"))
        })?),
    };
    let names = ServerNames { sent: auto_sni, checked: auto_san_validation, header };
    Ok((names.sent || names.checked).then_some(names))
}

/// Which version is spoken, and how each is.
struct Codecs {
    protocol: HttpProtocol,
    header_case: HeaderCase,
    http2: Http2Options,
}

fn chosen(
    value: proto::http_protocol_options::UpstreamProtocolOptions,
    tls: bool,
    at: &At<'_>,
) -> Result<Codecs, Invalid> {
    use proto::http_protocol_options as choices;
    use proto::http_protocol_options::UpstreamProtocolOptions as Choice;
    use proto::http_protocol_options::explicit_http_config::ProtocolConfig;
    match value {
        Choice::ExplicitHttpConfig(choices::ExplicitHttpConfig { protocol_config }) => {
            let at = at.field("explicit_http_config");
            match at.required(protocol_config)? {
                ProtocolConfig::HttpProtocolOptions(http1) => {
                    codecs(HttpProtocol::Http1, Some(http1), None, &at)
                }
                ProtocolConfig::Http2ProtocolOptions(http2) => {
                    codecs(HttpProtocol::Http2, None, Some(http2), &at)
                }
            }
        }
        Choice::UseDownstreamProtocolConfig(value) => {
            let choices::UseDownstreamHttpConfig { http_protocol_options, http2_protocol_options } = value;
            let at = at.field("use_downstream_protocol_config");
            codecs(HttpProtocol::Downstream, http_protocol_options, http2_protocol_options, &at)
        }
        Choice::AutoConfig(value) => {
            let choices::AutoHttpConfig { http_protocol_options, http2_protocol_options } = value;
            let at = at.field("auto_config");
            if !tls {
                return Err(
                    at.refuse("the version is agreed on by ALPN, in TLS: give a transport_socket with TLS")
                );
            }
            codecs(HttpProtocol::Auto, http_protocol_options, http2_protocol_options, &at)
        }
    }
}

fn codecs(
    protocol: HttpProtocol,
    http1: Option<core::Http1ProtocolOptions>,
    http2: Option<core::Http2ProtocolOptions>,
    at: &At<'_>,
) -> Result<Codecs, Invalid> {
    // What else it may say of HTTP/1 concerns servers.
    let header_key_format = http1.and_then(|options| options.header_key_format);
    Ok(Codecs {
        protocol,
        header_case: header_case(header_key_format, &at.field("http_protocol_options"))?,
        http2: http2_options(http2, Http2Options::UPSTREAM, &at.field("http2_protocol_options"))?,
    })
}

fn options(
    common: Option<core::HttpProtocolOptions>,
    Codecs { protocol, header_case, http2 }: Codecs,
    max_requests: Option<u32>,
    at: &At<'_>,
) -> Result<HttpUpstream, Invalid> {
    let core::HttpProtocolOptions {
        idle_timeout,
        max_connection_duration,
        max_headers_count,
        max_response_headers_kb,
        max_stream_duration,
        // It is about requests.
        headers_with_underscores_action: _,
        max_requests_per_connection,
    } = common.unwrap_or_default();
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
    Ok(HttpUpstream {
        protocol,
        header_case,
        http2,
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
