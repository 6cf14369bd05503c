//! One cluster in this worker: its endpoints, who gets the next request, and what is in use.

use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use meshloom_balance::{Breakers, Detector, Ejection, EndpointIndex, Health, OutlierDetector, Verdict};
use meshloom_model::cluster::EndpointSource;
use meshloom_model::endpoint::Endpoints;
use meshloom_model::route::ResourcePriority;
use meshloom_model::{Cluster as Spec, ClusterIndex};

use super::choose::{Chooser, Want};
use super::original::Originals;
use super::quota::breakers;
use super::update::UpdateContext;
use super::{Destination, Host};
use crate::reactor::Millis;
use crate::telemetry::{ClusterStats, HealthStats, StatusCounters, TlsStats, UpstreamHttp2Stats};
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
    pub(super) endpoints: Option<Arc<Endpoints>>,
    pub(super) hosts: Vec<Rc<Host>>,
    pub(super) chooser: Chooser,
    pub(super) outlier: Option<OutlierDetector>,
    pub(super) originals: Option<Originals>,
    pub(super) counts_members: bool,
    /// `None` where nothing is checked.
    pub(crate) health_stats: Option<HealthStats>,
    /// Somebody has connected to it, here or in another worker.
    pub(crate) used: bool,
    /// Endpoints that outlier detection took out (true) or put back since they were last told.
    pub(crate) ejections: Vec<(Box<str>, bool)>,
    /// It takes requests: its endpoints have been checked once, or have had the time for it.
    pub(super) warm: bool,
    pub(super) warm_by: Millis,
    /// Hosts that are no longer configured serve until those that are have been checked.
    pub(super) relieves: bool,
    /// Once it is removed: those of its endpoints that may still be in use.
    pub(super) leftover: Option<Vec<Weak<Host>>>,
}

impl Cluster {
    pub(super) fn new(spec: Arc<Spec>, cx: &mut UpdateContext<'_>) -> Self {
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
            counts_members: cx.counts_members,
            health_stats: None,
            used: false,
            ejections: Vec::new(),
            warm: false,
            warm_by: cx.millis,
            relieves: false,
            leftover: None,
        }
    }

    /// Whether it takes requests. Once it does, it goes on doing so.
    pub(crate) fn is_warm(&mut self, now: Millis) -> bool {
        self.warm = self.warm
            || now >= self.warm_by
            || self.hosts.iter().all(|host| host.verdict().is_some() || !host.is_checked());
        self.warm
    }

    /// It is no longer configured.
    pub(super) fn is_removed(&self) -> bool {
        self.leftover.is_some()
    }

    /// It is no longer configured, and nothing of it is in use.
    pub(super) fn is_forgotten(&self) -> bool {
        self.leftover.as_ref().is_some_and(|hosts| hosts.iter().all(|host| host.strong_count() == 0))
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

    /// Takes what health checks say of an endpoint. Gives those that leave now: whom only their health had kept, or who
    /// waited until others were checked.
    pub(crate) fn take_verdict(
        &mut self,
        host: &Rc<Host>,
        verdict: Verdict,
        now: Instant,
        rng: &mut Rng,
    ) -> Vec<Rc<Host>> {
        let index = EndpointIndex::new(host.index.get());
        let passed = matches!(verdict, Verdict::Passed | Verdict::Degraded);
        self.chooser.set_verdicts(&[(index, verdict)], now, rng);
        let readmits = passed && self.spec.outlier.is_some_and(|outlier| outlier.uneject_on_passed_check);
        if readmits && self.outlier.as_mut().is_some_and(|outlier| outlier.readmit(index)) {
            self.set_ejected(index, false, rng);
        }
        let relieved = self.relieves && !self.awaits_checks();
        self.relieves &= !relieved;
        let leaves =
            |other: &&Rc<Host>| other.leaving.get() && (relieved || (!passed && Rc::ptr_eq(other, host)));
        let leaving: Vec<Rc<Host>> = self.hosts.iter().filter(leaves).cloned().collect();
        if !leaving.is_empty() {
            self.remove_hosts(&leaving, rng);
        }
        self.count_members();
        leaving
    }

    pub(super) fn count_members(&self) {
        let ejected = self.outlier.as_ref().map_or(0, OutlierDetector::ejected);
        self.stats.ejections_active.set(ejected as u64);
        if !self.counts_members {
            return;
        }
        let views = self.chooser.views();
        let count = |wanted: Health| views.iter().filter(|view| view.standing() == wanted).count() as u64;
        self.stats.membership_total.set(views.len() as u64);
        self.stats.membership_healthy.set(count(Health::Healthy));
        self.stats.membership_degraded.set(count(Health::Degraded));
        self.stats.membership_excluded.set(views.iter().filter(|view| !view.counts()).count() as u64);
    }
}
