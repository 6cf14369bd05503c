//! Path normalisation. What was matched is what is forwarded: the normalised path replaces the received one.
//!
//! Who decides by a path must see what its server will see, however often that decodes it. So where normalisation is
//! asked for, a path is refused that could still climb after it: one with a dot segment under another layer of escapes
//! (`%252e%252e`), behind an escaped slash (`..%2f`), with a path parameter (`..;x`), or in bytes that some readers take
//! for ASCII (overlong UTF-8). Where slashes are merged, so is one that hides a second first slash (`/%2fx`).

mod hidden;

use hidden::{hides_first_slash, may_climb};

/// What is done to every path before anything looks at it.
#[derive(Clone, Copy, Debug, Default)]
pub struct PathRules {
    /// RFC 3986 6.2.2: dot segments go, unreserved escapes are decoded, backslashes become slashes; what could still
    /// climb then is refused.
    pub normalize: bool,
    pub merge_slashes: bool,
    pub escaped_slashes: EscapedSlashes,
}

/// What becomes of `%2F` and `%5C`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EscapedSlashes {
    #[default]
    Keep,
    Reject,
    UnescapeAndRedirect,
    UnescapeAndForward,
}

/// What came of a target.
#[derive(Debug, PartialEq, Eq)]
pub enum PathOutcome {
    Unchanged,
    Changed(Vec<u8>),
    /// 400.
    Reject,
    /// 307 to this target.
    Redirect(Vec<u8>),
}

/// Applies the rules to a target (path and query; the query stays as it is).
#[must_use]
pub fn normalize(target: &[u8], rules: PathRules) -> PathOutcome {
    if !target.starts_with(b"/") {
        return PathOutcome::Unchanged; // `*`
    }
    let end = memchr::memchr(b'?', target).unwrap_or(target.len());
    let (path, query) = target.split_at_checked(end).unwrap_or((target, b""));
    let mut redirect = false;
    let mut out: Option<Vec<u8>> = None;
    if rules.escaped_slashes != EscapedSlashes::Keep && has_escaped_slash(path) {
        match rules.escaped_slashes {
            EscapedSlashes::Reject => return PathOutcome::Reject,
            EscapedSlashes::UnescapeAndRedirect => redirect = true,
            EscapedSlashes::Keep | EscapedSlashes::UnescapeAndForward => {}
        }
        out = Some(unescape_slashes(path));
    }
    if rules.normalize && needs_canonical(out.as_deref().unwrap_or(path)) {
        match canonical(out.as_deref().unwrap_or(path)) {
            Some(path) => out = Some(path),
            None => return PathOutcome::Reject,
        }
    }
    if rules.merge_slashes && memchr::memmem::find(out.as_deref().unwrap_or(path), b"//").is_some() {
        out = Some(merge_slashes(out.as_deref().unwrap_or(path)));
    }
    let settled = out.as_deref().unwrap_or(path);
    if rules.normalize && (may_climb(settled) || (rules.merge_slashes && hides_first_slash(settled))) {
        return PathOutcome::Reject;
    }
    match out {
        Some(changed) if changed == path => PathOutcome::Unchanged,
        Some(mut changed) => {
            changed.extend_from_slice(query);
            match redirect {
                // Whoever follows that would leave for another host.
                true if changed.starts_with(b"//") => PathOutcome::Reject,
                true => PathOutcome::Redirect(changed),
                false => PathOutcome::Changed(changed),
            }
        }
        None => PathOutcome::Unchanged,
    }
}

/// Whether a target has dot segments, open ones or such as somebody behind us would find. A rewrite that takes a prefix off
/// a normalised path can make one: `/api../x` without `/api`.
#[must_use]
pub fn climbs(target: &[u8]) -> bool {
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    path.split(|byte| *byte == b'/').any(|segment| matches!(segment, b"." | b"..")) || may_climb(path)
}

fn escaped_slash(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [b'%', b'2', b'f' | b'F', ..] => Some(b'/'),
        [b'%', b'5', b'c' | b'C', ..] => Some(b'\\'),
        _ => None,
    }
}

fn has_escaped_slash(path: &[u8]) -> bool {
    memchr::memchr_iter(b'%', path).any(|at| path.get(at..).and_then(escaped_slash).is_some())
}

fn unescape_slashes(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, after @ ..] = rest {
        match escaped_slash(rest) {
            Some(slash) => {
                out.push(slash);
                rest = rest.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

/// Most paths have nothing to normalise: one scan tells.
fn needs_canonical(path: &[u8]) -> bool {
    path.iter().any(|byte| matches!(byte, b'%' | b'\\' | 0) || is_escaped(*byte))
        || memchr::memmem::find(path, b"/.").is_some()
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Bytes that may not stand in a path, and which some clients send all the same.
fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}')
}

/// Decodes unreserved escapes (others stay as they are), escapes what may not stand in a path, turns backslashes, removes
/// dot segments. A percent sign that begins no escape stays. `None` for an escaped NUL: no two readers agree on that.
fn canonical(path: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'%' => {
                let Some((byte, [high, low], after)) = escape(rest) else {
                    decoded.push(b'%');
                    continue;
                };
                rest = after;
                match byte {
                    0 => return None,
                    byte if is_unreserved(byte) => {
                        decoded.push(byte);
                        seal_percent(&mut decoded, rest.first());
                    }
                    _ => decoded.extend_from_slice(&[b'%', high, low]),
                }
            }
            b'\\' => decoded.push(b'/'),
            byte if is_escaped(*byte) => decoded.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            byte => decoded.push(*byte),
        }
    }
    Some(remove_dot_segments(&decoded))
}

/// What a percent sign escapes: the byte, its two digits, the rest.
fn escape(after_percent: &[u8]) -> Option<(u8, [u8; 2], &[u8])> {
    let [high, low, rest @ ..] = after_percent else { return None };
    Some((hex(*high)? << 4 | hex(*low)?, [*high, *low], rest))
}

/// A byte that was just decoded may have made an escape of a lone percent sign before it, as in `%2%65`: whoever decodes
/// next would find what was not asked for. That percent sign is escaped.
fn seal_percent(decoded: &mut Vec<u8>, next: Option<&u8>) {
    let is_digit = |byte: &u8| hex(*byte).is_some();
    let lone = match decoded.as_slice() {
        [before @ .., b'%', high, low] if is_digit(high) && is_digit(low) => before.len(),
        [before @ .., b'%', high] if is_digit(high) && next.is_some_and(is_digit) => before.len(),
        _ => return,
    };
    decoded.splice(lone + 1..lone + 1, *b"25");
}

/// RFC 3986 5.2.4, for absolute paths.
fn remove_dot_segments(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    let mut segments = path.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"." => {
                if last {
                    out.push(b'/');
                }
            }
            b".." => {
                let cut = out.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                out.truncate(cut);
                if last {
                    out.push(b'/');
                }
            }
            _ => {
                out.push(b'/');
                out.extend_from_slice(segment);
            }
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
    out
}

fn merge_slashes(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for byte in path {
        if *byte != b'/' || out.last() != Some(&b'/') {
            out.push(*byte);
        }
    }
    out
}

#[cfg(test)]
mod tests;
