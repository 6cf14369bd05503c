//! Telling an upstream by the PROXY protocol whose connection it serves.

use crate::listener_filter::TlvTypes;

/// The header that an upstream connection begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Version 2; else 1.
    pub binary: bool,
    /// Fields of the client's own header that are told.
    pub passed: TlvTypes,
    /// Fields of ours: type and value.
    pub added: Box<[(u8, Box<[u8]>)]>,
    /// Ends that version 1 cannot tell are told as unknown, instead of failing the connection.
    pub allow_unspecified: bool,
}
