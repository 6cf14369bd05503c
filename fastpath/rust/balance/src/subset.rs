//! A cluster divided by labels: a request asks for labels, and gets an endpoint of the subset that has just these.
//!
//! Each selector names keys; every combination of values that endpoints have for them is a subset with a balancer of its
//! own. Criteria that no subset fits go where the selector of just these keys says, else where the cluster says. All of
//! it is Envoy's subset load balancer.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use crate::endpoint::LocalityView;
use crate::{Balancer, BalancerSettings, EndpointIndex, EndpointView, Random, Verdict};

/// Keys and values, sorted by key.
pub type Criteria = [(Arc<str>, Arc<str>)];

/// How a cluster is divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubsetSettings {
    pub fallback: Fallback,
    pub default_subset: Box<Criteria>,
    pub selectors: Box<[Selector]>,
    /// Localities keep their weights within a subset.
    pub locality_weights: bool,
    /// These are scaled by the part of the locality's endpoints that is in the subset.
    pub scale_locality_weights: bool,
    /// When the fallback has nobody either, anybody is taken.
    pub panic_mode_any: bool,
}

/// Where requests go that no subset fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    None,
    Any,
    Default,
}

/// Keys whose values make subsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Sorted.
    pub keys: Box<[Arc<str>]>,
    pub fallback: SelectorFallback,
    /// A subset has one endpoint: whoever comes first.
    pub single_host: bool,
}

/// Where requests go that ask for a selector's keys in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelectorFallback {
    /// As the cluster says.
    Inherit,
    To(Fallback),
    /// To the subset of only these keys; without one, as the cluster says.
    Keys(Box<[Arc<str>]>),
}

/// The labels of one endpoint: a key has several values where each item of a list counts.
pub type Labels = [(Arc<str>, Box<[Arc<str>]>)];

/// What a choice came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// A subset fits: `lb_subsets_selected`. It may have nobody to send to.
    Selected(Option<EndpointIndex>),
    /// The selector's own fallback.
    SelectorFallback(Option<EndpointIndex>),
    /// The cluster's fallback: `lb_subsets_fallback`.
    Fallback(EndpointIndex),
    /// Anybody, because the fallback has nobody: `lb_subsets_fallback_panic`.
    Panic(EndpointIndex),
    Nobody,
}

impl Chosen {
    #[must_use]
    pub fn endpoint(self) -> Option<EndpointIndex> {
        match self {
            Self::Selected(endpoint) | Self::SelectorFallback(endpoint) => endpoint,
            Self::Fallback(endpoint) | Self::Panic(endpoint) => Some(endpoint),
            Self::Nobody => None,
        }
    }
}

/// Chooses endpoints of one list by criteria.
#[derive(Clone, Debug)]
pub struct SubsetBalancer {
    settings: SubsetSettings,
    any: Balancer,
    default: Part,
    parts: HashMap<Box<Criteria>, Part>,
}

/// The endpoints of one subset.
#[derive(Clone, Debug)]
struct Part {
    /// Places in the whole list, in its order.
    members: Vec<EndpointIndex>,
    balancer: Balancer,
}

impl SubsetBalancer {
    /// `labels` are those of `endpoints`, in the same order.
    #[must_use]
    pub fn new(
        settings: SubsetSettings,
        balancing: BalancerSettings,
        endpoints: Vec<EndpointView>,
        localities: Vec<LocalityView>,
        labels: &[Box<Labels>],
        random: &mut impl Random,
    ) -> Self {
        let source =
            Source { balancing, settings: &settings, endpoints: &endpoints, localities: &localities };
        let defaults =
            indices(endpoints.len()).filter(|index| fits(labels, *index, &settings.default_subset));
        let default = source.part(defaults.collect(), random);
        let mut members: BTreeMap<Box<Criteria>, Vec<EndpointIndex>> = BTreeMap::new();
        for selector in &settings.selectors {
            for (index, own) in indices(endpoints.len()).zip(labels) {
                for combination in combinations(own, &selector.keys) {
                    let part = members.entry(combination).or_default();
                    let full = selector.single_host && !part.is_empty();
                    if !full && !part.contains(&index) {
                        part.push(index);
                    }
                }
            }
        }
        let parts = members.into_iter().map(|(key, mut members)| {
            members.sort();
            (key, source.part(members, random))
        });
        let parts = parts.collect();
        Self { any: Balancer::new(balancing, endpoints, localities, random), default, parts, settings }
    }

    /// The balancer of all endpoints.
    #[must_use]
    pub fn any(&self) -> &Balancer {
        &self.any
    }

    /// How many subsets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// How many subsets of `self` the other does not have.
    #[must_use]
    pub fn not_in(&self, other: &Self) -> usize {
        let known: HashSet<&Criteria> = other.parts.keys().map(|key| &**key).collect();
        self.parts.keys().filter(|key| !known.contains(&***key)).count()
    }

    /// The endpoint for one attempt that asks for `criteria`, which may be none.
    pub fn pick(
        &mut self,
        criteria: &Criteria,
        now: Instant,
        random: &mut impl Random,
        active: &impl Fn(EndpointIndex) -> u32,
    ) -> Chosen {
        let mut criteria = Cow::Borrowed(criteria);
        while !criteria.is_empty() {
            if let Some(part) = self.parts.get_mut(&*criteria) {
                return Chosen::Selected(part.pick(now, random, active));
            }
            match self.selector_fallback(&criteria) {
                Some(SelectorFallback::To(to)) => {
                    return Chosen::SelectorFallback(self.pick_fallback(to, now, random, active));
                }
                Some(SelectorFallback::Keys(keys)) => {
                    let fewer = criteria.iter().filter(|(key, _)| keys.contains(key)).cloned();
                    criteria = match fewer.collect::<Vec<_>>() {
                        // Nothing is left out, so nothing else would be found.
                        same if same.len() == criteria.len() => break,
                        fewer => Cow::Owned(fewer),
                    };
                }
                Some(SelectorFallback::Inherit) | None => break,
            }
        }
        if let Some(endpoint) = self.pick_fallback(self.settings.fallback, now, random, active) {
            return Chosen::Fallback(endpoint);
        }
        let may_panic = self.settings.panic_mode_any && self.settings.fallback != Fallback::None;
        match may_panic.then(|| self.any.pick(now, random, active)).flatten() {
            Some(endpoint) => Chosen::Panic(endpoint),
            None => Chosen::Nobody,
        }
    }

    fn selector_fallback(&self, criteria: &Criteria) -> Option<SelectorFallback> {
        let asks_for = |selector: &&Selector| selector.keys.iter().eq(criteria.iter().map(|(key, _)| key));
        self.settings.selectors.iter().find(asks_for).map(|selector| selector.fallback.clone())
    }

    fn pick_fallback(
        &mut self,
        to: Fallback,
        now: Instant,
        random: &mut impl Random,
        active: &impl Fn(EndpointIndex) -> u32,
    ) -> Option<EndpointIndex> {
        match to {
            Fallback::None => None,
            Fallback::Any => self.any.pick(now, random, active),
            Fallback::Default => self.default.pick(now, random, active),
        }
    }

    /// As [`Balancer::set_ejected`].
    pub fn set_ejected(&mut self, endpoint: EndpointIndex, ejected: bool, random: &mut impl Random) {
        self.any.set_ejected(endpoint, ejected, random);
        for part in self.parts.values_mut().chain(std::iter::once(&mut self.default)) {
            if let Some(here) = part.place_of(endpoint) {
                part.balancer.set_ejected(here, ejected, random);
            }
        }
    }

    /// As [`Balancer::set_verdicts`].
    pub fn set_verdicts(
        &mut self,
        verdicts: &[(EndpointIndex, Verdict)],
        now: Instant,
        random: &mut impl Random,
    ) {
        self.any.set_verdicts(verdicts.iter().copied(), now, random);
        for part in self.parts.values_mut().chain(std::iter::once(&mut self.default)) {
            let Part { members, balancer } = part;
            let here = verdicts.iter().filter_map(|(endpoint, verdict)| {
                let place = members.binary_search(endpoint).ok()?;
                Some((index(place), *verdict))
            });
            balancer.set_verdicts(here, now, random);
        }
    }
}

impl Part {
    fn place_of(&self, endpoint: EndpointIndex) -> Option<EndpointIndex> {
        self.members.binary_search(&endpoint).ok().map(index)
    }

    fn pick(
        &mut self,
        now: Instant,
        random: &mut impl Random,
        active: &impl Fn(EndpointIndex) -> u32,
    ) -> Option<EndpointIndex> {
        let Self { members, balancer } = self;
        let whole = |here: EndpointIndex| members.get(here.get()).copied();
        let chosen = balancer.pick(now, random, |here| whole(here).map_or(0, active))?;
        whole(chosen)
    }
}

/// What parts are made from.
struct Source<'a> {
    balancing: BalancerSettings,
    settings: &'a SubsetSettings,
    endpoints: &'a [EndpointView],
    localities: &'a [LocalityView],
}

impl Source<'_> {
    fn part(&self, members: Vec<EndpointIndex>, random: &mut impl Random) -> Part {
        let views: Vec<EndpointView> =
            members.iter().filter_map(|member| self.endpoints.get(member.get()).cloned()).collect();
        let balancing = BalancerSettings {
            weighted_localities: self.balancing.weighted_localities && self.settings.locality_weights,
            ..self.balancing
        };
        let localities = self.locality_weights(&views);
        Part { balancer: Balancer::new(balancing, views, localities, random), members }
    }

    fn locality_weights(&self, views: &[EndpointView]) -> Vec<LocalityView> {
        if !self.settings.scale_locality_weights {
            return self.localities.to_vec();
        }
        let count = |of: &[EndpointView], locality: usize| {
            of.iter().filter(|view| view.locality as usize == locality).count()
        };
        let scaled = self.localities.iter().enumerate().map(|(locality, view)| {
            let all = count(self.endpoints, locality);
            let part = f64::from(view.weight) * count(views, locality) as f64 / all.max(1) as f64;
            // Whoever has weight and an endpoint keeps some.
            let weight = part.round() as u32;
            LocalityView { weight: if part > 0.0 { weight.max(1) } else { 0 } }
        });
        scaled.collect()
    }
}

fn index(place: usize) -> EndpointIndex {
    EndpointIndex::new(u32::try_from(place).unwrap_or(u32::MAX))
}

fn indices(len: usize) -> impl Iterator<Item = EndpointIndex> {
    (0..len).map(index)
}

/// Has the endpoint all of these labels?
fn fits(labels: &[Box<Labels>], endpoint: EndpointIndex, criteria: &Criteria) -> bool {
    let Some(own) = labels.get(endpoint.get()) else { return false };
    criteria.iter().all(|(key, value)| own.iter().any(|(name, values)| name == key && values.contains(value)))
}

/// Every combination of an endpoint's values for `keys`; none if it lacks one of them.
fn combinations(labels: &Labels, keys: &[Arc<str>]) -> Vec<Box<Criteria>> {
    let mut made: Vec<Vec<(Arc<str>, Arc<str>)>> = vec![Vec::new()];
    for key in keys {
        let Some((_, values)) = labels.iter().find(|(name, _)| name == key) else { return Vec::new() };
        made = made
            .into_iter()
            .flat_map(|begun| {
                values.iter().map(move |value| {
                    let mut longer = begun.clone();
                    longer.push((Arc::clone(key), Arc::clone(value)));
                    longer
                })
            })
            .collect();
    }
    if keys.is_empty() { Vec::new() } else { made.into_iter().map(Into::into).collect() }
}

#[cfg(test)]
mod tests;
