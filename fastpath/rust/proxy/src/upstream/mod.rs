//! Connections to upstreams: clusters, their endpoints, and the pools of connections to each.

mod cluster;
mod connect;
mod connection;
mod events;
mod host;
mod http1;
mod raw;
mod stream;

pub(crate) use cluster::{ClusterId, Clusters, UpdateContext};
pub(crate) use connection::{ResponseReader, Upstream, UpstreamPhase, UpstreamState};
pub(crate) use events::UpstreamFate;
pub(crate) use host::{Host, bump};
pub(crate) use stream::UpstreamStream;
