//! The balancer of one cluster in one worker.

use std::time::Instant;

use crate::consistent::Spread;
use crate::endpoint::LocalityView;
use crate::level::{Level, Source};
use crate::priority::PriorityLoads;
use crate::slow_start::SlowStart;
use crate::{EndpointIndex, EndpointView, Health, Random, Verdict};

/// How an endpoint is chosen among those that are eligible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// In turn, by weight.
    RoundRobin,
    /// The least loaded of `choices` drawn at random (at least 2); with unequal weights a schedule by
    /// weight / (active + 1).
    LeastRequest { choices: u32 },
    /// Uniform, whatever the weights, as with Envoy.
    Random,
    /// By the hash of the request, so that equal ones go to the same endpoint.
    Consistent(Spread),
}

/// What the cluster's configuration says. The default is Envoy's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BalancerSettings {
    pub policy: Policy,
    /// Below this percentage of available endpoints a priority sends to all of them. 0 turns panic off. Default 50.
    pub panic_threshold: u8,
    /// Default 140: a priority is full while 72 % of it are healthy.
    pub overprovisioning_percent: u32,
    /// Whether localities share the load by their weights, else all endpoints of a priority are one set.
    pub weighted_localities: bool,
    /// How endpoints that are new, or healthy again, get their share; matters to the first two policies.
    pub slow_start: Option<SlowStart>,
}

impl Default for BalancerSettings {
    fn default() -> Self {
        Self {
            policy: Policy::RoundRobin,
            panic_threshold: 50,
            overprovisioning_percent: 140,
            weighted_localities: false,
            slow_start: None,
        }
    }
}

/// Chooses endpoints of one list. Made anew when the list changes; ejections and verdicts change it in place.
#[derive(Clone, Debug)]
pub struct Balancer {
    settings: BalancerSettings,
    endpoints: Vec<EndpointView>,
    localities: Vec<LocalityView>,
    levels: Vec<Level>,
    loads: PriorityLoads,
}

impl Balancer {
    /// `localities` matters only where `settings.weighted_localities` is on.
    #[must_use]
    pub fn new(
        settings: BalancerSettings,
        endpoints: Vec<EndpointView>,
        localities: Vec<LocalityView>,
        random: &mut impl Random,
    ) -> Self {
        let loads = PriorityLoads::new(&[], &settings);
        let mut balancer = Self { settings, endpoints, localities, levels: Vec::new(), loads };
        balancer.arrange(random);
        balancer
    }

    #[must_use]
    pub fn endpoints(&self) -> &[EndpointView] {
        &self.endpoints
    }

    /// The endpoint for one attempt; `None` when there is none to send to, which is a 503 with the flag UH.
    ///
    /// `active` tells how many requests an endpoint has in flight.
    pub fn pick(
        &mut self,
        now: Instant,
        random: &mut impl Random,
        active: impl Fn(EndpointIndex) -> u32,
    ) -> Option<EndpointIndex> {
        let (priority, tier) = self.loads.choose(random)?;
        self.levels.get_mut(priority)?.pick(tier, now, random, active)
    }

    /// As [`Balancer::pick`], but picks again, up to `attempts` times, while the choice was tried before. The last
    /// choice holds even then: with one endpoint left, a retry goes there (Envoy's `previous_hosts` predicate).
    pub fn pick_another(
        &mut self,
        now: Instant,
        random: &mut impl Random,
        active: impl Fn(EndpointIndex) -> u32,
        tried: &[EndpointIndex],
        attempts: u32,
    ) -> Option<EndpointIndex> {
        let mut choice = self.pick(now, random, &active)?;
        for _ in 0..attempts {
            if !tried.contains(&choice) {
                break;
            }
            choice = self.pick(now, random, &active)?;
        }
        Some(choice)
    }

    /// Takes an endpoint out of the rotation, or puts it back.
    pub fn set_ejected(&mut self, endpoint: EndpointIndex, ejected: bool, random: &mut impl Random) {
        match self.endpoints.get_mut(endpoint.get()) {
            Some(view) if view.ejected != ejected => view.ejected = ejected,
            _ => return,
        }
        self.arrange(random);
    }

    /// Takes what health checks say. Endpoints that pass again start slowly.
    pub fn set_verdicts(
        &mut self,
        verdicts: impl Iterator<Item = (EndpointIndex, Verdict)>,
        now: Instant,
        random: &mut impl Random,
    ) {
        let mut changed = false;
        for (endpoint, verdict) in verdicts {
            let Some(view) = self.endpoints.get_mut(endpoint.get()) else { continue };
            if view.verdict == verdict {
                continue;
            }
            if matches!(view.verdict, Verdict::Failed | Verdict::Pending | Verdict::Left) {
                view.since = Some(now);
            }
            view.verdict = verdict;
            changed = true;
        }
        if changed {
            self.arrange(random);
        }
    }

    /// How many endpoints are neither unhealthy nor ejected.
    #[must_use]
    pub fn available(&self) -> usize {
        self.levels.iter().map(Level::counts).map(|counts| counts.healthy + counts.degraded).sum()
    }

    /// Sorts the endpoints into levels and spreads the load over these.
    fn arrange(&mut self, random: &mut impl Random) {
        let health: Vec<Health> = self.endpoints.iter().map(EndpointView::standing).collect();
        let source = Source {
            endpoints: &self.endpoints,
            localities: &self.localities,
            health: &health,
            settings: self.settings,
        };
        let levels = self.endpoints.iter().map(|view| view.priority + 1).max().unwrap_or(0);
        self.levels = (0..levels).map(|priority| Level::new(&source, priority, random)).collect();
        let counts: Vec<_> = self.levels.iter().map(Level::counts).collect();
        self.loads = PriorityLoads::new(&counts, &self.settings);
    }
}

#[cfg(test)]
mod tests;
