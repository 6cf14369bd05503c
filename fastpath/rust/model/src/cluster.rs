//! Clusters: a set of endpoints and how we speak with them.

mod resilience;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::endpoint::{Endpoint, Endpoints};
use crate::header_case::HeaderCase;
use crate::health::HealthCheck;
use crate::http2::Http2Options;
use crate::ids::{AssignmentIndex, ClusterName};
use crate::matcher::HeaderName;
use crate::proxy_header::ProxyHeader;
use crate::subset::Subsets;
use crate::tls::UpstreamTls;

pub use resilience::{
    CircuitBreakers, FailurePercentage, OutlierDetection, OutlierEnforcing, RetryBudget, SuccessRate,
    Thresholds,
};

/// A set of endpoints and how we speak with them.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its name.
    pub name: ClusterName,
    /// Its name in statistics, where that differs.
    pub alt_stat_name: Option<Arc<str>>,
    /// Where its endpoints come from.
    pub endpoints: EndpointSource,
    /// How an endpoint is chosen.
    pub balance: Balance,
    /// How long connecting may take (5 s unless set), TLS included.
    pub connect_timeout: Duration,
    /// Bytes that may be buffered for one connection (1 MiB unless set).
    pub buffer_limit: u32,
    /// Limits on connections and requests.
    pub breakers: CircuitBreakers,
    /// When endpoints that fail are left out for a while.
    pub outlier: Option<OutlierDetection>,
    /// When fewer than this percentage of endpoints are healthy, all are used (50 unless set; 0 is never).
    pub panic_threshold_percent: f64,
    /// How it is divided by labels.
    pub subsets: Option<Arc<Subsets>>,
    /// How its endpoints are checked.
    pub health: Option<Arc<HealthCheck>>,
    /// What follows from checks.
    pub health_effects: HealthEffects,
    /// How bytes travel, where no match below says otherwise.
    pub transport: UpstreamTransport,
    /// What a connection begins with, there.
    pub proxy_header: Option<Arc<ProxyHeader>>,
    /// How bytes travel to endpoints with these labels; the first that fits.
    pub transport_matches: Box<[TransportMatch]>,
    /// How HTTP is spoken.
    pub http: HttpUpstream,
    /// Names from requests, where TLS takes them.
    pub server_names: Option<ServerNames>,
    /// Where connections to endpoints of its family come from.
    pub bind_address: Option<SocketAddr>,
    /// Keep-alive of TCP.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// The service it stands for, for metrics (`filter_metadata.istio`).
    pub service: Option<Arc<DestinationService>>,
    /// Not part of the mesh (`filter_metadata.istio.external`).
    pub external: bool,
}

/// Where endpoints come from.
#[derive(Clone, Debug)]
pub enum EndpointSource {
    /// From the cluster itself.
    Static(Arc<Endpoints>),
    /// From an endpoint assignment (EDS).
    Assigned(AssignmentIndex),
    /// From DNS. Whoever feeds this model resolves the names and hands the addresses in as the assignment.
    Dns {
        assignment: AssignmentIndex,
        targets: Box<[DnsTarget]>,
        first_address_only: bool,
        refresh: Duration,
    },
    /// Wherever the connection was going before it was redirected to us.
    OriginalDestination(OriginalDestination),
}

/// How an original destination is found, and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalDestination {
    /// A request header that names it, before the connection does.
    pub header: Option<HeaderName>,
    /// In the place of its port.
    pub port: Option<u16>,
    /// One that was not used for so long is forgotten (5 s unless set).
    pub cleanup: Duration,
}

/// A host name to resolve.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsTarget {
    /// The name.
    pub host: Arc<str>,
    /// The port of every address it has.
    pub port: u16,
}

/// All that is said of choosing endpoints.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Balance {
    /// By what rule.
    pub policy: LoadBalance,
    /// Localities share the load by their weights.
    pub weighted_localities: bool,
    /// How endpoints that are new, or healthy again, get their share.
    pub slow_start: Option<SlowStart>,
    /// Consistent hashing knows endpoints by their host names, not by their addresses.
    pub hash_hostnames: bool,
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadBalance {
    /// One after the other.
    RoundRobin,
    /// The one with the fewest requests of so many chosen at random.
    LeastRequest { choices: u32 },
    /// Any.
    Random,
    /// By the hash of the request, on a ring of points.
    RingHash { least: u64, most: u64, function: HashFunction },
    /// By the hash of the request, in a table of this prime size.
    Maglev { size: u64 },
    /// Wherever the connection was going.
    OriginalDestination,
}

impl LoadBalance {
    /// Equal requests go to the same endpoint.
    pub fn is_consistent(self) -> bool {
        matches!(self, Self::RingHash { .. } | Self::Maglev { .. })
    }
}

/// What gives an endpoint its points of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashFunction {
    /// XXH64.
    XxHash,
    /// MurmurHash64A.
    Murmur2,
}

/// How endpoints that are new, or healthy again, get their share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    /// How long it takes.
    pub window: Duration,
    /// 1 (unless set) is a straight line, more gives more at the beginning.
    pub aggression: f64,
    /// Their share is never less than this percentage of their weight (10 unless set).
    pub least_percent: f64,
}

/// What follows from health checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HealthEffects {
    /// Endpoints that were not checked yet do not count at all, not even as unhealthy.
    pub ignore_unchecked: bool,
    /// An endpoint that is removed is gone even while it passes its checks.
    pub remove_at_once: bool,
    /// Connections to an endpoint that becomes unhealthy are closed.
    pub close_connections: bool,
}

/// How bytes travel between us and an upstream.
#[derive(Clone, Debug)]
pub enum UpstreamTransport {
    /// As they are.
    Plain,
    /// In TLS.
    Tls(Arc<UpstreamTls>),
}

/// How bytes travel to endpoints with certain labels.
#[derive(Clone, Debug)]
pub struct TransportMatch {
    /// Its name, for statistics.
    pub name: Arc<str>,
    /// All of these labels the endpoint must have; none takes every endpoint.
    pub labels: Box<[(Arc<str>, Arc<str>)]>,
    /// How bytes travel.
    pub transport: UpstreamTransport,
    /// What a connection begins with.
    pub proxy_header: Option<Arc<ProxyHeader>>,
}

impl Cluster {
    /// May a connection to an endpoint of it be TLS?
    pub fn speaks_tls(&self) -> bool {
        let tls = |transport: &UpstreamTransport| matches!(transport, UpstreamTransport::Tls(_));
        tls(&self.transport) || self.transport_matches.iter().any(|each| tls(&each.transport))
    }

    /// How bytes travel to an endpoint. The position tells apart connections that may not be mixed: it is `None` for
    /// the cluster's own transport.
    pub fn transport_to(&self, endpoint: &Endpoint) -> (Option<usize>, &UpstreamTransport) {
        let own = self.match_by(&endpoint.labels);
        match own.or_else(|| self.match_by(&endpoint.locality_labels)) {
            Some((position, transport)) => (Some(position), transport),
            None => (None, &self.transport),
        }
    }

    /// How bytes travel for a health check, whose own labels go before the endpoint's.
    pub fn transport_for_check(&self, endpoint: &Endpoint) -> (Option<usize>, &UpstreamTransport) {
        let labels = self.health.as_ref().and_then(|check| check.transport_labels.as_deref());
        match labels.and_then(|labels| self.match_by(labels)) {
            Some((position, transport)) => (Some(position), transport),
            None if labels.is_some() => (None, &self.transport),
            None => self.transport_to(endpoint),
        }
    }

    fn match_by(&self, labels: &[(Arc<str>, Arc<str>)]) -> Option<(usize, &UpstreamTransport)> {
        let fits = |candidate: &TransportMatch| candidate.labels.iter().all(|label| labels.contains(label));
        let found = self.transport_matches.iter().enumerate().find(|(_, candidate)| fits(candidate));
        found.map(|(position, chosen)| (position, &chosen.transport))
    }

    /// The PROXY header that a connection to an endpoint begins with.
    pub fn proxy_header_to(&self, endpoint: &Endpoint) -> Option<&Arc<ProxyHeader>> {
        match self.transport_to(endpoint).0.and_then(|position| self.transport_matches.get(position)) {
            Some(chosen) => chosen.proxy_header.as_ref(),
            None => self.proxy_header.as_ref(),
        }
    }

    /// The name under which statistics are kept.
    pub fn stat_name(&self) -> &str {
        self.alt_stat_name.as_deref().unwrap_or(self.name.as_str())
    }
}

/// Which version of HTTP is spoken with an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without asking.
    Http2,
    /// The one that the client speaks.
    Downstream,
    /// The one that the upstream chooses in the TLS handshake (ALPN).
    Auto,
}

/// How HTTP is spoken with an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpUpstream {
    /// The version.
    pub protocol: HttpProtocol,
    /// How names of fields are spelled in HTTP/1.
    pub header_case: HeaderCase,
    /// How HTTP/2 is spoken, where it is.
    pub http2: Http2Options,
    /// Close a connection that was not used for so long (1 h unless set); `None` is never.
    pub idle_timeout: Option<Duration>,
    /// Close a connection after so long, once it is free.
    pub max_connection_duration: Option<Duration>,
    /// Requests on one connection; `None` is no limit.
    pub max_requests_per_connection: Option<u32>,
    /// Fields of a response's head (100 unless set).
    pub max_response_headers: u32,
    /// Bytes of a response's head (60 KiB unless set).
    pub max_response_headers_bytes: u32,
}

/// TLS takes names from the request that a connection is made for: from its host, or from a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerNames {
    /// The name is sent as server name (SNI).
    pub sent: bool,
    /// The server's certificate must have the name.
    pub checked: bool,
    /// Header that has the name, where it is there and not empty.
    pub header: Option<HeaderName>,
}

/// Keep-alive of TCP. `None` is the kernel's own setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpKeepalive {
    /// Unanswered probes until the connection is dead.
    pub probes: Option<u32>,
    /// Quiet time before the first probe.
    pub time: Option<Duration>,
    /// Time between probes.
    pub interval: Option<Duration>,
}

/// The service that a cluster stands for, as metrics name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationService {
    /// `reviews.default.svc.cluster.local`
    pub host: Arc<str>,
    /// `reviews`
    pub name: Arc<str>,
    /// `default`
    pub namespace: Arc<str>,
}
