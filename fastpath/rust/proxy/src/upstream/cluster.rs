//! One cluster in this worker: its endpoints, who gets the next request, and what is in use.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshloom_balance::{
    Breakers, Detector, Ejection, EndpointIndex, EndpointView, Health, OutlierDetector, Verdict,
};
use meshloom_model::cluster::EndpointSource;
use meshloom_model::endpoint::{Endpoint, Endpoints, Health as ModelHealth};
use meshloom_model::ids::Index;
use meshloom_model::route::ResourcePriority;
use meshloom_model::{Address, Cluster as Spec, ClusterIndex};
use meshloom_shm::Telemetry;

use super::choose::{Chooser, Want, outlier_settings, thresholds};
use super::original::{self, Originals};
use super::quota::{SharedLimits, breakers};
use super::{Destination, Host};
use crate::reactor::Millis;
use crate::telemetry::{ClusterStats, HealthStats, StatusCounters, TlsStats, UpstreamHttp2Stats};
use crate::tls::TlsContexts;
use crate::util::Rng;

/// Names a cluster of this worker: the index of its name, which never changes.
pub(crate) type ClusterId = ClusterIndex;

/// A cluster with its endpoints.
pub(crate) struct Cluster {
    pub(crate) spec: Arc<Spec>,
    pub(crate) stats: ClusterStats,
    /// `None` when connections are plain.
    pub(crate) tls_stats: Option<TlsStats>,
    /// Of HTTP/2, once a connection has spoken it.
    pub(crate) http2: Option<UpstreamHttp2Stats>,
    pub(crate) codes: StatusCounters,
    pub(crate) breakers: [Breakers; 2],
    /// `None` until the endpoints were heard of for the first time.
    endpoints: Option<Arc<Endpoints>>,
    hosts: Vec<Rc<Host>>,
    chooser: Chooser,
    outlier: Option<OutlierDetector>,
    originals: Option<Originals>,
    /// `None` where nothing is checked.
    pub(crate) health_stats: Option<HealthStats>,
    /// Somebody has connected to it, here or in another worker.
    pub(crate) used: bool,
    /// Endpoints that outlier detection took out (true) or put back since they were last told.
    pub(crate) ejections: Vec<(Box<str>, bool)>,
    /// It takes requests: its endpoints have been checked once, or have had the time for it.
    warm: bool,
    warm_by: Millis,
}

/// The longest that a cluster waits for its first checks.
const LONGEST_WARMING: Duration = Duration::from_secs(30);
/// What first checks may take beside their own time.
const WARMING_MARGIN: Duration = Duration::from_secs(1);

impl Cluster {
    fn new(spec: Arc<Spec>, cx: &mut UpdateContext<'_>) -> Self {
        let stats = ClusterStats::register(cx.telemetry, spec.stat_name());
        let tls_stats = spec.speaks_tls().then(|| TlsStats::of_cluster(cx.telemetry, spec.stat_name()));
        let breakers = breakers(&spec, cx.shared);
        let chooser = Chooser::new(&spec, None, Vec::new(), &[], cx.rng);
        Self {
            spec,
            stats,
            tls_stats,
            http2: None,
            codes: StatusCounters::default(),
            breakers,
            endpoints: None,
            hosts: Vec::new(),
            chooser,
            outlier: None,
            originals: None,
            health_stats: None,
            used: false,
            ejections: Vec::new(),
            warm: false,
            warm_by: cx.millis,
        }
    }

    /// Whether it takes requests. Once it does, it goes on doing so.
    pub(crate) fn is_warm(&mut self, now: Millis) -> bool {
        self.warm = self.warm
            || now >= self.warm_by
            || self.hosts.iter().all(|host| host.verdict().is_some() || !host.is_checked());
        self.warm
    }

    fn update_health(&mut self, cx: &mut UpdateContext<'_>) {
        let Some(check) = &self.spec.health else {
            self.health_stats = None;
            self.hosts.iter().for_each(|host| host.known.set(None));
            return;
        };
        if self.health_stats.is_none() {
            self.health_stats = Some(HealthStats::register(cx.telemetry, self.spec.stat_name()));
        }
        if !self.warm && self.warm_by <= cx.millis {
            let takes = check.pauses.initial_jitter + check.timeout + WARMING_MARGIN;
            self.warm_by = cx.millis.after(takes.min(LONGEST_WARMING));
        }
    }

    /// Gauges of health checks; the worker that makes these has them.
    pub(crate) fn count_health(&self) {
        let Some(stats) = &self.health_stats else { return };
        let count =
            |wanted: Verdict| self.hosts.iter().filter(|host| host.verdict() == Some(wanted)).count() as u64;
        stats.healthy.set(count(Verdict::Passed) + count(Verdict::Degraded));
        stats.degraded.set(count(Verdict::Degraded));
    }

    pub(crate) fn breakers(&mut self, priority: ResourcePriority) -> &mut Breakers {
        let [default, high] = &mut self.breakers;
        match priority {
            ResourcePriority::Default => default,
            ResourcePriority::High => high,
        }
    }

    pub(crate) fn hosts(&self) -> &[Rc<Host>] {
        &self.hosts
    }

    /// The endpoint for one attempt.
    pub(crate) fn pick(&mut self, want: &Want<'_>, rng: &mut Rng) -> Option<Rc<Host>> {
        let Self { hosts, chooser, stats, .. } = self;
        let chosen = chooser.pick(want, hosts, stats, rng)?;
        hosts.get(chosen.get()).cloned()
    }

    /// Whether its endpoints are wherever connections were going, and the header that may say so.
    pub(crate) fn original_destination(&self) -> Option<&meshloom_model::cluster::OriginalDestination> {
        match &self.spec.endpoints {
            EndpointSource::OriginalDestination(spec) => Some(spec),
            _ => None,
        }
    }

    /// The endpoint of a request to an original destination.
    pub(crate) fn original_host(&mut self, id: ClusterId, to: &Destination) -> Option<Rc<Host>> {
        let address = match to {
            Destination::At(address) => Some(*address),
            Destination::Malformed(connection) => {
                self.stats.original_dst_host_invalid.inc();
                *connection
            }
            Destination::Nowhere => None,
        };
        self.host_at(id, address?)
    }

    /// The endpoint at an original destination.
    pub(crate) fn host_at(&mut self, id: ClusterId, address: SocketAddr) -> Option<Rc<Host>> {
        let originals = self.originals.as_mut()?;
        let before = originals.len();
        let host = originals.host(id, address);
        if originals.len() != before {
            self.stats.membership_change.inc();
            self.count_originals();
        }
        Some(host)
    }

    fn count_originals(&self) {
        let count = self.originals.as_ref().map_or(0, Originals::len) as u64;
        self.stats.membership_total.set(count);
        self.stats.membership_healthy.set(count);
    }

    /// Takes note of how an attempt ended.
    pub(crate) fn observe(
        &mut self,
        host: &Host,
        outcome: meshloom_balance::Outcome,
        now: Instant,
        rng: &mut Rng,
    ) {
        let Some(outlier) = &mut self.outlier else { return };
        if host.removed.get() {
            return;
        }
        let index = EndpointIndex::new(host.index.get());
        let Some(ejection) = outlier.observe(index, outcome, now, rng) else { return };
        self.take_ejection(index, ejection, rng);
        self.count_members();
    }

    fn take_ejection(&mut self, index: EndpointIndex, ejection: Ejection, rng: &mut Rng) {
        let detector: Detector = ejection.detector();
        self.stats.ejections_detected(detector).inc();
        match ejection {
            Ejection::Eject(_) => {
                self.stats.ejections_enforced_total.inc();
                self.stats.ejections_enforced(detector).inc();
                self.set_ejected(index, true, rng);
            }
            Ejection::Tolerate(_) => {}
            Ejection::Overflow(_) => self.stats.ejections_overflow.inc(),
        }
    }

    fn set_ejected(&mut self, index: EndpointIndex, ejected: bool, rng: &mut Rng) {
        self.chooser.set_ejected(index, ejected, rng);
        if let Some(host) = self.hosts.get(index.get()) {
            self.ejections.push((host.place().text.clone(), ejected));
        }
    }

    /// When [`Self::sweep`] is due.
    pub(crate) fn next_sweep(&self) -> Option<Instant> {
        self.outlier.as_ref().map(OutlierDetector::next_sweep)
    }

    /// Lets endpoints whose time is over back in, and ejects who did far worse than the others.
    pub(crate) fn sweep(&mut self, now: Instant, rng: &mut Rng) {
        let Some(outlier) = &mut self.outlier else { return };
        let swept = outlier.sweep(now, rng);
        for index in swept.back {
            self.set_ejected(index, false, rng);
        }
        for (index, ejection) in swept.ejections {
            self.take_ejection(index, ejection, rng);
        }
        self.count_members();
    }

    /// Forgets original destinations that nobody uses.
    pub(crate) fn clean(&mut self, now: Millis) {
        if let Some(originals) = &mut self.originals {
            originals.clean(now);
            self.count_originals();
        }
    }

    /// Takes what health checks say of an endpoint. True if it leaves now, because only its health had kept it.
    pub(crate) fn take_verdict(
        &mut self,
        host: &Rc<Host>,
        verdict: Verdict,
        now: Instant,
        rng: &mut Rng,
    ) -> bool {
        let index = EndpointIndex::new(host.index.get());
        let passed = matches!(verdict, Verdict::Passed | Verdict::Degraded);
        self.chooser.set_verdicts(&[(index, verdict)], now, rng);
        let readmits = passed && self.spec.outlier.is_some_and(|outlier| outlier.uneject_on_passed_check);
        if readmits && self.outlier.as_mut().is_some_and(|outlier| outlier.readmit(index)) {
            self.set_ejected(index, false, rng);
        }
        let leaves = host.leaving.get() && !passed;
        if leaves {
            self.remove_host(host, rng);
        }
        self.count_members();
        leaves
    }

    /// Takes a host out that is no longer configured.
    fn remove_host(&mut self, gone: &Rc<Host>, rng: &mut Rng) {
        gone.removed.set(true);
        let views = self.chooser.views();
        let kept: Vec<(Rc<Host>, EndpointView)> = self
            .hosts
            .iter()
            .zip(views)
            .filter(|(host, _)| !Rc::ptr_eq(host, gone))
            .map(|(host, view)| (Rc::clone(host), *view))
            .collect();
        if let (Some(outlier), Some(spec)) = (&self.outlier, &self.spec.outlier) {
            let previous: Vec<_> =
                kept.iter().map(|(host, _)| Some(EndpointIndex::new(host.index.get()))).collect();
            self.outlier = Some(outlier.carry_over(outlier_settings(spec), previous.into_iter()));
        }
        self.hosts = kept.iter().map(|(host, _)| Rc::clone(host)).collect();
        for (index, host) in (0..).zip(&self.hosts) {
            host.index.set(index);
        }
        let views = kept.into_iter().map(|(_, view)| view).collect();
        let endpoints = self.endpoints.clone();
        self.rebalance(endpoints.as_deref(), views, rng);
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
            let missing = spec.speaks_tls() && self.tls_stats.is_none();
            if missing {
                self.tls_stats = Some(TlsStats::of_cluster(cx.telemetry, spec.stat_name()));
            }
            for (breaker, thresholds) in self.breakers.iter_mut().zip(thresholds(spec)) {
                breaker.configure(thresholds);
            }
        }
        let original = self.update_originals(contexts, cx);
        if same_spec && same_endpoints {
            // Secrets may have changed all the same: new connections take the new context.
            let mut changed = false;
            for host in &self.hosts {
                let new = contexts.client(spec, &host.endpoint());
                host.check_tls.replace(contexts.checker(spec, &host.endpoint()));
                let old = host.tls.replace(new.clone());
                changed |= new.is_some_and(|new| !old.is_some_and(|old| Rc::ptr_eq(&old, &new)));
            }
            if let Some(stats) = self.tls_stats.as_ref().filter(|_| changed && contexts.counts_updates()) {
                stats.updates_by_sds.inc();
            }
            return original;
        }
        self.endpoints = endpoints.cloned();
        self.stats.update_success.inc();
        let mut gone = self.replace_hosts(id, endpoints, contexts, cx);
        gone.extend(original);
        gone
    }

    /// The same for original destinations. Gives those that are gone, because the cluster has another type now.
    fn update_originals(&mut self, contexts: &mut TlsContexts<'_>, cx: &UpdateContext<'_>) -> Vec<Rc<Host>> {
        let EndpointSource::OriginalDestination(spec) = &self.spec.endpoints else {
            let gone: Vec<Rc<Host>> =
                self.originals.take().iter().flat_map(Originals::hosts).cloned().collect();
            gone.iter().for_each(|host| host.removed.set(true));
            return gone;
        };
        let anywhere = original::endpoint(SocketAddr::from(([0, 0, 0, 0], 0)));
        let tls = contexts.client(&self.spec, &anywhere);
        match &mut self.originals {
            Some(originals) => originals.configure(spec, tls),
            None => self.originals = Some(Originals::new(spec, tls, cx.millis)),
        }
        Vec::new()
    }

    fn replace_hosts(
        &mut self,
        id: ClusterId,
        endpoints: Option<&Arc<Endpoints>>,
        contexts: &mut TlsContexts<'_>,
        cx: &mut UpdateContext<'_>,
    ) -> Vec<Rc<Host>> {
        let logical = matches!(self.spec.endpoints, EndpointSource::Dns { first_address_only: true, .. });
        let mut old = OldHosts::new(self.hosts.drain(..), logical);
        let before: Vec<EndpointView> = self.chooser.views().to_vec();
        let mut previous = Vec::new();
        let mut views = Vec::new();
        let list = endpoints.map(|endpoints| &*endpoints.all).unwrap_or_default();
        for (index, endpoint) in (0u32..).zip(list) {
            let tls = contexts.client(&self.spec, endpoint);
            // Same address, same way to speak: the pool goes on. Labels and weights may have changed.
            let kept =
                old.take(&endpoint.address).filter(|host| host.tls.borrow().is_some() == tls.is_some());
            let known = kept.as_ref().map(|host| EndpointIndex::new(host.index.get()));
            previous.push(known);
            let host = match kept {
                Some(host) => {
                    host.set_endpoint(Arc::new(endpoint.clone()));
                    host
                }
                None => Rc::new(Host::new(id, endpoint.address.clone(), Arc::new(endpoint.clone()))),
            };
            host.tls.replace(tls);
            host.check_tls.replace(contexts.checker(&self.spec, endpoint));
            host.index.set(index);
            host.leaving.set(false);
            let known = known.and_then(|index| before.get(index.get()));
            let came = known.map_or(Some(cx.now), |view| view.since);
            let verdict = self.verdict_of(&host);
            self.hosts.push(host);
            views.push(EndpointView { verdict, ..view(endpoint, endpoints.map(|all| &**all), came) });
        }
        let gone = self.keep_healthy(old.rest(), &before, &mut views, &mut previous);
        self.outlier = self.spec.outlier.map(|spec| {
            let settings = outlier_settings(&spec);
            match self.outlier.take() {
                Some(outlier) => outlier.carry_over(settings, previous.into_iter()),
                None => OutlierDetector::new(settings, views.len(), cx.now),
            }
        });
        self.rebalance(endpoints.map(|all| &**all), views, cx.rng);
        self.update_health(cx);
        gone.iter().for_each(|host| host.removed.set(true));
        gone
    }

    /// What health checks say of an endpoint; before the first one, that it is not healthy.
    fn verdict_of(&self, host: &Host) -> Verdict {
        match (&self.spec.health, host.verdict()) {
            (None, _) => Verdict::Passed,
            (Some(_), _) if !host.is_checked() => Verdict::Passed,
            (Some(_), Some(verdict)) => verdict,
            (Some(_), None) if self.spec.health_effects.ignore_unchecked => Verdict::Pending,
            (Some(_), None) => Verdict::Failed,
        }
    }

    /// Of the hosts that are no longer configured, those stay that pass their checks: with Envoy, too, only both
    /// together end an endpoint. Gives the others.
    fn keep_healthy(
        &mut self,
        old: Vec<Rc<Host>>,
        before: &[EndpointView],
        views: &mut Vec<EndpointView>,
        previous: &mut Vec<Option<EndpointIndex>>,
    ) -> Vec<Rc<Host>> {
        let effects = self.spec.health_effects;
        let may_stay = self.spec.health.is_some() && !effects.remove_at_once;
        let (stay, gone): (Vec<_>, Vec<_>) = old.into_iter().partition(|host| {
            let passes = matches!(host.verdict(), Some(Verdict::Passed | Verdict::Degraded));
            may_stay && host.is_checked() && passes
        });
        for host in stay {
            let was = EndpointIndex::new(host.index.get());
            let view = before.get(was.get()).copied().unwrap_or_default();
            host.leaving.set(true);
            host.index.set(u32::try_from(self.hosts.len()).unwrap_or(u32::MAX));
            self.hosts.push(host);
            views.push(view);
            previous.push(Some(was));
        }
        gone
    }

    fn rebalance(&mut self, endpoints: Option<&Endpoints>, mut views: Vec<EndpointView>, rng: &mut Rng) {
        for (index, view) in (0..).map(EndpointIndex::new).zip(&mut views) {
            view.ejected = self.outlier.as_ref().is_some_and(|outlier| outlier.is_ejected(index));
        }
        let members: Vec<Arc<Endpoint>> = self.hosts.iter().map(|host| host.endpoint()).collect();
        let labels: Vec<_> = members.iter().map(|endpoint| &*endpoint.subset_labels).collect();
        let chooser = Chooser::new(&self.spec, endpoints, views, &labels, rng);
        chooser.count_subsets(Some(&self.chooser), &self.stats);
        self.chooser = chooser;
        self.stats.membership_change.inc();
        if self.originals.is_none() {
            self.count_members();
        }
    }

    fn count_members(&self) {
        let views = self.chooser.views();
        let count = |wanted: Health| views.iter().filter(|view| view.standing() == wanted).count() as u64;
        self.stats.membership_total.set(views.len() as u64);
        self.stats.membership_healthy.set(count(Health::Healthy));
        self.stats.membership_degraded.set(count(Health::Degraded));
        self.stats.membership_excluded.set(views.iter().filter(|view| !view.counts()).count() as u64);
        let ejected = self.outlier.as_ref().map_or(0, OutlierDetector::ejected);
        self.stats.ejections_active.set(ejected as u64);
    }
}

/// The hosts before an update: those that stay are taken out.
struct OldHosts {
    by_address: HashMap<Address, Rc<Host>>,
    /// A logical name has one host, whatever its address is now: connections to the one before live on.
    logical: Option<Rc<Host>>,
}

impl OldHosts {
    fn new(hosts: impl Iterator<Item = Rc<Host>>, logical: bool) -> Self {
        let mut hosts = hosts;
        if logical {
            let first = hosts.next();
            let rest = hosts.map(|host| (host.address(), host));
            return Self { by_address: rest.collect(), logical: first };
        }
        Self { by_address: hosts.map(|host| (host.address(), host)).collect(), logical: None }
    }

    fn take(&mut self, address: &Address) -> Option<Rc<Host>> {
        self.logical.take().or_else(|| self.by_address.remove(address))
    }

    fn rest(self) -> Vec<Rc<Host>> {
        self.by_address.into_values().chain(self.logical).collect()
    }
}

/// What an update needs besides the configuration.
pub(crate) struct UpdateContext<'w> {
    pub(crate) telemetry: &'w mut Telemetry,
    pub(crate) rng: &'w mut Rng,
    pub(crate) now: Instant,
    pub(crate) millis: Millis,
    pub(crate) shared: Option<SharedLimits>,
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

    /// A cluster that takes requests.
    pub(crate) fn get_warm(&mut self, id: ClusterId, now: Millis) -> Option<&mut Cluster> {
        let cluster = self.get_mut(id)?;
        (cluster.spec.health.is_none() || cluster.is_warm(now)).then_some(cluster)
    }

    /// Whether all take requests.
    pub(crate) fn are_warm(&mut self, now: Millis) -> bool {
        self.iter_mut().all(|cluster| cluster.spec.health.is_none() || cluster.is_warm(now))
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
                    let original = cluster.originals.iter().flat_map(Originals::hosts).cloned();
                    let hosts: Vec<Rc<Host>> = cluster.hosts.iter().cloned().chain(original).collect();
                    hosts.iter().for_each(|host| host.removed.set(true));
                    gone.extend(hosts);
                }
                continue;
            };
            let cluster = slot.get_or_insert_with(|| Cluster::new(Arc::clone(spec), cx));
            gone.extend(cluster.update(id, spec, snapshot.endpoints(spec), contexts, cx));
        }
        gone
    }
}

fn view(endpoint: &Endpoint, endpoints: Option<&Endpoints>, since: Option<Instant>) -> EndpointView {
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
        since,
        ..EndpointView::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Rc<Host> {
        let at: SocketAddr = text.parse().unwrap();
        Rc::new(Host::new(ClusterId::at(0), Address::Ip(at), Arc::new(original::endpoint(at))))
    }

    #[test]
    fn a_logical_name_keeps_its_host_and_so_its_connections_when_its_address_changes() {
        let (before, after) = (host("127.0.0.1:1"), host("127.0.0.2:1"));
        let mut old = OldHosts::new([Rc::clone(&before)].into_iter(), true);
        let kept = old.take(&after.address()).unwrap();
        assert!(Rc::ptr_eq(&kept, &before));
        assert!(old.rest().is_empty());
        kept.set_endpoint(after.endpoint());
        assert_eq!((kept.address(), &*kept.place().text), (after.address(), "127.0.0.2:1"));
    }

    #[test]
    fn other_hosts_are_those_of_their_address() {
        let (first, second) = (host("127.0.0.1:1"), host("127.0.0.1:2"));
        let mut old = OldHosts::new([Rc::clone(&first), Rc::clone(&second)].into_iter(), false);
        assert!(Rc::ptr_eq(&old.take(&second.address()).unwrap(), &second));
        assert!(old.take(&host("127.0.0.1:3").address()).is_none());
        assert_eq!(old.rest().len(), 1);
    }
}
