//! How long to wait before a retry.

use std::time::Duration;

use crate::Random;

/// Exponential back-off with full jitter: the n-th wait is uniform over zero to base * 2^(n-1), capped.
///
/// Full jitter rather than a fraction, because retries of many clients of one broken upstream must not come in waves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    /// `max` below `base` is taken as `base`.
    #[must_use]
    pub fn new(base: Duration, max: Duration) -> Self {
        Self { next: base, max: max.max(base) }
    }

    /// The next wait.
    pub fn next(&mut self, random: &mut impl Random) -> Duration {
        let ceiling = self.next;
        self.next = self.next.saturating_mul(2).min(self.max);
        let nanos = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(random.below(nanos))
    }
}

impl Default for Backoff {
    /// Envoy's: base 25 ms, at most ten times that.
    fn default() -> Self {
        Self::new(Duration::from_millis(25), Duration::from_millis(250))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Backoff;
    use crate::SplitMix;

    #[test]
    fn ceilings_double_up_to_the_cap_and_waits_fill_them() {
        let mut longest = [Duration::ZERO; 6];
        for seed in 0..2_000 {
            let mut random = SplitMix::new(seed);
            let mut backoff = Backoff::default();
            for wait in &mut longest {
                *wait = (*wait).max(backoff.next(&mut random));
            }
        }
        for (wait, ceiling_ms) in longest.into_iter().zip([25, 50, 100, 200, 250, 250]) {
            let ceiling = Duration::from_millis(ceiling_ms);
            assert!(wait < ceiling && wait > ceiling * 98 / 100, "{wait:?} of {ceiling:?}");
        }
    }
}
