//! What the format language's commands mean for an exchange: for access logs and for header values.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use meshloom_model::matcher::{HeaderName, RequestHead};
use meshloom_model::template::{
    AddressPart, Command, GrpcStatusFormat, PathPart, PathSource, Point, TimeFormat, TlsField, Values,
};
use meshloom_wire::http1::KnownHeader;

use super::Exchange;
use crate::downstream::ConnectionInfo;
use crate::reactor::Clock;
use crate::telemetry::LocalWorkload;
use crate::util::push_number;

/// Answers for one exchange.
pub(crate) struct ExchangeValues<'x> {
    exchange: &'x Exchange,
    clock: &'x Clock,
    local: &'x LocalWorkload,
}

impl<'x> ExchangeValues<'x> {
    pub(crate) fn new(exchange: &'x Exchange, clock: &'x Clock, local: &'x LocalWorkload) -> Self {
        Self { exchange, clock, local }
    }

    fn request(&self, first: &HeaderName, second: Option<&HeaderName>, out: &mut Vec<u8>) -> bool {
        let request = &self.exchange.request;
        let value = request.header(first.as_str()).or_else(|| request.header(second?.as_str()));
        present(value.as_deref(), out)
    }

    fn response(&self, first: &HeaderName, second: Option<&HeaderName>, out: &mut Vec<u8>) -> bool {
        let response = &self.exchange.response;
        let value = response.header(first.as_str()).or_else(|| response.header(second?.as_str()));
        present(value.as_deref(), out)
    }

    fn time(&self, format: &TimeFormat, at: Duration, out: &mut Vec<u8>) -> bool {
        format.write(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX), out);
        true
    }

    fn span(&self, to: Option<Instant>, out: &mut Vec<u8>) -> bool {
        let start = self.exchange.times.start;
        number(to.map(|to| ms(to.saturating_duration_since(start))), out)
    }

    fn point(&self, point: Point) -> Option<Instant> {
        let times = &self.exchange.times;
        match point {
            Point::DownstreamRxBegin => Some(times.start),
            Point::DownstreamRxEnd => times.request_end,
            Point::UpstreamTxBegin => times.upstream_begin,
            Point::UpstreamTxEnd => times.upstream_end,
            Point::UpstreamRxBegin | Point::DownstreamTxBegin => times.response_begin,
            Point::UpstreamRxEnd | Point::DownstreamTxEnd => times.response_end,
        }
    }

    fn path(&self, part: PathPart, source: PathSource, out: &mut Vec<u8>) -> bool {
        let original = self.exchange.request.fields.get(KnownHeader::XEnvoyOriginalPath);
        let target = match source {
            PathSource::Path => self.exchange.request.target(),
            PathSource::Original => match original {
                Some(target) => target,
                None => return false,
            },
            PathSource::OriginalOrPath => original.unwrap_or(self.exchange.request.target()),
        };
        let shown = match part {
            PathPart::WithQuery => target,
            PathPart::WithoutQuery => meshloom_model::route::split_path(target).0,
        };
        text(Some(shown).filter(|shown| !shown.is_empty()), out)
    }

    fn query_param(&self, name: &str, out: &mut Vec<u8>) -> bool {
        let (_, query) = meshloom_model::route::split_path(self.exchange.request.target());
        let value = query.split(|byte| *byte == b'&').find_map(|pair| {
            let rest = pair.strip_prefix(name.as_bytes())?;
            if rest.is_empty() { Some(rest) } else { rest.strip_prefix(b"=") }
        });
        present(value, out)
    }

    fn grpc_status(&self, format: GrpcStatusFormat, out: &mut Vec<u8>) -> bool {
        if !self.exchange.outcome.is_grpc {
            return false;
        }
        let header = self.exchange.response.fields.get(KnownHeader::GrpcStatus);
        let code = header
            .and_then(|value| std::str::from_utf8(value).ok()?.parse().ok())
            .or(self.exchange.outcome.grpc_status)
            .or_else(|| match self.exchange.outcome.status {
                0 => None,
                status => Some(crate::reply::grpc_status(status)),
            });
        let Some(code) = code else { return false };
        match format {
            GrpcStatusFormat::Number => push_number(out, u64::from(code)),
            GrpcStatusFormat::CamelCase => out.extend_from_slice(grpc_name(code).as_bytes()),
            GrpcStatusFormat::SnakeCase => out.extend_from_slice(snake(grpc_name(code)).as_bytes()),
        }
        true
    }

    fn upstream_host(&self, part: AddressPart, out: &mut Vec<u8>) -> bool {
        let Some(host) = &self.exchange.outcome.host else { return false };
        let place = host.place();
        match &place.address {
            meshloom_model::Address::Ip(address) => self::address(Some(*address), part, out),
            meshloom_model::Address::Unix(_) => text(Some(place.text.as_bytes()), out),
        }
    }

    fn cluster(&self, raw: bool, out: &mut Vec<u8>) -> bool {
        let exchange = self.exchange;
        let Some(index) = exchange.cluster else { return false };
        let name = match exchange.snapshot.cluster(index) {
            Some(_) if raw => exchange.snapshot.clusters.name_of(index),
            cluster => cluster.map(|cluster| cluster.stat_name()),
        };
        text(name.map(str::as_bytes), out)
    }

    fn number_of(&self, command: &Command, out: &mut Vec<u8>) -> bool {
        let outcome = &self.exchange.outcome;
        let value = match command {
            Command::ResponseCode => u64::from(outcome.status),
            Command::BytesReceived => self.exchange.body.received,
            Command::BytesSent => outcome.body_sent,
            Command::RequestHeadersBytes => self.exchange.request.headers_bytes(),
            Command::ResponseHeadersBytes => self.exchange.response.headers_bytes(),
            Command::UpstreamWireBytesReceived => outcome.wire_received,
            Command::UpstreamWireBytesSent => outcome.wire_sent,
            Command::DownstreamWireBytesReceived => {
                self.exchange.body.received + self.exchange.request.head_len as u64
            }
            Command::DownstreamWireBytesSent => outcome.body_sent + outcome.head_sent,
            Command::UpstreamRequestAttemptCount => u64::from(self.exchange.tries.made),
            Command::UpstreamConnectionId => outcome.upstream_connection,
            Command::ConnectionId => self.exchange.info.id,
            _ => return false,
        };
        number(Some(value), out)
    }
}

impl Values for ExchangeValues<'_> {
    fn write(&self, command: &Command, out: &mut Vec<u8>) -> bool {
        let outcome = &self.exchange.outcome;
        match command {
            Command::Protocol => text(Some(self.exchange.request.version.as_str().as_bytes()), out),
            Command::UpstreamProtocol => {
                text(outcome.upstream_protocol.map(|protocol| protocol.as_str().as_bytes()), out)
            }
            Command::ResponseCodeDetails { allow_whitespace } => {
                let details = outcome.details.as_ref();
                let shown = if *allow_whitespace { details.to_owned() } else { details.replace(' ', "_") };
                text(Some(shown.as_bytes()), out)
            }
            Command::ResponseFlags { long } => {
                match outcome.flags.is_empty() {
                    true => out.push(b'-'),
                    false => outcome.flags.write(*long, out),
                }
                true
            }
            Command::Request(first, second) => self.request(first, second.as_ref(), out),
            Command::Response(first, second) => self.response(first, second.as_ref(), out),
            Command::Path { part, source } => self.path(*part, *source, out),
            Command::QueryParam(name) => self.query_param(name, out),
            Command::GrpcStatus(format) => self.grpc_status(*format, out),
            Command::StreamId => text(self.exchange.request.fields.get(KnownHeader::XRequestId), out),
            Command::Hostname => text(Some(self.local.hostname.as_bytes()), out),
            Command::Environment(name) => {
                text(self.local.environment.get(&**name).map(|value| value.as_bytes()), out)
            }
            Command::LocalReplyBody => present(outcome.local_body.as_deref().map(str::as_bytes), out),
            Command::ConnectionTerminationDetails => false,
            other => self
                .timing(other, out)
                .or_else(|| self.place(other, out))
                .unwrap_or_else(|| self.number_of(other, out)),
        }
    }
}

impl ExchangeValues<'_> {
    /// Commands about time; `None` for all others.
    fn timing(&self, command: &Command, out: &mut Vec<u8>) -> Option<bool> {
        let times = &self.exchange.times;
        let between = |from: Option<Instant>, to: Option<Instant>| {
            from.zip(to).map(|(from, to)| to.saturating_duration_since(from))
        };
        Some(match command {
            Command::StartTime(format) => self.time(format, self.clock.wall_at(times.start), out),
            Command::EmitTime(format) => self.time(format, self.clock.wall(), out),
            Command::Duration => self.span(Some(times.response_end.unwrap_or(self.clock.instant())), out),
            Command::RequestDuration => self.span(times.request_end, out),
            Command::RequestTxDuration => self.span(times.upstream_end, out),
            Command::ResponseDuration => self.span(times.response_begin, out),
            Command::ResponseTxDuration => {
                number(between(times.response_begin, times.response_end).map(ms), out)
            }
            Command::CommonDuration { from, to, unit_nanos } => {
                let unit = u128::from((*unit_nanos).max(1));
                let units = |span: Duration| u64::try_from(span.as_nanos() / unit).unwrap_or(u64::MAX);
                number(between(self.point(*from), self.point(*to)).map(units), out)
            }
            _ => return None,
        })
    }

    /// Commands about where the request came from and went to; `None` for all others.
    fn place(&self, command: &Command, out: &mut Vec<u8>) -> Option<bool> {
        let (outcome, info) = (&self.exchange.outcome, &self.exchange.info);
        let route = self.exchange.route.as_deref();
        Some(match command {
            Command::UpstreamHost(part) => self.upstream_host(*part, out),
            Command::UpstreamRemoteAddress(part) => {
                outcome.upstream_local.is_some() && self.upstream_host(*part, out)
            }
            Command::UpstreamLocalAddress(part) => address(outcome.upstream_local, *part, out),
            Command::UpstreamCluster => self.cluster(false, out),
            Command::UpstreamClusterRaw => self.cluster(true, out),
            Command::UpstreamTransportFailureReason => failure(outcome.upstream_failure.as_deref(), out),
            Command::DownstreamTransportFailureReason => failure(info.tls_failure.borrow().as_deref(), out),
            Command::DownstreamTls(field) => downstream_tls(info, field, out),
            Command::UpstreamTls(field) => {
                outcome.upstream_tls.as_ref().is_some_and(|tls| tls.write(field, out))
            }
            Command::DownstreamRemoteAddress(part) => address(Some(self.exchange.client.address), *part, out),
            Command::DownstreamDirectRemoteAddress(part) => address(Some(info.direct), *part, out),
            Command::DownstreamLocalAddress(part) => local_address(info, *part, out),
            Command::RequestedServerName => {
                text(info.server_name.borrow().as_deref().map(str::as_bytes), out)
            }
            Command::RouteName => text(route.map(|route| route.name.as_bytes()), out),
            Command::VirtualHostName => text(route.map(|route| route.virtual_host.as_bytes()), out),
            Command::FilterChainName => text(Some(info.chain_name.borrow().as_bytes()), out),
            _ => return None,
        })
    }
}

/// An empty header is there all the same.
fn present(value: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    value.map(|value| out.extend_from_slice(value)).is_some()
}

/// A field of the client's TLS connection; none without TLS.
pub(crate) fn downstream_tls(info: &ConnectionInfo, field: &TlsField, out: &mut Vec<u8>) -> bool {
    info.tls.borrow().as_ref().is_some_and(|tls| tls.write(field, out))
}

/// Why something failed, as one word.
pub(crate) fn failure(reason: Option<&str>, out: &mut Vec<u8>) -> bool {
    let word = reason.map(|reason| reason.replace(' ', "_"));
    text(word.as_deref().map(str::as_bytes), out)
}

pub(crate) fn text(value: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    match value {
        Some(value) if !value.is_empty() => {
            out.extend_from_slice(value);
            true
        }
        _ => false,
    }
}

pub(crate) fn number(value: Option<u64>, out: &mut Vec<u8>) -> bool {
    value.map(|value| push_number(out, value)).is_some()
}

pub(crate) fn address(value: Option<SocketAddr>, part: AddressPart, out: &mut Vec<u8>) -> bool {
    use std::io::Write;
    let Some(value) = value else { return false };
    // Writing into a vector cannot fail.
    let _ = match part {
        AddressPart::Whole => write!(out, "{value}"),
        AddressPart::WithoutPort => write!(out, "{}", value.ip()),
        AddressPart::Port => write!(out, "{}", value.port()),
    };
    true
}

/// Our end of a client's connection; of a Unix socket, its path.
pub(crate) fn local_address(info: &ConnectionInfo, part: AddressPart, out: &mut Vec<u8>) -> bool {
    match &info.pipe {
        Some(path) if part != AddressPart::Port => text(Some(path.as_os_str().as_encoded_bytes()), out),
        Some(_) => false,
        None => address(Some(info.local), part, out),
    }
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn grpc_name(code: u32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    usize::try_from(code).ok().and_then(|code| NAMES.get(code)).copied().unwrap_or("InvalidCode")
}

fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut after_lower = false;
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && after_lower {
            out.push('_');
        }
        after_lower = letter.is_ascii_lowercase();
        out.push(letter.to_ascii_uppercase());
    }
    out
}
