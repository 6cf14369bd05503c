//! Whether a failed attempt is made again.

use meshloom_balance::{Backoff, Outcome, Resource};
use meshloom_model::ResponseFlag;
use meshloom_model::route::{ResetHeaderFormat, RetryOn, RetryPolicy};
use meshloom_wire::http1::KnownHeader as H;

use super::{Exchange, Stage};
use crate::downstream::Downstream;
use crate::engine::Engine;
use crate::reactor::Token;
use crate::reply::{Failure, StreamReset};
use std::time::Duration;

impl Engine {
    /// Starts another attempt after this failure, if there may be one. A response must not have begun.
    pub(crate) fn retry_after(
        &mut self,
        token: Token,
        exchange: &mut Exchange,
        down: &mut Downstream,
        failure: &Failure,
    ) -> bool {
        self.observe_failure(exchange, failure);
        if exchange.stage != Stage::Requesting || !exchange.body.replayable {
            return false;
        }
        if covers_failure(exchange, failure) {
            return self.schedule_retry(exchange, None);
        }
        self.replace_stale(token, exchange, down, failure)
    }

    /// A kept connection may die just as it is used. When nothing of an answer has come and the request may be
    /// repeated (RFC 9110 9.2.2), it goes out once more where no policy speaks of it.
    fn replace_stale(
        &mut self,
        token: Token,
        exchange: &mut Exchange,
        down: &mut Downstream,
        failure: &Failure,
    ) -> bool {
        let stale = matches!(failure, Failure::Terminated | Failure::StreamReset(StreamReset::Connection))
            && exchange.tries.on_reused
            && !exchange.tries.replaced_stale
            && exchange.request.method.is_idempotent()
            && exchange.body.complete;
        if !stale {
            return false;
        }
        exchange.tries.replaced_stale = true;
        exchange.tries.tried.clear();
        exchange.tries.made = exchange.tries.made.saturating_sub(1);
        self.attempt(token, exchange, down);
        true
    }

    /// Decides by a response's head. When another attempt follows, the response is thrown away.
    pub(crate) fn retry_response(&mut self, exchange: &mut Exchange) -> bool {
        let status = exchange.response.status;
        if exchange.tries.on.on.is_empty() || !exchange.body.replayable || !covers_response(exchange, status)
        {
            if exchange.tries.made > 1 {
                self.count_cluster(exchange, |stats| stats.rq_retry_success.inc());
            }
            return false;
        }
        let wait = exchange
            .forward()
            .and_then(|forward| forward.retry.clone())
            .and_then(|policy| asked_wait(exchange, &policy, self.clock.wall()));
        self.schedule_retry(exchange, wait)
    }

    fn schedule_retry(&mut self, exchange: &mut Exchange, wait: Option<Duration>) -> bool {
        let retries = exchange.tries.made.saturating_sub(1);
        if retries >= exchange.tries.max_retries {
            exchange.flag(ResponseFlag::UpstreamRetryLimitExceeded);
            self.count_cluster(exchange, |stats| stats.rq_retry_limit_exceeded.inc());
            return false;
        }
        let priority = exchange.priority();
        let Some(cluster) = exchange.cluster.and_then(|id| self.clusters.get_mut(id)) else { return false };
        if cluster.breakers(priority).acquire(Resource::Retries).is_err() {
            cluster.stats.rq_retry_overflow.inc();
            exchange.flag(ResponseFlag::UpstreamOverflow);
            return false;
        }
        cluster.stats.rq_retry.inc();
        exchange.tries.scheduled = true;
        let wait = wait.unwrap_or_else(|| self.back_off(exchange, retries));
        exchange.deadlines.wake = self.now().after(wait);
        true
    }

    fn back_off(&mut self, exchange: &Exchange, retries: u32) -> Duration {
        let policy = exchange.forward().and_then(|forward| forward.retry.as_deref());
        let mut backoff = policy
            .map_or_else(Backoff::default, |policy| Backoff::new(policy.back_off.base, policy.back_off.max));
        let mut wait = backoff.next(&mut self.rng);
        for _ in 0..retries {
            wait = backoff.next(&mut self.rng);
        }
        wait
    }

    /// Tells the outlier detector of the attempt's endpoint.
    fn observe_failure(&mut self, exchange: &Exchange, failure: &Failure) {
        let outcome = match failure {
            Failure::ConnectFailed { .. }
            | Failure::ConnectTimeout
            | Failure::Terminated
            | Failure::StreamReset(_) => Outcome::ConnectFailed,
            Failure::UpstreamProtocol(_) => Outcome::Status(502),
            Failure::PerTryTimeout { .. } | Failure::ResponseTimeout => Outcome::TimedOut,
            _ => return,
        };
        self.observe(exchange, outcome);
    }

    pub(crate) fn observe(&mut self, exchange: &Exchange, outcome: Outcome) {
        let Some(host) = exchange.outcome.host.as_deref() else { return };
        if let Some(cluster) = self.clusters.get_mut(host.cluster) {
            cluster.observe(host, outcome, self.clock.instant(), &mut self.rng);
        }
    }

    pub(crate) fn count_cluster(
        &self,
        exchange: &Exchange,
        count: impl FnOnce(&crate::telemetry::ClusterStats),
    ) {
        if let Some(cluster) = exchange.cluster.and_then(|id| self.clusters.get(id)) {
            count(&cluster.stats);
        }
    }
}

/// Does the policy try again after this failure?
fn covers_failure(exchange: &Exchange, failure: &Failure) -> bool {
    let on = exchange.tries.on.on;
    match failure {
        Failure::ConnectFailed { .. } | Failure::ConnectTimeout => on.has(
            RetryOn::CONNECT_FAILURE
                .union(RetryOn::RESET)
                .union(RetryOn::RESET_BEFORE_REQUEST)
                .union(RetryOn::SERVER_ERROR)
                .union(RetryOn::GATEWAY_ERROR),
        ),
        Failure::StreamReset(StreamReset::Refused) if on.has(RetryOn::REFUSED_STREAM) => true,
        Failure::Terminated
        | Failure::StreamReset(_)
        | Failure::UpstreamProtocol(_)
        | Failure::PerTryTimeout { .. } => {
            on.has(RetryOn::RESET.union(RetryOn::SERVER_ERROR).union(RetryOn::GATEWAY_ERROR))
        }
        _ => false,
    }
}

/// Does the policy try again after this answer?
fn covers_response(exchange: &Exchange, status: u16) -> bool {
    let on = exchange.tries.on.on;
    let by_status = match status {
        500..=599 if on.has(RetryOn::SERVER_ERROR) => true,
        502..=504 if on.has(RetryOn::GATEWAY_ERROR) => true,
        409 if on.has(RetryOn::RETRIABLE_4XX) => true,
        _ => on.has(RetryOn::STATUS_CODES) && exchange.tries.on.status_codes.contains(&status),
    };
    if by_status {
        return true;
    }
    let fields = &exchange.response.fields;
    if on.has(RetryOn::RATE_LIMITED) && fields.contains(H::XEnvoyRatelimited) {
        return true;
    }
    if on.has(RetryOn::HEADERS) {
        let policy = exchange.forward().and_then(|forward| forward.retry.as_deref());
        let hit = policy.is_some_and(|policy| {
            policy.response_headers.iter().any(|matcher| {
                matcher.matches_value(exchange.response.header(matcher.name.as_str()).as_deref())
            })
        });
        let names = &exchange.tries.on.header_names;
        if hit || names.iter().any(|name| exchange.response.header(name).is_some()) {
            return true;
        }
    }
    grpc_code(exchange).is_some_and(|code| on.has(grpc_condition(code)))
}

fn grpc_code(exchange: &Exchange) -> Option<u32> {
    std::str::from_utf8(exchange.response.fields.get(H::GrpcStatus)?).ok()?.parse().ok()
}

fn grpc_condition(code: u32) -> RetryOn {
    match code {
        1 => RetryOn::GRPC_CANCELLED,
        4 => RetryOn::GRPC_DEADLINE_EXCEEDED,
        8 => RetryOn::GRPC_RESOURCE_EXHAUSTED,
        13 => RetryOn::GRPC_INTERNAL,
        14 => RetryOn::GRPC_UNAVAILABLE,
        _ => RetryOn::NONE,
    }
}

/// How long the upstream asks us to wait.
fn asked_wait(exchange: &Exchange, policy: &RetryPolicy, wall: Duration) -> Option<Duration> {
    let limited = policy.rate_limited.as_ref()?;
    limited.headers.iter().find_map(|header| {
        let value = exchange.response.header(header.name.as_str())?;
        let seconds: u64 = std::str::from_utf8(&value).ok()?.trim().parse().ok()?;
        let wait = match header.format {
            ResetHeaderFormat::Seconds => Duration::from_secs(seconds),
            ResetHeaderFormat::UnixTime => Duration::from_secs(seconds).checked_sub(wall)?,
        };
        (wait <= limited.max).then_some(wait)
    })
}
