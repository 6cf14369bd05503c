//! The connections of a host that carry HTTP, by what they were made for.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::Host;
use crate::reactor::Token;

/// Which version of HTTP a connection is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
    /// What the upstream chooses in the TLS handshake.
    Either,
}

/// What a connection is made for. Requests of different lanes never share one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) speaks: Speaks,
    pub(crate) own: Own,
}

/// What sets a lane apart from the common one of its version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Own {
    /// The name that TLS has taken from the request.
    pub(crate) name: Option<Rc<str>>,
    /// The PROXY header before everything else, TLS included: such a connection serves one client's.
    pub(crate) preamble: Option<Rc<[u8]>>,
}

impl Own {
    pub(crate) fn is_common(&self) -> bool {
        self.name.is_none() && self.preamble.is_none()
    }
}

impl Lane {
    pub(crate) const HTTP1: Self = Self { speaks: Speaks::Http1, own: Own { name: None, preamble: None } };
}

#[derive(Debug, Default)]
struct Pool {
    /// Connections that wait for a request, the most recently used last.
    idle: Vec<Token>,
    /// Connections that carry many exchanges at a time.
    shared: Vec<Token>,
    /// Connections that are being made for those that wait.
    connecting: usize,
    /// Connections, of any state.
    open: usize,
    /// Exchanges that wait for a connection, the oldest first.
    waiting: VecDeque<Token>,
}

impl Pool {
    fn is_empty(&self) -> bool {
        self.open == 0 && self.connecting == 0 && self.waiting.is_empty()
    }
}

/// One pool for each way to agree on a version.
type Versions = [Pool; 3];

/// The pools of a host.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    common: Versions,
    /// Those of lanes of their own. They go with their last connection: clients think up the names.
    own: HashMap<Own, Versions>,
}

impl Pools {
    fn of<R>(&mut self, lane: &Lane, work: impl FnOnce(&mut Pool) -> R) -> R {
        if lane.own.is_common() {
            return work(choose(&mut self.common, lane.speaks));
        }
        let versions = self.own.entry(lane.own.clone()).or_default();
        let result = work(choose(versions, lane.speaks));
        if versions.iter().all(Pool::is_empty) {
            self.own.remove(&lane.own);
        }
        result
    }

    fn all(&self) -> impl Iterator<Item = &Pool> {
        self.common.iter().chain(self.own.values().flatten())
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Pool> {
        self.common.iter_mut().chain(self.own.values_mut().flatten())
    }
}

fn choose([http1, http2, either]: &mut Versions, speaks: Speaks) -> &mut Pool {
    match speaks {
        Speaks::Http1 => http1,
        Speaks::Http2 => http2,
        Speaks::Either => either,
    }
}

impl Host {
    fn pool<R>(&self, lane: &Lane, work: impl FnOnce(&mut Pool) -> R) -> R {
        self.pools.borrow_mut().of(lane, work)
    }

    /// Notes that there is one connection more (or less), in any state.
    pub(crate) fn note_open(&self, lane: &Lane, up: bool) {
        super::bump(&self.connections, up);
        self.pool(lane, |pool| step(&mut pool.open, up));
    }

    /// Is there no connection at all in this lane?
    pub(crate) fn is_unreached(&self, lane: &Lane) -> bool {
        self.pool(lane, |pool| pool.open == 0)
    }

    /// The most recently used idle connection: the others may then time out.
    pub(crate) fn pop_idle(&self, lane: &Lane) -> Option<Token> {
        self.pool(lane, |pool| pool.idle.pop())
    }

    pub(crate) fn push_idle(&self, lane: &Lane, connection: Token) {
        self.pool(lane, |pool| pool.idle.push(connection));
    }

    /// A connection that carries many exchanges.
    pub(crate) fn share(&self, lane: &Lane, connection: Token) {
        self.pool(lane, |pool| pool.shared.push(connection));
    }

    /// The first of the shared connections that is fit.
    pub(crate) fn find_shared(&self, lane: &Lane, fit: impl Fn(Token) -> bool) -> Option<Token> {
        self.pool(lane, |pool| pool.shared.iter().copied().find(|token| fit(*token)))
    }

    /// Notes that a connection is being made (or no more).
    pub(crate) fn note_connecting(&self, lane: &Lane, up: bool) {
        self.pool(lane, |pool| step(&mut pool.connecting, up));
    }

    /// Exchanges that wait, and connections that are being made for them.
    pub(crate) fn waiting(&self, lane: &Lane) -> (usize, usize) {
        self.pool(lane, |pool| (pool.waiting.len(), pool.connecting))
    }

    /// Forgets a connection that has ended.
    pub(crate) fn forget(&self, lane: &Lane, connection: Token) {
        self.pool(lane, |pool| {
            pool.idle.retain(|token| *token != connection);
            pool.shared.retain(|token| *token != connection);
        });
    }

    pub(crate) fn take_idle(&self) -> Vec<Token> {
        self.pools.borrow_mut().all_mut().flat_map(|pool| std::mem::take(&mut pool.idle)).collect()
    }

    /// A connection that waits for a request, in whichever lane.
    pub(crate) fn any_idle(&self) -> Option<Token> {
        self.pools.borrow().all().find_map(|pool| pool.idle.first().copied())
    }

    /// Every connection that carries many exchanges.
    pub(crate) fn shared(&self) -> Vec<Token> {
        self.pools.borrow().all().flat_map(|pool| pool.shared.iter().copied()).collect()
    }

    pub(crate) fn enqueue(&self, lane: &Lane, exchange: Token) {
        self.pool(lane, |pool| pool.waiting.push_back(exchange));
    }

    pub(crate) fn dequeue(&self, lane: &Lane) -> Option<Token> {
        self.pool(lane, |pool| pool.waiting.pop_front())
    }

    /// An exchange that gives up waiting.
    pub(crate) fn forget_waiting(&self, exchange: Token) {
        for pool in self.pools.borrow_mut().all_mut() {
            pool.waiting.retain(|token| *token != exchange);
        }
    }
}

fn step(count: &mut usize, up: bool) {
    *count = if up { count.saturating_add(1) } else { count.saturating_sub(1) };
}
