//! Which filter chain takes a connection, in Envoy's order of precedence.
//!
//! Criteria are looked at one after the other: destination port, destination address, server name, transport protocol,
//! application protocol, directly connected address, source type, source address, source port. At each, only the chains
//! with the most specific value that fits the connection stay in the race; there is no way back. So a chain for
//! `a.example` that then fails on its transport protocol does not give way to one for `*.example`.
//!
//! Ports and server names, of which there may be thousands, are looked up; the rest is a scan of the few chains left.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::IpPrefix;

/// What is known of a connection when its filter chain is chosen.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionFacts<'c> {
    /// Where it was going (after a redirect: originally). `None` for a Unix socket.
    pub destination: Option<SocketAddr>,
    /// Server name of the ClientHello in lower case; empty when there is none.
    pub server_name: &'c str,
    /// `tls` or `raw_buffer`.
    pub transport_protocol: &'c str,
    /// Application protocols that the client offers, in its order.
    pub application_protocols: &'c [&'c [u8]],
    /// Who connected to us.
    pub direct_source: Option<SocketAddr>,
    /// Whose connection it is, when someone in between said so; else the same.
    pub source: Option<SocketAddr>,
}

/// Which connections a chain takes. An empty list takes all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChainMatch {
    /// Destination port.
    pub destination_port: Option<u16>,
    /// Destination addresses.
    pub destination: Box<[IpPrefix]>,
    /// Server names.
    pub server_names: Box<[ServerName]>,
    /// `tls` or `raw_buffer`.
    pub transport_protocol: Option<Box<str>>,
    /// Application protocols, any of which the client must offer.
    pub application_protocols: Box<[Box<[u8]>]>,
    /// Addresses of the peer.
    pub direct_source: Box<[IpPrefix]>,
    /// From this machine, or not.
    pub source_type: SourceType,
    /// Addresses of the client.
    pub source: Box<[IpPrefix]>,
    /// Ports of the client.
    pub source_ports: Box<[u16]>,
}

/// A server name to match.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerName {
    /// This name, in lower case.
    Exact(Box<str>),
    /// Every name that ends with this, which begins with a dot.
    Suffix(Box<str>),
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceType {
    /// Anywhere.
    #[default]
    Any,
    /// The same machine: a loopback address, or the address it connected to.
    Local,
    /// Another machine.
    External,
}

/// Two chains would take the same connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverlappingChains(pub usize, pub usize);

/// Chooses among the chains of a listener.
#[derive(Clone, Debug, Default)]
pub struct ChainMatcher {
    chains: Box<[ChainMatch]>,
    by_port: HashMap<u16, ByName>,
    any_port: ByName,
}

/// Positions of chains by server name. A chain with several destination addresses is in here once.
#[derive(Clone, Debug, Default)]
struct ByName {
    all: Vec<usize>,
    /// Whether some chain names destination addresses, which come before server names.
    by_address: bool,
    exact: HashMap<Box<str>, Vec<usize>>,
    suffix: HashMap<Box<str>, Vec<usize>>,
    unnamed: Vec<usize>,
}

impl ChainMatcher {
    /// Takes the matches of all chains but the default one, in order.
    pub fn new(chains: Vec<ChainMatch>) -> Result<Self, OverlappingChains> {
        let mut matcher = Self { chains: chains.into(), ..Self::default() };
        for (position, chain) in matcher.chains.iter().enumerate() {
            let group = match chain.destination_port {
                Some(port) => matcher.by_port.entry(port).or_default(),
                None => &mut matcher.any_port,
            };
            group.add(position, chain);
        }
        for group in matcher.by_port.values().chain([&matcher.any_port]) {
            group.check(&matcher.chains)?;
        }
        Ok(matcher)
    }

    /// The position of the chain that takes the connection.
    pub fn choose(&self, connection: &ConnectionFacts<'_>) -> Option<usize> {
        let port = connection.destination.map(|address| address.port());
        let group = port.and_then(|port| self.by_port.get(&port)).unwrap_or(&self.any_port);
        let left = match group.by_address {
            true => self
                .by_name_of(self.nearest(&group.all, connection.destination, |c| &c.destination), connection),
            false => group.named(connection.server_name).to_vec(),
        };
        let left = self.by_transport(left, connection.transport_protocol);
        let left = self.by_application(left, connection.application_protocols);
        let left = self.nearest(&left, connection.direct_source, |chain| &chain.direct_source);
        let left = self.by_source_type(left, connection);
        let left = self.nearest(&left, connection.source, |chain| &chain.source);
        self.by_source_port(&left, connection.source)
    }

    fn matches(&self, positions: &[usize]) -> impl Iterator<Item = (usize, &ChainMatch)> {
        positions.iter().filter_map(|position| Some((*position, self.chains.get(*position)?)))
    }

    /// Keeps the chains that pass, or if there is none, those that pass `otherwise`.
    fn keep(
        &self,
        positions: &[usize],
        test: impl Fn(&ChainMatch) -> bool,
        otherwise: impl Fn(&ChainMatch) -> bool,
    ) -> Vec<usize> {
        let kept: Vec<usize> = self.matches(positions).filter(|(_, c)| test(c)).map(|(p, _)| p).collect();
        match kept.is_empty() {
            true => self.matches(positions).filter(|(_, c)| otherwise(c)).map(|(p, _)| p).collect(),
            false => kept,
        }
    }

    /// Keeps the chains with the longest prefix that holds the address.
    fn nearest(
        &self,
        positions: &[usize],
        address: Option<SocketAddr>,
        prefixes: impl Fn(&ChainMatch) -> &[IpPrefix],
    ) -> Vec<usize> {
        let longest = |chain: &ChainMatch| address.and_then(|address| longest(prefixes(chain), address.ip()));
        let best = self.matches(positions).filter_map(|(_, chain)| longest(chain)).max();
        self.keep(
            positions,
            |chain| best.is_some() && longest(chain) == best,
            |chain| prefixes(chain).is_empty(),
        )
    }

    fn by_name_of(&self, positions: Vec<usize>, connection: &ConnectionFacts<'_>) -> Vec<usize> {
        let mut group = ByName::default();
        for (position, chain) in self.matches(&positions) {
            group.add(position, chain);
        }
        group.named(connection.server_name).to_vec()
    }

    fn by_transport(&self, positions: Vec<usize>, protocol: &str) -> Vec<usize> {
        let wanted = |chain: &ChainMatch| chain.transport_protocol.as_deref() == Some(protocol);
        self.keep(&positions, wanted, |chain| chain.transport_protocol.is_none())
    }

    /// The client's first protocol that any chain has decides.
    fn by_application(&self, positions: Vec<usize>, offered: &[&[u8]]) -> Vec<usize> {
        let has = |chain: &ChainMatch, protocol: &[u8]| {
            chain.application_protocols.iter().any(|have| **have == *protocol)
        };
        let decisive =
            offered.iter().find(|protocol| self.matches(&positions).any(|(_, chain)| has(chain, protocol)));
        self.keep(
            &positions,
            |chain| decisive.is_some_and(|protocol| has(chain, protocol)),
            |chain| chain.application_protocols.is_empty(),
        )
    }

    fn by_source_type(&self, positions: Vec<usize>, connection: &ConnectionFacts<'_>) -> Vec<usize> {
        let source_type = if is_local(connection) { SourceType::Local } else { SourceType::External };
        self.keep(
            &positions,
            |chain| chain.source_type == source_type,
            |chain| chain.source_type == SourceType::Any,
        )
    }

    fn by_source_port(&self, positions: &[usize], source: Option<SocketAddr>) -> Option<usize> {
        let has =
            |chain: &ChainMatch| source.is_some_and(|source| chain.source_ports.contains(&source.port()));
        self.keep(positions, has, |chain| chain.source_ports.is_empty()).first().copied()
    }
}

fn longest(prefixes: &[IpPrefix], address: IpAddr) -> Option<u8> {
    prefixes.iter().filter(|prefix| prefix.contains(address)).map(IpPrefix::len).max()
}

fn is_local(connection: &ConnectionFacts<'_>) -> bool {
    match (connection.source, connection.destination) {
        (Some(source), Some(destination)) => source.ip().is_loopback() || source.ip() == destination.ip(),
        _ => true,
    }
}

impl ByName {
    fn add(&mut self, position: usize, chain: &ChainMatch) {
        self.all.push(position);
        self.by_address |= !chain.destination.is_empty();
        if chain.server_names.is_empty() {
            self.unnamed.push(position);
        }
        for name in &chain.server_names {
            let positions = match name {
                ServerName::Exact(name) => self.exact.entry(name.clone()).or_default(),
                ServerName::Suffix(suffix) => self.suffix.entry(suffix.clone()).or_default(),
            };
            positions.push(position);
        }
    }

    /// The chains with the most specific server name.
    fn named(&self, server_name: &str) -> &[usize] {
        if let Some(exact) = self.exact.get(server_name) {
            return exact;
        }
        let dots = server_name.match_indices('.').map(|(at, _)| at).filter(|at| *at > 0);
        let mut suffixes = dots.filter_map(|at| self.suffix.get(server_name.get(at..)?));
        suffixes.next().unwrap_or(&self.unnamed)
    }

    fn check(&self, chains: &[ChainMatch]) -> Result<(), OverlappingChains> {
        for group in self.exact.values().chain(self.suffix.values()).chain([&self.unnamed]) {
            for (nth, first) in group.iter().enumerate() {
                for second in group.iter().skip(nth + 1) {
                    if overlap(chains.get(*first), chains.get(*second)) {
                        return Err(OverlappingChains(*first, *second));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Do two chains of the same port and server name have a value in common at every other criterion?
fn overlap(first: Option<&ChainMatch>, second: Option<&ChainMatch>) -> bool {
    let (Some(first), Some(second)) = (first, second) else { return false };
    shared(&first.destination, &second.destination)
        && first.transport_protocol == second.transport_protocol
        && shared(&first.application_protocols, &second.application_protocols)
        && shared(&first.direct_source, &second.direct_source)
        && first.source_type == second.source_type
        && shared(&first.source, &second.source)
        && shared(&first.source_ports, &second.source_ports)
}

/// Two lists share a value; "any" is a value too.
fn shared<T: PartialEq>(first: &[T], second: &[T]) -> bool {
    match (first, second) {
        ([], []) => true,
        _ => first.iter().any(|value| second.contains(value)),
    }
}
