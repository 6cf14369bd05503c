//! The hashes of consistent hashing. Nothing here is secret: peers must come to the same numbers.

use std::hash::Hasher;

use twox_hash::XxHash64;

/// XXH64 with the seed 0.
#[must_use]
pub fn xx64(bytes: &[u8]) -> u64 {
    xx64_seeded(bytes, 0)
}

/// XXH64.
#[must_use]
pub fn xx64_seeded(bytes: &[u8], seed: u64) -> u64 {
    let mut hasher = XxHash64::with_seed(seed);
    hasher.write(bytes);
    hasher.finish()
}

/// MurmurHash64A with the seed of GNU's standard library.
pub(crate) fn murmur2(bytes: &[u8]) -> u64 {
    const SEED: u64 = 0xc70f_6907;
    const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
    let mix = |value: u64| (value ^ (value >> 47)).wrapping_mul(MULTIPLIER);
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    for word in bytes.chunks(8) {
        let number = word.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte));
        // Only what fills a word is mixed by itself.
        let number = if word.len() == 8 { mix(number.wrapping_mul(MULTIPLIER)) } else { number };
        hash = (hash ^ number).wrapping_mul(MULTIPLIER);
    }
    let hash = mix(hash);
    hash ^ (hash >> 47)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xxhash_is_xxhash() {
        assert_eq!(xx64(b""), 0xef46_db37_51d8_e999);
        assert_eq!(xx64(b"foo"), 0x33bf_00a8_59c4_ba3f);
    }

    #[test]
    fn murmur_takes_text_of_any_length() {
        let hashes: std::collections::HashSet<u64> =
            (0..40).map(|length| murmur2(&vec![b'x'; length])).collect();
        assert_eq!(hashes.len(), 40);
    }
}
