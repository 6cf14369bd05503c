//! What is to be remembered of one handshake.
//!
//! rustls asks the parts of a configuration (verifier, ticketer, session store) without telling for which connection, and
//! a configuration is shared by many. A worker has one thread and works on one connection at a time, so a session lays
//! its notes open while rustls works on it, and the parts read and write those.

use std::cell::RefCell;

use rustls::SignatureScheme;
use rustls::pki_types::ServerName;

/// Why a peer was not let in, in Envoy's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It showed no certificate.
    NoCertificate,
    /// Its chain does not pass.
    Chain,
    /// None of its names is allowed.
    Names,
    /// Neither its key nor its certificate is pinned.
    Pins,
    /// Its key must not be used like this.
    KeyUsage,
}

/// What became of an OCSP response that a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Staple {
    /// It was given.
    Given,
    /// There is no good one, and none is needed.
    Omitted,
    /// There is no good one, and one is needed.
    Missing,
}

/// The notes of one connection.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// When the first certificate of the peer's chain expires, in seconds since 1970; `None` without a checked chain.
    pub(super) peer_expires: Option<u64>,
    /// Why the peer was not let in.
    pub(crate) refusal: Option<Refusal>,
    /// How the peer has proved that it has its key.
    pub(crate) peer_scheme: Option<SignatureScheme>,
    /// The client has asked for an OCSP response.
    pub(super) wants_staple: bool,
    pub(crate) staple: Option<Staple>,
    /// Which endpoint we are connected with, as the client.
    pub(super) endpoint: u64,
    /// A name that the server's certificate must have, besides those of the configuration.
    pub(super) demanded: Option<ServerName<'static>>,
}

thread_local! {
    static OPEN: RefCell<Notes> = RefCell::default();
}

impl Notes {
    /// Lays these notes open while `work` is done.
    pub(super) fn during<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let swap = |notes: &mut Self| OPEN.with_borrow_mut(|open| std::mem::swap(open, notes));
        swap(self);
        let result = work();
        swap(self);
        result
    }
}

/// Reads or writes the notes of the connection that is worked on.
pub(super) fn open<R>(use_them: impl FnOnce(&mut Notes) -> R) -> R {
    OPEN.with_borrow_mut(use_them)
}
