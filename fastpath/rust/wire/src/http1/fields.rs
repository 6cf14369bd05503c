//! Field lines, one at a time (RFC 9112 5). Heads and trailer sections share this.

use super::{DecodeError, Span, scan};

/// What stands at the start of a line after the start line.
pub(crate) enum FieldLine {
    Field {
        name: Span,
        value: Span,
        next: usize,
    },
    /// The empty line.
    End {
        next: usize,
    },
    /// The line is not all there.
    Partial,
}

/// Reads the field line that starts at `at`.
#[inline]
pub(crate) fn field_line(buf: &[u8], at: usize) -> Result<FieldLine, DecodeError> {
    let colon = scan::token_end(buf, at);
    match buf.get(colon) {
        Some(b':') if colon > at => {}
        None => return Ok(FieldLine::Partial),
        Some(byte) => return no_colon(buf, at, colon, *byte),
    }
    let mut start = colon + 1;
    while matches!(buf.get(start), Some(b' ' | b'\t')) {
        start += 1;
    }
    let end = scan::value_end(buf, start);
    let Some(next) = line_end(buf, end, DecodeError::InvalidFieldValue { at: end })? else {
        return Ok(FieldLine::Partial);
    };
    let value = Span::between(start, trimmed_end(buf, start, end));
    Ok(FieldLine::Field { name: Span::between(at, colon), value, next })
}

/// Whether a name is that of a framing field once underscores are hyphens, as they are for everything behind CGI or WSGI:
/// one reader would frame the message by it, the other not.
#[inline]
pub(crate) fn is_framing_in_disguise(name: &[u8]) -> bool {
    let framing: &[u8] = match name.len() {
        14 => b"content-length",
        17 => b"transfer-encoding",
        _ => return false,
    };
    let hyphenated = name.iter().map(|byte| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() });
    name.contains(&b'_') && hyphenated.eq(framing.iter().copied())
}

/// The position behind CR LF at `at`; `None` when they have not arrived; `otherwise` when something else is there.
#[inline]
pub(crate) fn line_end(buf: &[u8], at: usize, otherwise: DecodeError) -> Result<Option<usize>, DecodeError> {
    match (buf.get(at), buf.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Ok(Some(at + 2)),
        (Some(b'\r'), None) | (None, _) => Ok(None),
        (Some(b'\r' | b'\n'), _) => Err(DecodeError::InvalidLineEnding { at }),
        (Some(_), _) => Err(otherwise),
    }
}

/// `stop` ended the name that starts at `at`, but is no colon.
#[cold]
fn no_colon(buf: &[u8], at: usize, stop: usize, byte: u8) -> Result<FieldLine, DecodeError> {
    let is_blank = matches!(byte, b' ' | b'\t');
    match byte {
        b'\r' | b'\n' if stop == at => {
            let otherwise = DecodeError::InvalidLineEnding { at };
            Ok(line_end(buf, at, otherwise)?.map_or(FieldLine::Partial, |next| FieldLine::End { next }))
        }
        _ if is_blank && stop == at => Err(DecodeError::ObsoleteFold { at }),
        _ if is_blank => Err(DecodeError::SpaceBeforeColon { at: stop }),
        _ => Err(DecodeError::InvalidFieldName { at: stop }),
    }
}

#[inline]
fn trimmed_end(buf: &[u8], start: usize, end: usize) -> usize {
    let value = buf.get(start..end).unwrap_or_default();
    let blanks = value.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    end - blanks
}
