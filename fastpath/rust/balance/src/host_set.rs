//! One set of eligible endpoints and its rotation.

use crate::edf::Edf;
use crate::{EndpointIndex, EndpointView, Policy, Random};

/// Members that may all be picked, by one policy.
#[derive(Clone, Debug)]
pub(crate) struct HostSet {
    members: Vec<Member>,
    rotation: Rotation,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    endpoint: EndpointIndex,
    weight: f64,
}

#[derive(Clone, Debug)]
enum Rotation {
    /// Equal weights, in turn.
    Turn { next: usize },
    /// Unequal weights. The weight of a pick is divided by the endpoint's load plus one if `by_load`.
    Schedule { edf: Edf, by_load: bool },
    /// The least loaded of so many drawn at random.
    Choices { count: usize },
}

impl HostSet {
    pub(crate) fn new(
        members: impl Iterator<Item = EndpointIndex>,
        endpoints: &[EndpointView],
        policy: Policy,
        random: &mut impl Random,
    ) -> Self {
        let weight =
            |endpoint: EndpointIndex| endpoints.get(endpoint.get()).map_or(1, |view| view.weight.max(1));
        let members: Vec<Member> =
            members.map(|endpoint| Member { endpoint, weight: f64::from(weight(endpoint)) }).collect();
        let is_even =
            members.iter().zip(members.iter().skip(1)).all(|(one, other)| one.weight == other.weight);
        let rotation = match policy {
            Policy::Random => Rotation::Choices { count: 1 },
            Policy::LeastRequest { choices } if is_even => {
                Rotation::Choices { count: choices.max(2) as usize }
            }
            Policy::RoundRobin if is_even => Rotation::Turn { next: random.index(members.len()) },
            Policy::RoundRobin => Rotation::schedule(&members, false, random),
            Policy::LeastRequest { .. } => Rotation::schedule(&members, true, random),
        };
        Self { members, rotation }
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The next endpoint; `active` tells how many requests one has in flight.
    pub(crate) fn pick(
        &mut self,
        random: &mut impl Random,
        active: impl Fn(EndpointIndex) -> u32,
    ) -> Option<EndpointIndex> {
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
