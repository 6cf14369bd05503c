//! Whether a failed attempt is repeated.

use std::time::Duration;

use crate::Backoff;

/// How one attempt failed, before anything of its response was forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection came about, so nothing was sent: refused, unreachable, connect timeout, TLS handshake failed.
    Connect,
    /// The connection broke before the response's head was complete.
    Reset {
        /// Whether any byte of the request may have reached the upstream.
        sent: bool,
    },
    /// No response head within the per-try timeout.
    PerTryTimeout,
    /// The upstream answered, with this status.
    Status(u16),
    /// A breaker was open.
    Overflow,
}

/// A set of conditions, as in `x-envoy-retry-on` and Istio's `retryOn`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryConditions(u16);

/// A word in a list of conditions that none of them has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCondition(pub String);

impl std::fmt::Display for UnknownCondition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "unknown retry condition {:?}", self.0)
    }
}

impl std::error::Error for UnknownCondition {}

impl RetryConditions {
    pub const SERVER_ERROR: Self = Self(1);
    pub const GATEWAY_ERROR: Self = Self(1 << 1);
    pub const RESET: Self = Self(1 << 2);
    pub const RESET_BEFORE_REQUEST: Self = Self(1 << 3);
    pub const CONNECT_FAILURE: Self = Self(1 << 4);
    pub const RETRIABLE_4XX: Self = Self(1 << 5);
    pub const RETRIABLE_STATUS_CODES: Self = Self(1 << 6);
    pub const RETRIABLE_HEADERS: Self = Self(1 << 7);
    pub const REFUSED_STREAM: Self = Self(1 << 8);
    pub const GRPC_CANCELLED: Self = Self(1 << 9);
    pub const GRPC_DEADLINE_EXCEEDED: Self = Self(1 << 10);
    pub const GRPC_INTERNAL: Self = Self(1 << 11);
    pub const GRPC_RESOURCE_EXHAUSTED: Self = Self(1 << 12);
    pub const GRPC_UNAVAILABLE: Self = Self(1 << 13);

    const NAMES: [(&'static str, Self); 14] = [
        ("5xx", Self::SERVER_ERROR),
        ("gateway-error", Self::GATEWAY_ERROR),
        ("reset", Self::RESET),
        ("reset-before-request", Self::RESET_BEFORE_REQUEST),
        ("connect-failure", Self::CONNECT_FAILURE),
        ("retriable-4xx", Self::RETRIABLE_4XX),
        ("retriable-status-codes", Self::RETRIABLE_STATUS_CODES),
        ("retriable-headers", Self::RETRIABLE_HEADERS),
        ("refused-stream", Self::REFUSED_STREAM),
        ("cancelled", Self::GRPC_CANCELLED),
        ("deadline-exceeded", Self::GRPC_DEADLINE_EXCEEDED),
        ("internal", Self::GRPC_INTERNAL),
        ("resource-exhausted", Self::GRPC_RESOURCE_EXHAUSTED),
        ("unavailable", Self::GRPC_UNAVAILABLE),
    ];

    /// Reads a comma-separated list.
    pub fn parse(list: &str) -> Result<Self, UnknownCondition> {
        let words = list.split(',').map(str::trim).filter(|word| !word.is_empty());
        words.map(Self::named).try_fold(Self::default(), |set, one| Ok(set.with(one?)))
    }

    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn named(word: &str) -> Result<Self, UnknownCondition> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == word);
        found.map(|(_, condition)| *condition).ok_or_else(|| UnknownCondition(word.to_owned()))
    }
}

/// A route's retry policy, compiled. The default never retries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryPolicy {
    pub conditions: RetryConditions,
    /// Retries beside the first attempt.
    pub retries: u32,
    /// For [`RetryConditions::RETRIABLE_STATUS_CODES`].
    pub statuses: Vec<u16>,
    /// Zero means none.
    pub per_try_timeout: Duration,
    /// A fresh copy for each request.
    pub backoff: Backoff,
    /// How often to pick again while the choice was tried before; zero where the policy does not ask for it.
    pub host_attempts: u32,
}

impl RetryPolicy {
    /// Whether an attempt that failed so is repeated, after `done` retries. The breaker for retries is asked by the
    /// caller, as is whether the request's body is still there to be sent again.
    #[must_use]
    pub fn allows(&self, failure: Failure, done: u32) -> bool {
        done < self.retries && self.covers(failure)
    }

    fn covers(&self, failure: Failure) -> bool {
        let has = |condition| self.conditions.contains(condition);
        match failure {
            Failure::Overflow => false,
            Failure::Connect => {
                has(RetryConditions::CONNECT_FAILURE)
                    || has(RetryConditions::RESET)
                    || has(RetryConditions::RESET_BEFORE_REQUEST)
                    || has(RetryConditions::SERVER_ERROR)
                    || has(RetryConditions::GATEWAY_ERROR)
            }
            Failure::Reset { sent } => {
                has(RetryConditions::RESET)
                    || has(RetryConditions::SERVER_ERROR)
                    || (!sent && has(RetryConditions::RESET_BEFORE_REQUEST))
            }
            Failure::PerTryTimeout => {
                has(RetryConditions::SERVER_ERROR)
                    || has(RetryConditions::GATEWAY_ERROR)
                    || has(RetryConditions::RESET)
            }
            Failure::Status(status) => self.covers_status(status),
        }
    }

    fn covers_status(&self, status: u16) -> bool {
        let has = |condition| self.conditions.contains(condition);
        match status {
            500..=599 if has(RetryConditions::SERVER_ERROR) => true,
            502..=504 if has(RetryConditions::GATEWAY_ERROR) => true,
            409 if has(RetryConditions::RETRIABLE_4XX) => true,
            _ => has(RetryConditions::RETRIABLE_STATUS_CODES) && self.statuses.contains(&status),
        }
    }
}

#[cfg(test)]
mod tests;
