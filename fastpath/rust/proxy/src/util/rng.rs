//! A fast generator for ids, percentages and balancing. Not for secrets.

use std::hash::{BuildHasher, Hasher, RandomState};

/// SplitMix64 over a 64-bit counter: two multiplications a number, and every seed is a good one.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// Seeded from the operating system, so that workers differ.
    pub(crate) fn from_entropy() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly below `bound` (0 when `bound` is 0).
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        u64::try_from((u128::from(self.next()) * u128::from(bound)) >> 64).unwrap_or_default()
    }

    /// True in `parts` of a million cases.
    pub(crate) fn hits(&mut self, parts_per_million: u32) -> bool {
        match parts_per_million {
            0 => false,
            1_000_000.. => true,
            parts => self.below(1_000_000) < u64::from(parts),
        }
    }
}

impl meshloom_balance::Random for Rng {
    fn next_u64(&mut self) -> u64 {
        self.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_follow_the_share() {
        let mut rng = Rng(7);
        let hits = (0..100_000).filter(|_| rng.hits(250_000)).count();
        assert!((24_000..26_000).contains(&hits), "{hits}");
        assert!((0..1000).all(|_| !rng.hits(0)));
        assert!((0..1000).all(|_| rng.hits(1_000_000)));
    }

    #[test]
    fn below_stays_below() {
        let mut rng = Rng(1);
        assert!((0..10_000).all(|_| rng.below(7) < 7));
        assert_eq!(rng.below(0), 0);
    }
}
