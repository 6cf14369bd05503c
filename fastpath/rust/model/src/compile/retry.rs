//! Retry policies.

use std::time::Duration;

use meshloom_xds::envoy::config::route::v3 as proto;

use super::context::Context;
use super::matching;
use super::parts::{choice, duration, extension, limit, positive, unsupported};
use super::path::{At, Invalid};
use super::types;
use crate::route::{BackOff, RateLimitedBackOff, ResetHeader, ResetHeaderFormat, RetryOn, RetryPolicy};

const DEFAULT_BASE: Duration = Duration::from_millis(25);
const DEFAULT_RATE_LIMITED_MAX: Duration = Duration::from_secs(300);

pub(super) fn retry_policy(
    value: proto::RetryPolicy,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<RetryPolicy, Invalid> {
    let proto::RetryPolicy {
        retry_on,
        num_retries,
        per_try_timeout,
        per_try_idle_timeout,
        retry_host_predicate,
        host_selection_retry_max_attempts,
        retriable_status_codes,
        retry_back_off,
        rate_limited_retry_back_off,
        retriable_headers,
        retriable_request_headers,
    } = value;
    let rate_limited = rate_limited_retry_back_off
        .map(|value| rate_limited(value, &at.field("rate_limited_retry_back_off")));
    Ok(RetryPolicy {
        on: conditions(&retry_on),
        max_retries: num_retries.unwrap_or(1),
        per_try_timeout: limit(per_try_timeout, None, &at.field("per_try_timeout"))?,
        per_try_idle_timeout: limit(per_try_idle_timeout, None, &at.field("per_try_idle_timeout"))?,
        status_codes: statuses(&retriable_status_codes),
        response_headers: matching::headers(&retriable_headers, &at.field("retriable_headers"), cx)?,
        request_headers: matching::headers(
            &retriable_request_headers,
            &at.field("retriable_request_headers"),
            cx,
        )?,
        back_off: back_off(retry_back_off, &at.field("retry_back_off"))?,
        rate_limited: rate_limited.transpose()?,
        avoid_previous_endpoints: predicates(&retry_host_predicate, &at.field("retry_host_predicate"))?,
        max_choices: choices(
            host_selection_retry_max_attempts,
            &at.field("host_selection_retry_max_attempts"),
        )?,
    })
}

/// Words that say nothing, such as a status, change nothing, as in Envoy.
fn conditions(list: &str) -> RetryOn {
    list.split(',').filter_map(|name| RetryOn::by_name(name.trim())).fold(RetryOn::NONE, RetryOn::union)
}

/// A number that is no status is no answer's.
fn statuses(values: &[u32]) -> Box<[u16]> {
    values.iter().filter_map(|value| u16::try_from(*value).ok()).collect()
}

fn back_off(value: Option<proto::retry_policy::RetryBackOff>, at: &At<'_>) -> Result<BackOff, Invalid> {
    let Some(proto::retry_policy::RetryBackOff { base_interval, max_interval }) = value else {
        return Ok(BackOff { base: DEFAULT_BASE, max: DEFAULT_BASE * 10 });
    };
    at.field("base_interval").required(base_interval.as_ref())?;
    let base =
        positive(base_interval, DEFAULT_BASE, &at.field("base_interval"))?.max(Duration::from_millis(1));
    let max = positive(max_interval, base * 10, &at.field("max_interval"))?;
    match max < base {
        true => Err(at.field("max_interval").refuse("this must not be less than base_interval")),
        false => Ok(BackOff { base, max }),
    }
}

fn rate_limited(
    value: proto::retry_policy::RateLimitedRetryBackOff,
    at: &At<'_>,
) -> Result<RateLimitedBackOff, Invalid> {
    let proto::retry_policy::RateLimitedRetryBackOff { reset_headers, max_interval } = value;
    let at_headers = at.field("reset_headers");
    if reset_headers.is_empty() {
        return Err(at_headers.refuse("give at least one"));
    }
    let headers =
        reset_headers.iter().enumerate().map(|(nth, header)| reset_header(header, &at_headers.item(nth)));
    Ok(RateLimitedBackOff {
        headers: headers.collect::<Result<_, _>>()?,
        max: duration(max_interval, &at.field("max_interval"))?.unwrap_or(DEFAULT_RATE_LIMITED_MAX),
    })
}

fn reset_header(value: &proto::retry_policy::ResetHeader, at: &At<'_>) -> Result<ResetHeader, Invalid> {
    use proto::retry_policy::ResetHeaderFormat as Format;
    let proto::retry_policy::ResetHeader { name, format } = value;
    Ok(ResetHeader {
        name: matching::header_name(name, &at.field("name"))?,
        format: match choice(*format, &at.field("format"))? {
            Format::Seconds => ResetHeaderFormat::Seconds,
            Format::UnixTimestamp => ResetHeaderFormat::UnixTime,
        },
    })
}

fn predicates(values: &[proto::retry_policy::RetryHostPredicate], at: &At<'_>) -> Result<bool, Invalid> {
    for (nth, value) in values.iter().enumerate() {
        let proto::retry_policy::RetryHostPredicate { name: _, typed_config } = value;
        let at = at.item(nth);
        let at = at.field("typed_config");
        match extension(typed_config.as_ref(), &at)? {
            (types::PREVIOUS_HOSTS, _) => {}
            (other, _) => return Err(unsupported(other, "give a PreviousHostsPredicate", &at)),
        }
    }
    Ok(!values.is_empty())
}

fn choices(value: i64, at: &At<'_>) -> Result<u32, Invalid> {
    match value {
        0 => Ok(1),
        value => u32::try_from(value).map_err(|_| at.refuse("this must be a small positive number")),
    }
}
