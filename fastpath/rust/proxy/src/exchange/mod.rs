//! A request and its response: what is known, and what has been done. Which HTTP version either side speaks is
//! not known here.

mod affinity;
mod begin;
mod body;
mod dispatch;
mod edge;
mod fault;
mod finish;
mod forward;
mod headers;
mod hop;
mod lifetime;
mod local;
mod mapping;
mod respond;
mod retry;
mod server_name;
mod terms;
mod timers;
mod tunnel;
pub(crate) mod values;
mod websocket;
mod xfcc;

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use meshloom_model::route::{Forward, HostRewrite, Route, RouteAction};
use meshloom_model::{ResponseFlag, ResponseFlags, Snapshot};

use affinity::Affinity;
pub(crate) use edge::{Client, EdgeRules, Origin};
pub(crate) use finish::Gone;
pub(crate) use lifetime::grpc_timeout;
pub(crate) use tunnel::Tunnel;

use crate::downstream::ConnectionInfo;
use crate::listener::HttpChain;
use crate::message::{Protocol, Request, Response};
use crate::reactor::{Millis, Token};
use crate::upstream::{ClusterId, Host, UpstreamStream};

/// One request and its response.
pub(crate) struct Exchange {
    /// The connection it came over.
    pub(crate) downstream: Token,
    /// Its stream there; 0 where a connection carries one exchange at a time.
    pub(crate) stream: u32,
    pub(crate) info: Rc<ConnectionInfo>,
    pub(crate) chain: Rc<HttpChain>,
    /// The configuration that this request sees, from its head to its end.
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) request: Request,
    pub(crate) response: Response,
    pub(crate) client: Client,
    pub(crate) route: Option<Arc<Route>>,
    /// Which of the route's weighted clusters was drawn.
    pub(crate) entry: Option<usize>,
    pub(crate) cluster: Option<ClusterId>,
    /// The name that TLS takes from the request, where the cluster wants that.
    pub(crate) server_name: Option<Rc<str>>,
    pub(crate) stage: Stage,
    pub(crate) tunnel: Tunnel,
    pub(crate) link: Link,
    pub(crate) body: RequestBody,
    pub(crate) tries: Tries,
    pub(crate) deadlines: Deadlines,
    pub(crate) times: Times,
    pub(crate) outcome: Outcome,
    pub(crate) affinity: Affinity,
    /// Istio's view of the peers, for metrics.
    pub(crate) peers: crate::telemetry::Peers,
}

/// How far an exchange has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A fault filter makes it wait.
    Delayed,
    /// No response yet.
    Requesting,
    /// The response's head has been sent downstream.
    Responding,
    /// The response is complete (or given up): the exchange is over.
    Done,
}

/// Its tie to an upstream.
#[derive(Clone, Debug, Default)]
pub(crate) enum Link {
    #[default]
    None,
    /// Waits for a connection to this host.
    Waiting(Rc<Host>),
    /// Has this stream of a connection.
    Active(UpstreamStream, Rc<Host>),
}

/// The request's body, as far as it has come.
#[derive(Debug, Default)]
pub(crate) struct RequestBody {
    /// What must be kept: not sent yet, or to be sent again.
    pub(crate) kept: Vec<u8>,
    /// `kept` is the whole of what has come, so that a retry is possible.
    pub(crate) replayable: bool,
    pub(crate) complete: bool,
    pub(crate) received: u64,
    pub(crate) trailers: Vec<u8>,
}

/// The attempts.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    /// Attempts so far, the first included.
    pub(crate) made: u32,
    pub(crate) max_retries: u32,
    pub(crate) tried: Vec<Rc<Host>>,
    pub(crate) on: RetryConditions,
    /// This attempt holds a place among the retries of its cluster.
    pub(crate) holds_retry: bool,
    /// The next attempt, which waits for its time, holds one.
    pub(crate) scheduled: bool,
    /// This attempt holds places among the requests of its cluster.
    pub(crate) holds_request: bool,
    /// This attempt has a connection, and counts as active.
    pub(crate) counted_active: bool,
    /// This attempt holds a place among the waiting.
    pub(crate) holds_pending: bool,
    /// How often an upstream said that it had not looked at the request.
    pub(crate) unprocessed: u32,
    /// A connection that died before it said anything was replaced once, policy or not.
    pub(crate) replaced_stale: bool,
    /// The present connection had carried requests before.
    pub(crate) on_reused: bool,
}

/// After which failures to try again: the route's policy and what trusted headers add.
#[derive(Clone, Debug, Default)]
pub(crate) struct RetryConditions {
    pub(crate) on: meshloom_model::route::RetryOn,
    pub(crate) status_codes: Vec<u16>,
    /// Names of response headers, besides the policy's.
    pub(crate) header_names: Vec<String>,
}

/// When something has lasted too long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    pub(crate) response: Millis,
    pub(crate) attempt: Millis,
    pub(crate) attempt_idle: Millis,
    pub(crate) idle: Millis,
    pub(crate) request: Millis,
    pub(crate) life: Millis,
    /// End of an injected delay, or of a back-off.
    pub(crate) wake: Millis,
}

/// Limits that a head decides.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) response: Option<std::time::Duration>,
    pub(crate) attempt: Option<std::time::Duration>,
    pub(crate) attempt_idle: Option<std::time::Duration>,
    pub(crate) idle: Option<std::time::Duration>,
    /// In place of `idle` while the client owes the rest of its request.
    pub(crate) request_idle: Option<std::time::Duration>,
    /// A caller wants to hear of a timeout by 204.
    pub(crate) told_quietly: bool,
}

/// Points in time, for logs and metrics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) start: Instant,
    pub(crate) request_end: Option<Instant>,
    pub(crate) upstream_begin: Option<Instant>,
    pub(crate) upstream_end: Option<Instant>,
    pub(crate) response_begin: Option<Instant>,
    pub(crate) response_end: Option<Instant>,
    pub(crate) limits: Limits,
}

/// What is written down at the end.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: u16,
    pub(crate) flags: ResponseFlags,
    pub(crate) details: Cow<'static, str>,
    pub(crate) body_sent: u64,
    pub(crate) head_sent: u64,
    /// Bytes from upstreams, and to them: of all attempts, framing included.
    pub(crate) wire_received: u64,
    pub(crate) wire_sent: u64,
    pub(crate) host: Option<Rc<Host>>,
    pub(crate) upstream_local: Option<std::net::SocketAddr>,
    pub(crate) upstream_tls: Option<Rc<crate::tls::TlsInfo>>,
    pub(crate) upstream_connection: u64,
    /// The version that its last upstream speaks.
    pub(crate) upstream_protocol: Option<Protocol>,
    pub(crate) upstream_failure: Option<Box<str>>,
    pub(crate) local_body: Option<Cow<'static, str>>,
    pub(crate) grpc_status: Option<u32>,
    pub(crate) is_grpc: bool,
}

impl Deadlines {
    pub(crate) const NONE: Self = Self {
        response: Millis::NEVER,
        attempt: Millis::NEVER,
        attempt_idle: Millis::NEVER,
        idle: Millis::NEVER,
        request: Millis::NEVER,
        life: Millis::NEVER,
        wake: Millis::NEVER,
    };

    /// The first of them.
    pub(crate) fn next(&self) -> Millis {
        self.response
            .min(self.attempt)
            .min(self.attempt_idle)
            .min(self.idle)
            .min(self.request)
            .min(self.life)
            .min(self.wake)
    }
}

impl Default for Outcome {
    fn default() -> Self {
        Self {
            status: 0,
            flags: ResponseFlags::NONE,
            details: Cow::Borrowed(""),
            body_sent: 0,
            head_sent: 0,
            wire_received: 0,
            wire_sent: 0,
            host: None,
            upstream_local: None,
            upstream_tls: None,
            upstream_connection: 0,
            upstream_protocol: None,
            upstream_failure: None,
            local_body: None,
            grpc_status: None,
            is_grpc: false,
        }
    }
}

impl Exchange {
    /// An exchange in its first moment.
    pub(crate) fn new(
        downstream: Token,
        stream: u32,
        info: Rc<ConnectionInfo>,
        chain: Rc<HttpChain>,
        snapshot: Arc<Snapshot>,
        now: Instant,
    ) -> Self {
        let client = Client { address: info.remote, internal: false };
        Self {
            downstream,
            stream,
            info,
            chain,
            snapshot,
            request: Request::default(),
            response: Response::default(),
            client,
            route: None,
            entry: None,
            cluster: None,
            server_name: None,
            stage: Stage::Requesting,
            tunnel: Tunnel::None,
            link: Link::None,
            body: RequestBody::default(),
            tries: Tries::default(),
            deadlines: Deadlines::NONE,
            times: Times::new(now),
            outcome: Outcome::default(),
            affinity: Affinity::default(),
            peers: crate::telemetry::Peers::default(),
        }
    }

    /// Uses the storage of a finished exchange for a new one.
    pub(crate) fn renew(
        &mut self,
        downstream: Token,
        stream: u32,
        info: Rc<ConnectionInfo>,
        chain: Rc<HttpChain>,
        snapshot: Arc<Snapshot>,
        now: Instant,
    ) {
        self.client = Client { address: info.remote, internal: false };
        self.downstream = downstream;
        self.stream = stream;
        self.info = info;
        self.chain = chain;
        self.snapshot = snapshot;
        self.stage = Stage::Requesting;
        self.deadlines = Deadlines::NONE;
        self.times = Times::new(now);
    }

    /// Lets go of what must not outlive the exchange; keeps the storage.
    pub(crate) fn retire(&mut self) {
        const KEEP_BODY: usize = 16 * 1024;
        self.route = None;
        self.entry = None;
        self.cluster = None;
        self.tunnel = Tunnel::None;
        self.link = Link::None;
        let mut kept = std::mem::take(&mut self.body.kept);
        kept.clear();
        if kept.capacity() > KEEP_BODY {
            kept = Vec::new();
        }
        self.body = RequestBody { kept, ..RequestBody::default() };
        let mut tried = std::mem::take(&mut self.tries.tried);
        tried.clear();
        self.tries = Tries { tried, ..Tries::default() };
        self.outcome = Outcome::default();
        self.peers = crate::telemetry::Peers::default();
        self.affinity = Affinity::default();
        self.response.fields.clear();
        self.response.status = 0;
    }

    pub(crate) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    pub(crate) fn flag(&mut self, flag: ResponseFlag) {
        self.outcome.flags.set(flag);
    }

    /// How the route forwards, when it forwards.
    pub(crate) fn forward(&self) -> Option<&Forward> {
        match &self.route.as_ref()?.action {
            RouteAction::Forward(forward) => Some(forward),
            RouteAction::Redirect(_) | RouteAction::Direct(_) => None,
        }
    }

    /// What becomes of the authority: the drawn weighted cluster's word, else the route's.
    pub(crate) fn host_rewrite(forward: &Forward, entry: Option<usize>) -> Option<&HostRewrite> {
        use meshloom_model::route::Target;
        match (&forward.target, entry) {
            (Target::Weighted(clusters), Some(position)) => clusters
                .entries
                .get(position)
                .and_then(|entry| entry.host_rewrite.as_ref())
                .or(forward.host_rewrite.as_ref()),
            _ => forward.host_rewrite.as_ref(),
        }
    }

    /// Milliseconds since the request began.
    pub(crate) fn elapsed_ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.times.start).as_millis()).unwrap_or(u64::MAX)
    }
}

impl Times {
    fn new(start: Instant) -> Self {
        Self {
            start,
            request_end: None,
            upstream_begin: None,
            upstream_end: None,
            response_begin: None,
            response_end: None,
            limits: Limits::default(),
        }
    }
}
