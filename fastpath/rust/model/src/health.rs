//! Active health checks: what is asked of an endpoint, how often, and what its answer must be.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::headers::AppendAction;
use crate::matcher::{HeaderName, StringMatcher};

/// How the endpoints of a cluster are checked.
#[derive(Clone, Debug)]
pub struct HealthCheck {
    /// How long an answer may take, connecting included.
    pub timeout: Duration,
    /// Pauses between checks.
    pub pauses: Pauses,
    /// Failures in a row that make an endpoint unhealthy. A wrong answer needs no second one.
    pub unhealthy_threshold: u32,
    /// Successes in a row that make it healthy again. The first check of all needs no second one.
    pub healthy_threshold: u32,
    /// The next check goes over the same connection.
    pub reuse_connection: bool,
    /// What is asked.
    pub probe: Probe,
    /// Labels that choose the transport, in the place of the endpoint's.
    pub transport_labels: Option<Labels>,
    /// Protocols to offer (ALPN), in the place of those of the TLS context; empty leaves them.
    pub protocols: Box<[Box<[u8]>]>,
    /// Where events are written.
    pub event_log: Option<EventLog>,
}

/// Names and values.
pub type Labels = Box<[(Arc<str>, Arc<str>)]>;

/// Pauses between checks. Each is followed by the jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// Between checks of a healthy endpoint.
    pub healthy: Duration,
    /// After a failure that does not yet make it unhealthy, or a success that does not yet make it healthy.
    pub healthy_edge: Duration,
    /// Between checks of an unhealthy endpoint.
    pub unhealthy: Duration,
    /// After a failure that is not yet enough.
    pub unhealthy_edge: Duration,
    /// While nobody has used the cluster.
    pub no_traffic: Duration,
    /// While nobody has used the cluster and the endpoint is healthy.
    pub no_traffic_healthy: Duration,
    /// Before the first check: up to this.
    pub initial_jitter: Duration,
    /// Added to each pause: up to this.
    pub jitter: Duration,
    /// Added to each pause: up to so many percent of it.
    pub jitter_percent: u32,
}

/// Where events are written, one JSON object a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLog {
    /// The file.
    pub path: Arc<Path>,
    /// Every failure, not only those that change something.
    pub every_failure: bool,
    /// Every success.
    pub every_success: bool,
}

/// What is asked of an endpoint.
#[derive(Clone, Debug)]
pub enum Probe {
    /// An HTTP request.
    Http(Box<HttpProbe>),
    /// A connection, and perhaps an exchange of bytes.
    Tcp(TcpProbe),
    /// `grpc.health.v1.Health/Check`.
    Grpc(GrpcProbe),
}

/// An HTTP request and the answers that are good.
#[derive(Clone, Debug)]
pub struct HttpProbe {
    /// Its authority, unless the endpoint has a host name for health checks; else the cluster's name.
    pub host: Option<Arc<str>>,
    /// Its path.
    pub path: Arc<str>,
    /// Its method.
    pub method: Arc<str>,
    /// Header lines to add.
    pub add: Box<[ProbeHeader]>,
    /// Header lines to take out.
    pub remove: Box<[HeaderName]>,
    /// Its body.
    pub send: Box<[u8]>,
    /// Bytes that the answer's body must have, in this order.
    pub receive: Box<[Box<[u8]>]>,
    /// How much of the body is looked at (1024 unless set; 0 is all of it).
    pub response_buffer: usize,
    /// Statuses of success (200 unless set).
    pub expected: Box<[Range<u16>]>,
    /// Statuses of failure that count one by one; any other is a failure at once.
    pub retriable: Box<[Range<u16>]>,
    /// What `x-envoy-upstream-healthchecked-cluster` must say.
    pub service: Option<StringMatcher>,
    /// Over HTTP/2.
    pub http2: bool,
}

/// A header line of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeHeader {
    /// Its name.
    pub name: HeaderName,
    /// Its value.
    pub value: Box<[u8]>,
    /// What becomes of lines of the same name.
    pub action: AppendAction,
}

/// Bytes to send, and bytes to wait for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpProbe {
    /// What is sent; empty is nothing.
    pub send: Box<[u8]>,
    /// What must come, in this order. Empty: that a connection comes about is enough.
    pub receive: Box<[Box<[u8]>]>,
}

/// A gRPC health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcProbe {
    /// Which service is asked for; empty is the server as a whole.
    pub service: Arc<str>,
    /// The authority, unless the endpoint has a host name for health checks; else the cluster's name.
    pub authority: Option<Arc<str>>,
    /// More metadata.
    pub metadata: Box<[ProbeHeader]>,
}

/// What an endpoint says of its own checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointCheck {
    /// Where it is checked, if not where it serves.
    pub address: Option<crate::address::Address>,
    /// The authority of its checks.
    pub hostname: Option<Arc<str>>,
    /// It is never checked, and always passes.
    pub disabled: bool,
}
