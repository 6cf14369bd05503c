//! The data-path worker: one thread, one edge-triggered loop, every byte of traffic.
#![forbid(unsafe_code)]

mod reactor;
