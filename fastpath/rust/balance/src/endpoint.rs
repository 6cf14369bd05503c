//! Endpoints as the balancer sees them.

use std::sync::Arc;
use std::time::Instant;

/// Index into the endpoint list that a [`crate::Balancer`] was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointIndex(u32);

impl EndpointIndex {
    #[must_use]
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    #[must_use]
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

/// What is known of an endpoint: from the control plane alone, or everything taken together.
///
/// Envoy's UNKNOWN is `Healthy`; its UNHEALTHY, DRAINING and TIMEOUT are `Unhealthy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    #[default]
    Healthy,
    /// Used when the healthy ones cannot carry the load.
    Degraded,
    /// Used only in panic.
    Unhealthy,
}

/// What active health checks say of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It passes, or nobody checks it.
    #[default]
    Passed,
    /// It passes and calls itself degraded.
    Degraded,
    Failed,
    /// Not checked yet, and not to count among the endpoints until it is.
    Pending,
    /// Failed, and not to count among the endpoints until it passes.
    Left,
}

/// One endpoint, without what the balancer need not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointView {
    /// Share of the load within its locality; at least 1.
    pub weight: u32,
    pub health: Health,
    /// Zero is used first.
    pub priority: u32,
    /// Index into the locality list; read only where localities are weighted.
    pub locality: u32,
    pub verdict: Verdict,
    /// Left out for a while by outlier detection.
    pub ejected: bool,
    /// Since when it may be used: a slow start is counted from here. `None` is for ever.
    pub since: Option<Instant>,
    /// What consistent hashing knows it by; read with that policy only.
    pub key: Option<Arc<str>>,
}

impl Default for EndpointView {
    fn default() -> Self {
        Self {
            weight: 1,
            health: Health::Healthy,
            priority: 0,
            locality: 0,
            verdict: Verdict::Passed,
            ejected: false,
            since: None,
            key: None,
        }
    }
}

impl EndpointView {
    /// Control plane, health checks and outlier detection taken together: the worst of them holds.
    #[must_use]
    pub fn standing(&self) -> Health {
        let failed = matches!(self.verdict, Verdict::Failed | Verdict::Pending | Verdict::Left);
        if self.ejected || failed || self.health == Health::Unhealthy {
            Health::Unhealthy
        } else if self.verdict == Verdict::Degraded {
            Health::Degraded
        } else {
            self.health
        }
    }

    /// Whether it counts among the endpoints of its priority at all.
    #[must_use]
    pub fn counts(&self) -> bool {
        !matches!(self.verdict, Verdict::Pending | Verdict::Left)
    }
}

/// One locality of a weighted set. The same region at two priorities is two localities, as it is in EDS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalityView {
    /// Share of the load within its priority. Zero gets none.
    pub weight: u32,
}
