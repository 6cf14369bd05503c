//! The TCP proxy: bytes as they are, both ways, with half-close.

mod connect;
mod relay;
mod values;

use std::cell::Cell;
use std::rc::Rc;

use meshloom_model::ResponseFlags;

use crate::listener::TcpChain;
use crate::reactor::{Millis, Token};
use crate::upstream::{ClusterId, Host};

/// One client connection and its upstream connection.
pub(crate) struct TcpSession {
    pub(crate) chain: Rc<TcpChain>,
    pub(crate) cluster: Option<ClusterId>,
    cluster_name: Option<std::sync::Arc<str>>,
    upstream: Option<Token>,
    upstream_id: Option<u64>,
    /// Identity of the connection in logs.
    stream_id: [u8; 36],
    pub(crate) host: Option<Rc<Host>>,
    tried: Vec<Rc<Host>>,
    attempts: u32,
    /// The client has ended its side; told to the upstream once everything before it is sent.
    client_ended: Ending,
    upstream_ended: Ending,
    /// The client is not read because the upstream does not take what it has sent.
    paused: Cell<bool>,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) flags: ResponseFlags,
    upstream_local: Option<std::net::SocketAddr>,
    upstream_tls: Option<Rc<crate::tls::TlsInfo>>,
    failure: Option<String>,
    pub(crate) opened_counted: bool,
    /// Bytes that Istio's metrics have been told of.
    pub(crate) reported: Reported,
    times: Times,
}

/// When something is to be done though nothing moves.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// The connection has lived for long enough.
    life: Millis,
    /// Nothing has moved for too long.
    idle: Millis,
    /// Bytes that have moved since the last report are reported.
    report: Millis,
    /// The next line of the access log is due.
    log: Millis,
}

impl Times {
    const NEVER: Self =
        Self { life: Millis::NEVER, idle: Millis::NEVER, report: Millis::NEVER, log: Millis::NEVER };

    fn next(&self) -> Millis {
        self.idle.min(self.life).min(self.report).min(self.log)
    }
}

/// What Istio's metrics know of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reported {
    pub(crate) opened: bool,
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

/// The end of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Open,
    /// Seen, but bytes before it still wait.
    Seen,
    Passed,
}

impl TcpSession {
    pub(crate) fn new(chain: Rc<TcpChain>, stream_id: [u8; 36]) -> Self {
        Self {
            chain,
            cluster: None,
            cluster_name: None,
            upstream: None,
            upstream_id: None,
            stream_id,
            host: None,
            tried: Vec::new(),
            attempts: 0,
            client_ended: Ending::Open,
            upstream_ended: Ending::Open,
            paused: Cell::new(false),
            received: 0,
            sent: 0,
            flags: ResponseFlags::NONE,
            upstream_local: None,
            upstream_tls: None,
            failure: None,
            opened_counted: false,
            reported: Reported::default(),
            times: Times::NEVER,
        }
    }

    pub(crate) fn upstream(&self) -> Option<Token> {
        self.upstream
    }

    /// Bytes have moved, or may from now on.
    fn moved(&mut self, now: Millis) {
        let proxy = &self.chain.proxy;
        self.times.idle = proxy.idle_timeout.map_or(Millis::NEVER, |idle| now.after(idle));
        if let (Millis::NEVER, Some(stats)) = (self.times.report, &proxy.stats) {
            self.times.report = now.after(stats.tcp_reporting_interval);
        }
    }

    /// Takes note of whether the client is held back.
    fn set_paused(&self, paused: bool) {
        if self.paused.replace(paused) != paused {
            let stats = &self.chain.stats;
            if paused { stats.flow_control_paused } else { stats.flow_control_resumed }.inc();
        }
    }
}
