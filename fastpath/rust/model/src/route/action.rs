//! What a route does with a request.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::{HashPolicy, PathRewrite, RetryPolicy, Route};
use crate::filter::FilterOverrides;
use crate::headers::HeaderOps;
use crate::ids::ClusterIndex;
use crate::matcher::{HeaderName, RequestHead};
use crate::regex::RegexReplace;
use crate::subset::MetadataMatch;
use crate::upgrade::Upgrades;

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum RouteAction {
    /// It goes to an upstream.
    Forward(Box<Forward>),
    /// It is answered with a redirect.
    Redirect(Box<Redirect>),
    /// It is answered from the configuration.
    Direct(DirectResponse),
}

/// How a request goes to an upstream.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Which cluster.
    pub target: Target,
    /// Status when the cluster does not exist: 503, 404 or 500.
    pub cluster_not_found_status: u16,
    /// What becomes of the path.
    pub path_rewrite: Option<PathRewrite>,
    /// What becomes of the authority, unless the chosen weighted cluster says otherwise.
    pub host_rewrite: Option<HostRewrite>,
    /// Keep the authority that was rewritten in `x-forwarded-host`.
    pub append_x_forwarded_host: bool,
    /// Limit on the time from the end of the request to the end of the response, all tries included.
    pub timeout: Option<Duration>,
    /// What `grpc-timeout` of a gRPC call counts for in place of `timeout`; unset: nothing, and it is passed on.
    pub grpc_timeout: Option<GrpcTimeout>,
    /// In place of the connection manager's stream idle timeout.
    pub idle_timeout: IdleTimeout,
    /// How long the whole stream may last; unset: as the connection manager says.
    pub stream_duration: Option<StreamDuration>,
    /// When and how to try again.
    pub retry: Option<Arc<RetryPolicy>>,
    /// Which circuit breaker thresholds count.
    pub priority: ResourcePriority,
    /// Which upgrades are let through.
    pub upgrades: Upgrades,
    /// Which subset of the cluster, unless the chosen weighted cluster has a word of its own.
    pub metadata_match: Option<Arc<MetadataMatch>>,
    /// What a consistent hash goes by, where the cluster wants one.
    pub hash_policies: Box<[HashPolicy]>,
}

/// Which circuit breaker thresholds a request counts against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ResourcePriority {
    /// Almost everything.
    #[default]
    Default,
    /// What must go through when the rest may not.
    High,
}

/// A route's stream idle timeout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdleTimeout {
    /// As the connection manager says.
    #[default]
    Inherit,
    /// None.
    Off,
    /// This long.
    After(Duration),
}

/// How long a stream may last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamDuration {
    /// Without end where it is zero; as the connection manager says where it is not set.
    pub limit: Option<Duration>,
    /// What `grpc-timeout` of a request counts for, in place of `limit`; unset: nothing.
    pub grpc: Option<GrpcTimeout>,
}

/// What becomes of the time that a gRPC client gives for its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcTimeout {
    /// The most that is granted; any time where it is zero.
    pub max: Duration,
    /// What is taken off it, so that an answer made here arrives before the client gives up.
    pub offset: Duration,
}

/// Which cluster a request goes to.
#[derive(Clone, Debug)]
pub enum Target {
    /// This one.
    Cluster(ClusterIndex),
    /// The one that a request header names.
    Header(HeaderName),
    /// One of several, by weight.
    Weighted(WeightedClusters),
}

/// Clusters by weight. The weights add up to more than 0.
#[derive(Clone, Debug)]
pub struct WeightedClusters {
    /// The clusters, in the order of the configuration; those of weight 0 are among them.
    pub entries: Box<[WeightedCluster]>,
    /// Sum of the weights.
    pub total: u64,
    /// A request header whose number, modulo `total`, chooses in place of chance.
    pub header: Option<HeaderName>,
}

/// One of several clusters.
#[derive(Clone, Debug)]
pub struct WeightedCluster {
    /// Which cluster.
    pub cluster: ClusterName,
    /// Its share.
    pub weight: u32,
    /// Operations on the request's headers: its own, then the route's and so on.
    pub request_headers: HeaderOps,
    /// Operations on the response's headers.
    pub response_headers: HeaderOps,
    /// Settings of HTTP filters, merged with the route's.
    pub overrides: FilterOverrides,
    /// What becomes of the authority.
    pub host_rewrite: Option<HostRewrite>,
    /// Which subset of the cluster: the route's word and its own.
    pub metadata_match: Option<Arc<MetadataMatch>>,
}

/// How a weighted cluster is named.
#[derive(Clone, Debug)]
pub enum ClusterName {
    /// By its name.
    Known(ClusterIndex),
    /// By a request header.
    Header(HeaderName),
}

/// The cluster that was chosen for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterChoice<'r> {
    /// A name of the configuration.
    Known(ClusterIndex),
    /// A name out of a request header, to be looked up with
    /// [`Snapshot::cluster_named`](crate::Snapshot::cluster_named). Empty when the header is absent.
    Named(Cow<'r, [u8]>),
}

/// All that the choice of a cluster decides.
#[derive(Clone, Debug)]
pub struct Picked<'r, 'h> {
    /// The cluster.
    pub cluster: ClusterChoice<'h>,
    /// Operations on the request's headers.
    pub request_headers: &'r HeaderOps,
    /// Operations on the response's headers.
    pub response_headers: &'r HeaderOps,
    /// Settings of HTTP filters.
    pub overrides: &'r FilterOverrides,
    /// What becomes of the authority.
    pub host_rewrite: Option<&'r HostRewrite>,
    /// Which of the weighted clusters it is.
    pub entry: Option<usize>,
}

impl Forward {
    /// Chooses the cluster for one request. `route` is the route that this action belongs to.
    pub fn pick<'r, 'h>(
        &'r self,
        route: &'r Route,
        head: &'h impl RequestHead,
        random: u64,
    ) -> Picked<'r, 'h> {
        let plain = |cluster| Picked {
            cluster,
            request_headers: &route.request_headers,
            response_headers: &route.response_headers,
            overrides: &route.overrides,
            host_rewrite: self.host_rewrite.as_ref(),
            entry: None,
        };
        match &self.target {
            Target::Cluster(index) => plain(ClusterChoice::Known(*index)),
            Target::Header(name) => plain(named(head, name)),
            Target::Weighted(clusters) => match clusters.pick(head, random) {
                Some((position, entry)) => Picked {
                    cluster: match &entry.cluster {
                        ClusterName::Known(index) => ClusterChoice::Known(*index),
                        ClusterName::Header(name) => named(head, name),
                    },
                    request_headers: &entry.request_headers,
                    response_headers: &entry.response_headers,
                    overrides: &entry.overrides,
                    host_rewrite: entry.host_rewrite.as_ref().or(self.host_rewrite.as_ref()),
                    entry: Some(position),
                },
                None => plain(ClusterChoice::Named(Cow::Borrowed(b""))),
            },
        }
    }
}

fn named<'h>(head: &'h impl RequestHead, name: &HeaderName) -> ClusterChoice<'h> {
    ClusterChoice::Named(head.header(name.as_str()).unwrap_or_default())
}

impl WeightedClusters {
    pub(super) fn pick(&self, head: &impl RequestHead, random: u64) -> Option<(usize, &WeightedCluster)> {
        let number = self.header.as_ref().and_then(|name| number_in(head, name)).unwrap_or(random);
        let mut point = number.checked_rem(self.total)?;
        self.entries.iter().enumerate().find(|(_, entry)| match point.checked_sub(u64::from(entry.weight)) {
            Some(rest) => {
                point = rest;
                false
            }
            None => true,
        })
    }
}

/// A text, an empty value, a negative number or several lines fall back to chance, as in Envoy.
fn number_in(head: &impl RequestHead, name: &HeaderName) -> Option<u64> {
    let mut lines = 0;
    head.any_line(name.as_str(), &mut |_| {
        lines += 1;
        lines > 1
    })
    .filter(|several| !several)?;
    std::str::from_utf8(&head.header(name.as_str())?).ok()?.parse().ok()
}

/// What becomes of a request's authority.
#[derive(Clone, Debug)]
pub enum HostRewrite {
    /// This text.
    Literal(Arc<str>),
    /// The chosen endpoint's host name.
    Endpoint,
    /// The value of a request header, if there is one.
    Header(HeaderName),
    /// The path, put through a regular expression.
    Path(RegexReplace),
}

/// A redirect.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// The new scheme; `None` keeps the request's.
    pub scheme: Option<Arc<str>>,
    /// The new host; `None` keeps the request's.
    pub host: Option<Arc<str>>,
    /// The new port.
    pub port: PortRewrite,
    /// The new path.
    pub path: RedirectPath,
    /// Leave out the query.
    pub strip_query: bool,
}

/// The port of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortRewrite {
    /// The request's, unless the scheme changes and the port is the old scheme's own.
    Keep,
    /// This one.
    Set(u16),
}

/// The path of a redirect.
#[derive(Clone, Debug)]
pub enum RedirectPath {
    /// The request's.
    Keep,
    /// This one; with a query of its own it drops the request's.
    Replace(Arc<str>),
    /// The request's, rewritten.
    Rewrite(PathRewrite),
}

/// An answer from the configuration.
#[derive(Clone, Debug)]
pub struct DirectResponse {
    /// 200 to 599.
    pub status: u16,
    /// The body; a status that has none (204, 304) is answered without it.
    pub body: Arc<[u8]>,
}
