//! One endpoint of one cluster in this worker: its pool of connections and what it is doing.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use meshloom_balance::Verdict;
use meshloom_model::{Address, Endpoint};
use rustls::pki_types::CertificateDer;

use super::ClusterId;
use super::pools::Pools;
use crate::health::Known;
use crate::reactor::Token;
use crate::tls::{ClientTls, PeerIdentity};

/// An endpoint. Exchanges and connections hold on to it, so it outlives its removal from the cluster until the last of
/// them ends.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) cluster: ClusterId,
    place: RefCell<Rc<Place>>,
    endpoint: RefCell<Arc<Endpoint>>,
    /// How to speak TLS with it; `None` is plain.
    pub(crate) tls: RefCell<Option<Rc<ClientTls>>>,
    /// SPIFFE ID that it showed in its last handshake.
    pub(crate) principal: RefCell<Option<Arc<str>>>,
    /// The certificate that it showed last: its connections share what is known of it.
    shown: RefCell<Option<Rc<PeerIdentity>>>,
    /// Place in the balancer's list, which changes with the list.
    pub(crate) index: Cell<u32>,
    /// Requests under way.
    pub(crate) active: Cell<u32>,
    /// Connections, of any state.
    pub(crate) connections: Cell<u32>,
    /// What health checks have found; `None` until the first one.
    pub(crate) known: Cell<Option<Known>>,
    /// Its checks, in the worker that makes them.
    pub(crate) check: Cell<Option<Token>>,
    /// How to speak TLS with it in checks.
    pub(crate) check_tls: RefCell<Option<Rc<ClientTls>>>,
    /// Ejected by the outlier detection of another worker.
    pub(crate) ejected_elsewhere: Cell<bool>,
    /// Removed, but it stays as long as it passes its checks.
    pub(crate) leaving: Cell<bool>,
    /// No longer of the cluster: no connection goes back to the pool.
    pub(crate) removed: Cell<bool>,
    /// Its connections that carry HTTP.
    pub(super) pools: RefCell<Pools>,
    /// What the host chose when it was last asked.
    pub(crate) chose_http2: Cell<Option<bool>>,
    /// Streams that it allows on a connection, or is taken to allow before it has said so.
    pub(crate) allows_streams: Cell<u32>,
    pub(crate) said_streams: Cell<bool>,
}

/// No server should allow fewer (RFC 9113 6.5.2).
const USUAL_STREAMS: u32 = 100;

/// An address, and the same as text for logs.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) address: Address,
    pub(crate) text: Box<str>,
}

impl Place {
    fn new(address: Address) -> Self {
        Self { text: address.to_string().into(), address }
    }
}

impl Host {
    pub(crate) fn new(cluster: ClusterId, address: Address, endpoint: Arc<Endpoint>) -> Self {
        Self {
            cluster,
            place: RefCell::new(Rc::new(Place::new(address))),
            endpoint: RefCell::new(endpoint),
            tls: RefCell::new(None),
            principal: RefCell::new(None),
            shown: RefCell::new(None),
            index: Cell::new(0),
            active: Cell::new(0),
            connections: Cell::new(0),
            known: Cell::new(None),
            check: Cell::new(None),
            check_tls: RefCell::new(None),
            ejected_elsewhere: Cell::new(false),
            leaving: Cell::new(false),
            removed: Cell::new(false),
            pools: RefCell::default(),
            chose_http2: Cell::new(None),
            allows_streams: Cell::new(USUAL_STREAMS),
            said_streams: Cell::new(false),
        }
    }

    /// What the configuration says of it: health, weight and labels may change while its connections live on.
    pub(crate) fn endpoint(&self) -> Arc<Endpoint> {
        Arc::clone(&self.endpoint.borrow())
    }

    /// What the certificates tell that it has shown.
    pub(super) fn know(&self, chain: &[CertificateDer<'static>]) -> Option<Rc<PeerIdentity>> {
        let mut shown = self.shown.borrow_mut();
        if !shown.as_ref().is_some_and(|known| known.is(chain)) {
            *shown = PeerIdentity::read(chain).map(Rc::new);
        }
        shown.clone()
    }

    /// What health checks say of it, if anything.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        self.known.get().and_then(Known::verdict)
    }

    /// Whether checks are to be made, where its cluster makes any.
    pub(crate) fn is_checked(&self) -> bool {
        !self.endpoint.borrow().check.as_ref().is_some_and(|check| check.disabled)
    }

    /// Where it is now. The address of a logical name may change while connections to the one before live on.
    pub(crate) fn place(&self) -> Rc<Place> {
        Rc::clone(&self.place.borrow())
    }

    pub(crate) fn address(&self) -> Address {
        self.place.borrow().address.clone()
    }

    pub(crate) fn set_endpoint(&self, endpoint: Arc<Endpoint>) {
        if self.place.borrow().address != endpoint.address {
            self.place.replace(Rc::new(Place::new(endpoint.address.clone())));
        }
        self.endpoint.replace(endpoint);
    }
}

/// Adds to a count that only this thread touches.
pub(crate) fn bump(count: &Cell<u32>, up: bool) {
    count.set(if up { count.get().saturating_add(1) } else { count.get().saturating_sub(1) });
}
