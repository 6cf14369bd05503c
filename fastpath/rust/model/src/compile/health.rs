//! Active health checks.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use meshloom_xds as xds;
use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::config::endpoint::v3::endpoint as endpoint_proto;
use meshloom_xds::envoy::r#type::v3 as kinds;

use super::context::Context;
use super::endpoint::labels;
use super::header;
use super::matching;
use super::parts::{address, choice, duration, positive, text};
use super::path::{At, Invalid};
use super::tls;
use crate::address::Address;
use crate::health::{
    EndpointCheck, EventLog, GrpcProbe, HealthCheck, HttpProbe, Pauses, Probe, ProbeHeader, TcpProbe,
};

const DEFAULT_NO_TRAFFIC: Duration = Duration::from_secs(60);
const DEFAULT_RESPONSE_BUFFER: u64 = 1024;
/// Bytes of a response that may be looked at.
const MAX_RESPONSE_BUFFER: u64 = 1024 * 1024;

/// A cluster has one health check at most, as in Envoy.
pub(super) fn health_check(
    mut values: Vec<core::HealthCheck>,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<Option<Arc<HealthCheck>>, Invalid> {
    if values.len() > 1 {
        return Err(at.refuse("give one health check at most"));
    }
    values.pop().map(|value| one(value, &at.item(0), cx).map(Arc::new)).transpose()
}

fn one(value: core::HealthCheck, at: &At<'_>, cx: &mut Context) -> Result<HealthCheck, Invalid> {
    let pauses = pauses(&value, at)?;
    let core::HealthCheck {
        timeout,
        interval: _,
        initial_jitter: _,
        interval_jitter: _,
        interval_jitter_percent: _,
        unhealthy_threshold,
        healthy_threshold,
        reuse_connection,
        no_traffic_interval: _,
        no_traffic_healthy_interval: _,
        unhealthy_interval: _,
        unhealthy_edge_interval: _,
        healthy_edge_interval: _,
        event_log_path,
        always_log_health_check_failures,
        always_log_health_check_success,
        tls_options,
        transport_socket_match_criteria,
        health_checker,
    } = value;
    let at_tls = at.field("tls_options");
    let given = |value: Option<u32>, name: &'static str| at.field(name).required(value);
    Ok(HealthCheck {
        timeout: needed(timeout, &at.field("timeout"))?,
        pauses,
        unhealthy_threshold: given(unhealthy_threshold, "unhealthy_threshold")?,
        healthy_threshold: given(healthy_threshold, "healthy_threshold")?,
        reuse_connection: reuse_connection.unwrap_or(true),
        probe: probe(health_checker, at, cx)?,
        transport_labels: transport_socket_match_criteria.as_ref().map(labels),
        protocols: tls::protocols(
            &tls_options.unwrap_or_default().alpn_protocols,
            &at_tls.field("alpn_protocols"),
        )?,
        event_log: (!event_log_path.is_empty()).then(|| EventLog {
            path: Path::new(&event_log_path).into(),
            every_failure: always_log_health_check_failures,
            every_success: always_log_health_check_success,
        }),
    })
}

fn pauses(value: &core::HealthCheck, at: &At<'_>) -> Result<Pauses, Invalid> {
    let or = |value: Option<xds::Duration>, default: Duration, name: &'static str| {
        positive(value, default, &at.field(name))
    };
    let jitter = |value: Option<xds::Duration>, name: &'static str| {
        duration(value, &at.field(name)).map(Option::unwrap_or_default)
    };
    let healthy = needed(value.interval, &at.field("interval"))?;
    let unhealthy = or(value.unhealthy_interval, healthy, "unhealthy_interval")?;
    let no_traffic = or(value.no_traffic_interval, DEFAULT_NO_TRAFFIC, "no_traffic_interval")?;
    Ok(Pauses {
        healthy,
        healthy_edge: or(value.healthy_edge_interval, healthy, "healthy_edge_interval")?,
        unhealthy,
        unhealthy_edge: or(value.unhealthy_edge_interval, unhealthy, "unhealthy_edge_interval")?,
        no_traffic,
        no_traffic_healthy: or(value.no_traffic_healthy_interval, no_traffic, "no_traffic_healthy_interval")?,
        initial_jitter: jitter(value.initial_jitter, "initial_jitter")?,
        jitter: jitter(value.interval_jitter, "interval_jitter")?,
        jitter_percent: value.interval_jitter_percent,
    })
}

fn needed(value: Option<xds::Duration>, at: &At<'_>) -> Result<Duration, Invalid> {
    at.required(value)?;
    positive(value, Duration::ZERO, at)
}

fn probe(
    value: Option<core::health_check::HealthChecker>,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<Probe, Invalid> {
    use core::health_check::HealthChecker as Checker;
    match value {
        Some(Checker::HttpHealthCheck(value)) => {
            http(value, &at.field("http_health_check"), cx).map(|probe| Probe::Http(Box::new(probe)))
        }
        Some(Checker::TcpHealthCheck(core::health_check::TcpHealthCheck { send, receive })) => {
            let at = at.field("tcp_health_check");
            Ok(Probe::Tcp(TcpProbe {
                send: send.map(|value| payload(&value, &at.field("send"))).transpose()?.unwrap_or_default(),
                receive: payloads(&receive, &at.field("receive"))?,
            }))
        }
        Some(Checker::GrpcHealthCheck(value)) => {
            let core::health_check::GrpcHealthCheck { service_name, authority, initial_metadata } = value;
            let at = at.field("grpc_health_check");
            Ok(Probe::Grpc(GrpcProbe {
                service: service_name.into(),
                authority: (!authority.is_empty()).then(|| authority.into()),
                metadata: headers(&initial_metadata, &at.field("initial_metadata"))?,
            }))
        }
        None => Err(at.refuse("give http_health_check, grpc_health_check or tcp_health_check")),
    }
}

fn http(
    value: core::health_check::HttpHealthCheck,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<HttpProbe, Invalid> {
    let core::health_check::HttpHealthCheck {
        host,
        path,
        send,
        receive,
        response_buffer_size,
        request_headers_to_add,
        request_headers_to_remove,
        expected_statuses,
        retriable_statuses,
        codec_client_type,
        service_name_matcher,
        method,
    } = value;
    let at_method = at.field("method");
    let method = method_name(method, &at_method)?;
    let send = send.map(|value| payload(&value, &at.field("send"))).transpose()?.unwrap_or_default();
    if !send.is_empty() && !matches!(method, "POST" | "PUT" | "PATCH" | "OPTIONS") {
        return Err(at_method.refuse("a request with a body to send is POST, PUT, PATCH or OPTIONS"));
    }
    let mut expected = statuses(&expected_statuses, &at.field("expected_statuses"))?;
    if expected.is_empty() {
        expected = std::iter::once(200..201).collect();
    }
    let at_remove = at.field("request_headers_to_remove");
    let removed = request_headers_to_remove.iter().enumerate();
    Ok(HttpProbe {
        host: (!host.is_empty()).then(|| host.into()),
        path: text(&path, &at.field("path"))?.into(),
        method: method.into(),
        add: headers(&request_headers_to_add, &at.field("request_headers_to_add"))?,
        remove: removed
            .map(|(nth, name)| header::changeable(name, &at_remove.item(nth)))
            .collect::<Result<_, _>>()?,
        send,
        receive: payloads(&receive, &at.field("receive"))?,
        response_buffer: usize::try_from(match response_buffer_size.unwrap_or(DEFAULT_RESPONSE_BUFFER) {
            0 => MAX_RESPONSE_BUFFER,
            size => size.min(MAX_RESPONSE_BUFFER),
        })
        .unwrap_or_default(),
        expected,
        retriable: statuses(&retriable_statuses, &at.field("retriable_statuses"))?,
        service: service_name_matcher
            .map(|value| matching::string(&value, &at.field("service_name_matcher"), cx))
            .transpose()?,
        http2: is_http2(codec_client_type, &at.field("codec_client_type"))?,
    })
}

fn is_http2(value: i32, at: &At<'_>) -> Result<bool, Invalid> {
    use kinds::CodecClientType;
    match choice(value, at)? {
        CodecClientType::Http1 => Ok(false),
        CodecClientType::Http2 => Ok(true),
        CodecClientType::Http3 => Err(at.refuse("HTTP/3 is not spoken")),
    }
}

fn method_name(value: i32, at: &At<'_>) -> Result<&'static str, Invalid> {
    use core::RequestMethod as Method;
    Ok(match choice(value, at)? {
        Method::MethodUnspecified | Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => return Err(at.refuse("a health check cannot be CONNECT")),
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
    })
}

fn statuses(values: &[kinds::Int64Range], at: &At<'_>) -> Result<Box<[Range<u16>]>, Invalid> {
    let one = |(nth, value): (usize, &kinds::Int64Range)| {
        let kinds::Int64Range { start, end } = *value;
        let status = |number: i64| u16::try_from(number).ok().filter(|number| (100..=600).contains(number));
        match (status(start), status(end)) {
            (Some(start), Some(end)) if start < end => Ok(start..end),
            _ => Err(at
                .item(nth)
                .refuse(format!("{start} to {end} is no range of statuses: give 100 <= start < end <= 600"))),
        }
    };
    values.iter().enumerate().map(one).collect()
}

fn payloads(values: &[core::health_check::Payload], at: &At<'_>) -> Result<Box<[Box<[u8]>]>, Invalid> {
    values.iter().enumerate().map(|(nth, value)| payload(value, &at.item(nth))).collect()
}

fn payload(value: &core::health_check::Payload, at: &At<'_>) -> Result<Box<[u8]>, Invalid> {
    use core::health_check::payload::Payload;
    match &value.payload {
        Some(Payload::Text(hex)) => {
            let at = at.field("text");
            bytes_of_hex(text(hex, &at)?)
                .ok_or_else(|| at.refuse("this must be hexadecimal, two digits for each byte"))
        }
        Some(Payload::Binary(bytes)) => Ok(bytes.as_slice().into()),
        None => Err(at.refuse("give text or binary")),
    }
}

fn bytes_of_hex(text: &str) -> Option<Box<[u8]>> {
    let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let byte = |pair: &[u32]| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    };
    digits.chunks(2).map(byte).collect()
}

fn headers(values: &[core::HeaderValueOption], at: &At<'_>) -> Result<Box<[ProbeHeader]>, Invalid> {
    values.iter().enumerate().map(|(nth, value)| probe_header(value, &at.item(nth))).collect()
}

fn probe_header(value: &core::HeaderValueOption, at: &At<'_>) -> Result<ProbeHeader, Invalid> {
    let core::HeaderValueOption { header, append, append_action, keep_empty_value: _ } = value;
    let action = header::action(*append, *append_action, at)?;
    let at = at.field("header");
    let core::HeaderValue { key, value, raw_value } = at.required(header.as_ref())?;
    let value = if raw_value.is_empty() { value.as_bytes() } else { raw_value };
    if value.contains(&b'%') {
        return Err(at.field("value").refuse("a health check has no values for command operators"));
    }
    if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(at.field("value").refuse("a header cannot have control characters"));
    }
    Ok(ProbeHeader { name: header::changeable(key, &at.field("key"))?, value: value.into(), action })
}

/// What an endpoint says of its checks; `serves_at` is where it serves.
pub(super) fn endpoint_check(
    value: endpoint_proto::HealthCheckConfig,
    serves_at: &Address,
    at: &At<'_>,
) -> Result<EndpointCheck, Invalid> {
    let endpoint_proto::HealthCheckConfig { port_value, hostname, address: own, disable_active_health_check } =
        value;
    let at_port = at.field("port_value");
    let port = u16::try_from(port_value).map_err(|_| at_port.refuse("a port is at most 65535"))?;
    let own = own.map(|value| address(Some(value), &at.field("address"))).transpose()?;
    let base = own.clone().unwrap_or_else(|| serves_at.clone());
    let with_port = match (base, port) {
        (_, 0) => own,
        (Address::Ip(mut socket), port) => {
            socket.set_port(port);
            Some(Address::Ip(socket))
        }
        (Address::Unix(_), _) => return Err(at_port.refuse("a Unix socket has no port")),
    };
    Ok(EndpointCheck {
        address: with_port,
        hostname: (!hostname.is_empty()).then(|| hostname.into()),
        disabled: disable_active_health_check,
    })
}
