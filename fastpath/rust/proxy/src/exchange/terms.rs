//! On which terms a request is forwarded: its timeouts and when it is tried again, as the route says, and as a trusted
//! caller asks in headers. What was heeded goes no further.

use std::borrow::Cow;
use std::str::FromStr;
use std::time::Duration;

use meshloom_model::route::{Forward, IdleTimeout, RetryOn};
use meshloom_wire::http1::KnownHeader as H;

use super::edge::RETRIABLE_HEADER_NAMES;
use super::{Exchange, RetryConditions};

impl Exchange {
    /// Takes a header off the request; several lines are one value.
    fn take(&mut self, id: H) -> Option<String> {
        if !self.request.fields.contains(id) {
            return None;
        }
        let value = self.request.fields.joined(id.name()).map(Cow::into_owned).unwrap_or_default();
        self.request.fields.remove(id);
        String::from_utf8(value).ok()
    }

    /// As [`Self::take`], for names of response headers. Others than trusted callers have lost them already.
    fn take_header_names(&mut self) -> Option<String> {
        if !self.client.internal {
            return None;
        }
        let value = self.request.fields.joined(RETRIABLE_HEADER_NAMES)?;
        let names = String::from_utf8_lossy(&value).into_owned();
        self.request.fields.remove_name(RETRIABLE_HEADER_NAMES);
        Some(names)
    }

    /// Takes a header with a number off the request.
    fn take_number<N: FromStr>(&mut self, id: H) -> Option<N> {
        self.take(id)?.trim().parse().ok()
    }

    fn take_ms(&mut self, id: H) -> Option<Duration> {
        self.take_number(id).map(Duration::from_millis)
    }
}

/// The route's timeouts, and what headers of a trusted caller put in their place.
pub(super) fn set_limits(exchange: &mut Exchange, forward: &Forward) {
    let header = exchange.take_ms(H::XEnvoyUpstreamRqTimeoutMs);
    let per_try_header = exchange.take_ms(H::XEnvoyUpstreamRqPerTryTimeoutMs);
    let quietly = exchange.request.fields.contains(H::XEnvoyUpstreamRqTimeoutAltResponse);
    exchange.request.fields.remove(H::XEnvoyUpstreamRqTimeoutAltResponse);
    exchange.request.fields.remove(H::XEnvoyUpstreamStreamDurationMs);
    let policy = forward.retry.as_deref();
    let (of_call, heeds_call) = exchange.grpc_limit(forward.grpc_timeout);
    let of_route = if heeds_call { of_call } else { forward.timeout };
    let response = header.or(of_route).filter(|limit| !limit.is_zero());
    let attempt =
        per_try_header.or(policy.and_then(|policy| policy.per_try_timeout)).filter(|limit| !limit.is_zero());
    let limits = &mut exchange.times.limits;
    limits.response = response;
    limits.told_quietly = quietly;
    // A try that may take longer than the whole has no limit of its own.
    limits.attempt = attempt.filter(|attempt| response.is_none_or(|response| *attempt < response));
    limits.attempt_idle = policy.and_then(|policy| policy.per_try_idle_timeout);
    match forward.idle_timeout {
        IdleTimeout::Inherit => {}
        IdleTimeout::Off => (limits.idle, limits.request_idle) = (None, None),
        IdleTimeout::After(limit) => (limits.idle, limits.request_idle) = (Some(limit), Some(limit)),
    }
}

/// The route's retry policy, and what headers of a trusted caller add to it.
pub(super) fn set_retries(exchange: &mut Exchange, forward: &Forward) {
    let policy = forward.retry.as_deref();
    let mut on = policy.map_or(RetryOn::NONE, |policy| policy.on);
    for id in [H::XEnvoyRetryOn, H::XEnvoyRetryGrpcOn] {
        let words = exchange.take(id).unwrap_or_default();
        on = words.split(',').filter_map(|word| RetryOn::by_name(word.trim())).fold(on, RetryOn::union);
    }
    let codes = exchange.take(H::XEnvoyRetriableStatusCodes).unwrap_or_default();
    let names = exchange.take_header_names().unwrap_or_default();
    let most = exchange.take_number(H::XEnvoyMaxRetries);
    exchange.request.fields.remove(H::XEnvoyHedgeOnPerTryTimeout);
    // A policy for some requests only is one for callers' wishes, too.
    let wanted = policy.is_none_or(|policy| {
        policy.request_headers.is_empty()
            || policy.request_headers.iter().any(|matcher| matcher.matches(&exchange.request))
    });
    if !wanted || on.is_empty() {
        return;
    }
    exchange.tries.max_retries = most.unwrap_or_else(|| policy.map_or(1, |policy| policy.max_retries));
    let mut conditions = RetryConditions { on, ..RetryConditions::default() };
    conditions.status_codes.extend(policy.iter().flat_map(|policy| policy.status_codes.iter()));
    conditions.status_codes.extend(codes.split(',').filter_map(|code| code.trim().parse::<u16>().ok()));
    let names = names.split(',').map(|name| name.trim().to_ascii_lowercase());
    conditions.header_names.extend(names.filter(|name| !name.is_empty()));
    exchange.tries.on = conditions;
}
