//! `HTTP-version SP status-code SP [reason-phrase] CRLF` (RFC 9112 4).

use super::fields::line_end;
use super::version::InvalidVersion;
use super::{DecodeError, Span, Version, scan};

#[derive(Clone, Copy, Debug)]
pub(crate) struct StatusLine {
    pub(crate) version: Version,
    pub(crate) status: u16,
    pub(crate) reason: Span,
}

/// Reads the line that starts at `at`; gives it and the position behind it.
///
/// The space before an absent reason phrase may be missing too: many servers leave it out, and nothing can be read
/// into that.
pub(crate) fn parse(buf: &[u8], at: usize) -> Result<Option<(StatusLine, usize)>, DecodeError> {
    let version = match Version::parse(buf.get(at..).unwrap_or_default()) {
        Ok(Some(version)) => version,
        Ok(None) => return Ok(None),
        Err(InvalidVersion::Unsupported) => return Err(DecodeError::UnsupportedVersion),
        Err(InvalidVersion::Malformed) => return Err(DecodeError::InvalidVersion { at }),
    };
    let Some(status) = status(buf, at + 8)? else { return Ok(None) };
    let after = at + 12;
    let reason_start = match buf.get(after) {
        None => return Ok(None),
        Some(b' ') => after + 1,
        Some(b'\r' | b'\n') => after,
        Some(_) => return Err(DecodeError::InvalidStatusLine { at: after }),
    };
    let end = scan::value_end(buf, reason_start);
    let next = line_end(buf, end, DecodeError::InvalidStatusLine { at: end })?;
    Ok(next.map(|next| (StatusLine { version, status, reason: Span::between(reason_start, end) }, next)))
}

/// One space and three digits, the first of which is not zero.
fn status(buf: &[u8], at: usize) -> Result<Option<u16>, DecodeError> {
    let mut status = 0;
    for offset in 0..4 {
        match (offset, buf.get(at + offset)) {
            (_, None) => return Ok(None),
            (0, Some(b' ')) => {}
            (1, Some(digit @ b'1'..=b'9')) | (2 | 3, Some(digit @ b'0'..=b'9')) => {
                status = status * 10 + u16::from(digit - b'0');
            }
            _ => return Err(DecodeError::InvalidStatusLine { at: at + offset }),
        }
    }
    Ok(Some(status))
}
