//! How the load spreads over priorities: Envoy's over-provisioning, spill-over and panic.
//!
//! A priority that has 72 % of its endpoints healthy is full: 1.4 times 72 reaches 100. Below that it keeps what it can
//! carry and the rest spills to the next one. First the healthy endpoints of all priorities are filled, then the
//! degraded ones. When all together cannot carry the load, it is scaled up to 100 again, and a priority with fewer
//! healthy endpoints than the panic threshold sends to all of its endpoints: better a few errors than an avalanche on
//! the last one standing.

use crate::Random;
use crate::balancer::BalancerSettings;
use crate::level::Tier;

/// Endpoints of one priority, by what can be said of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) all: usize,
    pub(crate) healthy: usize,
    pub(crate) degraded: usize,
}

/// Percent of the load for each priority and tier; they sum to 100.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PriorityLoads {
    shares: Vec<Share>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    healthy: u32,
    degraded: u32,
    panic: bool,
}

impl PriorityLoads {
    pub(crate) fn new(counts: &[Counts], settings: &BalancerSettings) -> Self {
        let healthy = availability(counts, |count| count.healthy, settings);
        let degraded = availability(counts, |count| count.degraded, settings);
        let total = healthy.iter().chain(&degraded).sum::<u32>().min(100);
        let mut shares = spread(&healthy, &degraded, total);
        if total == 100 {
            return Self { shares };
        }
        for (share, count) in shares.iter_mut().zip(counts) {
            share.panic = is_in_panic(count, settings);
        }
        if shares.iter().all(|share| share.panic) {
            spread_by_size(&mut shares, counts);
        } else if total == 0
            && let Some(first) = shares.first_mut()
        {
            // Nobody is left and panic is off: the load must go somewhere to be refused.
            first.healthy = 100;
        }
        Self { shares }
    }

    /// The priority and tier for one request.
    pub(crate) fn choose(&self, random: &mut impl Random) -> Option<(usize, Tier)> {
        let mut point = random.below(100) as u32;
        let mut tiers = self.tiers();
        tiers
            .find(|(_, _, share)| {
                let here = point < *share;
                point = point.saturating_sub(*share);
                here
            })
            .map(|(priority, tier, _)| (priority, tier))
    }

    fn tiers(&self) -> impl Iterator<Item = (usize, Tier, u32)> {
        let of = |tier: Tier, share: &Share| if share.panic { Tier::All } else { tier };
        let healthy = self.shares.iter().enumerate().map(move |(p, s)| (p, of(Tier::Healthy, s), s.healthy));
        let degraded =
            self.shares.iter().enumerate().map(move |(p, s)| (p, of(Tier::Degraded, s), s.degraded));
        healthy.chain(degraded)
    }
}

/// Percent of its full load that each priority can carry, with over-provisioning.
fn availability(counts: &[Counts], of: impl Fn(&Counts) -> usize, settings: &BalancerSettings) -> Vec<u32> {
    let percent = |count: &Counts| match count.all {
        0 => 0,
        all => (u64::from(settings.overprovisioning_percent) * of(count) as u64 / all as u64).min(100) as u32,
    };
    counts.iter().map(percent).collect()
}

/// Fills priorities in order, healthy before degraded, scaled so that all of the load is placed.
fn spread(healthy: &[u32], degraded: &[u32], total: u32) -> Vec<Share> {
    let mut left = if total == 0 { 0 } else { 100 };
    let mut fill = |available: &u32| {
        let share = (available * 100 / total.max(1)).min(left);
        left -= share;
        share
    };
    let healthy: Vec<u32> = healthy.iter().map(&mut fill).collect();
    let degraded: Vec<u32> = degraded.iter().map(&mut fill).collect();
    let mut shares: Vec<Share> = healthy
        .into_iter()
        .zip(degraded)
        .map(|(healthy, degraded)| Share { healthy, degraded, panic: false })
        .collect();
    // What rounding left over goes to the first priority that takes load at all.
    if let Some(first) = shares.iter_mut().find(|share| share.healthy > 0) {
        first.healthy += left;
    } else if let Some(first) = shares.iter_mut().find(|share| share.degraded > 0) {
        first.degraded += left;
    }
    shares
}

fn is_in_panic(count: &Counts, settings: &BalancerSettings) -> bool {
    let available = 100 * (count.healthy + count.degraded) as u64;
    match count.all {
        0 => settings.panic_threshold > 0,
        all => available < u64::from(settings.panic_threshold) * all as u64,
    }
}

/// Everybody panics: health says nothing any more, so size decides.
fn spread_by_size(shares: &mut [Share], counts: &[Counts]) {
    let all: usize = counts.iter().map(|count| count.all).sum();
    let mut left = 100;
    for (share, count) in shares.iter_mut().zip(counts) {
        let percent = (100 * count.all).checked_div(all).unwrap_or_default() as u32;
        *share = Share { healthy: percent, degraded: 0, panic: true };
        left -= percent;
    }
    if let Some(first) = shares.iter_mut().find(|share| share.healthy > 0) {
        first.healthy += left;
    }
}

#[cfg(test)]
mod tests;
