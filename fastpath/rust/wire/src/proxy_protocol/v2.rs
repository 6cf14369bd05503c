//! Version 2: signature, version and command, family and transport, length; then addresses and further fields.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

use super::{Addresses, Header, Peek, V2_HEAD, Version};

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

pub(super) fn read(received: &[u8]) -> Peek {
    const MALFORMED: Peek = Peek::Malformed(Version::V2);
    let [command, family, high, low] = received.get(12..V2_HEAD).unwrap_or_default() else {
        return Peek::Incomplete;
    };
    let end = V2_HEAD + (usize::from(*high) << 8 | usize::from(*low));
    let addresses = match (*command, *family) {
        (LOCAL, _) => 0,
        // Streams and datagrams are told apart by nobody here.
        (PROXY, 0x11 | 0x12) => 12,
        (PROXY, 0x21 | 0x22) => 36,
        _ => return MALFORMED,
    };
    if end < V2_HEAD + addresses {
        return MALFORMED;
    }
    let Some(whole) = received.get(..end) else { return Peek::Incomplete };
    // What a LOCAL header holds is to be skipped.
    if *command == LOCAL {
        return Peek::Header(Header { version: Version::V2, addresses: None, fields: Vec::new() }, end);
    }
    let at = V2_HEAD + addresses;
    match (ends(whole.get(V2_HEAD..at).unwrap_or_default()), fields(whole, at)) {
        (Some(addresses), Some(fields)) => {
            Peek::Header(Header { version: Version::V2, addresses: Some(addresses), fields }, end)
        }
        _ => MALFORMED,
    }
}

fn ends(block: &[u8]) -> Option<Addresses> {
    let len = match block.len() {
        12 => 4,
        _ => 16,
    };
    let (source, rest) = block.split_at_checked(len)?;
    let (destination, ports) = rest.split_at_checked(len)?;
    let [a, b, c, d] = <[u8; 4]>::try_from(ports).ok()?;
    Some(Addresses {
        source: SocketAddr::new(ip(source)?, u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(ip(destination)?, u16::from_be_bytes([c, d])),
    })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match <[u8; 4]>::try_from(bytes) {
        Ok(v4) => Some(Ipv4Addr::from(v4).into()),
        Err(_) => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
    }
}

/// The fields behind the addresses; `None` when the last one is cut short.
fn fields(header: &[u8], mut at: usize) -> Option<Vec<(u8, Range<usize>)>> {
    let mut found = Vec::new();
    while at < header.len() {
        let [kind, high, low] = *header.get(at..at + 3)? else { return None };
        let value = at + 3..at + 3 + (usize::from(high) << 8 | usize::from(low));
        header.get(value.clone())?;
        at = value.end;
        found.push((kind, value));
    }
    Some(found)
}
