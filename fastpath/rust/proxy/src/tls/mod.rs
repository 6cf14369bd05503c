//! TLS driven from the loop: sessions over rustls' unbuffered interface, contexts made from the snapshot's secrets,
//! and the verifier that knows SPIFFE identities.

mod session;

pub(crate) use session::{TlsError, TlsSession};
