//! How far the parsing of a head has come.

use super::request::read_fields;
use super::{DecodeError, Headers, Limits};

/// Where to go on when more bytes are there; `L` is the start line, as read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Progress<L> {
    #[default]
    Line,
    Fields {
        line: L,
        /// Where the next field line starts.
        next: usize,
    },
}

impl<L: Copy> Progress<L> {
    pub(super) fn is_partial(&self) -> bool {
        matches!(self, Self::Fields { .. })
    }

    /// Goes on with the head at the start of `buf`. `start` reads the start line, and gives it with the position behind
    /// it; `accept` takes the line and the length of the head once that is complete. Then, and after an error, a new one
    /// begins.
    #[inline]
    pub(super) fn advance<H>(
        &mut self,
        buf: &[u8],
        headers: &mut Headers,
        limits: &Limits,
        start: impl FnOnce() -> Result<Option<(L, usize)>, DecodeError>,
        accept: impl FnOnce(L, usize, &mut Headers) -> Result<H, DecodeError>,
    ) -> Result<Option<H>, DecodeError> {
        let (line, mut next) = match std::mem::take(self) {
            Self::Fields { line, next } => (line, next),
            Self::Line => {
                headers.begin();
                match start()? {
                    Some(started) => started,
                    None => return Ok(None),
                }
            }
        };
        match read_fields(buf, &mut next, headers, limits)? {
            Some(len) => accept(line, len, headers).map(Some),
            None => {
                *self = Self::Fields { line, next };
                Ok(None)
            }
        }
    }
}
