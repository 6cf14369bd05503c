//! How a cluster chooses among its endpoints, in the terms of the balancer.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use meshloom_balance::{
    Balancer, BalancerSettings, Chosen, EndpointIndex, EndpointView, FailurePercentage, Fallback,
    HashFunction, Keyed, Labels, LocalityView, OutlierSettings, Policy, Random, RetryBudget, Rule, Selector,
    SelectorFallback, SlowStart, Spread, SubsetBalancer, SubsetSettings, SuccessRate, Thresholds, Verdict,
};
use meshloom_model::cluster::{self, LoadBalance, OutlierDetection, Thresholds as ModelThresholds};
use meshloom_model::endpoint::SubsetLabel;
use meshloom_model::subset::{self, MetadataMatch, Subsets};
use meshloom_model::{Cluster as Spec, Endpoint, Endpoints};

use super::Host;
use crate::telemetry::ClusterStats;
use crate::util::Rng;

/// What an attempt asks for.
pub(crate) struct Want<'a> {
    /// Who was asked before: somebody else, if there is one after so many choices.
    pub(crate) tried: &'a [Rc<Host>],
    pub(crate) choices: u32,
    /// Labels that the endpoint must have.
    pub(crate) subset: Option<&'a MetadataMatch>,
    /// What a consistent hash goes by; without it, chance.
    pub(crate) hash: Option<u64>,
    pub(crate) now: Instant,
}

/// Chooses among all endpoints, or among those of a subset.
pub(super) enum Chooser {
    Whole(Balancer),
    Divided { balancer: Box<SubsetBalancer>, fallback_list: bool },
}

impl Chooser {
    /// `labels` are those of the endpoints, in their order.
    pub(super) fn new(
        spec: &Spec,
        endpoints: Option<&Endpoints>,
        views: Vec<EndpointView>,
        labels: &[&[SubsetLabel]],
        rng: &mut Rng,
    ) -> Self {
        let groups = endpoints.map(|all| &*all.localities).unwrap_or_default();
        let localities =
            groups.iter().map(|group| LocalityView { weight: group.weight.unwrap_or(0) }).collect();
        let balancing = settings(spec, endpoints);
        match &spec.subsets {
            None => Self::Whole(Balancer::new(balancing, views, localities, rng)),
            Some(subsets) => {
                let labels: Vec<Box<Labels>> =
                    labels.iter().map(|own| labels_of(own, subsets.list_as_any)).collect();
                let made =
                    SubsetBalancer::new(subset_settings(subsets), balancing, views, localities, &labels, rng);
                Self::Divided { balancer: Box::new(made), fallback_list: subsets.fallback_list }
            }
        }
    }

    /// Every endpoint with what is known of it.
    pub(super) fn views(&self) -> &[EndpointView] {
        match self {
            Self::Whole(balancer) => balancer.endpoints(),
            Self::Divided { balancer, .. } => balancer.any().endpoints(),
        }
    }

    pub(super) fn set_ejected(&mut self, endpoint: EndpointIndex, ejected: bool, rng: &mut Rng) {
        match self {
            Self::Whole(balancer) => balancer.set_ejected(endpoint, ejected, rng),
            Self::Divided { balancer, .. } => balancer.set_ejected(endpoint, ejected, rng),
        }
    }

    pub(super) fn set_verdicts(
        &mut self,
        verdicts: &[(EndpointIndex, Verdict)],
        now: Instant,
        rng: &mut Rng,
    ) {
        match self {
            Self::Whole(balancer) => balancer.set_verdicts(verdicts.iter().copied(), now, rng),
            Self::Divided { balancer, .. } => balancer.set_verdicts(verdicts, now, rng),
        }
    }

    /// The endpoint for one attempt.
    pub(super) fn pick(
        &mut self,
        want: &Want<'_>,
        hosts: &[Rc<Host>],
        stats: &ClusterStats,
        rng: &mut Rng,
    ) -> Option<EndpointIndex> {
        match want.hash {
            Some(hash) => self.pick_by(want, hosts, stats, &mut Keyed::new(hash, rng)),
            None => self.pick_by(want, hosts, stats, rng),
        }
    }

    fn pick_by(
        &mut self,
        want: &Want<'_>,
        hosts: &[Rc<Host>],
        stats: &ClusterStats,
        rng: &mut impl Random,
    ) -> Option<EndpointIndex> {
        let active = |index: EndpointIndex| hosts.get(index.get()).map_or(0, |host| host.active.get());
        let tried: Vec<EndpointIndex> = want
            .tried
            .iter()
            .filter(|host| !host.removed.get())
            .map(|host| EndpointIndex::new(host.index.get()))
            .collect();
        match self {
            Self::Whole(balancer) if tried.is_empty() => balancer.pick(want.now, rng, active),
            Self::Whole(balancer) => balancer.pick_another(want.now, rng, active, &tried, want.choices),
            Self::Divided { balancer, fallback_list } => {
                let mut choice = None;
                for _ in 0..=if tried.is_empty() { 0 } else { want.choices } {
                    choice = divided(balancer, *fallback_list, want, stats, rng, &active);
                    if !choice.is_some_and(|choice| tried.contains(&choice)) {
                        break;
                    }
                }
                choice
            }
        }
    }

    /// Counts subsets that came and went since `before`.
    pub(super) fn count_subsets(&self, before: Option<&Self>, stats: &ClusterStats) {
        let Self::Divided { balancer, .. } = self else { return };
        let (created, removed) = match before {
            Some(Self::Divided { balancer: old, .. }) => (balancer.not_in(old), old.not_in(balancer)),
            _ => (balancer.len(), 0),
        };
        stats.subsets_created.add(created as u64);
        stats.subsets_removed.add(removed as u64);
        stats.subsets_active.set(balancer.len() as u64);
    }
}

/// One choice among subsets; with alternatives, the first that has somebody.
fn divided(
    balancer: &mut SubsetBalancer,
    fallback_list: bool,
    want: &Want<'_>,
    stats: &ClusterStats,
    rng: &mut impl Random,
    active: &impl Fn(EndpointIndex) -> u32,
) -> Option<EndpointIndex> {
    let mut one = |criteria: &meshloom_balance::Criteria| {
        let chosen = balancer.pick(criteria, want.now, rng, active);
        match chosen {
            Chosen::Selected(_) => stats.subsets_selected.inc(),
            Chosen::Fallback(_) => stats.subsets_fallback.inc(),
            Chosen::Panic(_) => stats.subsets_fallback_panic.inc(),
            Chosen::SelectorFallback(_) | Chosen::Nobody => {}
        }
        chosen.endpoint()
    };
    let criteria = want.subset.map(|subset| &*subset.criteria).unwrap_or_default();
    match want.subset.and_then(|subset| subset.alternatives.as_deref()) {
        Some(alternatives) if fallback_list => alternatives.iter().find_map(|criteria| one(criteria)),
        _ => one(criteria),
    }
}

fn labels_of(labels: &[SubsetLabel], list_as_any: bool) -> Box<Labels> {
    let values = |label: &SubsetLabel| match &label.items {
        Some(items) if list_as_any => items.clone(),
        _ => Box::from([Arc::clone(&label.value)]),
    };
    labels.iter().map(|label| (Arc::clone(&label.key), values(label))).collect()
}

fn subset_settings(spec: &Subsets) -> SubsetSettings {
    let fallback = |fallback: subset::Fallback| match fallback {
        subset::Fallback::None => Fallback::None,
        subset::Fallback::Any => Fallback::Any,
        subset::Fallback::Default => Fallback::Default,
    };
    let selector = |selector: &subset::Selector| Selector {
        keys: selector.keys.clone(),
        fallback: match &selector.fallback {
            subset::SelectorFallback::Inherit => SelectorFallback::Inherit,
            subset::SelectorFallback::To(to) => SelectorFallback::To(fallback(*to)),
            subset::SelectorFallback::Keys(keys) => SelectorFallback::Keys(keys.clone()),
        },
        single_host: selector.single_host,
    };
    SubsetSettings {
        fallback: fallback(spec.fallback),
        default_subset: spec.default_subset.clone(),
        selectors: spec.selectors.iter().map(selector).collect(),
        locality_weights: spec.locality_weight_aware,
        scale_locality_weights: spec.scale_locality_weight,
        panic_mode_any: spec.panic_mode_any,
    }
}

fn settings(spec: &Spec, endpoints: Option<&Endpoints>) -> BalancerSettings {
    BalancerSettings {
        policy: match spec.balance.policy {
            LoadBalance::RoundRobin => Policy::RoundRobin,
            LoadBalance::LeastRequest { choices } => Policy::LeastRequest { choices },
            LoadBalance::RingHash { least, most, function } => {
                Policy::Consistent(Spread::Ring { least, most, function: hash_function(function) })
            }
            LoadBalance::Maglev { size } => Policy::Consistent(Spread::Maglev { size }),
            LoadBalance::Random | LoadBalance::OriginalDestination => Policy::Random,
        },
        panic_threshold: spec.panic_threshold_percent.clamp(0.0, 100.0) as u8,
        overprovisioning_percent: endpoints.map_or(140, |all| all.overprovisioning_percent),
        weighted_localities: spec.balance.weighted_localities,
        slow_start: spec.balance.slow_start.map(|slow| SlowStart {
            window: slow.window,
            aggression: slow.aggression,
            least_share: slow.least_percent / 100.0,
        }),
    }
}

const fn hash_function(function: cluster::HashFunction) -> HashFunction {
    match function {
        cluster::HashFunction::XxHash => HashFunction::XxHash,
        cluster::HashFunction::Murmur2 => HashFunction::Murmur2,
    }
}

/// What consistent hashing knows an endpoint by: what its metadata says, its name where names count, else its address.
pub(super) fn hash_key(endpoint: &Endpoint, hostnames: bool) -> Arc<str> {
    match &endpoint.hash_key {
        Some(key) => Arc::clone(key),
        None if hostnames => Arc::clone(&endpoint.hostname),
        None => endpoint.address.to_string().into(),
    }
}

pub(super) fn thresholds(spec: &Spec) -> [Thresholds; 2] {
    [&spec.breakers.default, &spec.breakers.high].map(|limits: &ModelThresholds| Thresholds {
        connections: limits.max_connections,
        pending: limits.max_pending_requests,
        requests: limits.max_requests,
        retries: limits.max_retries,
        retry_budget: limits.retry_budget.map(|budget| RetryBudget {
            percent: f64::from(budget.millionths) / 10_000.0,
            min_concurrency: budget.min_concurrency,
        }),
    })
}

pub(super) fn outlier_settings(spec: &OutlierDetection) -> OutlierSettings {
    let share = |percent: u32| u8::try_from(percent).unwrap_or(100);
    let rule = |threshold: Option<u32>, enforcing: u32| Rule {
        threshold: threshold.unwrap_or(0),
        enforcing: share(enforcing),
    };
    OutlierSettings {
        consecutive_5xx: rule(spec.consecutive_5xx, spec.enforcing.consecutive_5xx),
        consecutive_gateway: rule(spec.consecutive_gateway, spec.enforcing.consecutive_gateway),
        consecutive_local_origin: rule(spec.consecutive_local, spec.enforcing.consecutive_local),
        split_local_origin: spec.split_local_errors,
        interval: spec.interval,
        base_ejection_time: spec.base_ejection,
        max_ejection_time: spec.max_ejection,
        ejection_jitter: spec.max_ejection_jitter,
        max_ejection_percent: share(spec.max_ejection_percent),
        always_eject_one: spec.always_eject_one,
        success_rate: SuccessRate {
            minimum_hosts: spec.success_rate.minimum_hosts,
            request_volume: spec.success_rate.request_volume,
            stdev_factor: spec.success_rate.stdev_factor,
            enforcing: share(spec.enforcing.success_rate),
            enforcing_local_origin: share(spec.enforcing.success_rate_local),
        },
        failure_percentage: FailurePercentage {
            threshold: share(spec.failure_percentage.threshold),
            minimum_hosts: spec.failure_percentage.minimum_hosts,
            request_volume: spec.failure_percentage.request_volume,
            enforcing: share(spec.enforcing.failure_percentage),
            enforcing_local_origin: share(spec.enforcing.failure_percentage_local),
        },
    }
}
