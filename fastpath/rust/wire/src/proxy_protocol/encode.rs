//! Writing headers for a server behind us.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::{Addresses, V2_PREFIX};

/// The two addresses are of different families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ends of the connection have addresses of different families")]
pub struct NotRepresentable;

/// Header and fields do not fit into 65535 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a PROXY header has at most 65535 bytes behind its first 16")]
pub struct TooLong;

/// Appends a line of version 1; without addresses it says UNKNOWN.
pub fn write_v1(addresses: Option<&Addresses>, out: &mut Vec<u8>) -> Result<(), NotRepresentable> {
    let Some(Addresses { source, destination }) = addresses else {
        out.extend_from_slice(b"PROXY UNKNOWN\r\n");
        return Ok(());
    };
    let family = match (source, destination) {
        (SocketAddr::V4(_), SocketAddr::V4(_)) => "TCP4",
        (SocketAddr::V6(_), SocketAddr::V6(_)) => "TCP6",
        _ => return Err(NotRepresentable),
    };
    // A vector takes what is written to it.
    let _ = write!(
        out,
        "PROXY {family} {} {} {} {}\r\n",
        source.ip(),
        destination.ip(),
        source.port(),
        destination.port()
    );
    Ok(())
}

/// Appends a header of version 2; without addresses it says LOCAL. Ends of different families are both told as IPv6.
pub fn write_v2<'f>(
    addresses: Option<&Addresses>,
    fields: impl Iterator<Item = (u8, &'f [u8])>,
    out: &mut Vec<u8>,
) -> Result<(), TooLong> {
    let start = out.len();
    out.extend_from_slice(V2_PREFIX);
    match addresses {
        None => out.extend_from_slice(&[0x20, 0, 0, 0]),
        Some(Addresses { source, destination }) => {
            match (source.ip(), destination.ip()) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    out.extend_from_slice(&[0x21, 0x11, 0, 0]);
                    out.extend_from_slice(&from.octets());
                    out.extend_from_slice(&to.octets());
                }
                (from, to) => {
                    out.extend_from_slice(&[0x21, 0x21, 0, 0]);
                    out.extend_from_slice(&as_v6(from));
                    out.extend_from_slice(&as_v6(to));
                }
            }
            out.extend_from_slice(&source.port().to_be_bytes());
            out.extend_from_slice(&destination.port().to_be_bytes());
        }
    }
    for (kind, value) in fields {
        let Ok(len) = u16::try_from(value.len()) else { return give_up(start, out) };
        out.push(kind);
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(value);
    }
    let Ok(len) = u16::try_from(out.len() - start - 16) else { return give_up(start, out) };
    if let Some(place) = out.get_mut(start + 14..start + 16) {
        place.copy_from_slice(&len.to_be_bytes());
    }
    Ok(())
}

fn give_up(start: usize, out: &mut Vec<u8>) -> Result<(), TooLong> {
    out.truncate(start);
    Err(TooLong)
}

fn as_v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}
