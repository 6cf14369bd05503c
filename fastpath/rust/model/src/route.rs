//! Route tables: which virtual host, which route, and what the route does.
//!
//! Everything a request needs is in its [`Route`]: header operations, retry policy and filter overrides of the virtual
//! host and the table are already merged into it. The engine keeps the route's `Arc` and looks nowhere else.

mod action;
mod hash_policy;
mod host_index;
mod path_index;
mod prefix_tree;
mod retry;
mod rewrite;
mod table;

pub use action::{
    ClusterChoice, ClusterName, DirectResponse, Forward, GrpcTimeout, HostRewrite, IdleTimeout, Picked,
    PortRewrite, Redirect, RedirectPath, ResourcePriority, RouteAction, StreamDuration, Target,
    WeightedCluster, WeightedClusters,
};
pub use hash_policy::{HashCookie, HashPolicy, HashSource};
pub(crate) use host_index::HostIndexBuilder;
pub use host_index::{DomainConflict, HostIndex};
pub use path_index::PathIndex;
pub use retry::{BackOff, RateLimitedBackOff, ResetHeader, ResetHeaderFormat, RetryOn, RetryPolicy};
pub use rewrite::PathRewrite;
pub use table::{RequireTls, RouteTable, VirtualHost};

use std::sync::Arc;

use smallvec::SmallVec;

use crate::filter::FilterOverrides;
use crate::headers::HeaderOps;
use crate::matcher::{HeaderMatcher, QueryMatcher, RequestHead};
use crate::regex::FullRegex;

/// A rule: which requests, and what becomes of them.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name, for `%ROUTE_NAME%`; may be empty.
    pub name: Arc<str>,
    /// Name of its virtual host.
    pub virtual_host: Arc<str>,
    /// Statistics of the route are kept under this name, if it has one.
    pub stat_prefix: Option<Arc<str>>,
    /// Which requests it takes.
    pub matcher: RouteMatcher,
    /// What becomes of them.
    pub action: RouteAction,
    /// Operations on the request's headers: the route's, the virtual host's and the table's.
    pub request_headers: HeaderOps,
    /// Operations on the response's headers.
    pub response_headers: HeaderOps,
    /// Settings of HTTP filters for this route, in place of the filters' own.
    pub overrides: FilterOverrides,
    /// Add `x-envoy-attempt-count` to the request.
    pub attempt_count_in_request: bool,
    /// Add `x-envoy-attempt-count` to the response.
    pub attempt_count_in_response: bool,
    /// The most of a request's body that may be kept for a retry, in bytes; `None` is the listener's limit.
    pub retry_buffer_limit: Option<u64>,
}

/// Which requests a route takes.
#[derive(Clone, Debug)]
pub struct RouteMatcher {
    /// The condition on the path, without its query.
    pub path: PathMatcher,
    /// Conditions on headers, all of which must hold. Cheap ones need not come first: order is the configuration's.
    pub headers: Box<[HeaderMatcher]>,
    /// Conditions on the query, all of which must hold.
    pub query: Box<[QueryMatcher]>,
    /// Only gRPC requests (`content-type: application/grpc...`).
    pub grpc: bool,
    /// Only CONNECT, which has no path.
    pub connect: bool,
    /// Only this share of the requests, in millionths.
    pub fraction: Option<u32>,
}

/// A condition on a path.
#[derive(Clone, Debug)]
pub enum PathMatcher {
    /// The whole path.
    Exact(PathText),
    /// Its beginning, as text: `/foo` takes `/foobar` too.
    Prefix(PathText),
    /// Its beginning, by segments: `/foo` takes `/foo` and `/foo/bar`, not `/foobar`.
    SegmentPrefix(PathText),
    /// The whole path, against a regular expression.
    Regex(FullRegex),
}

/// A path and whether its case matters. Where it does not, the text is in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathText {
    /// The text.
    pub text: SmallVec<[u8; 24]>,
    /// Compare without regard to the case of ASCII letters.
    pub ignore_case: bool,
}

impl PathText {
    /// Prepares a text for comparison.
    pub fn new(text: &str, ignore_case: bool) -> Self {
        let text = if ignore_case { text.to_ascii_lowercase() } else { text.to_owned() };
        Self { text: SmallVec::from_slice(text.as_bytes()), ignore_case }
    }

    fn equals(&self, other: &[u8]) -> bool {
        if self.ignore_case { self.text.eq_ignore_ascii_case(other) } else { *self.text == *other }
    }

    fn begins(&self, path: &[u8]) -> bool {
        path.get(..self.text.len()).is_some_and(|head| self.equals(head))
    }
}

impl PathMatcher {
    /// Does the path, without its query, pass?
    pub fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(text) => text.equals(path),
            Self::Prefix(text) => text.begins(path),
            Self::SegmentPrefix(text) => {
                text.begins(path) && path.get(text.text.len()..).is_some_and(ends_name)
            }
            Self::Regex(regex) => regex.is_match(path),
        }
    }
}

/// Whether a segment's name ends where `rest` begins: at a slash or at its parameters (RFC 3986 3.3), escaped or not. An
/// upstream that drops parameters, or decodes first, reads `/admin;x` as `/admin`.
fn ends_name(rest: &[u8]) -> bool {
    match rest {
        [] | [b'/' | b';' | b'\\', ..] => true,
        [b'%', escape @ ..] => escape
            .get(..2)
            .is_some_and(|digits| [b"2f", b"5c", b"3b"].iter().any(|end| digits.eq_ignore_ascii_case(*end))),
        _ => false,
    }
}

impl RouteMatcher {
    /// Does this request pass, given its path without the query? `random` decides about a `fraction`.
    pub fn matches(&self, path: &[u8], head: &impl RequestHead, random: u64) -> bool {
        self.path.matches(path) && self.matches_rest(head, random)
    }

    /// All conditions but the one on the path.
    fn matches_rest(&self, head: &impl RequestHead, random: u64) -> bool {
        self.fraction.is_none_or(|millionths| random % 1_000_000 < u64::from(millionths))
            && self.headers.iter().all(|matcher| matcher.matches(head))
            && (!self.grpc || is_grpc(head))
            && (!self.connect || head.header(":method").is_some_and(|method| *method == *b"CONNECT"))
            && self.matches_query(head)
    }

    fn matches_query(&self, head: &impl RequestHead) -> bool {
        if self.query.is_empty() {
            return true;
        }
        let (_, query) = split_path(head.path());
        self.query.iter().all(|matcher| matcher.matches(query))
    }
}

/// RFC-less but universal: gRPC's content type, alone or followed by `+` or `;`.
fn is_grpc(head: &impl RequestHead) -> bool {
    head.header("content-type").is_some_and(|value| match value.strip_prefix(b"application/grpc") {
        Some(rest) => matches!(rest.first(), None | Some(b'+' | b';')),
        None => false,
    })
}

/// Splits a request target into its path and its query. The fragment, if any, belongs to neither.
pub fn split_path(target: &[u8]) -> (&[u8], &[u8]) {
    let end = target.iter().position(|byte| *byte == b'#').unwrap_or(target.len());
    let target = target.get(..end).unwrap_or(target);
    match target.iter().position(|byte| *byte == b'?') {
        Some(mark) => (target.get(..mark).unwrap_or_default(), target.get(mark + 1..).unwrap_or_default()),
        None => (target, b""),
    }
}

#[cfg(test)]
mod tests;
