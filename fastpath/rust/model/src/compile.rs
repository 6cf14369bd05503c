//! From resources to the types of this crate: the one place that decides what a resource means.
//!
//! Each file compiles one kind of thing. A function takes the message apart exhaustively, so that a field added to
//! `fields.txt` does not compile until it is given a meaning here.

mod access_log;
mod action;
mod bind;
mod cluster;
mod context;
mod endpoint;
mod fault;
mod filter_chain;
mod hash_policy;
mod hcm;
mod header;
mod header_case;
mod health;
mod http2;
mod http_filter;
mod http_upstream;
mod listener;
mod listener_filter;
mod load_balance;
mod local_reply;
mod matching;
mod outlier;
mod overrides;
mod parts;
mod path;
mod pem;
mod proxy_header;
mod retry;
mod route;
mod secret;
mod subset;
mod summary;
mod tcp;
mod tls;
mod types;
mod update;
mod upgrade;

pub use summary::{DnsSummary, ResourceSummary, summarise};
pub use update::{Compiler, Outcome, Rejected};

#[cfg(test)]
mod tests;
