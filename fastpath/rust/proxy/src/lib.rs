//! The data-path worker: one thread, one edge-triggered loop, every byte of traffic.
//!
//! ```text
//!   epoll ─► engine ─► downstream (HTTP/1, HTTP/2) ─► exchange ─► upstream (pools; HTTP/1, HTTP/2) ─► sockets
//!                          ▲                              │                    │
//!                          └────────── response ◄─────────┴────────────────────┘
//! ```
//!
//! * [`reactor`](crate) knows descriptors, slots and timers; `transport` and `tls` move bytes; `codec` writes HTTP/1. HTTP/2
//!   is framed by `meshloom_wire`. `tcp` passes bytes on as they are.
//! * An *exchange* is a request with its response. It knows no HTTP version: the two sides hand it heads and pieces of
//!   bodies, and take heads and pieces from it (`downstream/seam.rs`, `upstream/stream.rs`).
//! * Connections and exchanges live in slabs and name each other by tokens that go stale with their tenant. A tenant is
//!   taken out of its slot while it is worked on, so that the compiler sees who may touch what.
//! * Bytes that an event produces are gathered and leave in one send at its end.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod codec;
mod control;
mod diag;
mod downstream;
mod engine;
mod exchange;
mod health;
mod listener;
mod log;
mod message;
mod overload;
mod reactor;
mod reply;
mod tcp;
mod telemetry;
mod tls;
mod transport;
mod upstream;
mod util;
mod worker;

pub use control::{InvalidSettings, ListenerFd, Settings};
pub use overload::OverloadSettings;
pub use worker::{Exit, run};
