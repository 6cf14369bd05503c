//! Connections from clients: what is known of them, and what is done with their bytes.

mod choose;
mod events;
mod handshake;
mod http1;
mod http2;
mod seam;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use meshloom_wire::http1::{BodyDecoder, Headers, RequestParser};

use crate::codec::Sender;
use crate::listener::{ChainRuntime, HttpChain, Inspection, ListenerRuntime};
use crate::message::Protocol;
use crate::reactor::{Millis, Token};
use crate::tls::TlsInfo;
use crate::transport::Transport;

/// What is known of a connection, for the exchanges on it and their logs.
#[derive(Debug)]
pub(crate) struct ConnectionInfo {
    pub(crate) id: u64,
    /// Whose connection it is: the peer, or who the peer says by the PROXY protocol.
    pub(crate) remote: SocketAddr,
    /// The peer.
    pub(crate) direct: SocketAddr,
    /// Where it was going: our end, or where it was redirected from.
    pub(crate) local: SocketAddr,
    /// The path of our end, if that is a Unix socket; `local` means nothing then.
    pub(crate) pipe: Option<Arc<Path>>,
    pub(crate) accepted: Instant,
    pub(crate) tls: RefCell<Option<TlsInfo>>,
    /// Why the handshake failed.
    pub(crate) tls_failure: RefCell<Option<Box<str>>>,
    /// From the ClientHello, when a listener filter or the handshake has seen it.
    pub(crate) server_name: RefCell<Option<Rc<str>>>,
    pub(crate) chain_name: RefCell<Arc<str>>,
    /// Identity of the workload at the other end, as its proxy told (Istio's peer metadata).
    pub(crate) peer: RefCell<Option<Rc<crate::telemetry::PeerInfo>>>,
    /// Fields of the PROXY header that may be told to upstreams.
    pub(crate) proxy_fields: Box<[(u8, Box<[u8]>)]>,
}

impl ConnectionInfo {
    pub(crate) fn is_tls(&self) -> bool {
        self.tls.borrow().is_some()
    }
}

/// One accepted connection.
pub(crate) struct Downstream {
    pub(crate) io: Transport,
    pub(crate) info: Rc<ConnectionInfo>,
    pub(crate) listener: Rc<ListenerRuntime>,
    pub(crate) chain: Option<Rc<ChainRuntime>>,
    pub(crate) state: DownstreamState,
    /// When the present state has lasted too long.
    pub(crate) deadline: Millis,
    pub(crate) opened: Millis,
    /// The version of HTTP that it speaks, once that is known.
    pub(crate) protocol: Option<Protocol>,
    /// Bytes that could not be dealt with yet.
    pub(crate) held: Vec<u8>,
    /// `held` may be looked at again although nothing has arrived.
    pub(crate) resume: bool,
    /// Counters have seen so many bytes each way.
    pub(crate) counted: (u64, u64),
    /// A send failed: nobody reads any more.
    pub(crate) broken: bool,
}

impl Downstream {
    /// Its filter chain is no longer configured: it ends when what is under way has ended.
    pub(crate) fn is_draining(&self) -> bool {
        self.chain.as_ref().is_some_and(|chain| chain.is_draining())
    }
}

/// What is done with a connection's bytes.
pub(crate) enum DownstreamState {
    /// Listener filters look at the first bytes.
    Inspect(Box<Inspection>),
    /// No filter chain takes it.
    Unmatched,
    /// One too many for its filter chain: it is closed at the deadline.
    Refused,
    /// TLS.
    Handshake,
    /// The first bytes are to say which version of HTTP it is.
    Sniff,
    Http1(Box<Http1>),
    Http2(Box<http2::Http2>),
    Tcp(Box<crate::tcp::TcpSession>),
    /// Our side has ended; what still comes is thrown away until the peer ends too, or the deadline.
    Linger,
}

/// The server side of HTTP/1 on one connection.
pub(crate) struct Http1 {
    pub(crate) chain: Rc<HttpChain>,
    pub(crate) phase: RequestPhase,
    pub(crate) parser: RequestParser,
    /// Storage of a head that arrives in pieces.
    pub(crate) partial: Option<Box<Headers>>,
    /// The exchange under way.
    pub(crate) exchange: Option<Token>,
    /// How the body of the response under way goes out.
    pub(crate) sender: Sender,
    /// The response under way ends with the connection.
    pub(crate) ends_by_close: bool,
    /// Requests so far.
    pub(crate) served: u64,
    /// The client lets the connection live after the present exchange.
    pub(crate) keep_alive: bool,
    /// The connection ends after the response under way, whatever the client says.
    pub(crate) close: bool,
    /// The reader waits for the upstream to take what it has.
    pub(crate) paused: bool,
    /// It waits for there to be one.
    pub(crate) unconnected: bool,
    /// Since when there is no request.
    pub(crate) idle_since: Millis,
    /// From when on the connection drains (max_connection_duration).
    pub(crate) drain_at: Millis,
}

/// What of a request is expected next.
#[derive(Debug)]
pub(crate) enum RequestPhase {
    /// A head; `began` once its first byte is there.
    Head {
        began: bool,
    },
    Body(BodyDecoder),
    /// The connection is to become a tunnel, or is one.
    Tunnel(TunnelPhase),
    /// The request is complete; the next one waits for the response.
    Response,
    /// Nothing more is read.
    Closing,
}

/// How far the client's side of a tunnel has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TunnelPhase {
    /// Nothing is read until the upstream has agreed.
    Waiting,
    Open,
    /// The client has ended its side.
    Ended,
}

/// How a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Keep,
    /// Ends now; the text is for logs.
    Close(CloseReason),
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// The client has closed or broken it.
    Remote,
    /// We are done with it.
    Local,
    /// Something took too long.
    Timeout,
    /// The TLS handshake failed.
    Handshake,
    /// A bug of ours; counted.
    Internal,
}
