//! Host and authority: `uri-host [":" port]` (RFC 9110 7.2), no more.

use std::net::Ipv6Addr;

use super::{Span, chars};

/// Whether `authority` is a name, an IPv4 address or a bracketed IPv6 address, with or without a port.
///
/// Empty hosts, user information, empty ports and ports above 65535 are refused: none of them can be routed, and each
/// is read differently by different parsers. An empty port that was received is taken off before, by
/// [`without_empty_port`].
#[must_use]
pub fn is_valid(authority: &[u8]) -> bool {
    match split_port(authority) {
        Some((host, Some(port))) => is_host(host) && is_port(port),
        Some((host, None)) => is_host(host),
        None => false,
    }
}

/// The authority without the colon of an empty port. That is lawful (RFC 3986 3.2.3), but nothing to pass on: what it
/// means can be said without it, and not every reader would understand.
pub(crate) fn without_empty_port(authority: Span, buf: &[u8]) -> Span {
    let range = authority.range();
    match authority.of(buf) {
        [_, .., b':'] => Span::between(range.start, range.end - 1),
        _ => authority,
    }
}

/// Whether it is valid and has a port, as CONNECT demands (RFC 9110 9.3.6).
pub(crate) fn is_valid_with_port(authority: &[u8]) -> bool {
    is_valid(authority) && matches!(split_port(authority), Some((_, Some(_))))
}

/// The host, brackets included, and what follows its colon.
fn split_port(authority: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let end = match authority.first()? {
        b'[' => memchr::memchr(b']', authority)? + 1,
        _ => memchr::memchr(b':', authority).unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at_checked(end)?;
    match rest {
        [] => Some((host, None)),
        [b':', port @ ..] => Some((host, Some(port))),
        _ => None,
    }
}

fn is_host(host: &[u8]) -> bool {
    match host {
        [b'[', address @ .., b']'] => {
            std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
        }
        [] => false,
        name => name.iter().all(|byte| chars::is_host(*byte)),
    }
}

fn is_port(port: &[u8]) -> bool {
    let value = port.iter().try_fold(0u32, |sum, byte| match byte {
        b'0'..=b'9' => Some(sum * 10 + u32::from(byte - b'0')).filter(|sum| *sum <= 65_535),
        _ => None,
    });
    !port.is_empty() && port.len() <= 5 && value.is_some()
}

#[cfg(test)]
mod tests {
    use super::{is_valid, is_valid_with_port};

    #[test]
    fn names_and_addresses_are_hosts() {
        for host in
            ["a", "a.b-c_d", "shop:80", "127.0.0.1:8080", "[::1]", "[fe80::1]:443", "a:0", "a:65535", "A~"]
        {
            assert!(is_valid(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn everything_else_is_not() {
        let bad = [
            "",
            ":80",
            "a:",
            "a:abc",
            "a:80:90",
            "a:65536",
            "a:000080",
            "u@a",
            "a/b",
            "a b",
            "a,b",
            "[::1",
            "[::1]80",
            "[]",
            "[::1%eth0]",
            "a\0",
            "a%41",
            "a#",
            "a?",
            "[v1.x]",
            "::1",
            "é",
        ];
        for host in bad {
            assert!(!is_valid(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn connect_needs_a_port() {
        assert!(is_valid_with_port(b"a:443"));
        assert!(!is_valid_with_port(b"a"));
        assert!(is_valid_with_port(b"[::1]:443"));
    }
}
