//! Listeners as this worker runs them: sockets, and per filter chain what was resolved when the snapshot came.

mod accept;
mod destinations;
mod inspect;
mod limit;
mod runtime;
mod updates;

pub(crate) use accept::{ListenSocket, Spare};
pub(crate) use destinations::Destinations;
pub(crate) use inspect::Inspection;
pub(crate) use runtime::{
    BuildContext, ChainKind, ChainRuntime, FaultFilter, HttpChain, ListenerRuntime, LogTarget, TcpChain,
    socket_address,
};
pub(crate) use updates::Drains;
