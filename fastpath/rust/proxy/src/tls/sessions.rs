//! Sessions that we may resume as the client, for each endpoint and server name.
//!
//! Envoy keeps them for a whole cluster, so that with several endpoints most are tried where they are not known.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

use super::notes;

/// Endpoints of which sessions are kept at once, in one context.
const MOST_PEERS: usize = 1024;

type Peer = (u64, ServerName<'static>);

/// A session, and when the first certificate that the server showed expires: then it is not resumed any more.
struct Kept<S> {
    session: S,
    peer_expires: u64,
}

impl<S> Kept<S> {
    fn new(session: S) -> Self {
        Self { session, peer_expires: notes::open(|notes| notes.peer_expires).unwrap_or(u64::MAX) }
    }

    /// The session, unless it is too late. What comes of it is good for no longer.
    fn if_good(self) -> Option<S> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if now >= self.peer_expires {
            return None;
        }
        notes::open(|notes| notes.peer_expires = Some(self.peer_expires));
        Some(self.session)
    }
}

#[derive(Default)]
struct OfPeer {
    group: Option<NamedGroup>,
    tls12: Option<Kept<Tls12ClientSessionValue>>,
    tls13: VecDeque<Kept<Tls13ClientSessionValue>>,
}

/// The sessions of one context.
pub(super) struct Sessions {
    /// How many are kept for each endpoint.
    most: usize,
    peers: Mutex<HashMap<Peer, OfPeer>>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Sessions({})", self.most)
    }
}

impl Sessions {
    pub(super) fn new(most: u32) -> Self {
        Self { most: most as usize, peers: Mutex::default() }
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<Peer, OfPeer>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, name: ServerName<'static>, change: impl FnOnce(&mut OfPeer)) {
        let peer = (notes::open(|notes| notes.endpoint), name);
        let mut peers = self.peers();
        if peers.len() >= MOST_PEERS && !peers.contains_key(&peer) {
            // Which one goes does not matter: it costs a full handshake.
            if let Some(other) = peers.keys().next().cloned() {
                peers.remove(&other);
            }
        }
        change(peers.entry(peer).or_default());
    }

    fn read<R>(&self, name: &ServerName<'_>, look: impl FnOnce(&mut OfPeer) -> Option<R>) -> Option<R> {
        let peer = (notes::open(|notes| notes.endpoint), name.to_owned());
        self.peers().get_mut(&peer).and_then(look)
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.write(server_name, |peer| peer.group = Some(group));
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.read(server_name, |peer| peer.group)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        if self.most > 0 {
            self.write(server_name, |peer| peer.tls12 = Some(Kept::new(value)));
        }
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.read(server_name, |peer| {
            let kept = peer.tls12.as_ref()?;
            Kept { session: kept.session.clone(), peer_expires: kept.peer_expires }.if_good()
        })
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.read(server_name, |peer| peer.tls12.take());
    }

    fn insert_tls13_ticket(&self, server_name: ServerName<'static>, value: Tls13ClientSessionValue) {
        if self.most > 0 {
            self.write(server_name, |peer| {
                if peer.tls13.len() >= self.most {
                    peer.tls13.pop_front();
                }
                peer.tls13.push_back(Kept::new(value));
            });
        }
    }

    /// The newest one. Each is used once, so that nobody can tell that two connections are of one client.
    fn take_tls13_ticket(&self, server_name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.read(server_name, |peer| peer.tls13.pop_back()?.if_good())
    }
}
