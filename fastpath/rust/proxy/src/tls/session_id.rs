//! The identifier of a TLS 1.2 session, out of what the server says in the clear before it encrypts.

use aws_lc_rs::digest::{SHA256, digest};

const HANDSHAKE: u8 = 22;
const SERVER_HELLO: u8 = 2;
const NEW_SESSION_TICKET: u8 = 4;

/// Looks through whole records, from the beginning of one: the identifier that the server gives, or the digest of its
/// ticket, as OpenSSL's family names sessions that resume by ticket. `None` when there is neither.
pub(super) fn session_id(records: &[u8]) -> Option<Box<[u8]>> {
    let mut rest = records;
    let mut found = None;
    while let Some((HANDSHAKE, record, after)) = record(rest) {
        let mut messages = record;
        while let Some((kind, message, others)) = message(messages) {
            found = match kind {
                SERVER_HELLO => of_hello(message),
                NEW_SESSION_TICKET => of_ticket(message),
                _ => None,
            }
            .or(found);
            messages = others;
        }
        rest = after;
    }
    found
}

/// RFC 5246 6.2.1
fn record(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [kind, _, _, high, low, rest @ ..] = bytes else { return None };
    let (content, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
    Some((*kind, content, rest))
}

/// RFC 5246 7.4
fn message(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [kind, high, middle, low, rest @ ..] = bytes else { return None };
    let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*kind, content, rest))
}

/// RFC 5246 7.4.1.3: version, random, then the identifier after its length.
fn of_hello(hello: &[u8]) -> Option<Box<[u8]>> {
    let (length, rest) = hello.get(34..)?.split_first()?;
    rest.get(..usize::from(*length)).filter(|id| !id.is_empty()).map(Box::from)
}

/// RFC 5077 3.3: lifetime, then the ticket after its length.
fn of_ticket(message: &[u8]) -> Option<Box<[u8]>> {
    let ticket = message.get(6..).filter(|ticket| !ticket.is_empty())?;
    Some(digest(&SHA256, ticket).as_ref().into())
}

#[cfg(test)]
mod tests {
    use super::session_id;

    fn hello(id: &[u8]) -> Vec<u8> {
        let body = [&[3, 3][..], &[7; 32], &[id.len() as u8], id, &[0xc0, 0x2b, 0]].concat();
        let message = [&[2, 0, 0, body.len() as u8][..], &body].concat();
        [&[22, 3, 3, 0, message.len() as u8][..], &message].concat()
    }

    #[test]
    fn identifiers_are_those_of_the_hello_or_of_the_ticket() {
        let ticket = [22, 3, 3, 0, 11, 4, 0, 0, 7, 0, 0, 0, 9, 0, 1, b'x'];

        assert_eq!(session_id(&hello(b"abc")).as_deref(), Some(&b"abc"[..]));
        assert_eq!(session_id(&hello(b"")), None);
        let both = [hello(b""), ticket.to_vec()].concat();
        assert_eq!(session_id(&both).map(|id| id.len()), Some(32));
        for end in 0..both.len() {
            assert_eq!(session_id(both.get(..end).unwrap_or_default()), None);
        }
    }
}
