//! Endpoints as the balancer sees them.

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

/// What the control plane, or active health checking, says of an endpoint.
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

/// One endpoint, without what the balancer need not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointView {
    /// Share of the load within its locality; at least 1.
    pub weight: u32,
    pub health: Health,
    /// Zero is used first.
    pub priority: u32,
    /// Index into the locality list; read only where localities are weighted.
    pub locality: u32,
}

impl Default for EndpointView {
    fn default() -> Self {
        Self { weight: 1, health: Health::Healthy, priority: 0, locality: 0 }
    }
}

/// One locality of a weighted set. The same region at two priorities is two localities, as it is in EDS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalityView {
    /// Share of the load within its priority. Zero gets none.
    pub weight: u32,
}
