//! A place in the head's buffer.

use std::ops::Range;

/// Where a piece of the head lies, relative to the first byte of the slice that was parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    len: u32,
}

impl Span {
    pub(crate) const EMPTY: Self = Self { start: 0, len: 0 };

    /// Heads are bounded by `Limits::head_bytes`, a `u32`, so the saturation never happens on parsed input.
    pub(crate) fn between(start: usize, end: usize) -> Self {
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { start: narrow(start), len: narrow(end.saturating_sub(start)) }
    }

    /// The bytes. `buf` is the slice that was parsed; of another slice the result is meaningless but harmless.
    #[inline]
    #[must_use]
    pub fn of<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        buf.get(self.range()).unwrap_or_default()
    }

    #[inline]
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
