//! The HTTP connection manager.

use std::sync::Arc;
use std::time::Duration;

use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::extensions::filters::network::http_connection_manager::v3 as proto;

use meshloom_xds::envoy::extensions::http::original_ip_detection::xff::v3 as xff;

use super::access_log::access_logs;
use super::context::Context;
use super::header_case::header_case;
use super::http_filter::http_filters;
use super::http2::http2_options;
use super::local_reply::local_replies;
use super::parts::{choice, duration, extension, limit, prefixes, text, unpack, unsupported};
use super::path::{At, Invalid};
use super::route::route_table;
use super::types;
use super::upgrade;
use crate::hcm::{
    ClientCertDetails, ClientCertOptions, Codec, EscapedSlashes, ForwardClientCert, Http1Options,
    HttpConnectionManager, HttpLimits, HttpTimeouts, Normalization, RequestIdOptions, RouteSource,
    SchemeOverwrite, ServerHeader, StripPort, TrustOptions, UnderscoreHeaders,
};
use crate::http2::Http2Options;

/// Envoy waits for an hour.
const DEFAULT_IDLE: Duration = Duration::from_secs(75);
const DEFAULT_FIRST_REQUEST: Duration = Duration::from_secs(60);
const DEFAULT_REQUEST_IDLE: Duration = Duration::from_secs(60);
const DEFAULT_STREAM_IDLE: Duration = Duration::from_secs(300);
/// Envoy has no limit; a client that sends its head slower than this is an attack.
const DEFAULT_REQUEST_HEADERS: Duration = Duration::from_secs(10);
const DEFAULT_DRAIN: Duration = Duration::from_secs(5);
const DEFAULT_DELAYED_CLOSE: Duration = Duration::from_secs(1);
const DEFAULT_MAX_HEADERS_KB: u32 = 60;
const MAX_HEADERS_KB: u32 = 8192;
pub(super) const DEFAULT_MAX_HEADERS: u32 = 100;
const DEFAULT_SERVER: &str = "envoy";

type Proto = proto::HttpConnectionManager;

pub(super) fn connection_manager(
    value: Proto,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<HttpConnectionManager, Invalid> {
    let common = value.common_http_protocol_options.clone().unwrap_or_default();
    let http1 = value.http_protocol_options.clone().unwrap_or_default();
    Ok(HttpConnectionManager {
        codec: codec(value.codec_type, &at.field("codec_type"))?,
        request_id: request_id(&value, at)?,
        trust: trust(&value, at)?,
        server_header: server_header(&value, at)?,
        client_cert: client_cert(&value, at)?,
        timeouts: timeouts(&value, &common, at)?,
        limits: limits(&value, &common, at)?,
        normalization: normalization(&value, &common, at)?,
        http1: http1_options(http1, &at.field("http_protocol_options"))?,
        http2: http2_options(
            value.http2_protocol_options,
            Http2Options::DOWNSTREAM,
            &at.field("http2_protocol_options"),
        )?,
        scheme: value
            .scheme_header_transformation
            .as_ref()
            .map(|scheme| scheme_overwrite(scheme, &at.field("scheme_header_transformation")))
            .transpose()?
            .flatten(),
        access_logs: access_logs(&value.access_log, &at.field("access_log"), cx)?,
        local_replies: value
            .local_reply_config
            .as_ref()
            .map(|config| local_replies(config, &at.field("local_reply_config"), cx))
            .transpose()?
            .map(Arc::new),
        filters: http_filters(&value.http_filters, &at.field("http_filters"), cx)?,
        stat_prefix: text(&value.stat_prefix, &at.field("stat_prefix"))?.into(),
        via: via(&value.via, &at.field("via"))?,
        upgrades: upgrade::of_manager(&value.upgrade_configs, &at.field("upgrade_configs"))?,
        proxy_continue: value.proxy_100_continue,
        routes: route_source(value.route_specifier, at, cx)?,
    })
}

fn codec(value: i32, at: &At<'_>) -> Result<Codec, Invalid> {
    use proto::http_connection_manager::CodecType;
    match choice(value, at)? {
        CodecType::Auto => Ok(Codec::Auto),
        CodecType::Http1 => Ok(Codec::Http1),
        CodecType::Http2 => Ok(Codec::Http2),
        CodecType::Http3 => Err(at.refuse("HTTP/3 is not spoken; give AUTO, HTTP1 or HTTP2")),
    }
}

fn via(value: &str, at: &At<'_>) -> Result<Arc<str>, Invalid> {
    match value.bytes().any(|byte| byte.is_ascii_control()) {
        true => Err(at.refuse("a header's value has no control characters")),
        false => Ok(value.into()),
    }
}

fn route_source(
    value: Option<proto::http_connection_manager::RouteSpecifier>,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<RouteSource, Invalid> {
    use proto::http_connection_manager::RouteSpecifier;
    match value {
        Some(RouteSpecifier::Rds(proto::Rds { route_config_name })) => cx
            .route_table(&route_config_name, &at.field("rds").field("route_config_name"))
            .map(RouteSource::Rds),
        Some(RouteSpecifier::RouteConfig(table)) => route_table(table, &at.field("route_config"), cx)
            .map(|table| RouteSource::Inline(Arc::new(table))),
        None => Err(at.refuse("give rds or route_config")),
    }
}

fn request_id(value: &Proto, at: &At<'_>) -> Result<RequestIdOptions, Invalid> {
    if let Some(proto::RequestIDExtension { typed_config }) = &value.request_id_extension {
        let at = at.field("request_id_extension");
        let at = at.field("typed_config");
        match extension(typed_config.as_ref(), &at)? {
            (types::UUID_REQUEST_ID, _) => {}
            (other, _) => return Err(unsupported(other, "give a UuidRequestIdConfig", &at)),
        }
    }
    Ok(RequestIdOptions {
        generate: value.generate_request_id.unwrap_or(true),
        preserve_external: value.preserve_external_request_id,
        always_set_in_response: value.always_set_request_id_in_response,
    })
}

fn trust(value: &Proto, at: &At<'_>) -> Result<TrustOptions, Invalid> {
    let at_manager = at;
    let internal = value.internal_address_config.as_ref();
    let at = at.field("internal_address_config");
    let ranges =
        internal.map(|config| prefixes(&config.cidr_ranges, &at.field("cidr_ranges"))).transpose()?;
    Ok(TrustOptions {
        use_remote_address: value.use_remote_address.unwrap_or(false),
        trusted_hops: detected_hops(value, at_manager)?.unwrap_or(value.xff_num_trusted_hops),
        skip_append: value.skip_xff_append,
        append_port: value.append_x_forwarded_port,
        internal: ranges.unwrap_or_default(),
    })
}

/// The older field in the form of an extension; there is one at most, and nothing else says who the client is.
fn detected_hops(value: &Proto, at: &At<'_>) -> Result<Option<u32>, Invalid> {
    let at = at.field("original_ip_detection_extensions");
    let [core::TypedExtensionConfig { name: _, typed_config }] = &*value.original_ip_detection_extensions
    else {
        return match value.original_ip_detection_extensions.is_empty() {
            true => Ok(None),
            false => Err(at.refuse("give one extension at most")),
        };
    };
    if value.use_remote_address == Some(true) || value.xff_num_trusted_hops > 0 {
        return Err(at.refuse("use_remote_address and xff_num_trusted_hops exclude this"));
    }
    let at = at.item(0);
    let at = at.field("typed_config");
    match extension(typed_config.as_ref(), &at)? {
        (types::XFF, any) => {
            let xff::XffConfig { xff_num_trusted_hops, skip_xff_append } = unpack(any, &at)?;
            match skip_xff_append {
                Some(false) => Err(at.field("skip_xff_append").refuse("nothing is appended; give true")),
                Some(true) | None => Ok(Some(xff_num_trusted_hops)),
            }
        }
        (other, _) => Err(unsupported(other, "give an XffConfig", &at)),
    }
}

fn server_header(value: &Proto, at: &At<'_>) -> Result<ServerHeader, Invalid> {
    use proto::http_connection_manager::ServerHeaderTransformation as Transformation;
    let name: Arc<str> = match via(&value.server_name, &at.field("server_name"))? {
        name if name.is_empty() => DEFAULT_SERVER.into(),
        name => name,
    };
    Ok(match choice(value.server_header_transformation, &at.field("server_header_transformation"))? {
        Transformation::Overwrite => ServerHeader::Overwrite(name),
        Transformation::AppendIfAbsent => ServerHeader::AppendIfAbsent(name),
        Transformation::PassThrough => ServerHeader::PassThrough,
    })
}

fn client_cert(value: &Proto, at: &At<'_>) -> Result<ClientCertOptions, Invalid> {
    use proto::http_connection_manager::ForwardClientCertDetails as Forward;
    let forward = match choice(value.forward_client_cert_details, &at.field("forward_client_cert_details"))? {
        Forward::Sanitize => ForwardClientCert::Sanitize,
        Forward::ForwardOnly => ForwardClientCert::ForwardOnly,
        Forward::AppendForward => ForwardClientCert::AppendForward,
        Forward::SanitizeSet => ForwardClientCert::SanitizeSet,
        Forward::AlwaysForwardOnly => ForwardClientCert::AlwaysForwardOnly,
    };
    let proto::http_connection_manager::SetCurrentClientCertDetails { subject, cert, chain, dns, uri } =
        value.set_current_client_cert_details.clone().unwrap_or_default();
    let details = ClientCertDetails { subject: subject.unwrap_or(false), cert, chain, dns, uri };
    Ok(ClientCertOptions { forward, details })
}

fn timeouts(value: &Proto, common: &core::HttpProtocolOptions, at: &At<'_>) -> Result<HttpTimeouts, Invalid> {
    let at_common = at.field("common_http_protocol_options");
    let stream_idle =
        limit(value.stream_idle_timeout, Some(DEFAULT_STREAM_IDLE), &at.field("stream_idle_timeout"))?;
    let at_idle = at_common.field("idle_timeout");
    let at_stream_idle = at.field("stream_idle_timeout");
    Ok(HttpTimeouts {
        idle: limit(common.idle_timeout, Some(DEFAULT_IDLE), &at_idle)?,
        first_request: limit(common.idle_timeout, Some(DEFAULT_FIRST_REQUEST), &at_idle)?,
        stream_idle,
        request_idle: limit(value.stream_idle_timeout, Some(DEFAULT_REQUEST_IDLE), &at_stream_idle)?,
        stream_flush: limit(value.stream_flush_timeout, stream_idle, &at.field("stream_flush_timeout"))?,
        request: limit(value.request_timeout, None, &at.field("request_timeout"))?,
        request_headers: limit(
            value.request_headers_timeout,
            Some(DEFAULT_REQUEST_HEADERS),
            &at.field("request_headers_timeout"),
        )?,
        max_connection_duration: limit(
            common.max_connection_duration,
            None,
            &at_common.field("max_connection_duration"),
        )?,
        max_stream: limit(common.max_stream_duration, None, &at_common.field("max_stream_duration"))?,
        drain: duration(value.drain_timeout, &at.field("drain_timeout"))?.unwrap_or(DEFAULT_DRAIN),
        delayed_close: limit(
            value.delayed_close_timeout,
            Some(DEFAULT_DELAYED_CLOSE),
            &at.field("delayed_close_timeout"),
        )?,
    })
}

fn limits(value: &Proto, common: &core::HttpProtocolOptions, at: &At<'_>) -> Result<HttpLimits, Invalid> {
    let at_common = at.field("common_http_protocol_options");
    if common.max_response_headers_kb.is_some() {
        return Err(at_common
            .field("max_response_headers_kb")
            .refuse("this is a limit on upstreams; give it in the cluster"));
    }
    let kilobytes = value.max_request_headers_kb.unwrap_or(DEFAULT_MAX_HEADERS_KB);
    if !(1..=MAX_HEADERS_KB).contains(&kilobytes) {
        return Err(at.field("max_request_headers_kb").refuse(format!("give 1 to {MAX_HEADERS_KB}")));
    }
    Ok(HttpLimits {
        max_request_headers_bytes: kilobytes * 1024,
        max_request_headers: at_least_one(
            common.max_headers_count,
            DEFAULT_MAX_HEADERS,
            &at_common.field("max_headers_count"),
        )?,
        max_requests_per_connection: common.max_requests_per_connection.filter(|limit| *limit > 0),
    })
}

pub(super) fn at_least_one(value: Option<u32>, default: u32, at: &At<'_>) -> Result<u32, Invalid> {
    match value {
        Some(0) => Err(at.refuse("this must be at least 1")),
        value => Ok(value.unwrap_or(default)),
    }
}

fn normalization(
    value: &Proto,
    common: &core::HttpProtocolOptions,
    at: &At<'_>,
) -> Result<Normalization, Invalid> {
    use core::http_protocol_options::HeadersWithUnderscoresAction as Underscores;
    use proto::http_connection_manager::PathWithEscapedSlashesAction as Action;
    let strip_port = match (value.strip_matching_host_port, value.strip_any_host_port.unwrap_or(false)) {
        (true, true) => {
            return Err(at.field("strip_any_host_port").refuse("strip_matching_host_port excludes this"));
        }
        (true, false) => StripPort::Matching,
        (false, true) => StripPort::Any,
        (false, false) => StripPort::Keep,
    };
    let at_common = at.field("common_http_protocol_options");
    Ok(Normalization {
        normalize_path: value.normalize_path.unwrap_or(false),
        merge_slashes: value.merge_slashes,
        escaped_slashes: match choice(
            value.path_with_escaped_slashes_action,
            &at.field("path_with_escaped_slashes_action"),
        )? {
            Action::ImplementationSpecificDefault | Action::KeepUnchanged => EscapedSlashes::Keep,
            Action::RejectRequest => EscapedSlashes::Reject,
            Action::UnescapeAndRedirect => EscapedSlashes::UnescapeAndRedirect,
            Action::UnescapeAndForward => EscapedSlashes::UnescapeAndForward,
        },
        strip_port,
        strip_trailing_dot: value.strip_trailing_host_dot,
        underscores: match choice(
            common.headers_with_underscores_action,
            &at_common.field("headers_with_underscores_action"),
        )? {
            Underscores::Allow => UnderscoreHeaders::Allow,
            Underscores::RejectRequest => UnderscoreHeaders::RejectRequest,
            Underscores::DropHeader => UnderscoreHeaders::DropHeader,
        },
    })
}

fn http1_options(value: core::Http1ProtocolOptions, at: &At<'_>) -> Result<Http1Options, Invalid> {
    let core::Http1ProtocolOptions {
        allow_absolute_url,
        accept_http_10,
        default_host_for_http_10,
        header_key_format,
    } = value;
    if allow_absolute_url == Some(false) {
        let at = at.field("allow_absolute_url");
        return Err(at.refuse("RFC 9112 3.2.2: a server must take the absolute form; give true"));
    }
    Ok(Http1Options {
        accept_http_10,
        default_host_for_http_10: (!default_host_for_http_10.is_empty())
            .then(|| default_host_for_http_10.into()),
        header_case: header_case(header_key_format, at)?,
    })
}

fn scheme_overwrite(
    value: &core::SchemeHeaderTransformation,
    at: &At<'_>,
) -> Result<Option<SchemeOverwrite>, Invalid> {
    let core::SchemeHeaderTransformation { scheme_to_overwrite, match_upstream } = value;
    match (scheme_to_overwrite.as_deref(), match_upstream) {
        (None, true) => Ok(Some(SchemeOverwrite::MatchUpstream)),
        (Some("http"), false) => Ok(Some(SchemeOverwrite::Http)),
        (Some("https"), false) => Ok(Some(SchemeOverwrite::Https)),
        (None, false) => Ok(None),
        _ => Err(at.refuse("give scheme_to_overwrite (http or https) or match_upstream")),
    }
}
