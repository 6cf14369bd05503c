//! `method SP request-target SP HTTP-version CRLF` (RFC 9112 3).

use super::fields::line_end;
use super::version::InvalidVersion;
use super::{DecodeError, Limits, Method, Span, Target, Version, method, scan};

#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestLine {
    pub(crate) method: Method,
    pub(crate) method_span: Span,
    pub(crate) target: Target,
    pub(crate) version: Version,
}

/// Reads the line that starts at `at`; gives it and the position behind it.
#[inline]
pub(crate) fn parse(
    buf: &[u8],
    at: usize,
    limits: &Limits,
) -> Result<Option<(RequestLine, usize)>, DecodeError> {
    let method_end = scan::token_end(buf, at);
    match buf.get(method_end) {
        None => return Ok(None),
        Some(b' ') if method_end > at => {}
        Some(_) => return Err(DecodeError::InvalidMethod { at: method_end }),
    }
    let method_span = Span::between(at, method_end);
    let target_start = method_end + 1;
    let target_end = scan::target_end(buf, target_start);
    match buf.get(target_end) {
        None => return Ok(None),
        Some(b' ') if target_end > target_start => {}
        // `GET /` and the end of the line: HTTP/0.9.
        Some(b'\r' | b'\n') if target_end > target_start => {
            return Err(DecodeError::InvalidVersion { at: target_end });
        }
        Some(_) => return Err(DecodeError::InvalidTarget { at: target_end }),
    }
    let Some((version, next)) = version(buf, target_end + 1)? else { return Ok(None) };
    let method = known_method(method_span.of(buf), limits)?;
    let target = Target::parse(buf, Span::between(target_start, target_end), method)?;
    Ok(Some((RequestLine { method, method_span, target, version }, next)))
}

fn known_method(token: &[u8], limits: &Limits) -> Result<Method, DecodeError> {
    let method = Method::from_bytes(token);
    if method == Method::Other && !limits.extension_methods && !method::is_registered(token) {
        return Err(DecodeError::UnknownMethod);
    }
    Ok(method)
}

#[inline]
fn version(buf: &[u8], at: usize) -> Result<Option<(Version, usize)>, DecodeError> {
    let version = match Version::parse(buf.get(at..).unwrap_or_default()) {
        Ok(Some(version)) => version,
        Ok(None) => return Ok(None),
        Err(InvalidVersion::Unsupported) => return Err(DecodeError::UnsupportedVersion),
        Err(InvalidVersion::Malformed) => return Err(DecodeError::InvalidVersion { at }),
    };
    let end = at + 8;
    Ok(line_end(buf, end, DecodeError::InvalidVersion { at: end })?.map(|next| (version, next)))
}
