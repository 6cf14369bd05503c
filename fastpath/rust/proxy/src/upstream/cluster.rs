//! One cluster in this worker: its endpoints, who gets the next request, and what is in use.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use meshloom_balance::{
    Balancer, BalancerSettings, Breakers, EndpointIndex, EndpointView, Health, LocalityView, OutlierDetector,
    OutlierSettings, Policy, RetryBudget, Rule, Thresholds,
};
use meshloom_model::cluster::{LoadBalance, OutlierDetection, Thresholds as ModelThresholds};
use meshloom_model::endpoint::{Endpoints, Health as ModelHealth};
use meshloom_model::ids::Index;
use meshloom_model::route::ResourcePriority;
use meshloom_model::{Address, Cluster as Spec, ClusterIndex};
use meshloom_shm::Telemetry;

use super::Host;
use crate::telemetry::{ClusterStats, StatusCounters};
use crate::tls::TlsContexts;
use crate::util::Rng;

/// Names a cluster of this worker: the index of its name, which never changes.
pub(crate) type ClusterId = ClusterIndex;

/// A cluster with its endpoints.
pub(crate) struct Cluster {
    pub(crate) spec: Arc<Spec>,
    pub(crate) stats: ClusterStats,
    pub(crate) codes: StatusCounters,
    pub(crate) breakers: [Breakers; 2],
    /// `None` until the endpoints were heard of for the first time.
    endpoints: Option<Arc<Endpoints>>,
    hosts: Vec<Rc<Host>>,
    balancer: Balancer,
    outlier: Option<OutlierDetector>,
}

impl Cluster {
    fn new(spec: Arc<Spec>, telemetry: &mut Telemetry, rng: &mut Rng) -> Self {
        let stats = ClusterStats::register(telemetry, spec.stat_name());
        let breakers = breakers(&spec).map(Breakers::new);
        let balancer = Balancer::new(settings(&spec, None), Vec::new(), Vec::new(), rng);
        Self {
            spec,
            stats,
            codes: StatusCounters::default(),
            breakers,
            endpoints: None,
            hosts: Vec::new(),
            balancer,
            outlier: None,
        }
    }

    pub(crate) fn breakers(&mut self, priority: ResourcePriority) -> &mut Breakers {
        let [default, high] = &mut self.breakers;
        match priority {
            ResourcePriority::Default => default,
            ResourcePriority::High => high,
        }
    }

    /// The endpoint for one attempt, if possible not one of `tried`.
    pub(crate) fn pick(&mut self, tried: &[Rc<Host>], choices: u32, rng: &mut Rng) -> Option<Rc<Host>> {
        let Self { hosts, balancer, .. } = self;
        let active = |index: EndpointIndex| hosts.get(index.get()).map_or(0, |host| host.active.get());
        let chosen = if tried.is_empty() {
            balancer.pick(rng, active)?
        } else {
            let tried: Vec<EndpointIndex> = tried
                .iter()
                .filter(|host| !host.removed.get())
                .map(|host| EndpointIndex::new(host.index.get()))
                .collect();
            balancer.pick_another(rng, active, &tried, choices)?
        };
        hosts.get(chosen.get()).cloned()
    }

    /// Takes note of how an attempt ended.
    pub(crate) fn observe(
        &mut self,
        host: &Host,
        outcome: meshloom_balance::Outcome,
        now: Instant,
        rng: &mut Rng,
    ) {
        use meshloom_balance::Ejection;
        let Some(outlier) = &mut self.outlier else { return };
        if host.removed.get() {
            return;
        }
        let index = EndpointIndex::new(host.index.get());
        let Some(ejection) = outlier.observe(index, outcome, now, rng) else { return };
        let detector = ejection.detector();
        self.stats.ejections_detected(detector).inc();
        match ejection {
            Ejection::Eject(_) => {
                self.stats.ejections_enforced_total.inc();
                self.stats.ejections_enforced(detector).inc();
                self.stats.ejections_active.set(outlier.ejected() as u64);
                self.balancer.set_ejected(index, true, rng);
                self.stats.membership_healthy.set(self.balancer.available() as u64);
            }
            Ejection::Tolerate(_) => {}
            Ejection::Overflow(_) => self.stats.ejections_overflow.inc(),
        }
    }

    /// When [`Self::sweep`] is due.
    pub(crate) fn next_sweep(&self) -> Option<Instant> {
        self.outlier.as_ref().map(OutlierDetector::next_sweep)
    }

    /// Lets endpoints whose time is over back in.
    pub(crate) fn sweep(&mut self, now: Instant, rng: &mut Rng) {
        let Some(outlier) = &mut self.outlier else { return };
        for index in outlier.sweep(now) {
            self.balancer.set_ejected(index, false, rng);
        }
        self.stats.ejections_active.set(outlier.ejected() as u64);
        self.stats.membership_healthy.set(self.balancer.available() as u64);
    }

    /// Takes a changed configuration. Gives the hosts that are gone, or whose connections may not be used any more.
    fn update(
        &mut self,
        id: ClusterId,
        spec: &Arc<Spec>,
        endpoints: Option<&Arc<Endpoints>>,
        contexts: &mut TlsContexts<'_>,
        cx: &mut UpdateContext<'_>,
    ) -> Vec<Rc<Host>> {
        let same_spec = Arc::ptr_eq(&self.spec, spec);
        let same_endpoints = match (&self.endpoints, endpoints) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        };
        if !same_spec {
            self.spec = Arc::clone(spec);
            for (breaker, thresholds) in self.breakers.iter_mut().zip(breakers(spec)) {
                breaker.configure(thresholds);
            }
        }
        if same_spec && same_endpoints {
            // Secrets may have changed all the same: new connections take the new context.
            for host in &self.hosts {
                host.tls.replace(contexts.client(spec, &host.endpoint()));
            }
            return Vec::new();
        }
        self.endpoints = endpoints.cloned();
        self.stats.update_success.inc();
        self.replace_hosts(id, endpoints, contexts, cx)
    }

    fn replace_hosts(
        &mut self,
        id: ClusterId,
        endpoints: Option<&Arc<Endpoints>>,
        contexts: &mut TlsContexts<'_>,
        cx: &mut UpdateContext<'_>,
    ) -> Vec<Rc<Host>> {
        let mut old: HashMap<Address, Rc<Host>> =
            self.hosts.drain(..).map(|host| (host.address.clone(), host)).collect();
        let mut previous = Vec::new();
        let mut views = Vec::new();
        let list = endpoints.map(|endpoints| &*endpoints.all).unwrap_or_default();
        for (index, endpoint) in (0u32..).zip(list) {
            let tls = contexts.client(&self.spec, endpoint);
            // Same address, same way to speak: the pool goes on. Labels and weights may have changed.
            let kept =
                old.remove(&endpoint.address).filter(|host| host.tls.borrow().is_some() == tls.is_some());
            previous.push(kept.as_ref().map(|host| EndpointIndex::new(host.index.get())));
            let host = match kept {
                Some(host) => {
                    host.set_endpoint(Arc::new(endpoint.clone()));
                    host
                }
                None => Rc::new(Host::new(id, endpoint.address.clone(), Arc::new(endpoint.clone()))),
            };
            host.tls.replace(tls);
            host.index.set(index);
            self.hosts.push(host);
            views.push(view(endpoint, endpoints.map(|all| &**all)));
        }
        self.outlier = self.spec.outlier.map(|spec| {
            let settings = outlier_settings(&spec);
            match self.outlier.take() {
                Some(outlier) => outlier.carry_over(settings, previous.into_iter()),
                None => OutlierDetector::new(settings, list.len(), cx.now),
            }
        });
        self.rebalance(endpoints.map(|all| &**all), views, cx);
        let gone: Vec<Rc<Host>> = old.into_values().collect();
        gone.iter().for_each(|host| host.removed.set(true));
        gone
    }

    fn rebalance(
        &mut self,
        endpoints: Option<&Endpoints>,
        views: Vec<EndpointView>,
        cx: &mut UpdateContext<'_>,
    ) {
        let localities = endpoints
            .map(|all| {
                all.localities
                    .iter()
                    .map(|group| LocalityView { weight: group.weight.unwrap_or(0) })
                    .collect()
            })
            .unwrap_or_default();
        let degraded = views.iter().filter(|view| view.health == Health::Degraded).count();
        self.balancer = Balancer::new(settings(&self.spec, endpoints), views, localities, cx.rng);
        for host in &self.hosts {
            let index = EndpointIndex::new(host.index.get());
            if self.outlier.as_ref().is_some_and(|outlier| outlier.is_ejected(index)) {
                self.balancer.set_ejected(index, true, cx.rng);
            }
        }
        self.stats.membership_change.inc();
        self.stats.membership_total.set(self.hosts.len() as u64);
        self.stats.membership_degraded.set(degraded as u64);
        self.stats.membership_healthy.set(self.balancer.available().saturating_sub(degraded) as u64);
    }
}

/// What an update needs besides the configuration.
pub(crate) struct UpdateContext<'w> {
    pub(crate) telemetry: &'w mut Telemetry,
    pub(crate) rng: &'w mut Rng,
    pub(crate) now: Instant,
}

/// All clusters by index.
#[derive(Default)]
pub(crate) struct Clusters {
    slots: Vec<Option<Cluster>>,
}

impl Clusters {
    pub(crate) fn get(&self, id: ClusterId) -> Option<&Cluster> {
        self.slots.get(id.position())?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: ClusterId) -> Option<&mut Cluster> {
        self.slots.get_mut(id.position())?.as_mut()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Cluster> {
        self.slots.iter_mut().flatten()
    }

    /// Follows the snapshot. Gives the hosts whose connections are to be closed.
    pub(crate) fn update(
        &mut self,
        snapshot: &meshloom_model::Snapshot,
        contexts: &mut TlsContexts<'_>,
        cx: &mut UpdateContext<'_>,
    ) -> Vec<Rc<Host>> {
        let mut gone = Vec::new();
        if self.slots.len() < snapshot.clusters.len() {
            self.slots.resize_with(snapshot.clusters.len(), || None);
        }
        for (position, slot) in (0u32..).zip(self.slots.iter_mut()) {
            let id = ClusterId::at(position);
            let Some(spec) = snapshot.cluster(id) else {
                if let Some(cluster) = slot.take() {
                    cluster.hosts.iter().for_each(|host| host.removed.set(true));
                    gone.extend(cluster.hosts);
                }
                continue;
            };
            let cluster = slot.get_or_insert_with(|| Cluster::new(Arc::clone(spec), cx.telemetry, cx.rng));
            gone.extend(cluster.update(id, spec, snapshot.endpoints(spec), contexts, cx));
        }
        gone
    }
}

fn view(endpoint: &meshloom_model::Endpoint, endpoints: Option<&Endpoints>) -> EndpointView {
    let priority = endpoints.and_then(|all| all.locality_of(endpoint)).map_or(0, |group| group.priority);
    EndpointView {
        weight: endpoint.weight.max(1),
        health: match endpoint.health {
            ModelHealth::Healthy => Health::Healthy,
            ModelHealth::Degraded => Health::Degraded,
            ModelHealth::Unhealthy | ModelHealth::Draining => Health::Unhealthy,
        },
        priority,
        locality: endpoint.locality,
    }
}

fn settings(spec: &Spec, endpoints: Option<&Endpoints>) -> BalancerSettings {
    BalancerSettings {
        policy: match spec.balance {
            LoadBalance::RoundRobin => Policy::RoundRobin,
            LoadBalance::LeastRequest { choices } => Policy::LeastRequest { choices },
            LoadBalance::Random | LoadBalance::OriginalDestination => Policy::Random,
        },
        panic_threshold: spec.panic_threshold_percent.clamp(0.0, 100.0) as u8,
        overprovisioning_percent: endpoints.map_or(140, |all| all.overprovisioning_percent),
        weighted_localities: false,
    }
}

fn breakers(spec: &Spec) -> [Thresholds; 2] {
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

fn outlier_settings(spec: &OutlierDetection) -> OutlierSettings {
    let rule = |threshold: Option<u32>, enforcing: u32| Rule {
        threshold: threshold.unwrap_or(0),
        enforcing: u8::try_from(enforcing).unwrap_or(100),
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
        max_ejection_percent: u8::try_from(spec.max_ejection_percent).unwrap_or(100),
        always_eject_one: spec.always_eject_one,
    }
}
