//! Trailer sections (RFC 9113 8.1), written as HTTP/1 has them.

use super::section::{check_connection_specific, name_id};
use crate::http2::{Head, StreamFault};

/// Appends one field. The name is a token and the value has no line end, so one field stays one line.
pub(super) fn take(head: &mut Head, name: &[u8], value: &[u8]) -> Result<(), StreamFault> {
    if name.first() == Some(&b':') {
        return Err(StreamFault::InvalidPseudoField);
    }
    check_connection_specific(name_id(name)?, value)?;
    for piece in [name, b": ", value, b"\r\n"] {
        head.bytes.extend_from_slice(piece);
    }
    Ok(())
}
