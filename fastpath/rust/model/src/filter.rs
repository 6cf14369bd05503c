//! HTTP filters and their settings.

use std::sync::Arc;
use std::time::Duration;

use crate::matcher::HeaderMatcher;

/// One HTTP filter of a connection manager. Order is the configuration's; a router ends every list.
#[derive(Clone, Debug)]
pub struct HttpFilter {
    /// Its name, under which routes give it other settings.
    pub name: Arc<str>,
    /// Off unless a route turns it on.
    pub disabled: bool,
    /// What it does.
    pub kind: HttpFilterKind,
}

/// What an HTTP filter does.
#[derive(Clone, Debug)]
pub enum HttpFilterKind {
    /// Delays or aborts requests.
    Fault(Arc<Fault>),
    /// Exchanges identities of workloads with the peer.
    PeerMetadata(PeerMetadata),
    /// Counts requests as Istio's standard metrics.
    Stats(StatsFilter),
    /// Sends the request to its upstream.
    Router(Router),
}

/// Settings of the router.
#[derive(Clone, Debug, Default)]
pub struct Router {
    /// Add no `x-envoy-*` headers to requests and responses.
    pub suppress_envoy_headers: bool,
}

/// Delays and aborts.
#[derive(Clone, Debug, Default)]
pub struct Fault {
    /// Make requests wait.
    pub delay: Option<FaultDelay>,
    /// Answer requests at once.
    pub abort: Option<FaultAbort>,
    /// Only requests that pass all of these.
    pub headers: Box<[HeaderMatcher]>,
    /// Only requests to this cluster, by its name.
    pub upstream_cluster: Option<Arc<str>>,
    /// Only requests whose `x-envoy-downstream-service-node` is one of these; empty is all.
    pub downstream_nodes: Box<[Arc<str>]>,
    /// At most this many faults at a time.
    pub max_active: Option<u32>,
}

/// A delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultDelay {
    /// How long; `None` is said by `x-envoy-fault-delay-request`, in milliseconds.
    pub duration: Option<Duration>,
    /// Which share of requests, in millionths. A header may lower it (`x-envoy-fault-delay-request-percentage`).
    pub millionths: u32,
}

/// An abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultAbort {
    /// What is answered.
    pub status: AbortStatus,
    /// Which share of requests, in millionths.
    pub millionths: u32,
}

/// What an aborted request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortStatus {
    /// This HTTP status.
    Http(u16),
    /// 200 with this `grpc-status`.
    Grpc(u32),
    /// What `x-envoy-fault-abort-request` (or `x-envoy-fault-abort-grpc-request`) says.
    Header,
}

/// Settings of the peer metadata filter.
///
/// *Discover* is to learn who the peer is, *propagate* is to tell it who we are. Both use the headers
/// `x-envoy-peer-metadata` and `x-envoy-peer-metadata-id`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerMetadata {
    /// Read the headers of requests.
    pub downstream_discovery: bool,
    /// Read the headers of responses.
    pub upstream_discovery: bool,
    /// Set the headers on responses.
    pub downstream_propagation: bool,
    /// Set the headers on requests.
    pub upstream_propagation: bool,
    /// Set nothing on requests to clusters outside the mesh.
    pub skip_external_clusters: bool,
}

/// Settings of the standard metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatsFilter {
    /// From whose side the numbers are; `None` follows the listener's traffic direction.
    pub reporter: Option<Reporter>,
    /// Do not guess the destination service from the Host header.
    pub disable_host_header_fallback: bool,
    /// How often long TCP connections are reported.
    pub tcp_reporting_interval: Duration,
}

/// From whose side a request is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reporter {
    /// The server's: `reporter="destination"`, as a gateway.
    ServerGateway,
}

/// Settings of filters on a route, by the filter's name.
#[derive(Clone, Debug, Default)]
pub struct FilterOverrides(pub Arc<[FilterOverride]>);

/// One filter's settings on a route.
#[derive(Clone, Debug)]
pub struct FilterOverride {
    /// The filter's name.
    pub name: Arc<str>,
    /// Turn the filter off (`true`) or on (`false`) here.
    pub disabled: Option<bool>,
    /// Settings in place of the filter's own.
    pub fault: Option<Arc<Fault>>,
}

impl FilterOverrides {
    /// What the route says about a filter.
    pub fn get(&self, filter: &str) -> Option<&FilterOverride> {
        self.0.iter().find(|entry| &*entry.name == filter)
    }
}
