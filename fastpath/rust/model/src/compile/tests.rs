//! Tests of the compilers, by kind of resource.

mod access_log;
mod cluster;
mod endpoint;
mod hcm;
mod header_case;
mod http2;
mod listener;
mod route;
mod support;
mod tls;
mod update;
mod upgrade;
