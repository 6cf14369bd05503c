//! The part of the input in which a head must end.

use super::{DecodeError, Limits};

/// Input cut off at the limit of the head.
///
/// Cutting before parsing, rather than measuring afterwards, makes the outcome independent of how the bytes arrived:
/// an over-long head is over-long whether or not its end is already in the buffer.
pub(crate) struct Window<'b> {
    /// From the start of the head, so that positions stay what they are.
    pub(crate) bytes: &'b [u8],
    limit: usize,
}

impl<'b> Window<'b> {
    #[inline]
    pub(crate) fn new(buf: &'b [u8], limits: &Limits) -> Self {
        let limit = limits.head_bytes as usize;
        Self { bytes: buf.get(..limit).unwrap_or(buf), limit }
    }

    /// The line does not end in the window: may more bytes help, or is the head too long?
    pub(crate) fn wants_more(&self, too_long: DecodeError) -> Result<(), DecodeError> {
        if self.bytes.len() >= self.limit { Err(too_long) } else { Ok(()) }
    }
}
