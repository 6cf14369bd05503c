//! Randomness as an argument.

/// A source of random numbers. Not for secrets.
pub trait Random {
    /// Uniform over all of `u64`.
    fn next_u64(&mut self) -> u64;

    /// Uniform over `0..bound`; zero for a bound of zero. The bias is below 2^-32 for the bounds used here.
    fn below(&mut self, bound: u64) -> u64 {
        // The high half of a 64 x 64 bit product (Lemire): no division.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform over `0..len` as an index.
    fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// What consistent hashing goes by, and which attempt at it this is: of a source of chance, chance.
    fn hash(&mut self) -> (u64, u32) {
        (self.next_u64(), 0)
    }

    /// True in `percent` of 100 cases.
    fn percent(&mut self, percent: u8) -> bool {
        self.below(100) < u64::from(percent)
    }
}

/// In the place of chance, the hash of a request: priority and endpoint follow from it.
#[derive(Debug)]
pub struct Keyed<'r, R> {
    hash: u64,
    attempt: u32,
    random: &'r mut R,
}

impl<'r, R: Random> Keyed<'r, R> {
    pub fn new(hash: u64, random: &'r mut R) -> Self {
        Self { hash, attempt: 0, random }
    }
}

impl<R: Random> Random for Keyed<'_, R> {
    fn next_u64(&mut self) -> u64 {
        self.random.next_u64()
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.hash.checked_rem(bound).unwrap_or_default()
    }

    /// Each time another attempt.
    fn hash(&mut self) -> (u64, u32) {
        let attempt = self.attempt;
        self.attempt += 1;
        (self.hash, attempt)
    }
}

/// SplitMix64: one multiplication chain a number, any seed is good, and it passes the usual statistical tests.
#[derive(Clone, Copy, Debug)]
pub struct SplitMix(u64);

impl SplitMix {
    /// Workers must be seeded differently, or they choose in step.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }
}

impl Random for SplitMix {
    #[inline]
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
