//! Listeners as this worker runs them: sockets, and per filter chain what was resolved when the snapshot came.

mod accept;
mod runtime;

pub(crate) use accept::ListenSocket;
pub(crate) use runtime::{
    BuildContext, ChainKind, ChainRuntime, FaultFilter, HttpChain, ListenerRuntime, TcpChain, socket_address,
};
