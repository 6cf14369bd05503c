//! TLS driven from the loop: sessions over rustls' unbuffered interface, contexts made from the snapshot's secrets,
//! and the verifier that knows SPIFFE identities.

mod build;
mod cache;
mod contexts;
mod identity;
mod name;
mod session;
mod verifier;

pub(crate) use contexts::{ClientTls, ServerTls, TlsCache, TlsContexts};
pub(crate) use identity::PeerIdentity;
pub(crate) use session::{TlsError, TlsSession};
