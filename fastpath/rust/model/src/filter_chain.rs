//! Filter chains: TLS and the network filter of a connection, and which connections they take.

use std::sync::Arc;
use std::time::Duration;

use crate::hcm::HttpConnectionManager;
use crate::listener::Fingerprint;
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
    /// Stands for all of it, its match included.
    pub fingerprint: Fingerprint,
    /// How many connections it takes at a time.
    pub limits: Box<[ConnectionLimit]>,
    /// How bytes travel.
    pub transport: DownstreamTransport,
    /// How long the TLS handshake may take. Envoy has no limit unless set; here it is 10 s.
    pub handshake_timeout: Option<Duration>,
    /// What reads the bytes.
    pub filter: NetworkFilter,
}

/// How many connections a filter chain takes at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimit {
    /// Statistics are kept under `connection_limit.<stat_prefix>.`.
    pub stat_prefix: Arc<str>,
    /// Connections of all workers together; each takes its share.
    pub max_connections: u64,
    /// A connection too many is closed after so long.
    pub delay: Duration,
    /// Whether it is in force.
    pub enabled: bool,
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
