//! Integers with a prefix (RFC 7541 5.1).

/// The integer that begins at `*at` with the low `prefix` bits of that byte; moves `*at` behind it. `None` if it is cut
/// short or above 2^28: nothing that HPACK counts is so large.
#[inline]
pub(super) fn decode(block: &[u8], at: &mut usize, prefix: u8) -> Option<usize> {
    let mask = (1usize << prefix) - 1;
    let first = usize::from(*block.get(*at)?) & mask;
    *at += 1;
    if first < mask {
        return Some(first);
    }
    let mut value = mask;
    for shift in [0, 7, 14, 21] {
        let byte = usize::from(*block.get(*at)?);
        *at += 1;
        value += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Appends `value` with the high bits `pattern` over a prefix of `prefix` bits.
#[inline]
pub(super) fn encode(value: usize, prefix: u8, pattern: u8, out: &mut Vec<u8>) {
    let mask = (1usize << prefix) - 1;
    if value < mask {
        out.push(pattern | low_byte(value));
        return;
    }
    out.push(pattern | low_byte(mask));
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(low_byte(rest & 0x7f) | 0x80);
        rest >>= 7;
    }
    out.push(low_byte(rest));
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the callers have masked it")]
fn low_byte(value: usize) -> u8 {
    value as u8
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn the_examples_of_the_rfc() {
        for (value, prefix, bytes) in
            [(10, 5, &[0x0a][..]), (1337, 5, &[0x1f, 0x9a, 0x0a]), (42, 8, &[0x2a]), (31, 5, &[0x1f, 0])]
        {
            let mut out = Vec::new();
            encode(value, prefix, 0, &mut out);
            assert_eq!(out, bytes);
            let mut at = 0;
            assert_eq!(decode(bytes, &mut at, prefix), Some(value));
            assert_eq!(at, bytes.len());
        }
    }

    #[test]
    fn a_cut_or_endless_integer_is_none() {
        assert_eq!(decode(&[0x1f], &mut 0, 5), None);
        assert_eq!(decode(&[0x1f, 0x80], &mut 0, 5), None);
        assert_eq!(decode(&[0x1f, 0x80, 0x80, 0x80, 0x80, 0x00], &mut 0, 5), None);
        assert_eq!(decode(&[], &mut 0, 5), None);
    }
}
