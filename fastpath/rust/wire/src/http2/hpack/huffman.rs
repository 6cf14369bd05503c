//! Huffman strings (RFC 7541 5.2).
//!
//! The code is canonical: sorted by length, codes count up. So a short code (up to eight bits, which is nearly all of
//! what headers hold) is one look into a table of 256, and a long one is found by comparing with the first code of each
//! length. The compiler builds the tables.

use super::huffman_code::CODE;

const EOS: usize = 256;
const MAX_LEN: usize = 30;
/// Bits of the short table.
const SHORT: u32 = 8;

/// The bytes that `value` takes when encoded.
#[inline]
#[allow(clippy::indexing_slicing, reason = "the table has an entry for each value of u8")]
pub(super) fn encoded_len(value: &[u8]) -> usize {
    let bits: usize = value.iter().map(|byte| usize::from(CODE_OF[usize::from(*byte)].1)).sum();
    bits.div_ceil(8)
}

#[inline]
#[allow(clippy::indexing_slicing, reason = "the table has an entry for each value of u8")]
pub(super) fn encode(value: &[u8], out: &mut Vec<u8>) {
    let mut bits: u64 = 0;
    let mut count: u32 = 0;
    for byte in value {
        let (code, len) = CODE_OF[usize::from(*byte)];
        bits = bits << len | u64::from(code);
        count += u32::from(len);
        if count >= 32 {
            count -= 32;
            out.extend_from_slice(&((bits >> count) as u32).to_be_bytes());
        }
    }
    if count > 0 {
        // Padding is the beginning of EOS: ones.
        let padded = (bits << (32 - count)) as u32 | (u32::MAX >> count);
        let bytes = padded.to_be_bytes();
        out.extend_from_slice(bytes.get(..count.div_ceil(8) as usize).unwrap_or_default());
    }
}

/// Appends what `encoded` says. `None` if it has EOS, or ends in what is not padding.
#[inline]
#[allow(clippy::indexing_slicing, reason = "the table has an entry for each value of u8")]
pub(super) fn decode(encoded: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    // No code is shorter than five bits.
    out.resize(start + encoded.len() * 8 / 5, 0);
    let mut places = out.get_mut(start..)?.iter_mut();
    let mut bits = Bits { rest: encoded, ahead: 0, count: 0 };
    loop {
        bits.refill();
        let (symbol, len) = match TABLES.short[(bits.ahead >> (64 - SHORT)) as usize] {
            (_, 0) => long(bits.ahead)?,
            found => found,
        };
        if u32::from(len) > bits.count {
            break;
        }
        *places.next()? = symbol;
        bits.ahead <<= len;
        bits.count -= u32::from(len);
    }
    let unused = places.len();
    out.truncate(out.len() - unused);
    // Fewer than eight ones are padding.
    (bits.count < 8 && bits.ahead.count_ones() == bits.count).then_some(())
}

/// A string's bits.
struct Bits<'e> {
    rest: &'e [u8],
    /// The next ones, at the left; zeros behind the `count` that are there.
    ahead: u64,
    count: u32,
}

impl Bits<'_> {
    /// Makes sure that the longest code is all there, if it is there at all.
    #[inline]
    fn refill(&mut self) {
        if self.count as usize >= MAX_LEN {
            return;
        }
        if let Some((bytes, behind)) = self.rest.split_first_chunk::<4>() {
            self.ahead |= u64::from(u32::from_be_bytes(*bytes)) << (32 - self.count);
            self.count += 32;
            self.rest = behind;
            return;
        }
        while let Some((byte, behind)) = self.rest.split_first() {
            self.ahead |= u64::from(*byte) << (56 - self.count);
            self.count += 8;
            self.rest = behind;
        }
    }
}

/// A code of more than eight bits at the left of `bits`; `None` for EOS.
#[cold]
fn long(bits: u64) -> Option<(u8, u8)> {
    let top = (bits >> 32) as u32;
    let row = TABLES.lengths.iter().find(|row| row.len > 0 && top <= row.last)?;
    let code = top >> (32 - u32::from(row.len));
    let symbol = TABLES.symbols.get(usize::from(row.offset) + (code - row.first) as usize)?;
    Some((u8::try_from(*symbol).ok()?, row.len))
}

static CODE_OF: [(u32, u8); 257] = CODE;
static TABLES: Tables = build();

struct Tables {
    /// By the next eight bits: the byte and the length of its code; 0 if the code is longer.
    short: [(u8, u8); 256],
    /// Bytes (and EOS) in the order of their codes.
    symbols: [u16; 257],
    /// By length; `len` is 0 where no code has it.
    lengths: [Row; MAX_LEN + 1],
}

#[derive(Clone, Copy)]
struct Row {
    len: u8,
    /// The first code of this length.
    first: u32,
    /// The last one, left-aligned, with ones behind it.
    last: u32,
    /// Where its symbol is among the symbols.
    offset: u16,
}

#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "runs in the compiler")]
const fn build() -> Tables {
    let empty = Row { len: 0, first: 0, last: 0, offset: 0 };
    let mut tables = Tables { short: [(0, 0); 256], symbols: [0; 257], lengths: [empty; MAX_LEN + 1] };
    let mut next = 0;
    let mut len = 1;
    while len <= MAX_LEN {
        // Codes of one length, in the order of their value, which is the order of the symbols.
        let mut symbol = 0;
        while symbol <= EOS {
            let (code, code_len) = CODE[symbol];
            if code_len as usize == len {
                let row = &mut tables.lengths[len];
                if row.len == 0 {
                    *row = Row { len: len as u8, first: code, last: 0, offset: next as u16 };
                }
                assert!(code - row.first == next as u32 - row.offset as u32, "the code is not canonical");
                row.last = (((code as u64) << (32 - len)) | ((1u64 << (32 - len)) - 1)) as u32;
                tables.symbols[next] = symbol as u16;
                next += 1;
                fill_short(&mut tables.short, symbol, code, len);
            }
            symbol += 1;
        }
        len += 1;
    }
    tables
}

#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "runs in the compiler")]
const fn fill_short(short: &mut [(u8, u8); 256], symbol: usize, code: u32, len: usize) {
    if len > SHORT as usize {
        return;
    }
    let spare = SHORT as usize - len;
    let mut at = (code as usize) << spare;
    let end = at + (1 << spare);
    while at < end {
        short[at] = (symbol as u8, len as u8);
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, encode, encoded_len};

    fn round(value: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut encoded = Vec::new();
        encode(value, &mut encoded);
        assert_eq!(encoded.len(), encoded_len(value));
        let mut decoded = Vec::new();
        let ok = decode(&encoded, &mut decoded);
        (encoded, ok.map(|()| decoded))
    }

    #[test]
    fn the_examples_of_the_rfc() {
        let (encoded, decoded) = round(b"www.example.com");
        assert_eq!(encoded, [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff]);
        assert_eq!(decoded.unwrap(), b"www.example.com");
    }

    #[test]
    fn every_byte_alone_and_in_pairs() {
        for first in 0..=255u8 {
            assert_eq!(round(&[first]).1.unwrap(), [first]);
            for second in 0..=255u8 {
                assert_eq!(round(&[first, second]).1.unwrap(), [first, second]);
            }
        }
    }

    #[test]
    fn padding_is_less_than_a_byte_of_ones() {
        let refused = [
            &[0xff][..],
            &[0x1f, 0xff],
            &[0x00],
            &[0x18],
            &[0xff, 0xff, 0xff, 0xff],
            &[0xff, 0xff, 0xff, 0xfc],
        ];
        for bytes in refused {
            assert_eq!(decode(bytes, &mut Vec::new()), None, "{bytes:x?}");
        }
        let mut out = Vec::new();
        assert_eq!(decode(&[0x1f], &mut out), Some(()));
        assert_eq!(out, b"a");
        assert_eq!(decode(&[], &mut out), Some(()));
    }
}
