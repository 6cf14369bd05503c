//! Listeners: where we listen, and what becomes of a connection.

use std::sync::Arc;
use std::time::Duration;

use crate::access_log::AccessLog;
use crate::address::Address;
use crate::filter_chain::{ChainMatcher, ConnectionFacts, FilterChain};
use crate::ids::ListenerName;
use crate::listener_filter::ListenerFilter;

/// Where we listen, and what becomes of a connection.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name.
    pub name: ListenerName,
    /// Its sockets; there is one at least. All share everything below.
    pub listens: Box<[Listen]>,
    /// `false`: nothing is bound. The listener takes connections that another accepted for its address.
    pub bind_to_port: bool,
    /// Connections to any address may arrive here (`IP_TRANSPARENT`).
    pub transparent: bool,
    /// A connection that was redirected here belongs to the listener of its original destination address.
    pub use_original_dst: bool,
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
    /// What is found out about a connection before its filter chain is chosen, in this order.
    pub filters: Box<[ListenerFilter]>,
    /// How long that may take (15 s unless set); `None` is no limit.
    pub filters_timeout: Option<Duration>,
    /// When it took too long, go on with what is known, instead of closing.
    pub continue_on_filters_timeout: bool,
    /// Logs of connections, also of those that no filter chain takes.
    pub access_logs: Box<[AccessLog]>,
    /// Everything but the filter chains. Versions that have it in common differ in filter chains only, and connections
    /// on those that both have live on.
    pub shape: Fingerprint,
    /// Chooses among `chains`.
    pub(crate) matcher: ChainMatcher,
    /// In the order of the configuration.
    pub(crate) chains: Box<[Arc<FilterChain>]>,
    /// What takes a connection that no other chain takes.
    pub(crate) default_chain: Option<Arc<FilterChain>>,
}

/// A socket to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub address: Address,
    /// Connections that may wait to be accepted.
    pub backlog: u32,
    /// An IPv6 socket takes IPv4 connections too.
    pub ipv4_compat: bool,
    /// Permissions of a Unix socket's path; 0 leaves them to the process's umask.
    pub mode: u32,
    /// What to set on it.
    pub options: Box<[SocketOption]>,
}

/// A socket option in the kernel's numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOption {
    /// `SOL_SOCKET`, `IPPROTO_TCP` and so on.
    pub level: i32,
    /// Its number there.
    pub name: i32,
    /// Its value as the kernel takes it.
    pub value: Box<[u8]>,
    /// When it is set.
    pub when: OptionTime,
}

/// When a socket option is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionTime {
    /// Before `bind`.
    BeforeBind,
    /// After `bind`, before `listen`.
    Bound,
    /// After `listen`.
    Listening,
}

/// Stands for a part of the configuration: equal parts have equal ones, and others do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub(crate) [u64; 2]);

impl Listener {
    /// The position in [`Self::chains`] of the filter chain for a connection; `None` means that it is closed.
    pub fn choose(&self, connection: &ConnectionFacts<'_>) -> Option<usize> {
        let default = || self.default_chain.as_ref().map(|_| self.chains.len());
        self.matcher.choose(connection).or_else(default)
    }

    /// All filter chains, the default one last.
    pub fn chains(&self) -> impl Iterator<Item = &Arc<FilterChain>> {
        self.chains.iter().chain(&self.default_chain)
    }

    /// Addresses to listen on.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.listens.iter().map(|listen| &listen.address)
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
