//! Which listener stands for an address: connections that were redirected to us are handed to the listener of the address
//! they were going to.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

use meshloom_model::Address;

use super::ListenerRuntime;

/// Listeners by the addresses they stand for.
#[derive(Default)]
pub(crate) struct Destinations(HashMap<SocketAddr, Rc<ListenerRuntime>>);

impl Destinations {
    pub(crate) fn of<'l>(listeners: impl Iterator<Item = &'l Rc<ListenerRuntime>>) -> Self {
        let mut made = HashMap::new();
        for listener in listeners {
            for listen in &listener.spec.listens {
                let Address::Ip(address) = listen.address else { continue };
                made.insert(address, Rc::clone(listener));
                if listen.ipv4_compat && address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
                    made.entry(any_v4(address.port())).or_insert_with(|| Rc::clone(listener));
                }
            }
        }
        Self(made)
    }

    /// The listener at this very address, else one at every address of its family.
    pub(crate) fn find(&self, destination: SocketAddr) -> Option<&Rc<ListenerRuntime>> {
        let any = match destination {
            SocketAddr::V4(_) => any_v4(destination.port()),
            SocketAddr::V6(_) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), destination.port()),
        };
        self.0.get(&destination).or_else(|| self.0.get(&any))
    }
}

fn any_v4(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)
}
