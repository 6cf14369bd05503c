//! Outlier detection and circuit breakers.

use std::time::Duration;

use meshloom_xds as xds;
use meshloom_xds::envoy::config::cluster::v3 as proto;

use super::action::resource_priority;
use super::parts::{duration, percent, positive};
use super::path::{At, Invalid};
use crate::cluster::{
    CircuitBreakers, FailurePercentage, OutlierDetection, OutlierEnforcing, RetryBudget, SuccessRate,
    Thresholds,
};
use crate::route::ResourcePriority;

const DEFAULT_CONSECUTIVE: u32 = 5;
const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);
const DEFAULT_EJECTION: Duration = Duration::from_secs(30);
const DEFAULT_MAX_EJECTION: Duration = Duration::from_secs(300);
const DEFAULT_MAX_PERCENT: u32 = 10;

pub(super) fn outlier_detection(
    value: proto::OutlierDetection,
    at: &At<'_>,
) -> Result<OutlierDetection, Invalid> {
    let enforcing = enforcement(&value, at)?;
    let (success_rate, failure_percentage) = statistics(&value, at)?;
    let proto::OutlierDetection {
        consecutive_5xx,
        interval,
        base_ejection_time,
        max_ejection_percent,
        consecutive_gateway_failure,
        split_external_local_origin_errors,
        consecutive_local_origin_failure,
        max_ejection_time,
        max_ejection_time_jitter,
        always_eject_one_host,
        success_rate_minimum_hosts: _,
        success_rate_request_volume: _,
        success_rate_stdev_factor: _,
        failure_percentage_threshold: _,
        failure_percentage_minimum_hosts: _,
        failure_percentage_request_volume: _,
        successful_active_health_check_uneject_host,
        // Read above.
        enforcing_consecutive_5xx: _,
        enforcing_success_rate: _,
        enforcing_consecutive_gateway_failure: _,
        enforcing_consecutive_local_origin_failure: _,
        enforcing_local_origin_success_rate: _,
        enforcing_failure_percentage: _,
        enforcing_failure_percentage_local_origin: _,
    } = value;
    let (base, max) = ejection_times(base_ejection_time, max_ejection_time, at)?;
    Ok(OutlierDetection {
        consecutive_5xx: in_a_row(consecutive_5xx),
        consecutive_gateway: in_a_row(consecutive_gateway_failure),
        consecutive_local: in_a_row(consecutive_local_origin_failure),
        split_local_errors: split_external_local_origin_errors,
        interval: positive(interval, DEFAULT_INTERVAL, &at.field("interval"))?,
        base_ejection: base,
        max_ejection: max,
        max_ejection_jitter: duration(max_ejection_time_jitter, &at.field("max_ejection_time_jitter"))?
            .unwrap_or_default(),
        max_ejection_percent: share(
            max_ejection_percent,
            DEFAULT_MAX_PERCENT,
            &at.field("max_ejection_percent"),
        )?,
        enforcing,
        always_eject_one: always_eject_one_host.unwrap_or(false),
        success_rate,
        failure_percentage,
        uneject_on_passed_check: successful_active_health_check_uneject_host.unwrap_or(true),
    })
}

/// By what an endpoint stands out among the others.
fn statistics(
    value: &proto::OutlierDetection,
    at: &At<'_>,
) -> Result<(SuccessRate, FailurePercentage), Invalid> {
    let at = at.field("failure_percentage_threshold");
    let success_rate = SuccessRate {
        minimum_hosts: value.success_rate_minimum_hosts.unwrap_or(5),
        request_volume: value.success_rate_request_volume.unwrap_or(100),
        stdev_factor: value.success_rate_stdev_factor.unwrap_or(1900),
    };
    let failure_percentage = FailurePercentage {
        threshold: share(value.failure_percentage_threshold, 85, &at)?,
        minimum_hosts: value.failure_percentage_minimum_hosts.unwrap_or(5),
        request_volume: value.failure_percentage_request_volume.unwrap_or(50),
    };
    Ok((success_rate, failure_percentage))
}

/// So many errors in a row; zero is a rule that is off.
fn in_a_row(value: Option<u32>) -> Option<u32> {
    Some(value.unwrap_or(DEFAULT_CONSECUTIVE)).filter(|count| *count > 0)
}

/// How often, in percent, an endpoint is ejected that each of the rules finds.
fn enforcement(value: &proto::OutlierDetection, at: &At<'_>) -> Result<OutlierEnforcing, Invalid> {
    Ok(OutlierEnforcing {
        consecutive_5xx: share(value.enforcing_consecutive_5xx, 100, &at.field("enforcing_consecutive_5xx"))?,
        consecutive_gateway: share(
            value.enforcing_consecutive_gateway_failure,
            0,
            &at.field("enforcing_consecutive_gateway_failure"),
        )?,
        consecutive_local: share(
            value.enforcing_consecutive_local_origin_failure,
            100,
            &at.field("enforcing_consecutive_local_origin_failure"),
        )?,
        success_rate: share(value.enforcing_success_rate, 100, &at.field("enforcing_success_rate"))?,
        success_rate_local: share(
            value.enforcing_local_origin_success_rate,
            100,
            &at.field("enforcing_local_origin_success_rate"),
        )?,
        failure_percentage: share(
            value.enforcing_failure_percentage,
            0,
            &at.field("enforcing_failure_percentage"),
        )?,
        failure_percentage_local: share(
            value.enforcing_failure_percentage_local_origin,
            0,
            &at.field("enforcing_failure_percentage_local_origin"),
        )?,
    })
}

/// How long an endpoint is out for the first time, and at most.
fn ejection_times(
    base: Option<xds::Duration>,
    max: Option<xds::Duration>,
    at: &At<'_>,
) -> Result<(Duration, Duration), Invalid> {
    let base = positive(base, DEFAULT_EJECTION, &at.field("base_ejection_time"))?;
    let at = at.field("max_ejection_time");
    let max = positive(max, DEFAULT_MAX_EJECTION.max(base), &at)?;
    match max < base {
        true => Err(at.refuse("this must not be less than base_ejection_time")),
        false => Ok((base, max)),
    }
}

fn share(value: Option<u32>, default: u32, at: &At<'_>) -> Result<u32, Invalid> {
    match value.unwrap_or(default) {
        share @ 0..=100 => Ok(share),
        _ => Err(at.refuse("a percentage is between 0 and 100")),
    }
}

pub(super) fn circuit_breakers(
    value: proto::CircuitBreakers,
    at: &At<'_>,
) -> Result<CircuitBreakers, Invalid> {
    let proto::CircuitBreakers { thresholds: values } = value;
    let mut breakers = CircuitBreakers::default();
    let at = at.field("thresholds");
    // Where a priority is given twice the first counts, as in Envoy.
    for (nth, value) in values.into_iter().enumerate().rev() {
        let at = at.item(nth);
        match resource_priority(value.priority, &at.field("priority"))? {
            ResourcePriority::Default => breakers.default = thresholds(value, &at)?,
            ResourcePriority::High => breakers.high = thresholds(value, &at)?,
        }
    }
    Ok(breakers)
}

fn thresholds(value: proto::circuit_breakers::Thresholds, at: &At<'_>) -> Result<Thresholds, Invalid> {
    let proto::circuit_breakers::Thresholds {
        priority: _,
        max_connections,
        max_pending_requests,
        max_requests,
        max_retries,
        retry_budget,
    } = value;
    let default = Thresholds::default();
    Ok(Thresholds {
        max_connections: max_connections.unwrap_or(default.max_connections),
        max_pending_requests: max_pending_requests.unwrap_or(default.max_pending_requests),
        max_requests: max_requests.unwrap_or(default.max_requests),
        max_retries: max_retries.unwrap_or(default.max_retries),
        retry_budget: retry_budget.map(|value| budget(value, &at.field("retry_budget"))).transpose()?,
    })
}

fn budget(
    value: proto::circuit_breakers::thresholds::RetryBudget,
    at: &At<'_>,
) -> Result<RetryBudget, Invalid> {
    let proto::circuit_breakers::thresholds::RetryBudget { budget_percent, min_retry_concurrency } = value;
    let percent = percent(budget_percent, 20.0, &at.field("budget_percent"))?;
    Ok(RetryBudget {
        millionths: (percent * 10_000.0).round() as u32,
        min_concurrency: min_retry_concurrency.unwrap_or(3),
    })
}
