//! From text to [`Piece`]s.

use super::command::{AddressPart, Command, GrpcStatusFormat, PathPart, PathSource, Point};
use super::{Piece, Placeholder, TimeFormat, tls};
use crate::matcher::HeaderName;

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// A percent sign that begins no command. Write `%%` for the sign itself.
    #[error("`{0}` is no command; write %% for a percent sign")]
    Malformed(String),
    /// Not a command of Envoy's format language.
    #[error("%{0}% is not a command that is known")]
    Unknown(String),
    /// A command of Envoy's format language of which this release knows no value.
    #[error("%{0}%: this command is not supported yet")]
    Unsupported(String),
    /// A command that needs something in brackets has nothing, or something it cannot take.
    #[error("the command %{command}% does not take the argument `{argument}`")]
    Argument { command: String, argument: String },
}

/// Longest template, in bytes.
const MAX_LEN: usize = 64 * 1024;

pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, InvalidTemplate> {
    if text.len() > MAX_LEN {
        return Err(InvalidTemplate::Malformed(format!("a text of {} bytes", text.len())));
    }
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        literal.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            literal.push('%');
            rest = after;
            continue;
        }
        let (placeholder, after) = placeholder(after)?;
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
        }
        pieces.push(Piece::Value(placeholder));
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal.into()));
    }
    Ok(pieces)
}

/// Reads `COMMAND(ARGUMENT):LENGTH%` and returns what follows it.
fn placeholder(text: &str) -> Result<(Placeholder, &str), InvalidTemplate> {
    let malformed = || InvalidTemplate::Malformed(format!("%{}", text.chars().take(30).collect::<String>()));
    let name_len =
        text.bytes().take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_').count();
    let (name, rest) = text.split_at_checked(name_len).ok_or_else(malformed)?;
    if name.is_empty() {
        return Err(malformed());
    }
    let (argument, rest) = match rest.strip_prefix('(') {
        Some(inner) => {
            bracketed(inner).map(|(argument, rest)| (Some(argument), rest)).ok_or_else(malformed)?
        }
        None => (None, rest),
    };
    let (max_len, rest) = length(rest).ok_or_else(malformed)?;
    Ok((Placeholder { command: command(name, argument)?, max_len }, rest))
}

/// The argument ends at the first bracket that ends a command.
fn bracketed(inner: &str) -> Option<(&str, &str)> {
    inner.match_indices(')').find_map(|(at, _)| {
        let rest = inner.get(at + 1..)?;
        length(rest).map(|_| (inner.get(..at).unwrap_or_default(), rest))
    })
}

/// Reads `:LENGTH%` or `%`.
fn length(text: &str) -> Option<(Option<usize>, &str)> {
    if let Some(rest) = text.strip_prefix('%') {
        return Some((None, rest));
    }
    let (digits, rest) = text.strip_prefix(':')?.split_once('%')?;
    digits.parse().ok().map(|len| (Some(len), rest))
}

fn command(name: &str, argument: Option<&str>) -> Result<Command, InvalidTemplate> {
    if let Some(command) = plain(name) {
        return match argument {
            None | Some("") => Ok(command),
            Some(argument) => Err(wrong(name, argument)),
        };
    }
    let given = argument.unwrap_or_default();
    with_argument(name, given).unwrap_or_else(|| Err(unanswered(name)))
}

/// Why there is no such command here: Envoy has it and this release does not, or nobody has.
fn unanswered(name: &str) -> InvalidTemplate {
    const NAMES: [&str; 5] =
        ["TRAILER", "CLUSTER_METADATA", "DYNAMIC_METADATA", "FILTER_STATE", "RESPONSE_TRAILERS_BYTES"];
    let connection = name.starts_with("UPSTREAM_") || name.starts_with("DOWNSTREAM_");
    match connection || NAMES.contains(&name) {
        true => InvalidTemplate::Unsupported(name.to_owned()),
        false => InvalidTemplate::Unknown(name.to_owned()),
    }
}

fn wrong(command: &str, argument: &str) -> InvalidTemplate {
    InvalidTemplate::Argument { command: command.to_owned(), argument: argument.to_owned() }
}

/// Commands that take nothing in brackets.
fn plain(name: &str) -> Option<Command> {
    Some(match name {
        "PROTOCOL" => Command::Protocol,
        "UPSTREAM_PROTOCOL" => Command::UpstreamProtocol,
        "RESPONSE_CODE" => Command::ResponseCode,
        "CONNECTION_TERMINATION_DETAILS" => Command::ConnectionTerminationDetails,
        "RESPONSE_FLAGS" => Command::ResponseFlags { long: false },
        "RESPONSE_FLAGS_LONG" => Command::ResponseFlags { long: true },
        "BYTES_RECEIVED" => Command::BytesReceived,
        "BYTES_SENT" => Command::BytesSent,
        "REQUEST_HEADERS_BYTES" => Command::RequestHeadersBytes,
        "RESPONSE_HEADERS_BYTES" => Command::ResponseHeadersBytes,
        "UPSTREAM_WIRE_BYTES_RECEIVED" => Command::UpstreamWireBytesReceived,
        "UPSTREAM_WIRE_BYTES_SENT" => Command::UpstreamWireBytesSent,
        "DOWNSTREAM_WIRE_BYTES_RECEIVED" => Command::DownstreamWireBytesReceived,
        "DOWNSTREAM_WIRE_BYTES_SENT" => Command::DownstreamWireBytesSent,
        "DURATION" => Command::Duration,
        "REQUEST_DURATION" => Command::RequestDuration,
        "REQUEST_TX_DURATION" => Command::RequestTxDuration,
        "RESPONSE_DURATION" => Command::ResponseDuration,
        "RESPONSE_TX_DURATION" => Command::ResponseTxDuration,
        "GRPC_STATUS_NUMBER" => Command::GrpcStatus(GrpcStatusFormat::Number),
        "UPSTREAM_CLUSTER" => Command::UpstreamCluster,
        "UPSTREAM_CLUSTER_RAW" => Command::UpstreamClusterRaw,
        "UPSTREAM_REQUEST_ATTEMPT_COUNT" => Command::UpstreamRequestAttemptCount,
        "UPSTREAM_CONNECTION_ID" => Command::UpstreamConnectionId,
        "DOWNSTREAM_TRANSPORT_FAILURE_REASON" => Command::DownstreamTransportFailureReason,
        "UPSTREAM_TRANSPORT_FAILURE_REASON" => Command::UpstreamTransportFailureReason,
        "REQUESTED_SERVER_NAME" => Command::RequestedServerName,
        "CONNECTION_ID" => Command::ConnectionId,
        "STREAM_ID" => Command::StreamId,
        "ROUTE_NAME" => Command::RouteName,
        "VIRTUAL_HOST_NAME" => Command::VirtualHostName,
        "FILTER_CHAIN_NAME" => Command::FilterChainName,
        "HOSTNAME" => Command::Hostname,
        "LOCAL_REPLY_BODY" => Command::LocalReplyBody,
        _ => return address(name),
    })
}

fn address(name: &str) -> Option<Command> {
    let (stem, part) = match (name.strip_suffix("_WITHOUT_PORT"), name.strip_suffix("_PORT")) {
        (Some(stem), _) => (stem, AddressPart::WithoutPort),
        (None, Some(stem)) => (stem, AddressPart::Port),
        (None, None) => (name, AddressPart::Whole),
    };
    Some(match (stem, part) {
        ("UPSTREAM_HOST", AddressPart::Whole) => Command::UpstreamHost(part),
        ("UPSTREAM_REMOTE_ADDRESS" | "UPSTREAM_REMOTE", _) => Command::UpstreamRemoteAddress(part),
        ("UPSTREAM_LOCAL_ADDRESS" | "UPSTREAM_LOCAL", _) => Command::UpstreamLocalAddress(part),
        ("DOWNSTREAM_REMOTE_ADDRESS" | "DOWNSTREAM_REMOTE", _) => Command::DownstreamRemoteAddress(part),
        ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS" | "DOWNSTREAM_DIRECT_REMOTE", _) => {
            Command::DownstreamDirectRemoteAddress(part)
        }
        ("DOWNSTREAM_LOCAL_ADDRESS" | "DOWNSTREAM_LOCAL", _) => Command::DownstreamLocalAddress(part),
        _ => return None,
    })
}

/// Commands that take something in brackets; `None` when there is no such command.
fn with_argument(name: &str, argument: &str) -> Option<Result<Command, InvalidTemplate>> {
    let command = match name {
        "START_TIME" => TimeFormat::parse(argument).map(Command::StartTime),
        "EMIT_TIME" => TimeFormat::parse(argument).map(Command::EmitTime),
        "RESPONSE_CODE_DETAILS" => match argument {
            "" => Some(Command::ResponseCodeDetails { allow_whitespace: false }),
            "ALLOW_WHITESPACES" => Some(Command::ResponseCodeDetails { allow_whitespace: true }),
            _ => None,
        },
        "REQ" => headers(argument).map(|(name, or)| Command::Request(name, or)),
        "RESP" => headers(argument).map(|(name, or)| Command::Response(name, or)),
        "GRPC_STATUS" => match argument {
            "" | "CAMEL_STRING" => Some(Command::GrpcStatus(GrpcStatusFormat::CamelCase)),
            "SNAKE_STRING" => Some(Command::GrpcStatus(GrpcStatusFormat::SnakeCase)),
            "NUMBER" => Some(Command::GrpcStatus(GrpcStatusFormat::Number)),
            _ => None,
        },
        "PATH" => path(argument),
        "QUERY_PARAM" => (!argument.is_empty()).then(|| Command::QueryParam(argument.into())),
        "ENVIRONMENT" => (!argument.is_empty()).then(|| Command::Environment(argument.into())),
        "COMMON_DURATION" => common_duration(argument),
        _ => tls::command(name, argument)?,
    };
    Some(command.ok_or_else(|| wrong(name, argument)))
}

/// `X?Y`: the header X, or Y when there is no X.
fn headers(argument: &str) -> Option<(HeaderName, Option<HeaderName>)> {
    match argument.split_once('?') {
        Some((first, second)) => Some((HeaderName::parse(first)?, Some(HeaderName::parse(second)?))),
        None => Some((HeaderName::parse(argument)?, None)),
    }
}

fn path(argument: &str) -> Option<Command> {
    let (part, source) = argument.split_once(':').unwrap_or((argument, ""));
    let part = match part {
        "" | "WQ" => PathPart::WithQuery,
        "NQ" => PathPart::WithoutQuery,
        _ => return None,
    };
    let source = match source {
        "PATH" => PathSource::Path,
        "ORIG" => PathSource::Original,
        "" | "ORIG_OR_PATH" => PathSource::OriginalOrPath,
        _ => return None,
    };
    Some(Command::Path { part, source })
}

fn common_duration(argument: &str) -> Option<Command> {
    let mut parts = argument.split(':');
    let (from, to, unit) = (point(parts.next()?)?, point(parts.next()?)?, parts.next().unwrap_or("ms"));
    let unit_nanos = match unit {
        "ms" => 1_000_000,
        "us" => 1000,
        "ns" => 1,
        _ => return None,
    };
    parts.next().is_none().then_some(Command::CommonDuration { from, to, unit_nanos })
}

fn point(name: &str) -> Option<Point> {
    Some(match name {
        "DS_RX_BEG" => Point::DownstreamRxBegin,
        "DS_RX_END" => Point::DownstreamRxEnd,
        "US_TX_BEG" => Point::UpstreamTxBegin,
        "US_TX_END" => Point::UpstreamTxEnd,
        "US_RX_BEG" => Point::UpstreamRxBegin,
        "US_RX_END" => Point::UpstreamRxEnd,
        "DS_TX_BEG" => Point::DownstreamTxBegin,
        "DS_TX_END" => Point::DownstreamTxEnd,
        _ => return None,
    })
}
