//! The commands of Envoy's format language that we have.

use super::{TimeFormat, TlsField};
use crate::matcher::HeaderName;

/// One `%COMMAND%`.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// When the request began.
    StartTime(TimeFormat),
    /// When the log line is written.
    EmitTime(TimeFormat),
    /// `HTTP/1.1`; none for TCP.
    Protocol,
    /// The protocol spoken with the upstream.
    UpstreamProtocol,
    /// The status sent downstream, 0 when there was none.
    ResponseCode,
    /// Who set the status and why, such as `via_upstream`. Spaces become `_` unless `allow_whitespace`.
    ResponseCodeDetails { allow_whitespace: bool },
    /// Why the connection was ended by us. No filter here ends one in Envoy's sense of it, so there is none.
    ConnectionTerminationDetails,
    /// Response flags by short or long name.
    ResponseFlags { long: bool },
    /// Body bytes from downstream.
    BytesReceived,
    /// Body bytes to downstream.
    BytesSent,
    /// Bytes of the request's head.
    RequestHeadersBytes,
    /// Bytes of the response's head.
    ResponseHeadersBytes,
    /// Bytes on the wire from the upstream, framing included.
    UpstreamWireBytesReceived,
    /// Bytes on the wire to the upstream, framing included.
    UpstreamWireBytesSent,
    /// Bytes on the wire from downstream, framing included.
    DownstreamWireBytesReceived,
    /// Bytes on the wire to downstream, framing included.
    DownstreamWireBytesSent,
    /// Milliseconds from the request's beginning to the last byte sent.
    Duration,
    /// Milliseconds to the last byte of the request from downstream.
    RequestDuration,
    /// Milliseconds to the last byte of the request sent upstream.
    RequestTxDuration,
    /// Milliseconds to the first byte of the response from upstream.
    ResponseDuration,
    /// Milliseconds from the response's first byte from upstream to its last byte sent downstream.
    ResponseTxDuration,
    /// The time between two points, in the given number of nanoseconds per unit.
    CommonDuration { from: Point, to: Point, unit_nanos: u32 },
    /// Headers of the request; the second name stands in when the first is absent.
    Request(HeaderName, Option<HeaderName>),
    /// Headers of the response.
    Response(HeaderName, Option<HeaderName>),
    /// The request's path.
    Path { part: PathPart, source: PathSource },
    /// A parameter of the query.
    QueryParam(Box<str>),
    /// `grpc-status` of the response, as its name in camel or snake case, or as a number.
    GrpcStatus(GrpcStatusFormat),
    /// The chosen endpoint's address.
    UpstreamHost(AddressPart),
    /// The address the chosen endpoint was connected at.
    UpstreamRemoteAddress(AddressPart),
    /// Our end of the upstream connection.
    UpstreamLocalAddress(AddressPart),
    /// The cluster's `alt_stat_name`, or its name.
    UpstreamCluster,
    /// The cluster's name.
    UpstreamClusterRaw,
    /// How often the request was tried.
    UpstreamRequestAttemptCount,
    /// Number of the upstream connection.
    UpstreamConnectionId,
    /// Why TLS with the upstream failed.
    UpstreamTransportFailureReason,
    /// Why TLS with the client failed.
    DownstreamTransportFailureReason,
    /// A field of the downstream TLS connection.
    DownstreamTls(TlsField),
    /// A field of the upstream TLS connection.
    UpstreamTls(TlsField),
    /// The client's address: the trusted `x-forwarded-for` entry, or the peer.
    DownstreamRemoteAddress(AddressPart),
    /// The peer's address.
    DownstreamDirectRemoteAddress(AddressPart),
    /// The address the peer connected to.
    DownstreamLocalAddress(AddressPart),
    /// Server name of the ClientHello.
    RequestedServerName,
    /// Number of the downstream connection.
    ConnectionId,
    /// Identity of the stream.
    StreamId,
    /// Name of the route.
    RouteName,
    /// Name of the virtual host.
    VirtualHostName,
    /// Name of the filter chain.
    FilterChainName,
    /// Name of this machine.
    Hostname,
    /// A variable of the environment.
    Environment(Box<str>),
    /// The body of a local reply.
    LocalReplyBody,
}

/// How `%GRPC_STATUS%` is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcStatusFormat {
    /// `DeadlineExceeded`
    CamelCase,
    /// `DEADLINE_EXCEEDED`
    SnakeCase,
    /// `4`
    Number,
}

/// Which part of an address to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressPart {
    /// `10.0.0.1:80`
    Whole,
    /// `10.0.0.1`
    WithoutPort,
    /// `80`
    Port,
}

/// Which path `%PATH%` reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathSource {
    /// As it is now.
    Path,
    /// As it came.
    Original,
    /// As it came when it was rewritten, else as it is now.
    OriginalOrPath,
}

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathPart {
    /// With the query.
    WithQuery,
    /// Without the query.
    WithoutQuery,
}

/// A point in the life of a request, for `%COMMON_DURATION%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// First byte from downstream.
    DownstreamRxBegin,
    /// Last byte from downstream.
    DownstreamRxEnd,
    /// First byte to upstream.
    UpstreamTxBegin,
    /// Last byte to upstream.
    UpstreamTxEnd,
    /// First byte from upstream.
    UpstreamRxBegin,
    /// Last byte from upstream.
    UpstreamRxEnd,
    /// First byte to downstream.
    DownstreamTxBegin,
    /// Last byte to downstream.
    DownstreamTxEnd,
}

impl Command {
    /// Is the value a number, which a JSON log prints without quotes?
    pub fn is_number(&self) -> bool {
        matches!(
            self,
            Self::ResponseCode
                | Self::BytesReceived
                | Self::BytesSent
                | Self::RequestHeadersBytes
                | Self::ResponseHeadersBytes
                | Self::UpstreamWireBytesReceived
                | Self::UpstreamWireBytesSent
                | Self::DownstreamWireBytesReceived
                | Self::DownstreamWireBytesSent
                | Self::Duration
                | Self::RequestDuration
                | Self::RequestTxDuration
                | Self::ResponseDuration
                | Self::ResponseTxDuration
                | Self::CommonDuration { .. }
                | Self::UpstreamRequestAttemptCount
                | Self::UpstreamConnectionId
                | Self::ConnectionId
                | Self::GrpcStatus(GrpcStatusFormat::Number)
                | Self::UpstreamHost(AddressPart::Port)
                | Self::UpstreamRemoteAddress(AddressPart::Port)
                | Self::UpstreamLocalAddress(AddressPart::Port)
                | Self::DownstreamRemoteAddress(AddressPart::Port)
                | Self::DownstreamDirectRemoteAddress(AddressPart::Port)
                | Self::DownstreamLocalAddress(AddressPart::Port)
        )
    }
}
