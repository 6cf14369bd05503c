//! Listeners: where we listen, and what becomes of a connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::filter_chain::{ChainMatcher, ConnectionFacts, FilterChain};
use crate::ids::ListenerName;

/// Where we listen, and what becomes of a connection.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name.
    pub name: ListenerName,
    /// Its addresses; there is one at least. All share everything below.
    pub addresses: Box<[Address]>,
    /// `false`: nothing is bound. The listener takes connections that another accepted for its address.
    pub bind_to_port: bool,
    /// A connection that was redirected here belongs to the listener of its original destination address.
    pub use_original_dst: bool,
    /// Connections that may wait to be accepted.
    pub backlog: u32,
    /// Statistics are kept under `listener.<this>.`.
    pub stat_prefix: Option<Arc<str>>,
    /// From whose side the workload sees this traffic.
    pub direction: TrafficDirection,
    /// Bytes that may be buffered for one connection in each direction.
    pub buffer_limit: u32,
    /// The overload manager takes nothing from its connections.
    pub bypass_overload: bool,
    /// Its connections are taken even beyond the limit on all connections.
    pub ignore_global_limit: bool,
    /// What is found out about a connection before its filter chain is chosen.
    pub filters: ListenerFilters,
    /// How long that may take (15 s unless set); `None` is no limit.
    pub filters_timeout: Option<Duration>,
    /// When it took too long, go on with what is known, instead of closing.
    pub continue_on_filters_timeout: bool,
    /// Chooses among `chains`.
    pub(crate) matcher: ChainMatcher,
    /// In the order of the configuration.
    pub(crate) chains: Box<[Arc<FilterChain>]>,
    /// What takes a connection that no other chain takes.
    pub(crate) default_chain: Option<Arc<FilterChain>>,
}

impl Listener {
    /// The filter chain for a connection; `None` means that it is closed.
    pub fn chain(&self, connection: &ConnectionFacts<'_>) -> Option<&Arc<FilterChain>> {
        let chosen = self.matcher.choose(connection).and_then(|position| self.chains.get(position));
        chosen.or(self.default_chain.as_ref())
    }

    /// All filter chains, the default one last.
    pub fn chains(&self) -> impl Iterator<Item = &Arc<FilterChain>> {
        self.chains.iter().chain(&self.default_chain)
    }

    /// IP addresses to listen on.
    pub fn sockets(&self) -> impl Iterator<Item = SocketAddr> {
        self.addresses.iter().filter_map(|address| match address {
            Address::Ip(socket) => Some(*socket),
            Address::Unix(_) => None,
        })
    }
}

/// From whose side the workload sees the traffic of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrafficDirection {
    /// Not said (a gateway).
    #[default]
    Unspecified,
    /// To the workload.
    Inbound,
    /// From the workload.
    Outbound,
}

/// What is found out about a connection before its filter chain is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerFilters {
    /// Read the ClientHello, if there is one: transport protocol, server name and application protocols.
    pub tls_inspector: bool,
    /// Ask the kernel where a redirected connection was going.
    pub original_dst: bool,
}
