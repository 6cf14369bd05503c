//! One priority: its endpoints by health, and its weighted localities.

use std::time::Instant;

use crate::balancer::BalancerSettings;
use crate::edf::Edf;
use crate::endpoint::LocalityView;
use crate::host_set::{HostSet, own_weight};
use crate::priority::Counts;
use crate::{EndpointIndex, EndpointView, Health, Policy, Random};

/// What a level is made from.
pub(crate) struct Source<'a> {
    pub(crate) endpoints: &'a [EndpointView],
    pub(crate) localities: &'a [LocalityView],
    /// Health with ejections taken into account, as long as `endpoints`.
    pub(crate) health: &'a [Health],
    pub(crate) settings: BalancerSettings,
}

#[derive(Clone, Debug)]
pub(crate) struct Level {
    all: HostSet,
    /// Members of `all` that do not count yet.
    pending: usize,
    healthy: Eligible,
    degraded: Eligible,
}

/// The endpoints of one health, as one set or by locality.
#[derive(Clone, Debug)]
enum Eligible {
    Flat(HostSet),
    ByLocality { edf: Edf, weights: Vec<f64>, sets: Vec<HostSet> },
}

/// Which endpoints of a level are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    Healthy,
    Degraded,
    /// Panic: everybody, whatever their health.
    All,
}

impl Level {
    pub(crate) fn new(source: &Source<'_>, priority: u32, random: &mut impl Random) -> Self {
        let here = |index: EndpointIndex| source.priority(index) == priority;
        let counts =
            |index: EndpointIndex| source.endpoints.get(index.get()).is_some_and(EndpointView::counts);
        Self {
            all: HostSet::new(members(source, here), source.endpoints, &source.settings, random),
            pending: members(source, |index| here(index) && !counts(index)).count(),
            healthy: Eligible::new(source, priority, Health::Healthy, random),
            degraded: Eligible::new(source, priority, Health::Degraded, random),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            all: self.all.len() - self.pending,
            healthy: self.healthy.len(),
            degraded: self.degraded.len(),
        }
    }

    pub(crate) fn pick(
        &mut self,
        tier: Tier,
        now: Instant,
        random: &mut impl Random,
        active: impl Fn(EndpointIndex) -> u32,
    ) -> Option<EndpointIndex> {
        match tier {
            Tier::All => self.all.pick(now, random, active),
            Tier::Healthy => self.healthy.pick(now, random, active),
            Tier::Degraded => self.degraded.pick(now, random, active),
        }
    }
}

impl Eligible {
    fn new(source: &Source<'_>, priority: u32, health: Health, random: &mut impl Random) -> Self {
        let fits = |index| source.priority(index) == priority && source.health(index) == health;
        if !source.settings.weighted_localities {
            return Self::Flat(HostSet::new(
                members(source, fits),
                source.endpoints,
                &source.settings,
                random,
            ));
        }
        let sets: Vec<HostSet> = (0..source.localities.len())
            .map(|locality| {
                let here = members(source, |index| fits(index) && source.locality(index) == locality);
                HostSet::new(here, source.endpoints, &source.settings, random)
            })
            .collect();
        let weights: Vec<f64> = sets
            .iter()
            .enumerate()
            .map(|(locality, set)| source.effective_weight(locality, priority, set.len()))
            .collect();
        // Where no locality has a weight, weights say nothing.
        if weights.iter().all(|weight| *weight <= 0.0) {
            return Self::Flat(HostSet::new(
                members(source, fits),
                source.endpoints,
                &source.settings,
                random,
            ));
        }
        if let Policy::Consistent(_) = source.settings.policy {
            return Self::Flat(source.one_table(&sets, priority, random));
        }
        Self::ByLocality { edf: Edf::new(weights.iter().copied()), weights, sets }
    }

    fn len(&self) -> usize {
        match self {
            Self::Flat(set) => set.len(),
            Self::ByLocality { sets, .. } => sets.iter().map(HostSet::len).sum(),
        }
    }

    fn pick(
        &mut self,
        now: Instant,
        random: &mut impl Random,
        active: impl Fn(EndpointIndex) -> u32,
    ) -> Option<EndpointIndex> {
        match self {
            Self::Flat(set) => set.pick(now, random, active),
            Self::ByLocality { edf, weights, sets } => {
                let locality = edf.pick(|item| weights.get(item as usize).copied().unwrap_or_default())?;
                sets.get_mut(locality as usize)?.pick(now, random, active)
            }
        }
    }
}

impl Source<'_> {
    fn priority(&self, index: EndpointIndex) -> u32 {
        self.endpoints.get(index.get()).map_or(0, |view| view.priority)
    }

    fn locality(&self, index: EndpointIndex) -> usize {
        self.endpoints.get(index.get()).map_or(0, |view| view.locality as usize)
    }

    fn health(&self, index: EndpointIndex) -> Health {
        self.health.get(index.get()).copied().unwrap_or_default()
    }

    /// Consistent hashing has one table for all localities: their weights are in those of the endpoints.
    fn one_table(&self, sets: &[HostSet], priority: u32, random: &mut impl Random) -> HostSet {
        let weights: Vec<f64> = sets
            .iter()
            .enumerate()
            .map(|(locality, set)| self.effective_weight(locality, priority, set.len()))
            .collect();
        let all: f64 = weights.iter().sum();
        let weighted = sets.iter().zip(weights).filter(|(_, weight)| *weight > 0.0);
        let weighted = weighted.flat_map(|(set, weight)| {
            let own = |endpoint| own_weight(endpoint, self.endpoints);
            let total: f64 = set.members().map(own).sum();
            set.members().map(move |endpoint| (endpoint, own(endpoint) * (weight / all) / total))
        });
        HostSet::weighted(weighted, self.endpoints, &self.settings, random)
    }

    /// A locality keeps its weight until fewer of its endpoints are available than over-provisioning makes up for.
    fn effective_weight(&self, locality: usize, priority: u32, available: usize) -> f64 {
        let is_here =
            |index: &EndpointIndex| self.locality(*index) == locality && self.priority(*index) == priority;
        let total = members(self, |index| is_here(&index)).count();
        let weight = self.localities.get(locality).map_or(0, |view| view.weight);
        if total == 0 || available == 0 {
            return 0.0;
        }
        let share =
            f64::from(self.settings.overprovisioning_percent) / 100.0 * available as f64 / total as f64;
        f64::from(weight) * share.min(1.0)
    }
}

fn members<'a>(
    source: &'a Source<'_>,
    fits: impl Fn(EndpointIndex) -> bool + 'a,
) -> impl Iterator<Item = EndpointIndex> + 'a {
    (0..source.endpoints.len() as u32).map(EndpointIndex::new).filter(move |index| fits(*index))
}
