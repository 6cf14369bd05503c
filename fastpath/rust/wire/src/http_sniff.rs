//! Tells HTTP from other protocols by a connection's first bytes, for listeners that choose by it. Nothing is parsed for
//! use: a request that looks like HTTP here may still be refused by whoever reads it.

/// Longest request line that is waited for; a longer one is not HTTP for our purposes.
pub const MAX_LINE: usize = 8 * 1024;
/// What every HTTP/2 client sends first (RFC 9113 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// It may become HTTP: more bytes are needed.
    Incomplete,
    /// Something else.
    NotHttp,
    /// A request line of HTTP/1.0.
    Http10,
    /// A request line of HTTP/1.1.
    Http11,
    /// The preface of HTTP/2, without TLS.
    Http2,
}

/// Looks at the bytes as they come. What was looked at once is not looked at again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sniffer {
    part: Part,
    /// Everything before is known to fit.
    at: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Method,
    Target,
    /// The version begins at this place.
    Version(usize),
}

impl Sniffer {
    /// Looks at everything received so far, which begins with what the last call was given.
    pub fn look(&mut self, received: &[u8]) -> Sniffed {
        // `PRI` is a method too, so the preface comes first.
        if received.iter().zip(PREFACE).all(|(have, want)| have == want) {
            return if received.len() < PREFACE.len() { Sniffed::Incomplete } else { Sniffed::Http2 };
        }
        while let Some(byte) = received.get(self.at).filter(|_| self.at < MAX_LINE) {
            match (self.part, byte) {
                (Part::Method, b' ') if self.at > 0 => self.part = Part::Target,
                (Part::Method, byte) if !is_token(*byte) => return Sniffed::NotHttp,
                (Part::Target, b' ') if received.get(self.at - 1) == Some(&b' ') => return Sniffed::NotHttp,
                (Part::Target, b' ') => self.part = Part::Version(self.at + 1),
                (Part::Target, byte) if *byte <= b' ' || *byte == 0x7f => return Sniffed::NotHttp,
                (Part::Version(start), b'\r' | b'\n') => {
                    return version(received.get(start..self.at).unwrap_or_default());
                }
                (Part::Version(start), _) if self.at - start >= b"HTTP/1.1".len() => return Sniffed::NotHttp,
                _ => {}
            }
            self.at += 1;
        }
        if self.at >= MAX_LINE { Sniffed::NotHttp } else { Sniffed::Incomplete }
    }
}

fn version(text: &[u8]) -> Sniffed {
    match text {
        b"HTTP/1.0" => Sniffed::Http10,
        b"HTTP/1.1" => Sniffed::Http11,
        _ => Sniffed::NotHttp,
    }
}

/// RFC 9110 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sniff(bytes: &[u8]) -> Sniffed {
        Sniffer::default().look(bytes)
    }

    #[test]
    fn versions_are_told_by_the_request_line() {
        assert_eq!(sniff(b"GET / HTTP/1.1\r\n"), Sniffed::Http11);
        assert_eq!(sniff(b"POST http://a/b?c HTTP/1.0\r\n"), Sniffed::Http10);
        assert_eq!(sniff(b"OPTIONS * HTTP/1.1\nHost: a"), Sniffed::Http11);
        assert_eq!(sniff(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Sniffed::Http2);
    }

    #[test]
    fn other_protocols_are_told_at_the_first_byte_that_does_not_fit() {
        for bytes in [
            &b"\x16\x03\x01"[..],
            b" GET",
            b"*1\r",
            b"SSH-2.0-x\r",
            b"GET\t/",
            b"GET  / HTTP/1.1\r\n",
            b"GET /\r\n",
            b"GET / HTTP/2.0\r\n",
            b"GET / HTTP/1.1 \r\n",
            b"GET / http/1.1\r\n",
            b"PRI * HTTP/2.0\r\n\r\nXX",
        ] {
            assert_eq!(sniff(bytes), Sniffed::NotHttp, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn an_endless_line_is_not_waited_for() {
        let mut sniffer = Sniffer::default();
        let bytes = [b"GET /".to_vec(), vec![b'a'; MAX_LINE]].concat();
        assert_eq!(sniffer.look(&bytes[..MAX_LINE - 1]), Sniffed::Incomplete);
        assert_eq!(sniffer.look(&bytes), Sniffed::NotHttp);
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(
            line in prop_oneof![
                "[A-Z]{1,8} /[a-z]{0,12} HTTP/1\\.[01]\r\n",
                "[ -~]{0,30}\r\n",
                Just("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
            ],
            cut in 1usize..7,
        ) {
            let bytes = line.as_bytes();
            let whole = sniff(bytes);
            let mut sniffer = Sniffer::default();
            let mut verdict = Sniffed::Incomplete;
            let mut end = 0;
            while verdict == Sniffed::Incomplete && end < bytes.len() {
                end = (end + cut).min(bytes.len());
                verdict = sniffer.look(&bytes[..end]);
            }
            prop_assert_eq!(verdict, whole);
        }
    }
}
