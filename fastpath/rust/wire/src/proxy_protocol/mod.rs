//! The PROXY protocol, versions 1 and 2: who really connected, told by whoever accepted the connection before us
//! (<https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>).
//!
//! Reading is strict where the specification leaves a choice, and refuses what Envoy refuses: families and transports that
//! carry no IP addresses, lengths that do not add up.

mod encode;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use std::net::SocketAddr;
use std::ops::Range;

pub use encode::{NotRepresentable, TooLong, write_v1, write_v2};

/// First bytes of version 1.
const V1_PREFIX: &[u8; 6] = b"PROXY ";
/// First bytes of version 2: no protocol that people speak begins so.
const V2_PREFIX: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length.
const V2_HEAD: usize = 16;
/// Longest line of version 1, its end included.
const V1_LONGEST: usize = 107;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary, with room for more than addresses.
    V2,
}

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub enum Peek {
    /// More bytes are needed to tell.
    Incomplete,
    /// Neither version begins like this.
    Absent,
    /// A whole header, and how many bytes it took.
    Header(Header, usize),
    /// It begins as this version does, and then goes wrong.
    Malformed(Version),
}

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// How it was said.
    pub version: Version,
    /// On whose behalf; `None` for a connection that the sender made for itself, or whose ends it does not know.
    pub addresses: Option<Addresses>,
    /// Where in the bytes the type-length-value fields of version 2 are: type, and range of the value.
    pub fields: Vec<(u8, Range<usize>)>,
}

/// The ends of the connection that was proxied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Who connected.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
}

/// Looks at everything that has been received so far.
pub fn peek(received: &[u8]) -> Peek {
    if begins(received, V2_PREFIX) {
        return if received.len() < V2_HEAD { Peek::Incomplete } else { v2::read(received) };
    }
    if begins(received, V1_PREFIX) {
        return if received.len() < V1_PREFIX.len() { Peek::Incomplete } else { v1::read(received) };
    }
    Peek::Absent
}

/// As far as there are bytes, are they those of the prefix?
fn begins(received: &[u8], prefix: &[u8]) -> bool {
    received.iter().zip(prefix).all(|(have, want)| have == want)
}
