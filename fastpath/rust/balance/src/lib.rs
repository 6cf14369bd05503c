//! Who gets the request, and whether it may be sent at all: pure decisions with Envoy's semantics.
//!
//! Nothing here does I/O, reads a clock or draws a random number by itself: `now` and the [`Random`] source are
//! arguments, so every decision can be replayed. Nothing here knows a snapshot or a connection either. The caller maps
//! its endpoints to [`EndpointView`]s, in the order of its own list, and gets back an [`EndpointIndex`] into it.
//!
//! | module | decides |
//! |---|---|
//! | [`Balancer`] | which endpoint: priority, panic, locality, then round robin, least request, random or a hash |
//! | [`SubsetBalancer`] | the same among the endpoints that have the labels which a route asks for |
//! | [`OutlierDetector`] | which endpoints leave the rotation for a while, from the outcomes of requests |
//! | [`CheckRecord`], [`CheckPauses`] | what active health checks make of an endpoint, and when the next one is due |
//! | [`Breakers`] | whether a connection, a request or a retry may be started |
//! | [`RetryPolicy`], [`Backoff`] | whether a failed attempt is repeated, and how long to wait before it |
//!
//! A life of an endpoint list: [`Balancer::new`] when a snapshot brings it, [`Balancer::pick`] for each attempt,
//! [`OutlierDetector::observe`] with each outcome, [`Balancer::set_ejected`] when that or
//! [`OutlierDetector::sweep`] says so. All of it belongs to one worker, and needs no lock.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod backoff;
mod balancer;
mod breaker;
mod consistent;
mod edf;
mod endpoint;
mod hash;
mod health;
mod host_set;
mod level;
mod outlier;
mod priority;
mod random;
mod retry;
mod slow_start;
mod subset;

pub use backoff::Backoff;
pub use balancer::{Balancer, BalancerSettings, Policy};
pub use breaker::{Breakers, Overflow, Pool, Resource, RetryBudget, Thresholds};
pub use consistent::{HashFunction, Spread};
pub use endpoint::{EndpointIndex, EndpointView, Health, LocalityView, Verdict};
pub use hash::{xx64, xx64_seeded};
pub use health::{Change, CheckPauses, CheckRecord, CheckRules, Finding, upto};
pub use outlier::{
    Detector, Ejection, FailurePercentage, Outcome, OutlierDetector, OutlierSettings, Rule, SuccessRate,
    Swept,
};
pub use random::{Keyed, Random, SplitMix};
pub use retry::{Failure, RetryConditions, RetryPolicy, UnknownCondition};
pub use slow_start::SlowStart;
pub use subset::{
    Chosen, Criteria, Fallback, Labels, Selector, SelectorFallback, SubsetBalancer, SubsetSettings,
};
