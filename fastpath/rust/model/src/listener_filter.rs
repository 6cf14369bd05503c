//! What is found out about a connection before its filter chain is chosen.

use std::sync::Arc;

/// One listener filter, in its place.
#[derive(Clone, Debug)]
pub struct ListenerFilter {
    /// Connections that pass it by; none when not given.
    pub disabled: Option<ConnectionPredicate>,
    /// What it does.
    pub kind: ListenerFilterKind,
}

/// What a listener filter does.
#[derive(Clone, Debug)]
pub enum ListenerFilterKind {
    /// Reads the ClientHello, if there is one: transport protocol, server name and application protocols.
    TlsInspector(TlsInspector),
    /// Tells HTTP, and which version, by the first bytes.
    HttpInspector,
    /// Asks the kernel where a redirected connection was going.
    OriginalDestination,
    /// Takes the client's word from whoever accepted the connection before us.
    ProxyProtocol(Arc<ProxyProtocol>),
}

/// Bounds of the TLS inspector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsInspector {
    /// Longest ClientHello in bytes (16 KiB unless set); a connection with a longer one is closed.
    pub max_hello: usize,
    /// What begins as TLS and then goes wrong is closed, instead of being taken as something else.
    pub close_on_errors: bool,
}

/// How PROXY headers are taken.
#[derive(Clone, Debug, Default)]
pub struct ProxyProtocol {
    /// Connections without a header are served as what they are, instead of being closed.
    pub optional: bool,
    /// Version 1 is not known.
    pub no_v1: bool,
    /// Version 2 is not known.
    pub no_v2: bool,
    /// Statistics are kept under `proxy_proto.<this>.`; empty for `proxy_proto.`.
    pub stat_prefix: Arc<str>,
    /// Fields of the header that may be told to an upstream.
    pub passed: TlvTypes,
}

/// Types of the further fields of a PROXY header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TlvTypes {
    /// Every one.
    All,
    /// These only.
    These(Box<[u8]>),
    /// Not any.
    #[default]
    None,
}

impl TlvTypes {
    /// Is this type among them?
    pub fn contains(&self, kind: u8) -> bool {
        match self {
            Self::All => true,
            Self::These(kinds) => kinds.contains(&kind),
            Self::None => false,
        }
    }
}

/// Tells connections apart by the port they were going to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionPredicate {
    /// Everything.
    Any,
    /// One of these at least.
    Or(Box<[ConnectionPredicate]>),
    /// All of these.
    And(Box<[ConnectionPredicate]>),
    /// Whatever this does not take.
    Not(Box<ConnectionPredicate>),
    /// Destination ports, from the first to before the second.
    DestinationPort(i32, i32),
}

impl ConnectionPredicate {
    /// Does it take a connection to this port? A Unix socket has none.
    pub fn takes(&self, port: Option<u16>) -> bool {
        match self {
            Self::Any => true,
            Self::Or(any) => any.iter().any(|one| one.takes(port)),
            Self::And(all) => all.iter().all(|one| one.takes(port)),
            Self::Not(inner) => !inner.takes(port),
            Self::DestinationPort(from, to) => port.is_some_and(|port| (*from..*to).contains(&port.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predicates_tell_ports_apart() {
        let well_known = ConnectionPredicate::DestinationPort(1, 1024);
        let not = ConnectionPredicate::Not(Box::new(well_known.clone()));

        assert!(well_known.takes(Some(1023)) && !well_known.takes(Some(1024)) && !well_known.takes(None));
        assert!(not.takes(Some(1024)) && not.takes(None));
        assert!(ConnectionPredicate::Or([well_known.clone(), not.clone()].into()).takes(Some(1)));
        assert!(!ConnectionPredicate::And([well_known, not].into()).takes(Some(1)));
    }
}
