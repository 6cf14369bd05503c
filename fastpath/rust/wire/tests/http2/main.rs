//! HTTP/2, by what the bytes of a peer lead to.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../../examples/http2_events/driver.rs"]
mod driver;
mod floods;
mod flow;
mod hpack;
mod peer;
mod requests;
mod responses;
mod roundtrip;
mod splits;
mod streams;
