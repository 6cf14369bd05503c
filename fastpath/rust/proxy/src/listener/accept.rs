//! Accepting connections, and finding the filter chain for each.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use meshloom_model::Address;
use meshloom_model::filter_chain::ConnectionFacts;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketFlags};

use super::{ChainKind, ListenerRuntime};
use crate::downstream::{CloseReason, ConnectionInfo, Downstream, DownstreamState, Fate};
use crate::engine::Engine;
use crate::reactor::{Millis, Token};
use crate::tcp::TcpSession;
use crate::transport::{Transport, local_address, peer_address};
use crate::util::new_request_id;

/// How many connections are accepted before others get their turn.
const ACCEPT_BATCH: usize = 64;
/// More connections than the kernel lets wait at one socket.
const LONGEST_QUEUE: usize = 65_536;

/// A socket that listens for one listener.
pub(crate) struct ListenSocket {
    pub(crate) fd: OwnedFd,
    pub(crate) address: Address,
    pub(crate) listener: Option<Rc<ListenerRuntime>>,
    pub(crate) watched: bool,
}

/// A descriptor that is kept for the moment when there are no others: given up, it lets one connection be accepted and
/// closed at once, which would otherwise stay in the queue and wake us for ever.
pub(crate) struct Spare(Option<OwnedFd>);

impl Spare {
    pub(crate) fn new() -> Self {
        Self(rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok())
    }

    /// Turns one waiting connection away. False when even that is not possible.
    fn turn_away(&mut self, socket: &OwnedFd) -> bool {
        drop(self.0.take());
        let accepted = rustix::net::accept_with(socket, SocketFlags::CLOEXEC);
        let gone = matches!(accepted, Ok(_) | Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED));
        drop(accepted);
        *self = Self::new();
        gone && self.0.is_some()
    }
}

/// What came of looking at a queue once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    More,
    Empty,
    /// Nothing more can be accepted for now.
    Stuck,
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
            match self.accept_next(&socket) {
                Queue::More => {}
                Queue::Empty => break,
                Queue::Stuck => {
                    self.pause_accept(&mut socket);
                    break;
                }
            }
        }
        self.sockets.put_back(token, socket);
    }

    /// A socket that nobody wants any more: who has connected already is served still.
    pub(crate) fn empty_queue(&mut self, socket: &ListenSocket) {
        for _ in 0..LONGEST_QUEUE {
            if self.accept_next(socket) != Queue::More {
                break;
            }
        }
    }

    fn accept_next(&mut self, socket: &ListenSocket) -> Queue {
        // Beyond the limit they wait in the kernel, where they cost us nothing.
        if self.downs.len() >= self.max_connections {
            count_overflow(socket);
            return Queue::Stuck;
        }
        match rustix::net::acceptfrom_with(&socket.fd, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok((fd, peer)) => self.accept_one(fd, peer, socket),
            Err(Errno::AGAIN) => return Queue::Empty,
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            Err(Errno::MFILE | Errno::NFILE) => {
                count_overflow(socket);
                if !self.spare_descriptor.turn_away(&socket.fd) {
                    return Queue::Stuck;
                }
            }
            Err(_) => return Queue::Stuck,
        }
        Queue::More
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
                self.accept_paused |= !socket.watched;
            }
        }
    }

    fn accept_one(&mut self, fd: OwnedFd, peer: Option<SocketAddrAny>, socket: &ListenSocket) {
        let Some(listener) = socket.listener.clone() else { return };
        if self.turns_away(&listener) {
            return;
        }
        let info = self.connection_info(&fd, peer, socket, listener.spec.transparent);
        let mut down = Box::new(Downstream {
            io: Transport::new(fd),
            info: Rc::new(info),
            listener,
            chain: None,
            state: DownstreamState::Inspect(Box::default()),
            deadline: Millis::NEVER,
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
        down.listener.stats.pre_cx_active.add(1);
        self.aim_downstream(token);
        // Where a filter waits for bytes, the first ones raise an event.
        let fate = self.begin_inspection(token, &mut down, false);
        self.settle_downstream(token, down, fate);
    }

    /// What is known of a connection from its descriptor and the socket that it came by.
    fn connection_info(
        &mut self,
        fd: &OwnedFd,
        peer: Option<SocketAddrAny>,
        socket: &ListenSocket,
        transparent: bool,
    ) -> ConnectionInfo {
        let remote = peer_address(peer);
        let (local, pipe) = match &socket.address {
            Address::Ip(own) if own.ip().is_unspecified() || transparent => (local_address(fd), None),
            Address::Ip(own) => (*own, None),
            Address::Unix(path) => (remote, Some(Arc::clone(path))),
        };
        ConnectionInfo {
            id: self.connection_id(),
            remote,
            direct: remote,
            local,
            pipe,
            accepted: self.clock.instant(),
            tls: RefCell::new(None),
            tls_failure: RefCell::new(None),
            server_name: RefCell::new(None),
            chain_name: RefCell::new(Arc::from("")),
            peer: RefCell::new(None),
            proxy_fields: Box::default(),
        }
    }

    /// Chooses the filter chain and starts what it says.
    pub(crate) fn choose_chain(&mut self, token: Token, down: &mut Downstream) -> Fate {
        self.take_newest_listener(down);
        let DownstreamState::Inspect(found) = &mut down.state else {
            return Fate::Close(CloseReason::Internal);
        };
        let (hello, http) = (found.hello.take(), found.http);
        let alpn: Vec<&[u8]> = match (&hello, http) {
            (Some(hello), _) => hello.alpn.iter().map(|name| &**name).collect(),
            (None, http) => http.into_iter().collect(),
        };
        let info = &down.info;
        let ip = |address| info.pipe.is_none().then_some(address);
        let facts = ConnectionFacts {
            destination: ip(info.local),
            server_name: hello.as_ref().and_then(|hello| hello.server_name.as_deref()).unwrap_or(""),
            transport_protocol: if hello.is_some() { "tls" } else { "raw_buffer" },
            application_protocols: &alpn,
            direct_source: ip(info.direct),
            source: ip(info.remote),
        };
        let listener = Rc::clone(&down.listener);
        listener.stats.pre_cx_active.sub(1);
        let Some(chain) = listener.spec.choose(&facts).and_then(|position| listener.chains.get(position))
        else {
            listener.stats.no_filter_chain_match.inc();
            down.state = DownstreamState::Unmatched;
            return Fate::Close(CloseReason::Local);
        };
        listener.stats.cx_total.inc();
        listener.stats.cx_active.add(1);
        down.info.chain_name.replace(Arc::clone(&chain.spec.name));
        if let Some(name) = hello.as_ref().and_then(|hello| hello.server_name.as_deref()) {
            down.info.server_name.replace(Some(Rc::from(name)));
        }
        down.chain = Some(Rc::clone(chain));
        if let Err(delay) = chain.admit() {
            down.state = DownstreamState::Refused;
            down.deadline = self.now().after(delay);
            return if delay.is_zero() { Fate::Close(CloseReason::Local) } else { Fate::Keep };
        }
        if chain.is_tls() {
            return self.start_handshake(token, down, &Rc::clone(chain));
        }
        self.start_filter(token, down)
    }

    /// The listener may have got new filter chains while its filters looked at the connection.
    fn take_newest_listener(&self, down: &mut Downstream) {
        if let Some(newest) = self.listeners.get(&down.listener.spec.name) {
            if newest.spec.shape == down.listener.spec.shape && !Rc::ptr_eq(newest, &down.listener) {
                down.listener = Rc::clone(newest);
            }
        }
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
                let session = TcpSession::new(Rc::clone(tcp), new_request_id(&mut self.rng));
                down.state = DownstreamState::Tcp(Box::new(session));
                self.tcp_start(token, down)
            }
            ChainKind::Close => Fate::Close(CloseReason::Local),
        }
    }
}

fn count_overflow(socket: &ListenSocket) {
    if let Some(listener) = &socket.listener {
        listener.stats.cx_overflow.inc();
    }
}
