//! Dot segments that a normalised path still hides from whoever decides by it.

use super::escape;

/// Layers of escapes that are looked under. Nobody decodes so often; more of them are refused as they are.
const MAX_LAYERS: u32 = 4;

/// Whether some reader of this path, which has no plain dot segments any more, would find one.
///
/// Tried are decoding again and again, backslashes for slashes, dropping the parameters of a segment (`;` and what
/// follows it, RFC 3986 3.3), and overlong UTF-8 for ASCII. A segment of parameters alone (`/;x/`) vanishes for those who
/// drop them, and is counted too where more follows.
pub(super) fn may_climb(path: &[u8]) -> bool {
    if memchr::memchr2(b'%', b';', path).is_none() {
        return false;
    }
    if has_hidden_segment(path) {
        return true;
    }
    let mut layer = path.to_vec();
    for _ in 0..MAX_LAYERS {
        let Some(below) = decoded(&layer) else { return true };
        if below.len() == layer.len() {
            return false;
        }
        if has_hidden_segment(&below) {
            return true;
        }
        layer = below;
    }
    true
}

fn has_hidden_segment(path: &[u8]) -> bool {
    let mut segments = path.split(|byte| matches!(byte, b'/' | b'\\')).skip(1).peekable();
    while let Some(segment) = segments.next() {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        let hides = match name {
            b"." | b".." => true,
            b"" => !segment.is_empty() && segments.peek().is_some(),
            _ => false,
        };
        if hides {
            return true;
        }
    }
    false
}

/// Whether a path begins with a slash and an escaped one, on any layer: who decodes and merges them finds another path
/// behind it than was decided on. Further on they are common in what is lawful (`/redirect/https:%2F%2Fx`).
pub(super) fn hides_first_slash(path: &[u8]) -> bool {
    let Some(b"/%") = path.get(..2) else { return false };
    let mut layer = path.to_vec();
    for _ in 0..MAX_LAYERS {
        let Some(below) = decoded(&layer) else { return true };
        if below.len() == layer.len() {
            return false;
        }
        if matches!(below.as_slice(), [b'/', b'/' | b'\\', ..]) {
            return true;
        }
        layer = below;
    }
    true
}

/// One layer of escapes less. `None` for overlong UTF-8, which is nothing but a disguise (RFC 3629 3).
fn decoded(path: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    // The escape before, of which this one may be the continuation.
    let mut lead = None;
    while let [first, after @ ..] = rest {
        rest = after;
        let escaped = if *first == b'%' { escape(rest) } else { None };
        let Some((byte, _, after)) = escaped else {
            out.push(*first);
            lead = None;
            continue;
        };
        if lead.is_some_and(|lead| is_overlong(lead, byte)) {
            return None;
        }
        rest = after;
        out.push(byte);
        lead = Some(byte);
    }
    Some(out)
}

/// Whether a UTF-8 sequence that begins so is longer than its character needs.
const fn is_overlong(lead: u8, next: u8) -> bool {
    matches!((lead, next), (0xc0 | 0xc1, 0x80..=0xbf) | (0xe0, 0x80..=0x9f) | (0xf0, 0x80..=0x8f))
}
