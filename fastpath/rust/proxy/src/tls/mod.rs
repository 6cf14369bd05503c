//! TLS driven from the loop: sessions over rustls' unbuffered interface, contexts made from the snapshot's secrets,
//! and the verifier that knows SPIFFE identities.
//!
//! ```text
//!  snapshot ──▶ contexts (cache) ──▶ server / client ──▶ session ──▶ transport
//!                                     │ algorithms: suites, groups, schemes
//!                                     │ keys, selector, staple: whom we show ourselves as
//!                                     │ verifier: whom we let in
//!                                     └ tickets, sessions: whom we know from before
//! ```

mod algorithms;
mod cache;
mod certificate;
mod client;
mod contexts;
mod der;
mod identity;
mod keys;
mod name;
mod notes;
mod records;
mod selector;
mod server;
mod session;
mod session_id;
mod sessions;
mod staple;
mod tickets;
mod told;
mod verifier;

pub(crate) use client::{AskedName, ClientTls, Offers};
pub(crate) use contexts::{TlsCache, TlsContexts};
pub(crate) use identity::PeerIdentity;
pub(crate) use notes::{Refusal, Staple};
pub(crate) use records::TlsError;
pub(crate) use server::ServerTls;
pub(crate) use session::{Summary, TlsSession};
pub(crate) use tickets::ticket_secret;
pub(crate) use told::TlsInfo;
