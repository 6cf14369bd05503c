//! Filter chains: TLS and the network filter of a connection, and which connections they take.

use std::sync::Arc;
use std::time::Duration;

use crate::hcm::HttpConnectionManager;
use crate::tcp::TcpProxy;
use crate::tls::DownstreamTls;

mod matching;
mod prefix;

pub use matching::{ChainMatch, ChainMatcher, ConnectionFacts, OverlappingChains, ServerName, SourceType};
pub use prefix::IpPrefix;

/// What is done with a connection.
#[derive(Clone, Debug)]
pub struct FilterChain {
    /// Its name; may be empty.
    pub name: Arc<str>,
    /// How bytes travel.
    pub transport: DownstreamTransport,
    /// How long the TLS handshake may take. Envoy has no limit unless set; here it is 10 s.
    pub handshake_timeout: Option<Duration>,
    /// What reads the bytes.
    pub filter: NetworkFilter,
}

/// How bytes travel between downstream and us.
#[derive(Clone, Debug)]
pub enum DownstreamTransport {
    /// As they are.
    Plain,
    /// In TLS.
    Tls(Arc<DownstreamTls>),
}

/// What reads the bytes of a connection.
#[derive(Clone, Debug)]
pub enum NetworkFilter {
    /// HTTP.
    Http(Arc<HttpConnectionManager>),
    /// Any protocol, forwarded as it is.
    Tcp(Arc<TcpProxy>),
    /// Nothing: a chain without filters closes its connections.
    Close,
}

#[cfg(test)]
mod tests;
