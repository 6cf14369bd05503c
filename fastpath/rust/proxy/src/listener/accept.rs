//! Accepting connections, and finding the filter chain for each.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use meshloom_model::filter_chain::ConnectionFacts;
use meshloom_wire::tls_hello::{ClientHello, MAX_HELLO, Peek, peek};
use rustix::net::SocketFlags;

use super::{ChainKind, ListenerRuntime};
use crate::downstream::{CloseReason, ConnectionInfo, Downstream, DownstreamState, Fate};
use crate::engine::Engine;
use crate::reactor::{Millis, Token};
use crate::tcp::TcpSession;
use crate::transport::{Read, Transport, local_address, peer_address};

/// How many connections are accepted before others get their turn.
const ACCEPT_BATCH: usize = 64;

/// A socket that listens for one listener.
pub(crate) struct ListenSocket {
    pub(crate) fd: OwnedFd,
    pub(crate) address: SocketAddr,
    pub(crate) listener: Option<Rc<ListenerRuntime>>,
    pub(crate) watched: bool,
}

impl Engine {
    /// Connections wait at a listening socket.
    pub(crate) fn accept_event(&mut self, token: Token) {
        let Some(mut socket) = self.sockets.take(token) else { return };
        for _ in 0..ACCEPT_BATCH {
            if self.stops_accepting(socket.listener.as_deref()) {
                self.pause_accept(&mut socket);
                break;
            }
            // Beyond the limit they wait in the kernel, where they cost us nothing.
            if self.downs.len() >= self.max_connections {
                if let Some(listener) = &socket.listener {
                    listener.stats.cx_overflow.inc();
                }
                self.pause_accept(&mut socket);
                break;
            }
            match rustix::net::acceptfrom_with(&socket.fd, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok((fd, peer)) => self.accept_one(fd, peer_address(peer), &socket),
                Err(rustix::io::Errno::AGAIN) => break,
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => {}
                Err(_) => {
                    // No descriptors left, most likely.
                    self.pause_accept(&mut socket);
                    break;
                }
            }
        }
        self.sockets.put_back(token, socket);
    }

    /// Stops looking at a socket: its queue would wake us again and again. `resume_accept` goes on with it.
    fn pause_accept(&mut self, socket: &mut ListenSocket) {
        if self.poller.remove(&socket.fd).is_ok() {
            socket.watched = false;
            self.accept_paused = true;
        }
    }

    /// Looks at all sockets again, once there is room.
    pub(crate) fn resume_accept(&mut self) {
        if !self.accept_paused || self.downs.len() >= self.max_connections {
            return;
        }
        self.accept_paused = false;
        for token in self.sockets.tokens() {
            let listener = self.sockets.get(token).and_then(|socket| socket.listener.clone());
            if self.stops_accepting(listener.as_deref()) {
                self.accept_paused = true;
                continue;
            }
            let Some(socket) = self.sockets.get_mut(token) else { continue };
            if !socket.watched && socket.listener.is_some() {
                socket.watched = self.poller.add_level(&socket.fd, token).is_ok();
            }
        }
    }

    fn accept_one(&mut self, fd: OwnedFd, remote: SocketAddr, socket: &ListenSocket) {
        let Some(listener) = socket.listener.clone() else { return };
        if self.turns_away(&listener) {
            return;
        }
        let local = if socket.address.ip().is_unspecified() { local_address(&fd) } else { socket.address };
        listener.stats.cx_total.inc();
        listener.stats.cx_active.add(1);
        let info = ConnectionInfo {
            id: self.connection_id(),
            remote,
            local,
            accepted: self.clock.instant(),
            tls: RefCell::new(None),
            server_name: RefCell::new(None),
            chain_name: RefCell::new(Arc::from("")),
            peer: RefCell::new(None),
        };
        let inspect = listener.spec.filters.tls_inspector;
        let timeout = listener.spec.filters_timeout.filter(|_| inspect);
        let down = Box::new(Downstream {
            io: Transport::new(fd),
            info: Rc::new(info),
            listener,
            chain: None,
            state: DownstreamState::Inspect,
            deadline: timeout.map_or(Millis::NEVER, |limit| self.now().after(limit)),
            opened: self.now(),
            protocol: None,
            held: Vec::new(),
            resume: false,
            counted: (0, 0),
            broken: false,
        });
        let Some(token) = self.downs.reserve() else { return };
        if self.poller.add(down.io.fd(), token).is_err() {
            self.downs.remove(token);
            return;
        }
        let mut down = down;
        if !inspect {
            let fate = self.choose_chain(token, &mut down, None);
            return self.settle_downstream(token, down, fate);
        }
        // The first bytes raise an event.
        self.settle_downstream(token, down, Fate::Keep);
    }

    /// Looks at the first bytes of a connection until they say whether it is TLS.
    pub(crate) fn inspect(&mut self, token: Token, down: &mut Downstream) -> Fate {
        let Some(mut buffers) = self.buffers.take() else { return Fate::Close(CloseReason::Internal) };
        let read = down.io.read(&mut buffers);
        if let Read::Data(n) = read {
            down.held.extend_from_slice(buffers.input.get(..n).unwrap_or_default());
        }
        self.buffers = Some(buffers);
        match read {
            Read::Data(_) => {}
            Read::Blocked => return Fate::Keep,
            Read::End | Read::Failed(_) => return Fate::Close(CloseReason::Remote),
        }
        match peek(&down.held, MAX_HELLO) {
            Peek::Incomplete(_) => Fate::Keep,
            Peek::TooLong => Fate::Close(CloseReason::Remote),
            Peek::NotTls | Peek::Malformed => self.choose_chain(token, down, None),
            Peek::Hello(hello) => self.choose_chain(token, down, Some(&hello)),
        }
    }

    /// Chooses the filter chain and starts what it says.
    pub(crate) fn choose_chain(
        &mut self,
        token: Token,
        down: &mut Downstream,
        hello: Option<&ClientHello>,
    ) -> Fate {
        let alpn: Vec<&[u8]> =
            hello.map(|hello| hello.alpn.iter().map(|name| &**name).collect()).unwrap_or_default();
        let facts = ConnectionFacts {
            destination: Some(down.info.local),
            server_name: hello.and_then(|hello| hello.server_name.as_deref()).unwrap_or(""),
            transport_protocol: match (hello, down.listener.spec.filters.tls_inspector) {
                (Some(_), _) => "tls",
                (None, true) => "raw_buffer",
                (None, false) => "",
            },
            application_protocols: &alpn,
            direct_source: Some(down.info.remote),
            source: Some(down.info.remote),
        };
        let listener = Rc::clone(&down.listener);
        let Some(chain) = listener.spec.chain(&facts).and_then(|chain| listener.runtime_of(chain)) else {
            listener.stats.no_filter_chain_match.inc();
            return Fate::Close(CloseReason::Local);
        };
        down.info.chain_name.replace(Arc::clone(&chain.spec.name));
        if let Some(name) = hello.and_then(|hello| hello.server_name.as_deref()) {
            down.info.server_name.replace(Some(Rc::from(name)));
        }
        down.chain = Some(Rc::clone(chain));
        if chain.is_tls() {
            return self.start_handshake(token, down, &Rc::clone(chain));
        }
        self.start_filter(token, down)
    }

    /// The connection's bytes are plain from here on: what reads them starts.
    pub(crate) fn start_filter(&mut self, token: Token, down: &mut Downstream) -> Fate {
        let Some(chain) = down.chain.clone() else { return Fate::Close(CloseReason::Internal) };
        down.resume = !down.held.is_empty();
        down.deadline = Millis::NEVER;
        match &chain.kind {
            ChainKind::Http(http) => self.start_http(token, down, http),
            ChainKind::Tcp(tcp) => {
                tcp.stats.cx_total.inc();
                down.state = DownstreamState::Tcp(Box::new(TcpSession::new(Rc::clone(tcp))));
                self.tcp_start(token, down)
            }
            ChainKind::Close => Fate::Close(CloseReason::Local),
        }
    }
}
