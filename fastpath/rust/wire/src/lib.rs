//! Wire formats, sans I/O: bytes in, values out.
//!
//! Nothing here opens a socket, reads a clock or allocates per message. The same code runs in the worker, in the
//! fuzz targets and in the tests, so what is true of it there is true of it in production. It depends on nothing of
//! ours, knows no configuration and no policy: it says what the bytes mean, or that they mean nothing safe.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

pub mod http1;
pub mod http2;
pub mod http_sniff;
pub mod path;
pub mod proxy_protocol;
pub mod tls_hello;
