//! Response heads (RFC 9113 8.3.2).

use super::pseudo::Pseudo;
use super::request::content_length;
use crate::http2::{Head, StreamFault};

/// Applies the rules that need the whole head, and fills in what it says.
pub(super) fn accept(head: &mut Head, pseudo: &Pseudo) -> Result<(), StreamFault> {
    let of_requests = [pseudo.method, pseudo.scheme, pseudo.authority, pseudo.path, pseudo.protocol];
    if of_requests.iter().any(Option::is_some) {
        return Err(StreamFault::InvalidPseudoField);
    }
    let status = pseudo.status.ok_or(StreamFault::MissingPseudoField)?;
    head.status = code(status.of(&head.bytes)).ok_or(StreamFault::InvalidStatus)?;
    head.content_length = content_length(head)?;
    head.join_crumbs();
    Ok(())
}

/// Three digits from 100 on. 101 does not exist in HTTP/2 (RFC 9113 8.6).
fn code(text: &[u8]) -> Option<u16> {
    let [hundreds @ b'1'..=b'9', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = text else { return None };
    let digit = |byte: &u8| u16::from(byte - b'0');
    let code = digit(hundreds) * 100 + digit(tens) * 10 + digit(ones);
    (code != 101).then_some(code)
}
