//! Version 1: `PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n`.

use std::net::{IpAddr, SocketAddr};

use super::{Addresses, Header, Peek, V1_LONGEST, Version};

pub(super) fn read(received: &[u8]) -> Peek {
    let window = received.get(..V1_LONGEST.min(received.len())).unwrap_or_default();
    match memchr::memmem::find(window, b"\r\n") {
        Some(end) => match line(window.get(..end).unwrap_or_default()) {
            Some(addresses) => {
                Peek::Header(Header { version: Version::V1, addresses, fields: Vec::new() }, end + 2)
            }
            None => Peek::Malformed(Version::V1),
        },
        None if received.len() >= V1_LONGEST => Peek::Malformed(Version::V1),
        None => Peek::Incomplete,
    }
}

/// Outer `None`: malformed. Inner `None`: the sender does not know the ends.
fn line(line: &[u8]) -> Option<Option<Addresses>> {
    let mut words = std::str::from_utf8(line).ok()?.trim_ascii_end().split(' ').skip(1);
    let family = words.next()?;
    // Whatever follows UNKNOWN is to be ignored.
    if family == "UNKNOWN" {
        return Some(None);
    }
    let (source, destination) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let (source_port, destination_port) = (port(words.next()?)?, port(words.next()?)?);
    let agree = matches!(
        (family, source, destination),
        ("TCP4", IpAddr::V4(_), IpAddr::V4(_)) | ("TCP6", IpAddr::V6(_), IpAddr::V6(_))
    );
    if !agree || words.next().is_some() {
        return None;
    }
    Some(Some(Addresses {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    }))
}

fn port(digits: &str) -> Option<u16> {
    // `parse` alone would take a sign.
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}
