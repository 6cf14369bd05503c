//! What keeps a cluster from being overrun, and its failing endpoints from being asked.

use std::time::Duration;

use crate::route::ResourcePriority;

/// Limits by priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CircuitBreakers {
    /// For almost everything.
    pub default: Thresholds,
    /// For requests of high priority.
    pub high: Thresholds,
}

impl CircuitBreakers {
    /// The limits for a priority.
    pub fn thresholds(&self, priority: ResourcePriority) -> &Thresholds {
        match priority {
            ResourcePriority::Default => &self.default,
            ResourcePriority::High => &self.high,
        }
    }
}

/// Limits of the use of a cluster, for all workers together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Connections (one is always allowed).
    pub max_connections: u32,
    /// Requests that wait for a connection; 0 refuses every request, as in Envoy.
    pub max_pending_requests: u32,
    /// Requests at a time.
    pub max_requests: u32,
    /// Retries at a time, where there is no budget.
    pub max_retries: u32,
    /// Retries as a share of the requests at a time.
    pub retry_budget: Option<RetryBudget>,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_pending_requests: 1024,
            max_requests: 1024,
            max_retries: 3,
            retry_budget: None,
        }
    }
}

/// Retries as a share of the requests at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudget {
    /// Share in millionths (20 % unless set).
    pub millionths: u32,
    /// So many are always allowed (3 unless set).
    pub min_concurrency: u32,
}

/// When endpoints that fail are left out for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierDetection {
    /// So many 5xx answers in a row (5); `None` is off.
    pub consecutive_5xx: Option<u32>,
    /// So many gateway errors in a row; `None` is off.
    pub consecutive_gateway: Option<u32>,
    /// So many failures of our own in a row (5), where they are told apart; `None` is off.
    pub consecutive_local: Option<u32>,
    /// Failures to connect and the like are counted apart from answers.
    pub split_local_errors: bool,
    /// How often endpoints are let back in (10 s).
    pub interval: Duration,
    /// An endpoint is out this long, times how often it was out (30 s).
    pub base_ejection: Duration,
    /// It is never out longer (300 s, or the base where that is more).
    pub max_ejection: Duration,
    /// A random time up to this is added.
    pub max_ejection_jitter: Duration,
    /// At most this percentage is out at a time (10).
    pub max_ejection_percent: u32,
    /// Share of the detections of each kind that are acted on, in percent (5xx 100, gateway 0, local 100).
    pub enforcing: OutlierEnforcing,
    /// One is always allowed out, whatever the percentage.
    pub always_eject_one: bool,
    /// Ejection of who fails far more often than the others.
    pub success_rate: SuccessRate,
    /// Ejection of who fails more often than is allowed.
    pub failure_percentage: FailurePercentage,
    /// A health check that passes lets an endpoint back in at once.
    pub uneject_on_passed_check: bool,
}

/// Ejection of who fails far more often than the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuccessRate {
    /// Endpoints with enough requests that are needed to compare (5).
    pub minimum_hosts: u32,
    /// Requests in an interval that are enough (100).
    pub request_volume: u32,
    /// Distance from the mean in thousandths of the standard deviation (1900).
    pub stdev_factor: u32,
}

/// Ejection of who fails more often than is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailurePercentage {
    /// From this percentage of failures on (85).
    pub threshold: u32,
    /// Endpoints with enough requests that are needed (5).
    pub minimum_hosts: u32,
    /// Requests in an interval that are enough (50).
    pub request_volume: u32,
}

/// Share of detections that are acted on, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierEnforcing {
    /// 5xx in a row.
    pub consecutive_5xx: u32,
    /// Gateway errors in a row.
    pub consecutive_gateway: u32,
    /// Local failures in a row.
    pub consecutive_local: u32,
    /// Success rate (100).
    pub success_rate: u32,
    /// Success rate of our own side (100).
    pub success_rate_local: u32,
    /// Failure percentage (0).
    pub failure_percentage: u32,
    /// Failure percentage of our own side (0).
    pub failure_percentage_local: u32,
}
