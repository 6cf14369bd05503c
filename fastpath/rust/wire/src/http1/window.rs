//! The part of the input in which one line must end.

use super::{DecodeError, Limits};

/// Input cut off at the limits of the line that starts at some position, and of the head.
///
/// Cutting before parsing, rather than measuring afterwards, makes the outcome independent of how the bytes arrived:
/// an over-long line is over-long whether or not its end is already in the buffer.
pub(crate) struct Window<'b> {
    /// From the start of the head, so that positions stay what they are.
    pub(crate) bytes: &'b [u8],
    line_limit: usize,
    head_limit: usize,
    head_bytes: u32,
}

impl<'b> Window<'b> {
    #[inline]
    pub(crate) fn new(buf: &'b [u8], line_start: usize, limits: &Limits) -> Self {
        let line_limit = line_start + limits.line_bytes as usize + 2;
        let head_limit = limits.head_bytes as usize;
        let bytes = buf.get(..line_limit.min(head_limit)).unwrap_or(buf);
        Self { bytes, line_limit, head_limit, head_bytes: limits.head_bytes }
    }

    /// The line does not end in the window: may more bytes help, or is it too long?
    pub(crate) fn wants_more(&self, line_too_long: DecodeError) -> Result<(), DecodeError> {
        match self.bytes.len() {
            len if len >= self.head_limit => Err(DecodeError::HeadTooLarge { limit: self.head_bytes }),
            len if len >= self.line_limit => Err(line_too_long),
            _ => Ok(()),
        }
    }
}
