//! Retry policies.

use std::time::Duration;

use crate::matcher::{HeaderMatcher, HeaderName};

/// When and how a request is tried again.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// After which failures.
    pub on: RetryOn,
    /// How often at most, besides the first try.
    pub max_retries: u32,
    /// Limit on each try; `None` is the route's timeout.
    pub per_try_timeout: Option<Duration>,
    /// Limit on the time without a byte from the upstream in one try.
    pub per_try_idle_timeout: Option<Duration>,
    /// Statuses that count as failure with `retriable-status-codes`.
    pub status_codes: Box<[u16]>,
    /// A response with one of these counts as failure with `retriable-headers`.
    pub response_headers: Box<[HeaderMatcher]>,
    /// When not empty, only requests that pass one of these are tried again.
    pub request_headers: Box<[HeaderMatcher]>,
    /// How long to wait before each retry.
    pub back_off: BackOff,
    /// Waits as long as the upstream's response asks, when it asks.
    pub rate_limited: Option<RateLimitedBackOff>,
    /// Do not choose an endpoint that failed in this request.
    pub avoid_previous_endpoints: bool,
    /// How often to choose again when the choice was one to be avoided.
    pub max_choices: u32,
}

/// Exponential back-off with full jitter: the n-th wait is random in `[0, min(max, (2^n - 1) * base))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackOff {
    /// Base interval.
    pub base: Duration,
    /// Longest interval.
    pub max: Duration,
}

/// Back-off by the upstream's own word.
#[derive(Clone, Debug)]
pub struct RateLimitedBackOff {
    /// Which response headers say how long, in order of preference.
    pub headers: Box<[ResetHeader]>,
    /// Longest wait; a header that asks for more is ignored.
    pub max: Duration,
}

/// A response header that says how long to wait.
#[derive(Clone, Debug)]
pub struct ResetHeader {
    /// The header.
    pub name: HeaderName,
    /// What its number means.
    pub format: ResetHeaderFormat,
}

/// What the number in a [`ResetHeader`] means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetHeaderFormat {
    /// Seconds from now.
    Seconds,
    /// Seconds since 1970.
    UnixTime,
}

macro_rules! conditions {
    ($($(#[$doc:meta])* $bit:literal $name:ident $text:literal;)*) => {
        /// A set of failures after which to try again.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct RetryOn(u32);

        impl RetryOn {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*

            /// Finds a condition by the name that `retry_on` and `x-envoy-retry-on` use.
            pub fn by_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

conditions! {
    /// Any 5xx answer, or none at all.
    0 SERVER_ERROR "5xx";
    /// 502, 503 or 504.
    1 GATEWAY_ERROR "gateway-error";
    /// The upstream closed or reset before it answered.
    2 RESET "reset";
    /// The same, before anything of the request was sent.
    3 RESET_BEFORE_REQUEST "reset-before-request";
    /// No connection could be made.
    4 CONNECT_FAILURE "connect-failure";
    /// The answer has `x-envoy-ratelimited`.
    5 RATE_LIMITED "envoy-ratelimited";
    /// 409.
    6 RETRIABLE_4XX "retriable-4xx";
    /// The upstream refused the stream (HTTP/2).
    7 REFUSED_STREAM "refused-stream";
    /// A status of the policy's list.
    8 STATUS_CODES "retriable-status-codes";
    /// A response header of the policy's list.
    9 HEADERS "retriable-headers";
    /// gRPC status 1.
    10 GRPC_CANCELLED "cancelled";
    /// gRPC status 4.
    11 GRPC_DEADLINE_EXCEEDED "deadline-exceeded";
    /// gRPC status 13.
    12 GRPC_INTERNAL "internal";
    /// gRPC status 8.
    13 GRPC_RESOURCE_EXHAUSTED "resource-exhausted";
    /// gRPC status 14.
    14 GRPC_UNAVAILABLE "unavailable";
    /// HTTP/3 only; never happens here.
    15 HTTP3_POST_CONNECT_FAILURE "http3-post-connect-failure";
}

impl RetryOn {
    /// No condition.
    pub const NONE: Self = Self(0);

    /// Is any of these conditions in the set?
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Is the set empty?
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}
