//! The data-path worker: one thread, one edge-triggered loop, every byte of traffic.
#![forbid(unsafe_code)]

mod control;
mod log;
mod reactor;
mod tls;
mod transport;
mod util;
