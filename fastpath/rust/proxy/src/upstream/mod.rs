//! Connections to upstreams: clusters, their endpoints, and the pools of connections to each.

mod choose;
mod cluster;
mod clusters;
mod connect;
mod connection;
mod destination;
mod events;
mod host;
mod http1;
mod http2;
mod original;
mod pool;
mod pools;
mod proxy_header;
mod quota;
mod raw;
mod response;
mod stream;
mod update;

pub(crate) use choose::Want;
pub(crate) use cluster::ClusterId;
pub(crate) use clusters::Clusters;
pub(crate) use connect::source_for;
pub(crate) use connection::{Upstream, UpstreamPhase, UpstreamState};
pub(crate) use destination::{Destination, redirected};
pub(crate) use events::UpstreamFate;
pub(crate) use host::{Host, bump};
pub(crate) use http2::Http2;
pub(crate) use pool::Unreachable;
pub(crate) use pools::{Lane, Own, Speaks};
pub(crate) use quota::SharedLimits;
pub(crate) use stream::UpstreamStream;
pub(crate) use update::UpdateContext;

/// Interim responses to one request. More than this is an attack on us or on the client.
const MAX_INTERIM: u32 = 100;
