//! Finding the end of a token, a target, a value: the loops in which parsing spends its time.
//!
//! Values and targets are scanned eight bytes at a time (SWAR): a word holds a wanted byte if one of its lanes has the
//! high bit set after some arithmetic. A carry may also mark lanes *behind* a true one, so only the lowest mark counts,
//! and that is the one that is looked for.

use super::chars;

const LANES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The first position at or after `from` that holds no token byte, or the length of `buf`.
///
/// Names are letters and hyphens but for a few, so those go by the word and only the others by the table.
#[inline]
pub(crate) fn token_end(buf: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(word) = word(buf, at) {
        let marks = !letter_or_hyphen(word) & HIGH;
        if marks == 0 {
            at += 8;
            continue;
        }
        at += first(marks);
        match buf.get(at) {
            Some(byte) if chars::is_token(*byte) => at += 1,
            _ => return at,
        }
    }
    slow_end(buf, at, chars::is_token)
}

/// Whether two names of token bytes are the same but for case; `lower` is in lower case.
///
/// Setting bit 5 maps an upper case letter to its lower case and leaves letters, digits and hyphens alone; no other
/// token byte becomes one of these, so for tokens and the names of this crate the comparison is exact.
#[inline]
pub(crate) fn is_same_name(name: &[u8], lower: &[u8]) -> bool {
    if name.len() != lower.len() {
        return false;
    }
    let mut at = 0;
    while let (Some(word), Some(want)) = (word(name, at), word(lower, at)) {
        if word | (LANES << 5) != want {
            return false;
        }
        at += 8;
    }
    let rest =
        |name: &[u8]| name.get(at..).unwrap_or_default().iter().map(|byte| byte | 0x20).fold(0, shift_in);
    rest(name) == rest(lower)
}

#[inline]
fn shift_in(word: u64, byte: u8) -> u64 {
    word << 8 | u64::from(byte)
}

/// The first position at or after `from` that holds no field value byte, or the length of `buf`.
#[inline]
pub(crate) fn value_end(buf: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(word) = word(buf, at) {
        let marks = below(word, b' ') | equal(word, 0x7f);
        if marks == 0 {
            at += 8;
            continue;
        }
        at += first(marks);
        if buf.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
    slow_end(buf, at, chars::is_field_value)
}

/// The first position at or after `from` that may not stand in a request target, or the length of `buf`.
#[inline]
pub(crate) fn target_end(buf: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(word) = word(buf, at) {
        let marks = below(word, b'!') | equal(word, 0x7f) | equal(word, b'#') | (word & HIGH);
        if marks != 0 {
            return at + first(marks);
        }
        at += 8;
    }
    slow_end(buf, at, chars::is_target)
}

fn slow_end(buf: &[u8], from: usize, belongs: impl Fn(u8) -> bool) -> usize {
    let rest = buf.get(from..).unwrap_or_default();
    rest.iter().position(|byte| !belongs(*byte)).map_or(buf.len(), |n| from + n)
}

#[inline]
fn word(buf: &[u8], at: usize) -> Option<u64> {
    buf.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Marks lanes below `limit`, which is at most 0x80. Lanes of 0x80 and more are not marked.
#[inline]
const fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(LANES * limit as u64) & !word & HIGH
}

#[inline]
const fn equal(word: u64, byte: u8) -> u64 {
    let zero_where_equal = word ^ (LANES * byte as u64);
    zero_where_equal.wrapping_sub(LANES) & !zero_where_equal & HIGH
}

/// Marks, exactly, the lanes that hold an ASCII letter or a hyphen: without the high bits no sum carries over.
#[inline]
const fn letter_or_hyphen(word: u64) -> u64 {
    let low = (word | (LANES << 5)) & !HIGH;
    let from_a = low + LANES * (0x80 - b'a' as u64);
    let past_z = low + LANES * (0x7f - b'z' as u64);
    let not_hyphen = ((word & !HIGH) ^ (LANES * b'-' as u64)) + LANES * 0x7f;
    ((from_a & !past_z) | !not_hyphen) & !word & HIGH
}

#[inline]
const fn first(marks: u64) -> usize {
    (marks.trailing_zeros() / 8) as usize
}

#[cfg(test)]
mod tests {
    use super::super::chars;
    use super::{is_same_name, target_end, token_end, value_end};

    #[test]
    fn each_byte_at_each_lane_is_judged_as_the_table_judges_it() {
        for byte in 0..=u8::MAX {
            for at in 0..20 {
                let mut line = [b'a'; 20];
                line[at] = byte;
                assert_eq!(
                    value_end(&line, 0),
                    if chars::is_field_value(byte) { 20 } else { at },
                    "{byte}@{at}"
                );
                assert_eq!(token_end(&line, 0), if chars::is_token(byte) { 20 } else { at }, "{byte}@{at}");
                assert_eq!(target_end(&line, 0), if chars::is_target(byte) { 20 } else { at }, "{byte}@{at}");
            }
        }
    }

    #[test]
    fn names_compare_without_case_and_only_so() {
        for (name, lower) in
            [("A", "a"), ("Content-Length", "content-length"), ("X-B3-TraceId", "x-b3-traceid")]
        {
            assert!(is_same_name(name.as_bytes(), lower.as_bytes()));
            assert!(!is_same_name(name.as_bytes(), format!("{lower}s").as_bytes()));
            for at in 0..name.len() {
                let mut other = name.as_bytes().to_vec();
                other[at] = b'~';
                assert!(!is_same_name(&other, lower.as_bytes()), "{name}@{at}");
            }
        }
    }
}
