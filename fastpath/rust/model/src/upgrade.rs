//! Which requests may turn their connection into a tunnel: `Upgrade` (RFC 9110 7.8) and CONNECT (9.3.6).

use std::sync::Arc;

use crate::proxy_header::ProxyHeader;

/// What one level of the configuration says of upgrades, each kind once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upgrades(Box<[Upgrade]>);

/// One kind of upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The protocol, such as `websocket`; `CONNECT` stands for that method. Compared without regard to case.
    pub kind: Box<str>,
    /// Let through, or refused.
    pub allowed: bool,
    /// Of CONNECT: it ends here, and its bytes go to the upstream as they are. Otherwise the upstream gets a CONNECT.
    pub terminate: Option<Termination>,
}

/// How a CONNECT ends here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Termination {
    /// What tells the upstream whose connection it serves, before the tunnel's bytes.
    pub header: Option<Arc<ProxyHeader>>,
}

/// The kind under which CONNECT is configured.
pub const CONNECT: &str = "CONNECT";

impl Upgrades {
    /// Several kinds. Gives the position of one that is there twice.
    pub fn new(all: Vec<Upgrade>) -> Result<Self, usize> {
        let twice = all
            .iter()
            .enumerate()
            .find(|(nth, one)| all.iter().take(*nth).any(|other| other.kind.eq_ignore_ascii_case(&one.kind)));
        match twice {
            Some((nth, _)) => Err(nth),
            None => Ok(Self(all.into())),
        }
    }

    /// What is said of a kind.
    pub fn get(&self, kind: &[u8]) -> Option<&Upgrade> {
        self.0.iter().find(|upgrade| upgrade.kind.as_bytes().eq_ignore_ascii_case(kind))
    }

    /// May a request be upgraded? The route's word goes before the connection manager's.
    pub fn allow(manager: &Self, route: &Self, kind: &[u8]) -> bool {
        route.get(kind).or_else(|| manager.get(kind)).is_some_and(|upgrade| upgrade.allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kind: &str, allowed: bool) -> Upgrade {
        Upgrade { kind: kind.into(), allowed, terminate: None }
    }

    #[test]
    fn the_routes_word_goes_first() {
        let manager = Upgrades::new(vec![one("websocket", true), one("foo", false)]).expect("different");
        let route = Upgrades::new(vec![one("WebSocket", false), one("Foo", true)]).expect("different");
        assert!(Upgrades::allow(&manager, &Upgrades::default(), b"WEBSOCKET"));
        assert!(!Upgrades::allow(&manager, &route, b"websocket"));
        assert!(Upgrades::allow(&manager, &route, b"foo"));
        assert!(!Upgrades::allow(&manager, &route, b"bar"));
    }

    #[test]
    fn a_kind_is_given_once() {
        assert_eq!(Upgrades::new(vec![one("a", true), one("A", true)]), Err(1));
    }
}
