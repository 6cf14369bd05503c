//! From Envoy's resources to what the engine runs on.
//!
//! A resource arrives as protobuf bytes and is compiled into one of the types here: everything is checked, every default
//! is filled in, every name is resolved to an index, every regular expression is compiled. After that nothing is checked
//! again. The types are immutable and shared by `Arc`; a [`Snapshot`] holds all of them at one moment.
//!
//! This crate does no I/O, reads no clock and draws no random numbers.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod access_log;
pub mod address;
pub mod cluster;
mod compile;
pub mod endpoint;
pub mod filter;
pub mod filter_chain;
pub mod flags;
pub mod hcm;
pub mod header_case;
pub mod headers;
pub mod health;
pub mod http2;
pub mod ids;
pub mod listener;
pub mod listener_filter;
pub mod local_reply;
pub mod matcher;
pub mod proxy_header;
pub mod regex;
pub mod route;
pub mod snapshot;
pub mod subset;
pub mod tcp;
pub mod template;
pub mod tls;
pub mod upgrade;

pub use access_log::AccessLog;
pub use address::Address;
pub use cluster::Cluster;
pub use compile::{Compiler, DnsSummary, Outcome, Rejected, ResourceSummary, summarise};
pub use endpoint::{Endpoint, Endpoints};
pub use flags::{ResponseFlag, ResponseFlags};
pub use hcm::HttpConnectionManager;
pub use ids::{AssignmentIndex, ClusterIndex, RouteTableIndex, SecretIndex};
pub use listener::{Listen, Listener};
pub use route::RouteTable;
pub use snapshot::Snapshot;
