//! One set of eligible endpoints and its rotation.

use std::sync::Arc;
use std::time::Instant;

use crate::balancer::BalancerSettings;
use crate::consistent::{Entry, Spread, Table};
use crate::edf::Edf;
use crate::slow_start::Warming;
use crate::{EndpointIndex, EndpointView, Policy, Random};

/// Members that may all be picked, by one policy.
#[derive(Clone, Debug)]
pub(crate) struct HostSet {
    members: Vec<Member>,
    rotation: Rotation,
    /// Takes the place of the rotation while a member starts slowly.
    warming: Option<Warming>,
}

#[derive(Clone, Debug)]
struct Member {
    endpoint: EndpointIndex,
    weight: f64,
    since: Option<Instant>,
    key: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
enum Rotation {
    /// Equal weights, in turn.
    Turn { next: usize },
    /// Unequal weights. The weight of a pick is divided by the endpoint's load plus one if `by_load`.
    Schedule { edf: Edf, by_load: bool },
    /// The least loaded of so many drawn at random.
    Choices { count: usize },
    /// Whose the hash is; the table is made when it is first asked.
    Hash { spread: Spread, table: Option<Table> },
}

impl HostSet {
    pub(crate) fn new(
        members: impl Iterator<Item = EndpointIndex>,
        endpoints: &[EndpointView],
        settings: &BalancerSettings,
        random: &mut impl Random,
    ) -> Self {
        let weigh = |endpoint: EndpointIndex| (endpoint, own_weight(endpoint, endpoints));
        let mut weighted: Vec<_> = members.map(weigh).collect();
        if let Policy::Consistent(_) = settings.policy {
            let total: f64 = weighted.iter().map(|(_, weight)| weight).sum();
            weighted.iter_mut().for_each(|(_, weight)| *weight /= total);
        }
        Self::weighted(weighted.into_iter(), endpoints, settings, random)
    }

    /// With other weights than their own; those of consistent hashing are shares of 1.
    pub(crate) fn weighted(
        members: impl Iterator<Item = (EndpointIndex, f64)>,
        endpoints: &[EndpointView],
        settings: &BalancerSettings,
        random: &mut impl Random,
    ) -> Self {
        let member = |(endpoint, weight): (EndpointIndex, f64)| {
            let view = endpoints.get(endpoint.get());
            let (since, key) = view.map(|view| (view.since, view.key.clone())).unwrap_or_default();
            Member { endpoint, weight, since, key }
        };
        let members: Vec<Member> = members.map(member).collect();
        let is_even =
            members.iter().zip(members.iter().skip(1)).all(|(one, other)| one.weight == other.weight);
        let rotation = match settings.policy {
            Policy::Random => Rotation::Choices { count: 1 },
            Policy::Consistent(spread) => Rotation::Hash { spread, table: None },
            Policy::LeastRequest { choices } if is_even => {
                Rotation::Choices { count: choices.max(2) as usize }
            }
            Policy::RoundRobin if is_even => Rotation::Turn { next: random.index(members.len()) },
            Policy::RoundRobin => Rotation::schedule(&members, false, random),
            Policy::LeastRequest { .. } => Rotation::schedule(&members, true, random),
        };
        let slow = settings
            .slow_start
            .filter(|_| matches!(settings.policy, Policy::RoundRobin | Policy::LeastRequest { .. }));
        let warming = slow.and_then(|start| Warming::new(start, members.iter().map(|member| member.since)));
        Self { members, rotation, warming }
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = EndpointIndex> {
        self.members.iter().map(|member| member.endpoint)
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The next endpoint; `active` tells how many requests one has in flight.
    pub(crate) fn pick(
        &mut self,
        now: Instant,
        random: &mut impl Random,
        active: impl Fn(EndpointIndex) -> u32,
    ) -> Option<EndpointIndex> {
        if self.warming.as_ref().is_some_and(|warming| warming.until <= now) {
            self.warming = None;
        }
        if self.warming.is_some() {
            return self.pick_warming(now, active);
        }
        let members = &self.members;
        match &mut self.rotation {
            Rotation::Turn { next } => {
                let member = members.get(*next)?;
                *next = (*next + 1) % members.len();
                Some(member.endpoint)
            }
            Rotation::Schedule { edf, by_load } => {
                let load = |endpoint| if *by_load { f64::from(active(endpoint)) + 1.0 } else { 1.0 };
                let weight =
                    |item: u32| members.get(item as usize).map_or(1.0, |m| m.weight / load(m.endpoint));
                edf.pick(weight).and_then(|item| members.get(item as usize)).map(|member| member.endpoint)
            }
            Rotation::Hash { spread, table } => {
                let (hash, attempt) = random.hash();
                let table = table.get_or_insert_with(|| Table::new(*spread, &entries(members)));
                table.find(hash, attempt).and_then(|place| members.get(place)).map(|member| member.endpoint)
            }
            Rotation::Choices { count } => {
                let mut draw = || members.get(random.index(members.len())).map(|member| member.endpoint);
                let first = draw()?;
                let others = (1..*count).filter_map(|_| draw());
                Some(
                    others.fold(first, |best, other| if active(other) < active(best) { other } else { best }),
                )
            }
        }
    }
}

impl HostSet {
    fn pick_warming(&mut self, now: Instant, active: impl Fn(EndpointIndex) -> u32) -> Option<EndpointIndex> {
        let Self { members, rotation, warming } = self;
        let warming = warming.as_mut()?;
        // Least request weighs by load, whether the weights are even or not.
        let by_load = matches!(rotation, Rotation::Choices { .. } | Rotation::Schedule { by_load: true, .. });
        let start = warming.start;
        let weight = |item: u32| {
            members.get(item as usize).map_or(1.0, |member| {
                let load = if by_load { f64::from(active(member.endpoint)) + 1.0 } else { 1.0 };
                member.weight * member.since.map_or(1.0, |since| start.factor(since, now)) / load
            })
        };
        let chosen = warming.pick(members.len(), weight)?;
        members.get(chosen).map(|member| member.endpoint)
    }
}

/// What an endpoint weighs among others of its locality.
pub(crate) fn own_weight(endpoint: EndpointIndex, endpoints: &[EndpointView]) -> f64 {
    f64::from(endpoints.get(endpoint.get()).map_or(1, |view| view.weight.max(1)))
}

fn entries(members: &[Member]) -> Vec<Entry> {
    let entry = |member: &Member| Entry { key: member.key.clone().unwrap_or_default(), share: member.weight };
    members.iter().map(entry).collect()
}

impl Rotation {
    /// Starts somewhere in the schedule, so that workers and proxies that got the same list do not pick in step.
    fn schedule(members: &[Member], by_load: bool, random: &mut impl Random) -> Self {
        let mut edf = Edf::new(members.iter().map(|member| member.weight));
        for _ in 0..random.index(members.len()) {
            edf.pick(|item| members.get(item as usize).map_or(1.0, |member| member.weight));
        }
        Self::Schedule { edf, by_load }
    }
}
