//! The HTTP connection manager: how a listener speaks HTTP with the downstream.

use std::sync::Arc;
use std::time::Duration;

use crate::access_log::AccessLog;
use crate::filter::HttpFilter;
use crate::filter_chain::IpPrefix;
use crate::header_case::HeaderCase;
use crate::http2::Http2Options;
use crate::ids::RouteTableIndex;
use crate::local_reply::LocalReplies;
use crate::route::RouteTable;
use crate::upgrade::Upgrades;

/// How HTTP is spoken with the downstream, and where requests find their route.
#[derive(Clone, Debug)]
pub struct HttpConnectionManager {
    /// Statistics are kept under `http.<stat_prefix>.`.
    pub stat_prefix: Arc<str>,
    /// Which HTTP.
    pub codec: Codec,
    /// Where requests find their route.
    pub routes: RouteSource,
    /// Filters in order; the last is the router.
    pub filters: Box<[HttpFilter]>,
    /// What becomes of answers that the proxy makes itself.
    pub local_replies: Option<Arc<LocalReplies>>,
    /// Logs of requests.
    pub access_logs: Box<[AccessLog]>,
    /// Treatment of `x-request-id`.
    pub request_id: RequestIdOptions,
    /// Who the client is taken to be.
    pub trust: TrustOptions,
    /// The `server` response header.
    pub server_header: ServerHeader,
    /// Treatment of `x-forwarded-client-cert`.
    pub client_cert: ClientCertOptions,
    /// Limits on time.
    pub timeouts: HttpTimeouts,
    /// Limits on size.
    pub limits: HttpLimits,
    /// Treatment of paths and hosts before routing.
    pub normalization: Normalization,
    /// Oddities of HTTP/1.
    pub http1: Http1Options,
    /// Limits and habits of HTTP/2.
    pub http2: Http2Options,
    /// Appended to `via` of requests and responses; empty for none.
    pub via: Arc<str>,
    /// A scheme in place of the request's.
    pub scheme: Option<SchemeOverwrite>,
    /// Which upgrades are let through, unless the route says otherwise.
    pub upgrades: Upgrades,
    /// Leave it to the upstream to answer `Expect: 100-continue`.
    pub proxy_continue: bool,
}

/// Which HTTP is spoken with the downstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// By ALPN, or by the first bytes.
    Auto,
    /// HTTP/1.
    Http1,
    /// HTTP/2, from the first byte.
    Http2,
}

/// Where requests find their route.
#[derive(Clone, Debug)]
pub enum RouteSource {
    /// In the listener itself.
    Inline(Arc<RouteTable>),
    /// In a resource of its own; until it arrives requests are answered 404.
    Rds(RouteTableIndex),
}

/// Treatment of `x-request-id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestIdOptions {
    /// Make one where there is none (and at the edge, always, unless `preserve_external`).
    pub generate: bool,
    /// Keep the id that an external client sent.
    pub preserve_external: bool,
    /// Send the id back in the response, even when the request had none.
    pub always_set_in_response: bool,
}

/// Who the client is taken to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustOptions {
    /// The peer of the connection is the client (we are at the edge); else `x-forwarded-for` says who it is.
    pub use_remote_address: bool,
    /// So many proxies in front of us are trusted to have appended to `x-forwarded-for`.
    pub trusted_hops: u32,
    /// Do not append to `x-forwarded-for`.
    pub skip_append: bool,
    /// At the edge, say in `x-forwarded-port` which port the client came to.
    pub append_port: bool,
    /// Clients of these addresses are internal: what their `x-envoy-*` headers say counts.
    pub internal: Box<[IpPrefix]>,
}

/// The `server` response header.
#[derive(Clone, Debug)]
pub enum ServerHeader {
    /// Set it, whatever the upstream says.
    Overwrite(Arc<str>),
    /// Set it where the upstream has not.
    AppendIfAbsent(Arc<str>),
    /// Leave it alone.
    PassThrough,
}

/// Treatment of `x-forwarded-client-cert`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientCertOptions {
    /// What to do with the header.
    pub forward: ForwardClientCert,
    /// What our own element says, besides `Hash` and `By`.
    pub details: ClientCertDetails,
}

/// What to do with `x-forwarded-client-cert`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardClientCert {
    /// Remove it.
    #[default]
    Sanitize,
    /// Pass it on over mutual TLS, else remove it.
    ForwardOnly,
    /// Append our element over mutual TLS, else remove it.
    AppendForward,
    /// Replace it by our element over mutual TLS, else remove it.
    SanitizeSet,
    /// Pass it on, whatever the connection.
    AlwaysForwardOnly,
}

/// What an element of `x-forwarded-client-cert` says about the client's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientCertDetails {
    /// `Subject`
    pub subject: bool,
    /// `Cert`, in PEM
    pub cert: bool,
    /// `Chain`, in PEM
    pub chain: bool,
    /// `DNS`
    pub dns: bool,
    /// `URI`
    pub uri: bool,
}

/// Limits on time. `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpTimeouts {
    /// A connection between two requests (`idle_timeout`; 75 s unless set, Envoy: 1 h).
    pub idle: Option<Duration>,
    /// A connection before its first request (`idle_timeout`; 60 s unless set, Envoy: 1 h).
    pub first_request: Option<Duration>,
    /// A stream on which nothing moves (5 min unless set).
    pub stream_idle: Option<Duration>,
    /// The same while an HTTP/1 client owes the rest of its request (`stream_idle_timeout`; 60 s unless set).
    pub request_idle: Option<Duration>,
    /// A response that is complete here, but that the client does not take (`stream_flush_timeout`, else
    /// `stream_idle_timeout`).
    pub stream_flush: Option<Duration>,
    /// The whole request, from its first byte to its last.
    pub request: Option<Duration>,
    /// The request's head, from its first byte. Envoy has no limit unless set; here it is 10 s.
    pub request_headers: Option<Duration>,
    /// A connection's life, from which on it drains.
    pub max_connection_duration: Option<Duration>,
    /// A stream's life.
    pub max_stream: Option<Duration>,
    /// Time between `connection: close` and the end, when a connection drains (5 s unless set).
    pub drain: Duration,
    /// Time for the peer to close after us (1 s unless set); `None` closes at once.
    pub delayed_close: Option<Duration>,
}

/// Limits on size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Bytes of a request's head (60 KiB unless set).
    pub max_request_headers_bytes: u32,
    /// Fields of a request's head (100 unless set).
    pub max_request_headers: u32,
    /// Requests on one connection; `None` is no limit.
    pub max_requests_per_connection: Option<u32>,
}

/// Treatment of paths and hosts before routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Normalization {
    /// Resolve `.` and `..` and decode what needs no encoding (RFC 3986 6.2.2).
    pub normalize_path: bool,
    /// `//` becomes `/`.
    pub merge_slashes: bool,
    /// What to do with `%2F` and `%5C`.
    pub escaped_slashes: EscapedSlashes,
    /// What to do with the port of the authority.
    pub strip_port: StripPort,
    /// Take a trailing dot off the host.
    pub strip_trailing_dot: bool,
    /// What to do with header names that have a `_`.
    pub underscores: UnderscoreHeaders,
}

/// What to do with header names that have a `_`, which some servers take for `-`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnderscoreHeaders {
    /// Nothing.
    #[default]
    Allow,
    /// Answer 400.
    RejectRequest,
    /// Drop the header.
    DropHeader,
}

/// What to do with an escaped slash in a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EscapedSlashes {
    /// Nothing.
    #[default]
    Keep,
    /// Answer 400.
    Reject,
    /// Unescape and redirect to that path (307).
    UnescapeAndRedirect,
    /// Unescape and go on.
    UnescapeAndForward,
}

/// What to do with the port of the authority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StripPort {
    /// Nothing.
    #[default]
    Keep,
    /// Take it off when it is the listener's own.
    Matching,
    /// Take it off.
    Any,
}

/// Oddities of HTTP/1.
#[derive(Clone, Debug)]
pub struct Http1Options {
    /// Take HTTP/1.0 requests; else they are answered 426.
    pub accept_http_10: bool,
    /// The host of an HTTP/1.0 request that names none.
    pub default_host_for_http_10: Option<Arc<str>>,
    /// How names of fields are spelled.
    pub header_case: HeaderCase,
}

/// A scheme in place of the request's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemeOverwrite {
    /// http
    Http,
    /// https
    Https,
    /// That of the upstream connection.
    MatchUpstream,
}
