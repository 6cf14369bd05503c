//! Where a connection was going before it was redirected to us.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;

use meshloom_model::Address;
use meshloom_model::cluster::OriginalDestination;
use meshloom_model::ids::ListenerName;

use crate::exchange::Exchange;
use crate::listener::ListenerRuntime;

/// What a request's header says, and what its connection does.
pub(crate) enum Destination {
    At(SocketAddr),
    /// The header makes no sense; the connection may still tell.
    Malformed(Option<SocketAddr>),
    /// It was going to ourselves.
    Nowhere,
}

impl Destination {
    /// Of a request.
    pub(crate) fn of(
        exchange: &Exchange,
        spec: &OriginalDestination,
        listeners: &HashMap<ListenerName, Rc<ListenerRuntime>>,
    ) -> Self {
        let connection = redirected(exchange.info.local, listeners);
        let said = spec.header.as_ref().and_then(|name| {
            let value = exchange.request.fields.values(name.as_str()).next()?;
            Some(std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok()))
        });
        match (said, connection) {
            (Some(Some(address)), _) => Self::At(address),
            (Some(None), connection) => Self::Malformed(connection),
            (None, Some(address)) => Self::At(address),
            (None, None) => Self::Nowhere,
        }
    }
}

/// The address that a connection to `local` was going to: `None` where we listen ourselves, because sending it there
/// would only bring it back.
pub(crate) fn redirected(
    local: SocketAddr,
    listeners: &HashMap<ListenerName, Rc<ListenerRuntime>>,
) -> Option<SocketAddr> {
    let is_ours = |own: &Address| match own {
        Address::Ip(own) => {
            own.port() == local.port() && (own.ip().is_unspecified() || own.ip() == local.ip())
        }
        Address::Unix(_) => false,
    };
    let bound = listeners.values().filter(|listener| listener.spec.bind_to_port);
    let ours = bound.flat_map(|listener| listener.spec.addresses()).any(is_ours);
    (!ours).then_some(local)
}
