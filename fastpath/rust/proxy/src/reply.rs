//! The one place where a failure becomes an answer: status, body, response flag and detail, as Envoy words them.

use std::borrow::Cow;

use meshloom_model::ResponseFlag;
use meshloom_wire::http1::DecodeError;
use meshloom_wire::http2::ErrorCode;

/// Why an exchange ends with an answer of our own, or without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The head or the framing of the request cannot be read.
    BadRequest(DecodeError),
    /// The head of an HTTP/2 request is over the limits.
    Http2HeadTooLarge,
    /// HTTP/1.0 where it is not accepted.
    LowVersion,
    /// The head did not arrive in time.
    HeadTimeout,
    /// The request did not arrive in time.
    RequestTimeout,
    /// `Upgrade`, which no route here allows.
    UpgradeRefused,
    /// The target is no path: `OPTIONS *`.
    NoPath,
    /// The path cannot be normalised, or has escaped slashes that are not allowed.
    PathRejected,
    /// What the route made of the host is none.
    HostRejected,
    /// A TRACE or an OPTIONS that may go no further.
    LastHop {
        status: u16,
    },
    /// Max-Forwards is no number.
    MaxForwardsInvalid,
    /// A header of the request cannot be told apart from another one in some upstreams.
    UnderscoreRejected,
    /// HTTP/1.0 without Host, and none is configured for it.
    MissingHost,
    /// There is too much to do already.
    Overloaded,
    NoRoute,
    ClusterNotFound {
        status: u16,
    },
    NoHealthyUpstream,
    Overflow,
    ConnectFailed {
        reason: Cow<'static, str>,
    },
    ConnectTimeout,
    /// The upstream closed the connection before it answered.
    Terminated,
    /// The upstream ended the stream, not the connection; or the connection with every stream on it.
    StreamReset(StreamReset),
    /// The upstream's answer cannot be read.
    UpstreamProtocol(Option<DecodeError>),
    /// The route's timeout.
    ResponseTimeout,
    /// One attempt took too long, or was `idle` for too long.
    PerTryTimeout {
        idle: bool,
    },
    /// Nothing moved for too long; `requesting` while the request was still coming.
    StreamIdle {
        requesting: bool,
    },
    MaxDuration,
    FaultAbort {
        status: u16,
        grpc: Option<u32>,
    },
    /// A bug of ours.
    Internal(&'static str),
}

/// How a stream of several on one connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamReset {
    Remote,
    /// The upstream has not looked at the request.
    Refused,
    /// The connection ended.
    Connection,
}

impl StreamReset {
    /// What the peer's code says.
    pub(crate) fn by_peer(code: ErrorCode) -> Self {
        if code == ErrorCode::REFUSED_STREAM { Self::Refused } else { Self::Remote }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Remote => "remote reset",
            Self::Refused => "remote refused stream reset",
            Self::Connection => "connection termination",
        }
    }

    fn flag(self) -> ResponseFlag {
        match self {
            Self::Remote | Self::Refused => ResponseFlag::UpstreamRemoteReset,
            Self::Connection => ResponseFlag::UpstreamConnectionTermination,
        }
    }
}

/// The `grpc-status` of calls that ran out of time.
const DEADLINE_EXCEEDED: u32 = 4;

/// What the peer is told, and what is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalReply {
    pub(crate) status: u16,
    pub(crate) body: Cow<'static, str>,
    pub(crate) flag: Option<ResponseFlag>,
    pub(crate) details: Cow<'static, str>,
    /// The `grpc-status` of a gRPC request's answer.
    pub(crate) grpc_status: u32,
}

impl Failure {
    /// The answer, after so many attempts.
    pub(crate) fn reply_after(&self, attempts: u32) -> LocalReply {
        let reply = self.reply();
        match reply.body.strip_prefix(BEFORE_HEADERS) {
            Some(rest) if attempts > 1 => {
                let body = format!("{BEFORE_HEADERS}retried and the latest {rest}");
                LocalReply { body: body.into(), ..reply }
            }
            _ => reply,
        }
    }

    /// The same for a caller who wants to hear of timeouts by 204.
    pub(crate) fn reply_quietly(&self, attempts: u32) -> LocalReply {
        match self {
            Self::ResponseTimeout | Self::PerTryTimeout { .. } => {
                let LocalReply { flag, details, .. } = self.reply();
                plain(204, "", flag, details)
            }
            _ => self.reply_after(attempts),
        }
    }

    /// What is written down when a response has begun that cannot be finished.
    pub(crate) fn midway(&self) -> LocalReply {
        match self {
            Self::Terminated | Self::UpstreamProtocol(_) => {
                let details = "upstream_reset_after_response_started{protocol_error}";
                plain(502, "", Some(ResponseFlag::UpstreamProtocolError), details)
            }
            Self::StreamReset(reset) => {
                let reason = reset.reason().replace(' ', "_");
                let details = format!("upstream_reset_after_response_started{{{reason}}}");
                plain(503, "", Some(reset.flag()), details)
            }
            _ => self.reply(),
        }
    }

    fn reply(&self) -> LocalReply {
        use ResponseFlag as Flag;
        let refused = Some(Flag::DownstreamProtocolError);
        match self {
            Self::BadRequest(error) => bad_request(*error),
            Self::Http2HeadTooLarge => {
                plain(431, "Request Header Fields Too Large", refused, "http2.headers_too_large")
            }
            Self::LowVersion => plain(426, "Upgrade Required", refused, "low_version"),
            Self::HeadTimeout => plain(408, "request header timeout", None, "request_header_timeout"),
            Self::RequestTimeout => plain(408, "request timeout", None, "request_overall_timeout"),
            Self::UpgradeRefused => plain(403, "", None, "upgrade_failed"),
            Self::NoPath => plain(404, "", None, "absolute_path_rejected"),
            Self::PathRejected => plain(400, "", None, "path_normalization_failed"),
            Self::HostRejected => plain(400, "", None, "invalid_host"),
            Self::LastHop { status } => plain(*status, "", None, "max_forwards_reached"),
            Self::MaxForwardsInvalid => plain(400, "Bad Request", refused, "max_forwards_invalid"),
            Self::UnderscoreRejected => plain(400, "Bad Request", refused, "http1.unexpected_underscore"),
            Self::MissingHost => plain(400, "", None, "missing_host_header"),
            Self::Overloaded => plain(503, "envoy overloaded", None, "overload"),
            Self::NoRoute => plain(404, "", Some(Flag::NoRouteFound), "route_not_found"),
            Self::ClusterNotFound { status } => {
                plain(*status, "", Some(Flag::NoClusterFound), "cluster_not_found")
            }
            Self::NoHealthyUpstream => {
                plain(503, "no healthy upstream", Some(Flag::NoHealthyUpstream), "no_healthy_upstream")
            }
            Self::Overflow => before_headers(503, Flag::UpstreamOverflow, "overflow", ""),
            Self::ConnectFailed { reason } => {
                before_headers(503, Flag::UpstreamConnectionFailure, "remote connection failure", reason)
            }
            Self::ConnectTimeout => {
                before_headers(503, Flag::UpstreamConnectionFailure, "connection timeout", "")
            }
            Self::Terminated => {
                before_headers(503, Flag::UpstreamConnectionTermination, "connection termination", "")
            }
            Self::StreamReset(reset) => before_headers(503, reset.flag(), reset.reason(), ""),
            Self::UpstreamProtocol(_) => {
                before_headers(502, Flag::UpstreamProtocolError, "protocol error", "")
            }
            Self::ResponseTimeout => timed_out("response_timeout"),
            Self::PerTryTimeout { idle: true } => timed_out("upstream_per_try_idle_timeout"),
            Self::PerTryTimeout { idle: false } => timed_out("upstream_per_try_timeout"),
            Self::StreamIdle { requesting } => {
                let status = if *requesting { 408 } else { 504 };
                plain(status, "stream timeout", Some(Flag::StreamIdleTimeout), "stream_idle_timeout")
            }
            Self::MaxDuration => LocalReply {
                grpc_status: DEADLINE_EXCEEDED,
                ..plain(504, "downstream duration timeout", None, "max_duration_timeout")
            },
            Self::FaultAbort { status, grpc } => aborted(*status, *grpc),
            Self::Internal(details) => plain(500, "", None, *details),
        }
    }

    /// Has the request been read to a state from which the connection can go on?
    pub(crate) fn closes_connection(&self) -> bool {
        matches!(
            self,
            Self::BadRequest(_)
                | Self::LowVersion
                | Self::HeadTimeout
                | Self::RequestTimeout
                | Self::UpgradeRefused
                | Self::PathRejected
                | Self::UnderscoreRejected
                | Self::MissingHost
        )
    }
}

fn plain(
    status: u16,
    body: &'static str,
    flag: Option<ResponseFlag>,
    details: impl Into<Cow<'static, str>>,
) -> LocalReply {
    LocalReply { status, body: body.into(), flag, details: details.into(), grpc_status: grpc_status(status) }
}

fn timed_out(details: &'static str) -> LocalReply {
    plain(504, "upstream request timeout", Some(ResponseFlag::UpstreamRequestTimeout), details)
}

fn aborted(status: u16, grpc: Option<u32>) -> LocalReply {
    let reply = plain(status, "fault filter abort", Some(ResponseFlag::FaultInjected), "fault_filter_abort");
    LocalReply { grpc_status: grpc.unwrap_or(reply.grpc_status), ..reply }
}

/// Codec errors are told by the status's name.
fn bad_request(error: DecodeError) -> LocalReply {
    let status = error.status();
    let body = meshloom_wire::http1::reason_phrase(status);
    plain(status, body, Some(ResponseFlag::DownstreamProtocolError), error.details())
}

const BEFORE_HEADERS: &str = "upstream connect error or disconnect/reset before headers. ";

/// The upstream failed before it answered.
fn before_headers(status: u16, flag: ResponseFlag, reason: &str, transport: &str) -> LocalReply {
    let body = format!("{BEFORE_HEADERS}reset reason: {reason}");
    let mut details = reason.replace(' ', "_");
    if !transport.is_empty() {
        details.push('|');
        details.push_str(&transport.replace(' ', "_"));
    }
    LocalReply {
        status,
        body: body.into(),
        flag: Some(flag),
        details: format!("upstream_reset_before_response_started{{{details}}}").into(),
        grpc_status: grpc_status(status),
    }
}

/// gRPC over HTTP: the status of a call that was answered without one. A 200 alone does not say that it went well.
pub(crate) fn grpc_status(http: u16) -> u32 {
    match http {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

/// The status that stands for a gRPC status, as Envoy has it.
pub(crate) fn http_status(grpc: u32) -> u16 {
    match grpc {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overflow_is_worded_as_envoy_words_it() {
        let reply = Failure::Overflow.reply();
        assert_eq!(reply.status, 503);
        assert_eq!(
            reply.body,
            "upstream connect error or disconnect/reset before headers. reset reason: overflow"
        );
        assert_eq!(reply.details, "upstream_reset_before_response_started{overflow}");
        assert_eq!(reply.flag, Some(ResponseFlag::UpstreamOverflow));
    }

    #[test]
    fn a_refused_connection_says_why() {
        let reply =
            Failure::ConnectFailed { reason: "delayed connect error: Connection refused".into() }.reply();
        assert_eq!(
            reply.details,
            "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"
        );
    }
}
