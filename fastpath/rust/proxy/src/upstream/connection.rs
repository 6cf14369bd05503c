//! One connection to an upstream.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use meshloom_model::header_case::HeaderCase;
use meshloom_wire::http1::{BodyDecoder, Headers, Limits, ResponseParser};

use super::{Host, Http2, Lane, Speaks};
use crate::codec::{Outbox, Sender};
use crate::reactor::{Millis, Token};
use crate::tls::TlsInfo;
use crate::transport::Transport;

/// A connection and what it is doing.
pub(crate) struct Upstream {
    pub(crate) io: Transport,
    pub(crate) host: Rc<Host>,
    pub(crate) state: UpstreamState,
    /// When the present state has lasted too long.
    pub(crate) deadline: Millis,
    pub(crate) opened: Millis,
    /// Number of the connection, for logs.
    pub(crate) id: u64,
    pub(crate) local: SocketAddr,
    /// What its TLS handshake has come to, for logs.
    pub(crate) tls: Option<Rc<TlsInfo>>,
    /// Requests it has carried.
    pub(crate) served: u64,
    /// The connection is being made.
    pub(crate) connecting: bool,
    /// It holds a place among the connections of its cluster.
    pub(crate) counted_connection: bool,
    /// What it is made for.
    pub(crate) lane: Lane,
    pub(crate) http: ResponseReader,
    /// Its streams, once it has turned out to speak HTTP/2.
    pub(crate) http2: Option<Box<Http2>>,
    /// How the body of the request under way goes out.
    pub(crate) sender: Sender,
    /// What a response may cost.
    pub(crate) limits: Limits,
    /// How names of fields are spelled in HTTP/1, for the exchange under way.
    pub(crate) header_case: HeaderCase,
    /// The reader waits for its downstream to take what it has.
    pub(crate) paused: bool,
    /// A send failed: the connection is of no use.
    pub(crate) broken: bool,
}

impl Upstream {
    /// A connection that is being made.
    pub(super) fn connecting(fd: OwnedFd, host: &Rc<Host>, state: UpstreamState, lane: &Lane) -> Self {
        Self {
            io: Transport::new(fd),
            host: Rc::clone(host),
            state,
            deadline: Millis::NEVER,
            opened: Millis::NEVER,
            id: 0,
            local: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            tls: None,
            served: 0,
            connecting: true,
            counted_connection: false,
            lane: lane.clone(),
            http: ResponseReader::default(),
            http2: None,
            sender: Sender::Nothing,
            limits: Limits::default(),
            header_case: HeaderCase::Lower,
            paused: false,
            broken: false,
        }
    }
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamState {
    Connecting,
    Handshaking,
    /// Waits in its host's pool.
    Idle,
    /// Carries this exchange.
    Busy(Token),
    /// Carries streams, or waits for some (HTTP/2).
    Shared,
    /// Relays for this downstream connection.
    Tunnel(Token),
}

/// What of a response is expected next.
#[derive(Debug)]
pub(crate) enum UpstreamPhase {
    Head,
    Body(BodyDecoder),
}

/// Reads responses.
#[derive(Debug)]
pub(crate) struct ResponseReader {
    pub(crate) phase: UpstreamPhase,
    pub(crate) parser: ResponseParser,
    /// Storage of a head that arrives in pieces.
    pub(crate) partial: Option<Box<Headers>>,
    /// Bytes that could not be dealt with yet.
    pub(crate) held: Vec<u8>,
    /// The server lets the connection live.
    pub(crate) keep_alive: bool,
    /// Interim responses to the present request.
    pub(crate) interim: u32,
    /// Anything of the response has arrived.
    pub(crate) began: bool,
    /// Trailer section of the response under way.
    pub(crate) trailers: Vec<u8>,
}

impl Default for ResponseReader {
    fn default() -> Self {
        Self {
            phase: UpstreamPhase::Head,
            parser: ResponseParser::new(),
            partial: None,
            held: Vec::new(),
            keep_alive: true,
            interim: 0,
            began: false,
            trailers: Vec::new(),
        }
    }
}

impl ResponseReader {
    /// Ready for the next response.
    pub(crate) fn restart(&mut self) {
        self.phase = UpstreamPhase::Head;
        self.parser.restart();
        self.partial = None;
        self.interim = 0;
        self.began = false;
        self.keep_alive = true;
    }
}

impl Upstream {
    /// Sends what was gathered for it.
    pub(crate) fn flush(&mut self, out: &mut Outbox) {
        self.broken |= out.flush(&mut self.io).is_err();
        self.note_unsent();
    }

    /// Tells the streams' guards how much the network has taken.
    pub(crate) fn note_unsent(&mut self) {
        if let Some(http2) = &mut self.http2 {
            http2.note_unsent(self.io.unsent());
        }
    }

    /// What is offered in a TLS handshake (ALPN) where the configuration names nothing.
    pub(super) fn offers(&self) -> &'static [&'static [u8]] {
        match (self.state, self.lane.speaks) {
            // Nobody knows what is spoken in there.
            (UpstreamState::Tunnel(_) | UpstreamState::Busy(_), _) => &[],
            (_, Speaks::Http1) => &[b"http/1.1"],
            (_, Speaks::Http2) => &[b"h2"],
            (_, Speaks::Either) => &[b"h2", b"http/1.1"],
        }
    }
}

impl Upstream {
    /// Takes note of what the TLS handshake has come to.
    pub(super) fn note_tls(&mut self) {
        let Some(session) = self.io.tls() else { return };
        let peer = self.host.know(session.peer_certificates());
        let context = self.host.tls.borrow();
        if context.as_ref().is_some_and(|tls| tls.is_checked()) && self.host.principal.borrow().is_none() {
            self.host.principal.replace(peer.as_ref().and_then(|peer| peer.spiffe()));
        }
        let summary = session.summary();
        self.tls = Some(Rc::new(TlsInfo {
            version: summary.version,
            cipher: summary.cipher,
            group: summary.group,
            session_id: session.session_id().into(),
            server_name: session.server_name().map(Box::from),
            peer,
            local: context.as_ref().and_then(|tls| tls.local.clone()),
        }));
    }
}
