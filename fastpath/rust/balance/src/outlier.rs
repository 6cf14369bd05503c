//! Outlier detection: endpoints that keep failing leave the rotation for a while.
//!
//! ```text
//!                 n-th error in a row, and not too many are out already
//!      In ─────────────────────────────────────────────────────────────► Out { since }
//!       ▲                                                                    │
//!       └──────── sweep: base time x times ejected (capped) is over ◄────────┘
//! ```
//!
//! Errors are counted per endpoint and per detector; a success resets the count. An ejection makes the next one longer,
//! and each sweep that finds the endpoint in rotation makes it shorter again. A sweep also looks at what share of the
//! requests since the last one succeeded, and ejects who is far worse than the others ([`rates`]). All of this is Envoy's.

mod rates;

use std::time::{Duration, Instant};

pub use rates::{FailurePercentage, SuccessRate};
use rates::{Rates, Tally};

use crate::{EndpointIndex, Random};

/// The configuration of a cluster's outlier detection. The default is Envoy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierSettings {
    pub consecutive_5xx: Rule,
    /// 502, 503 and 504 alone.
    pub consecutive_gateway: Rule,
    /// Counts only where `split_local_origin` is on.
    pub consecutive_local_origin: Rule,
    /// Whether failures on our side of the exchange (no connection, a reset, a timeout) are told apart from statuses that
    /// the upstream sent. If not, they count as gateway errors.
    pub split_local_origin: bool,
    /// Between sweeps. Default 10 s.
    pub interval: Duration,
    /// The first ejection lasts so long, the n-th n times that. Default 30 s.
    pub base_ejection_time: Duration,
    /// Default 300 s; never below the base.
    pub max_ejection_time: Duration,
    /// Up to so much longer, drawn for each ejection, so that endpoints do not all return at once. Default 0.
    pub ejection_jitter: Duration,
    /// Of all endpoints, tested with the candidate counted in: of two endpoints, 10 % is none. Default 10.
    pub max_ejection_percent: u8,
    /// Ejects one endpoint even when the percentage forbids it.
    pub always_eject_one: bool,
    pub success_rate: SuccessRate,
    pub failure_percentage: FailurePercentage,
}

/// When one detector ejects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Errors in a row; 0 turns the detector off.
    pub threshold: u32,
    /// Percent of the detections that eject.
    pub enforcing: u8,
}

impl Default for OutlierSettings {
    fn default() -> Self {
        Self {
            consecutive_5xx: Rule { threshold: 5, enforcing: 100 },
            consecutive_gateway: Rule { threshold: 5, enforcing: 0 },
            consecutive_local_origin: Rule { threshold: 5, enforcing: 100 },
            split_local_origin: false,
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_time: Duration::from_secs(300),
            ejection_jitter: Duration::ZERO,
            max_ejection_percent: 10,
            always_eject_one: false,
            success_rate: SuccessRate::default(),
            failure_percentage: FailurePercentage::default(),
        }
    }
}

/// What one attempt says of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream answered.
    Status(u16),
    /// No connection, or it broke.
    ConnectFailed,
    /// No answer in time.
    TimedOut,
    /// A connection came about. Says nothing unless local origin is split off; a TCP cluster reports it.
    Connected,
}

/// Which detector spoke; its name is part of Envoy's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detector {
    Consecutive5xx,
    ConsecutiveGatewayFailure,
    ConsecutiveLocalOriginFailure,
    SuccessRate,
    LocalOriginSuccessRate,
    FailurePercentage,
    LocalOriginFailurePercentage,
}

/// What came of a detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ejection {
    /// Take the endpoint out: `ejections_enforced_*`.
    Eject(Detector),
    /// The detector is not enforced: `ejections_detected_*` alone.
    Tolerate(Detector),
    /// Too many are out already: `ejections_overflow`.
    Overflow(Detector),
}

impl Ejection {
    /// Which detector spoke.
    pub fn detector(self) -> Detector {
        match self {
            Self::Eject(detector) | Self::Tolerate(detector) | Self::Overflow(detector) => detector,
        }
    }
}

/// What came of a sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Endpoints whose time is over.
    pub back: Vec<EndpointIndex>,
    /// What the detectors that look at all requests since the last sweep say.
    pub ejections: Vec<(EndpointIndex, Ejection)>,
}

/// Watches the endpoints of one list.
#[derive(Clone, Debug)]
pub struct OutlierDetector {
    settings: OutlierSettings,
    hosts: Vec<Host>,
    ejected: usize,
    next_sweep: Instant,
}

#[derive(Clone, Copy, Debug, Default)]
struct Host {
    server_errors: u32,
    gateway_errors: u32,
    local_errors: u32,
    /// Requests since the last sweep, and those of our own side's failures where these are told apart.
    answers: Tally,
    local: Tally,
    /// Set while it is out of the rotation.
    ejected_at: Option<Instant>,
    /// What the jitter came to for the ejection under way.
    extra: Duration,
    /// Multiplies the ejection time; grows with each ejection and decays with each good sweep.
    times_ejected: u32,
}

impl OutlierDetector {
    /// For a list of `endpoints` endpoints.
    #[must_use]
    pub fn new(settings: OutlierSettings, endpoints: usize, now: Instant) -> Self {
        let hosts = vec![Host::default(); endpoints];
        Self { settings, hosts, ejected: 0, next_sweep: now + settings.interval }
    }

    /// The detector for a changed list. `previous` gives for each new endpoint its index in the old list, so that what
    /// was learnt of it, ejections included, is kept.
    #[must_use]
    pub fn carry_over(
        &self,
        settings: OutlierSettings,
        previous: impl Iterator<Item = Option<EndpointIndex>>,
    ) -> Self {
        let known = |index: EndpointIndex| self.hosts.get(index.get()).copied();
        let hosts: Vec<Host> = previous.map(|index| index.and_then(known).unwrap_or_default()).collect();
        let ejected = hosts.iter().filter(|host| host.ejected_at.is_some()).count();
        Self { settings, hosts, ejected, next_sweep: self.next_sweep }
    }

    #[must_use]
    pub fn is_ejected(&self, endpoint: EndpointIndex) -> bool {
        self.hosts.get(endpoint.get()).is_some_and(|host| host.ejected_at.is_some())
    }

    /// Lets an endpoint back in before its time. False if it was not out.
    pub fn readmit(&mut self, endpoint: EndpointIndex) -> bool {
        let Some(host) = self.hosts.get_mut(endpoint.get()) else { return false };
        if host.ejected_at.take().is_none() {
            return false;
        }
        self.ejected -= 1;
        true
    }

    /// How many endpoints are out: the gauge `ejections_active`.
    #[must_use]
    pub fn ejected(&self) -> usize {
        self.ejected
    }

    /// When [`OutlierDetector::sweep`] is due.
    #[must_use]
    pub fn next_sweep(&self) -> Instant {
        self.next_sweep
    }

    /// Notes one outcome; says so when it is one too many.
    pub fn observe(
        &mut self,
        endpoint: EndpointIndex,
        outcome: Outcome,
        now: Instant,
        random: &mut impl Random,
    ) -> Option<Ejection> {
        let settings = self.settings;
        let host = self.hosts.get_mut(endpoint.get())?;
        let (detector, rule) = host.note(outcome, &settings)?;
        if host.ejected_at.is_some() {
            return None;
        }
        Some(self.judge(endpoint, detector, rule, now, random))
    }

    /// Lets endpoints back in whose time is over, lets the others' record fade, and compares their success rates.
    pub fn sweep(&mut self, now: Instant, random: &mut impl Random) -> Swept {
        if now < self.next_sweep {
            return Swept::default();
        }
        self.next_sweep = now + self.settings.interval;
        let settings = self.settings;
        let back: Vec<EndpointIndex> = (0..)
            .map(EndpointIndex::new)
            .zip(&mut self.hosts)
            .filter_map(|(index, host)| host.returns(now, &settings).then_some(index))
            .collect();
        self.ejected -= back.len();
        let ejections = self.compare(now, random);
        Swept { back, ejections }
    }

    /// Judges by what has come since the last sweep, and starts to count anew.
    fn compare(&mut self, now: Instant, random: &mut impl Random) -> Vec<(EndpointIndex, Ejection)> {
        let of = |tally: fn(&Host) -> Tally| {
            let rates = self.hosts.iter().enumerate().filter(|(_, host)| host.ejected_at.is_none());
            let rates = rates.filter_map(|(nth, host)| Some((index(nth), tally(host).rate()?)));
            Rates { endpoints: self.hosts.len(), rates: rates.collect() }
        };
        let mut found = of(|host| host.answers).outliers(&self.settings, false);
        if self.settings.split_local_origin {
            found.extend(of(|host| host.local).outliers(&self.settings, true));
        }
        for host in &mut self.hosts {
            (host.answers, host.local) = (Tally::default(), Tally::default());
        }
        let judged = found.into_iter().filter_map(|(endpoint, detector, rule)| {
            // Who is out by one detector needs no other.
            let out = self.is_ejected(endpoint);
            (!out).then(|| (endpoint, self.judge(endpoint, detector, rule, now, random)))
        });
        judged.collect()
    }

    fn judge(
        &mut self,
        endpoint: EndpointIndex,
        detector: Detector,
        rule: Rule,
        now: Instant,
        random: &mut impl Random,
    ) -> Ejection {
        let has_room =
            100 * (self.ejected + 1) <= usize::from(self.settings.max_ejection_percent) * self.hosts.len();
        if !(has_room || (self.settings.always_eject_one && self.ejected == 0)) {
            return Ejection::Overflow(detector);
        }
        if !random.percent(rule.enforcing) {
            return Ejection::Tolerate(detector);
        }
        if let Some(host) = self.hosts.get_mut(endpoint.get()) {
            let jitter = u64::try_from(self.settings.ejection_jitter.as_nanos()).unwrap_or(u64::MAX);
            host.extra = Duration::from_nanos(random.below(jitter));
            host.eject(now, &self.settings);
            self.ejected += 1;
        }
        Ejection::Eject(detector)
    }
}

impl Host {
    /// Counts an outcome; gives the detector whose threshold it reached.
    fn note(&mut self, outcome: Outcome, settings: &OutlierSettings) -> Option<(Detector, Rule)> {
        self.tally(outcome, settings.split_local_origin);
        match (outcome, settings.split_local_origin) {
            (Outcome::Status(status), _) => self.note_status(status, settings),
            (Outcome::ConnectFailed, false) => self.note_status(503, settings),
            (Outcome::TimedOut, false) => self.note_status(504, settings),
            (Outcome::Connected, false) => None,
            (Outcome::Connected, true) => {
                self.local_errors = 0;
                None
            }
            (Outcome::ConnectFailed | Outcome::TimedOut, true) => {
                let rule = settings.consecutive_local_origin;
                reached(&mut self.local_errors, rule)
                    .then_some((Detector::ConsecutiveLocalOriginFailure, rule))
            }
        }
    }

    fn tally(&mut self, outcome: Outcome, split: bool) {
        match (outcome, split) {
            (Outcome::Status(status), _) => self.answers.add(!(500..=599).contains(&status)),
            (Outcome::ConnectFailed | Outcome::TimedOut, false) => self.answers.add(false),
            (Outcome::Connected, false) => {}
            (outcome, true) => self.local.add(outcome == Outcome::Connected),
        }
    }

    fn note_status(&mut self, status: u16, settings: &OutlierSettings) -> Option<(Detector, Rule)> {
        if !(500..=599).contains(&status) {
            self.server_errors = 0;
            self.gateway_errors = 0;
            return None;
        }
        let gateway = match status {
            502..=504 => reached(&mut self.gateway_errors, settings.consecutive_gateway),
            _ => {
                self.gateway_errors = 0;
                false
            }
        };
        let server = reached(&mut self.server_errors, settings.consecutive_5xx);
        // Both may speak at once; the one that ejects is the one to hear.
        match (server, gateway) {
            (true, true) if settings.consecutive_gateway.enforcing > settings.consecutive_5xx.enforcing => {
                Some((Detector::ConsecutiveGatewayFailure, settings.consecutive_gateway))
            }
            (true, _) => Some((Detector::Consecutive5xx, settings.consecutive_5xx)),
            (false, true) => Some((Detector::ConsecutiveGatewayFailure, settings.consecutive_gateway)),
            (false, false) => None,
        }
    }

    fn eject(&mut self, now: Instant, settings: &OutlierSettings) {
        self.ejected_at = Some(now);
        self.server_errors = 0;
        self.gateway_errors = 0;
        self.local_errors = 0;
        // Growing beyond the cap would only delay the decay.
        if settings.base_ejection_time.saturating_mul(self.times_ejected) < settings.longest() {
            self.times_ejected += 1;
        }
    }

    fn returns(&mut self, now: Instant, settings: &OutlierSettings) -> bool {
        let Some(since) = self.ejected_at else {
            self.times_ejected = self.times_ejected.saturating_sub(1);
            return false;
        };
        let lasts = settings.base_ejection_time.saturating_mul(self.times_ejected).min(settings.longest());
        if now.saturating_duration_since(since) < lasts.saturating_add(self.extra) {
            return false;
        }
        self.ejected_at = None;
        true
    }
}

impl OutlierSettings {
    fn longest(&self) -> Duration {
        self.max_ejection_time.max(self.base_ejection_time)
    }
}

fn index(nth: usize) -> EndpointIndex {
    EndpointIndex::new(u32::try_from(nth).unwrap_or(u32::MAX))
}

/// Counts one more error; true, and starts over, when that reaches the threshold.
fn reached(count: &mut u32, rule: Rule) -> bool {
    *count = count.saturating_add(1);
    if rule.threshold == 0 || *count < rule.threshold {
        return false;
    }
    *count = 0;
    true
}

#[cfg(test)]
mod tests;
