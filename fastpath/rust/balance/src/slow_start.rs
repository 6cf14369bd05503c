//! Slow start: an endpoint that has just come into the rotation gets its share little by little.
//!
//! Its weight is multiplied by (age / window)^(1 / aggression), and never by less than the least share. Envoy's formula.

use std::time::{Duration, Instant};

use crate::edf::Edf;

/// How endpoints get their share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    /// How long it takes.
    pub window: Duration,
    /// 1 is a straight line; more gives more at the beginning. Above 0.
    pub aggression: f64,
    /// The part of its weight that an endpoint has from the first moment, 0 to 1. Envoy's default is 0.1.
    pub least_share: f64,
}

/// The youngest age that the formula is asked for, as in Envoy: the first second is one step.
const FIRST_STEP: Duration = Duration::from_secs(1);

impl SlowStart {
    /// What the weight of an endpoint that came `since` is multiplied by: above 0, at most 1.
    #[must_use]
    pub fn factor(&self, since: Instant, now: Instant) -> f64 {
        let age = now.saturating_duration_since(since);
        if age >= self.window {
            return 1.0;
        }
        let elapsed = age.max(FIRST_STEP).as_secs_f64() / self.window.as_secs_f64();
        let share = if self.aggression == 1.0 { elapsed } else { elapsed.powf(1.0 / self.aggression) };
        share.max(self.least_share).clamp(f64::MIN_POSITIVE, 1.0)
    }

    /// When an endpoint that came `since` has its whole share.
    pub(crate) fn over(&self, since: Instant) -> Instant {
        since.checked_add(self.window).unwrap_or(since)
    }
}

/// The schedule of a set of endpoints while at least one of them starts slowly.
#[derive(Clone, Debug)]
pub(crate) struct Warming {
    pub(crate) start: SlowStart,
    /// When all of them have their whole share.
    pub(crate) until: Instant,
    /// Made with the first pick, whose time the first weights are taken at.
    edf: Option<Edf>,
}

impl Warming {
    /// `None` where nobody starts slowly.
    pub(crate) fn new(start: SlowStart, since: impl Iterator<Item = Option<Instant>>) -> Option<Self> {
        let until = since.flatten().map(|since| start.over(since)).max()?;
        Some(Self { start, until, edf: None })
    }

    /// The member that is due, of `members` in all; `weight` is what each has now.
    pub(crate) fn pick(&mut self, members: usize, weight: impl Fn(u32) -> f64) -> Option<usize> {
        let count = u32::try_from(members).unwrap_or(u32::MAX);
        let edf = self.edf.get_or_insert_with(|| Edf::new((0..count).map(&weight)));
        edf.pick(weight).map(|item| item as usize)
    }
}

#[cfg(test)]
mod tests;
