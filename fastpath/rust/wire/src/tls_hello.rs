//! Looks into a TLS ClientHello without consuming it: server name and application protocols (RFC 8446 4.1.2,
//! RFC 6066 3, RFC 7301), for listeners that choose what to do with a connection before anybody terminates it.

use std::borrow::Cow;

/// Longest hello that is looked at unless told otherwise. (rustls has the same limit.)
pub const MAX_HELLO: usize = 64 * 1024;
const RECORD_HEADER: usize = 5;
const MAX_RECORD: usize = 16 * 1024 + 256;

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub enum Peek {
    /// Not a TLS handshake.
    NotTls,
    /// It may become one; nothing can be told before there are so many bytes in all.
    Incomplete(usize),
    /// It begins as one, and is longer than was allowed.
    TooLong,
    /// It begins as one, and then goes wrong.
    Malformed,
    /// A whole ClientHello.
    Hello(ClientHello),
}

/// The parts of a ClientHello that routing looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// SNI in lower case; `None` when absent or not a valid host name.
    pub server_name: Option<Box<str>>,
    /// Offered protocols in the client's order.
    pub alpn: Vec<Box<[u8]>>,
    /// What else the client offers, for who terminates.
    pub offers: Offers,
}

/// What a client can do, by IANA's numbers and in its order of preference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// Cipher suites.
    pub cipher_suites: Vec<u16>,
    /// Key exchange groups (RFC 8446 4.2.7).
    pub groups: Vec<u16>,
    /// It can speak TLS 1.3.
    pub tls13: bool,
    /// It asks for an OCSP response (RFC 6066 8).
    pub wants_staple: bool,
}

/// Looks at everything that has been received so far. A hello of more than `longest` bytes, record headers included, is
/// not waited for.
pub fn peek(received: &[u8], longest: usize) -> Peek {
    // ContentType handshake, legacy version 3.x.
    match received {
        [] | [22] => return Peek::Incomplete(RECORD_HEADER),
        [22, 3, ..] => {}
        _ => return Peek::NotTls,
    }
    match handshake(received) {
        Gathered::Whole(hello) => parse(&hello).map_or(Peek::Malformed, Peek::Hello),
        Gathered::Partial(need) if need > longest => Peek::TooLong,
        Gathered::Partial(need) => Peek::Incomplete(need),
        Gathered::Invalid => Peek::Malformed,
    }
}

enum Gathered<'a> {
    Whole(Cow<'a, [u8]>),
    /// So many bytes are needed at least.
    Partial(usize),
    Invalid,
}

/// The body of the first handshake message, which may be spread over several records.
fn handshake(received: &[u8]) -> Gathered<'_> {
    let mut message: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    let mut rest = received;
    loop {
        let before = received.len() - rest.len();
        let Some((header, after)) = rest.split_at_checked(RECORD_HEADER) else {
            return Gathered::Partial(before + RECORD_HEADER);
        };
        let [kind, major, _, high, low] = header else { return Gathered::Invalid };
        let len = usize::from(*high) << 8 | usize::from(*low);
        if *kind != 22 || *major != 3 || len == 0 || len > MAX_RECORD {
            return Gathered::Invalid;
        }
        let part = after.get(..len.min(after.len())).unwrap_or_default();
        if message.is_empty() {
            message = Cow::Borrowed(part);
        } else {
            message.to_mut().extend_from_slice(part);
        }
        // HandshakeType client_hello, then a 24-bit length.
        match *message {
            [1, a, b, c, ..] => {
                let want = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                if want > MAX_HELLO {
                    return Gathered::Invalid;
                }
                let missing = (4 + want).saturating_sub(message.len());
                if after.len() < len && missing > 0 {
                    return Gathered::Partial(received.len() + missing.min(len - after.len()));
                }
                if missing == 0 {
                    return Gathered::Whole(match message {
                        Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(4..4 + want).unwrap_or_default()),
                        Cow::Owned(bytes) => Cow::Owned(bytes.get(4..4 + want).unwrap_or_default().to_vec()),
                    });
                }
            }
            [other, ..] if other != 1 => return Gathered::Invalid,
            _ => {}
        }
        if after.len() < len {
            return Gathered::Partial(received.len() + 1);
        }
        rest = after.get(len..).unwrap_or_default();
    }
}

/// Reads big-endian lengths and the vectors behind them.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)))
    }

    /// A vector whose length is written in so many bytes.
    fn vector(&mut self, length_bytes: usize) -> Option<Cursor<'a>> {
        let len = self.number(length_bytes)?;
        self.take(len).map(Cursor)
    }
}

fn parse(hello: &[u8]) -> Option<ClientHello> {
    let mut cursor = Cursor(hello);
    cursor.take(2 + 32)?; // legacy_version, random
    cursor.vector(1)?; // legacy_session_id
    let mut found = ClientHello::default();
    found.offers.cipher_suites = numbers(cursor.vector(2)?)?;
    cursor.vector(1)?; // legacy_compression_methods
    if cursor.0.is_empty() {
        return Some(found);
    }
    let mut extensions = cursor.vector(2)?;
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let body = extensions.vector(2)?;
        match kind {
            0 => found.server_name = server_name(body)?,
            5 => found.offers.wants_staple = body.0.first() == Some(&1),
            10 => found.offers.groups = numbers({ body }.vector(2)?)?,
            16 => found.alpn = alpn(body)?,
            43 => found.offers.tls13 = numbers({ body }.vector(1)?)?.contains(&0x0304),
            _ => {}
        }
    }
    Some(found)
}

/// A list of numbers of two bytes.
fn numbers(list: Cursor<'_>) -> Option<Vec<u16>> {
    let pairs = list.0.chunks(2).map(|pair| Some(u16::from_be_bytes(pair.try_into().ok()?)));
    pairs.collect()
}

/// Outer `None`: malformed. Inner `None`: there is no usable name.
fn server_name(mut body: Cursor<'_>) -> Option<Option<Box<str>>> {
    let mut list = body.vector(2)?;
    while !list.0.is_empty() {
        let kind = list.number(1)?;
        let name = list.vector(2)?.0;
        if kind == 0 {
            return Some(host_name(name));
        }
    }
    Some(None)
}

fn host_name(raw: &[u8]) -> Option<Box<str>> {
    let valid = !raw.is_empty()
        && raw.len() <= 255
        && raw.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    let text = std::str::from_utf8(raw).ok().filter(|_| valid)?;
    Some(text.to_ascii_lowercase().into())
}

fn alpn(mut body: Cursor<'_>) -> Option<Vec<Box<[u8]>>> {
    let mut list = body.vector(2)?;
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        protocols.push(list.vector(1)?.0.into());
    }
    Some(protocols)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(length_bytes: usize, content: &[u8]) -> Vec<u8> {
        let len = (content.len() as u64).to_be_bytes();
        [&len[8 - length_bytes..], content].concat()
    }

    fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vector(2, body)].concat()
    }

    fn hello(extensions: &[u8]) -> Vec<u8> {
        let body = [
            &[3, 3][..],
            &[7; 32],
            &vector(1, &[]),
            &vector(2, &[0x13, 0x01]),
            &vector(1, &[0]),
            &vector(2, extensions),
        ]
        .concat();
        [&[1][..], &vector(3, &body)].concat()
    }

    fn records(message: &[u8], size: usize) -> Vec<u8> {
        message.chunks(size).flat_map(|part| [&[22, 3, 1][..], &vector(2, part)].concat()).collect()
    }

    fn sample() -> Vec<u8> {
        let sni = vector(2, &[&[0][..], &vector(2, b"Shop.Example")].concat());
        let alpn = vector(2, &[vector(1, b"istio"), vector(1, b"h2")].concat());
        hello(&[extension(10, &[0, 0]), extension(0, &sni), extension(16, &alpn)].concat())
    }

    fn expected() -> ClientHello {
        ClientHello {
            server_name: Some("shop.example".into()),
            alpn: vec![b"istio"[..].into(), b"h2"[..].into()],
            offers: Offers { cipher_suites: vec![0x1301], ..Offers::default() },
        }
    }

    #[test]
    fn reads_name_and_protocols_however_the_bytes_arrive() {
        for size in [1, 7, 16_000] {
            let bytes = records(&sample(), size);
            for end in 0..bytes.len() {
                let Peek::Incomplete(need) = peek(&bytes[..end], MAX_HELLO) else {
                    panic!("{end} in {size}")
                };
                assert!(end < need && need <= bytes.len(), "{end} < {need} <= {}", bytes.len());
            }
            assert_eq!(peek(&bytes, MAX_HELLO), Peek::Hello(expected()));
        }
    }

    #[test]
    fn what_follows_the_hello_does_not_matter() {
        let mut bytes = records(&sample(), 16_000);
        bytes.extend_from_slice(b"early data");
        assert_eq!(peek(&bytes, MAX_HELLO), Peek::Hello(expected()));
    }

    #[test]
    fn other_protocols_are_told_from_the_first_bytes() {
        assert_eq!(peek(b"G", MAX_HELLO), Peek::NotTls);
        assert_eq!(peek(b"\x16\x02", MAX_HELLO), Peek::NotTls);
        assert_eq!(peek(b"\x16\x03\x01\x00\x00", MAX_HELLO), Peek::Malformed);
        assert_eq!(peek(b"\x16\x03\x01\xff\xff", MAX_HELLO), Peek::Malformed);
        assert_eq!(peek(b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", MAX_HELLO), Peek::Malformed);
    }

    #[test]
    fn a_lying_length_is_malformed() {
        let mut message = sample();
        let last = message.len() - 1;
        message[last - 2] = 200;
        assert_eq!(peek(&records(&message, 16_000), MAX_HELLO), Peek::Malformed);
    }

    #[test]
    fn a_name_that_is_no_host_name_is_no_name() {
        let sni = vector(2, &[&[0][..], &vector(2, b"a b\0")].concat());
        let bytes = records(&hello(&extension(0, &sni)), 16_000);
        let Peek::Hello(found) = peek(&bytes, MAX_HELLO) else { panic!() };
        assert_eq!((found.server_name, found.alpn), (None, Vec::new()));
    }

    #[test]
    fn a_long_hello_is_not_waited_for() {
        let bytes = records(&sample(), 16_000);
        assert_eq!(peek(&bytes[..50], 60), Peek::TooLong);
        assert_eq!(peek(&bytes, bytes.len()), Peek::Hello(expected()));
    }
}
