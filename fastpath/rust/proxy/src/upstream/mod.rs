//! Connections to upstreams: clusters, their endpoints, and the pools of connections to each.

mod choose;
mod cluster;
mod connect;
mod connection;
mod destination;
mod events;
mod host;
mod http1;
mod original;
mod raw;
mod stream;

pub(crate) use choose::Want;
pub(crate) use cluster::{ClusterId, Clusters, UpdateContext};
pub(crate) use connection::{ResponseReader, Upstream, UpstreamPhase, UpstreamState};
pub(crate) use destination::{Destination, redirected};
pub(crate) use events::UpstreamFate;
pub(crate) use host::{Host, bump};
pub(crate) use stream::UpstreamStream;
