//! What happens to a cluster's hosts when its configuration or its endpoints change.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshloom_balance::{EndpointIndex, EndpointView, Health, OutlierDetector, Verdict};
use meshloom_model::cluster::EndpointSource;
use meshloom_model::endpoint::{Endpoint, Endpoints, Health as ModelHealth};
use meshloom_model::{Address, Cluster as Spec};
use meshloom_shm::Telemetry;

use super::Host;
use super::choose::{Chooser, hash_key, outlier_settings, thresholds};
use super::cluster::{Cluster, ClusterId};
use super::original::{self, Originals};
use super::quota::SharedLimits;
use crate::reactor::Millis;
use crate::telemetry::{HealthStats, TlsStats};
use crate::tls::TlsContexts;
use crate::util::Rng;

/// The longest that a cluster waits for its first checks.
const LONGEST_WARMING: Duration = Duration::from_secs(30);
/// What first checks may take beside their own time.
const WARMING_MARGIN: Duration = Duration::from_secs(1);

/// What an update needs besides the configuration.
pub(crate) struct UpdateContext<'w> {
    pub(crate) telemetry: &'w mut Telemetry,
    pub(crate) rng: &'w mut Rng,
    pub(crate) now: Instant,
    pub(crate) millis: Millis,
    pub(crate) shared: Option<SharedLimits>,
    /// What is the same in all workers is counted by one.
    pub(crate) counts_members: bool,
}

impl Cluster {
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

    /// Whether an endpoint that is configured was never checked yet.
    pub(super) fn awaits_checks(&self) -> bool {
        self.spec.health.is_some()
            && self
                .hosts
                .iter()
                .any(|host| !host.leaving.get() && host.is_checked() && host.verdict().is_none())
    }

    /// Takes hosts out that are no longer configured.
    pub(super) fn remove_hosts(&mut self, gone: &[Rc<Host>], rng: &mut Rng) {
        gone.iter().for_each(|host| host.removed.set(true));
        let views = self.chooser.views();
        let kept: Vec<(Rc<Host>, EndpointView)> = self
            .hosts
            .iter()
            .zip(views)
            .filter(|(host, _)| !host.removed.get())
            .map(|(host, view)| (Rc::clone(host), view.clone()))
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

    /// It is removed. Gives its hosts: what is under way on them goes on.
    pub(super) fn retire(&mut self, rng: &mut Rng) -> Vec<Rc<Host>> {
        let originals = self.originals.take();
        let mut hosts = std::mem::take(&mut self.hosts);
        hosts.extend(originals.iter().flat_map(Originals::hosts).cloned());
        hosts.iter().for_each(|host| host.removed.set(true));
        self.leftover = Some(hosts.iter().map(Rc::downgrade).collect());
        (self.endpoints, self.outlier) = (None, None);
        self.rebalance(None, Vec::new(), rng);
        hosts
    }

    /// Takes a changed configuration. Gives the hosts that are gone, or whose connections may not be used any more.
    pub(super) fn update(
        &mut self,
        id: ClusterId,
        spec: &Arc<Spec>,
        endpoints: Option<&Arc<Endpoints>>,
        contexts: &mut TlsContexts<'_>,
        cx: &mut UpdateContext<'_>,
    ) -> Vec<Rc<Host>> {
        if self.leftover.take().is_some() {
            // It comes back, as a new one would.
            (self.warm, self.warm_by) = (false, cx.millis);
        }
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
        if self.counts_members && !matches!(self.spec.endpoints, EndpointSource::Static(_)) {
            self.stats.update_success.inc();
        }
        let mut gone = self.replace_hosts(id, endpoints, same_spec, contexts, cx);
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
        same_spec: bool,
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
            views.push(EndpointView {
                verdict,
                key: self.hash_key(endpoint),
                ..view(endpoint, endpoints.map(|all| &**all), came)
            });
        }
        // Endpoints that come and go are Envoy's business with discovery; a changed cluster is another one.
        let discovers = match self.spec.endpoints {
            EndpointSource::Assigned(_) | EndpointSource::Dns { .. } => same_spec,
            EndpointSource::Static(_) | EndpointSource::OriginalDestination(_) => false,
        };
        let gone = self.keep_healthy(old.rest(), discovers, &before, &mut views, &mut previous);
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

    /// What consistent hashing knows an endpoint by, where it is asked.
    fn hash_key(&self, endpoint: &Endpoint) -> Option<Arc<str>> {
        let balance = &self.spec.balance;
        balance.policy.is_consistent().then(|| hash_key(endpoint, balance.hash_hostnames))
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

    /// Of the hosts that are no longer configured, those stay that pass their checks: where endpoints are discovered, for
    /// as long as they do (with Envoy, too, only both together end an endpoint); where the cluster itself has changed,
    /// until those that have come are checked. Gives the others.
    fn keep_healthy(
        &mut self,
        old: Vec<Rc<Host>>,
        discovers: bool,
        before: &[EndpointView],
        views: &mut Vec<EndpointView>,
        previous: &mut Vec<Option<EndpointIndex>>,
    ) -> Vec<Rc<Host>> {
        let effects = self.spec.health_effects;
        self.relieves = !discovers && self.awaits_checks();
        let may_stay =
            self.spec.health.is_some() && if discovers { !effects.remove_at_once } else { self.relieves };
        let (stay, gone): (Vec<_>, Vec<_>) = old.into_iter().partition(|host| {
            let passes = matches!(host.verdict(), Some(Verdict::Passed | Verdict::Degraded));
            may_stay && host.is_checked() && passes
        });
        for host in stay {
            let was = EndpointIndex::new(host.index.get());
            let view = before.get(was.get()).cloned().unwrap_or_default();
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
        if self.counts_members {
            self.stats.membership_change.inc();
        }
        if self.originals.is_none() {
            self.count_members();
        }
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
    use meshloom_model::ids::Index;

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
