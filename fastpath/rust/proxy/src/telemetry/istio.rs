//! Istio's standard metrics, `istio_requests_total` and the rest, with Istio's labels.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use meshloom_model::ClusterIndex;
use meshloom_model::filter::Reporter;
use meshloom_model::listener::TrafficDirection;
use meshloom_shm::{Bounds, Counter, Histogram, Telemetry};

use super::peer::{PeerInfo, UNKNOWN, Workload};
use crate::downstream::ConnectionInfo;
use crate::engine::Engine;
use crate::exchange::Exchange;
use crate::tcp::{Reported, TcpSession};
use crate::upstream::Host;

/// Handles of one combination of labels.
#[derive(Clone, Copy, Debug)]
struct RequestSeries {
    requests: Counter,
    duration: Histogram,
    request_bytes: Histogram,
    response_bytes: Histogram,
}

#[derive(Clone, Copy, Debug)]
struct TcpSeries {
    opened: Counter,
    closed: Counter,
    sent: Counter,
    received: Counter,
}

/// What tells series apart, as numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    source_side: bool,
    peer: u32,
    cluster: Option<ClusterIndex>,
    host: Option<Arc<str>>,
    status: u16,
    flags: u32,
    grpc: Option<u32>,
    is_grpc: bool,
    mutual: bool,
    source_principal: Option<Arc<str>>,
    destination_principal: Option<Arc<str>>,
}

/// All series in use, and the last one: requests come in rows.
#[derive(Default)]
pub(crate) struct IstioMetrics {
    requests: HashMap<Key, RequestSeries>,
    tcp: HashMap<Key, TcpSeries>,
    /// Values of Host that have become labels.
    hosts: HashSet<Arc<str>>,
}

/// Combinations that are kept at hand at most. A forgotten one is looked up in the telemetry region again.
const MAX_SERIES: usize = 16 * 1024;
/// Values of Host that become labels at most: clients choose them. All others count as unknown.
const MAX_HOSTS: usize = 1024;

impl IstioMetrics {
    /// The label for a value of Host, while there is room for one more.
    fn host(&mut self, authority: &[u8]) -> Option<Arc<str>> {
        let name = String::from_utf8_lossy(authority).to_ascii_lowercase();
        if let Some(known) = self.hosts.get(&*name) {
            return Some(Arc::clone(known));
        }
        let name: Arc<str> = name.into();
        (self.hosts.len() < MAX_HOSTS && self.hosts.insert(Arc::clone(&name))).then_some(name)
    }
}

fn keep<T: Copy>(series: &mut HashMap<Key, T>, key: Key, new: T) -> T {
    if series.len() >= MAX_SERIES {
        series.clear();
    }
    series.insert(key, new);
    new
}

/// The label values of one combination.
struct Labels<'l> {
    source: &'l Workload,
    destination: &'l Workload,
    source_side: bool,
    source_principal: &'l str,
    destination_principal: &'l str,
    service: &'l str,
    service_name: &'l str,
    service_namespace: &'l str,
    protocol: &'l str,
    code: &'l str,
    grpc: &'l str,
    flags: &'l str,
    security: &'l str,
}

impl Labels<'_> {
    fn common(&self) -> [(&'static str, &str); 26] {
        let (source, destination) = (self.source, self.destination);
        [
            ("reporter", if self.source_side { "source" } else { "destination" }),
            ("source_workload", &source.name),
            ("source_canonical_service", &source.canonical_name),
            ("source_canonical_revision", &source.canonical_revision),
            ("source_workload_namespace", &source.namespace),
            ("source_principal", self.source_principal),
            ("source_app", &source.app),
            ("source_version", &source.version),
            ("source_cluster", &source.cluster),
            ("destination_workload", &destination.name),
            ("destination_workload_namespace", &destination.namespace),
            ("destination_principal", self.destination_principal),
            ("destination_app", &destination.app),
            ("destination_version", &destination.version),
            ("destination_service", self.service),
            ("destination_canonical_service", &destination.canonical_name),
            ("destination_canonical_revision", &destination.canonical_revision),
            ("destination_service_name", self.service_name),
            ("destination_service_namespace", self.service_namespace),
            ("destination_cluster", &destination.cluster),
            ("request_protocol", self.protocol),
            ("response_code", self.code),
            ("grpc_response_status", self.grpc),
            ("response_flags", self.flags),
            ("connection_security_policy", self.security),
            ("", ""),
        ]
    }

    fn requests(&self, telemetry: &mut Telemetry) -> RequestSeries {
        let labels = self.common();
        let labels = labels.get(..25).unwrap_or_default();
        let mut histogram = |bounds, name: &str| telemetry.histogram(bounds, name, name, labels);
        let duration = histogram(Bounds::DurationMs, "istio_request_duration_milliseconds");
        let request_bytes = histogram(Bounds::Bytes, "istio_request_bytes");
        let response_bytes = histogram(Bounds::Bytes, "istio_response_bytes");
        let requests = telemetry.counter("istio_requests_total", "istio_requests_total", labels);
        RequestSeries { requests, duration, request_bytes, response_bytes }
    }

    fn tcp(&self, telemetry: &mut Telemetry) -> TcpSeries {
        let all = self.common();
        let labels: Vec<(&str, &str)> = all
            .into_iter()
            .filter(|(name, _)| !matches!(*name, "" | "response_code" | "grpc_response_status"))
            .collect();
        let mut counter = |name: &str| telemetry.counter(name, name, &labels);
        TcpSeries {
            opened: counter("istio_tcp_connections_opened_total"),
            closed: counter("istio_tcp_connections_closed_total"),
            sent: counter("istio_tcp_sent_bytes_total"),
            received: counter("istio_tcp_received_bytes_total"),
        }
    }
}

/// What both kinds of counting need to know.
struct Context {
    source_side: bool,
    peer: Option<Rc<PeerInfo>>,
    cluster: Option<ClusterIndex>,
    mutual: bool,
    source_principal: Option<Arc<str>>,
    destination_principal: Option<Arc<str>>,
}

impl Engine {
    /// Counts a finished request.
    pub(crate) fn count_istio(&mut self, exchange: &Exchange) {
        let Some(settings) = exchange.chain.istio else { return };
        let inbound = exchange.chain.direction == TrafficDirection::Inbound
            || settings.reporter == Some(Reporter::ServerGateway);
        let host = exchange.outcome.host.as_deref();
        let peer = if inbound { exchange.peers.downstream.clone() } else { self.upstream_peer(exchange) };
        let context = self.context(!inbound, peer, exchange.cluster, host, &exchange.info);
        let by_host = !settings.disable_host_header_fallback && named_by_host(exchange);
        let host = if by_host { self.istio.host(exchange.request.authority()) } else { None };
        let outcome = &exchange.outcome;
        let key = Key {
            status: outcome.status,
            flags: outcome.flags.bits(),
            grpc: grpc_status(exchange),
            is_grpc: outcome.is_grpc,
            host,
            ..context.key()
        };
        let series = match self.istio.requests.get(&key) {
            Some(series) => *series,
            None => {
                let series = self.request_series(&context, &key, exchange);
                keep(&mut self.istio.requests, key, series)
            }
        };
        series.requests.inc();
        let end = exchange.times.response_end.unwrap_or_else(|| self.clock.instant());
        let micros = end.saturating_duration_since(exchange.times.start).as_micros();
        series.duration.record(u64::try_from(micros).unwrap_or(u64::MAX));
        series.request_bytes.record(exchange.body.received + exchange.request.head_len as u64);
        series.response_bytes.record(outcome.body_sent + outcome.head_sent);
    }

    fn request_series(&mut self, context: &Context, key: &Key, exchange: &Exchange) -> RequestSeries {
        let code = key.status.to_string();
        let grpc = key.grpc.map(|code| code.to_string()).unwrap_or_default();
        let flags = exchange.outcome.flags.to_string();
        let texts = Texts {
            protocol: if key.is_grpc { "grpc" } else { "http" },
            code: &code,
            grpc: &grpc,
            flags: if flags.is_empty() { "-" } else { &flags },
            host: key.host.as_deref(),
        };
        let snapshot = Arc::clone(&exchange.snapshot);
        let Self { telemetry, local, .. } = self;
        context.with_labels(&snapshot, &local.workload, &texts, |labels| labels.requests(telemetry))
    }

    /// Counts that a TCP connection was opened, once, and what has moved on it since the last time.
    pub(crate) fn count_istio_tcp(&mut self, session: &mut TcpSession, info: &ConnectionInfo) {
        let Some(series) = self.tcp_series(session, info) else { return };
        if !session.reported.opened {
            series.opened.inc();
        }
        series.sent.add(session.sent.saturating_sub(session.reported.sent));
        series.received.add(session.received.saturating_sub(session.reported.received));
        session.reported = Reported { opened: true, received: session.received, sent: session.sent };
    }

    /// Counts a TCP connection that has ended, and what had not been counted of it.
    pub(crate) fn count_istio_tcp_closed(&mut self, session: &mut TcpSession, info: &ConnectionInfo) {
        self.count_istio_tcp(session, info);
        if let Some(series) = self.tcp_series(session, info) {
            series.closed.inc();
        }
    }

    /// The series of a connection as it is now; `None` where no metrics are asked for.
    fn tcp_series(&mut self, session: &TcpSession, info: &ConnectionInfo) -> Option<TcpSeries> {
        session.chain.proxy.stats?;
        let inbound = session.chain.direction == TrafficDirection::Inbound;
        let host = session.host.as_deref();
        let peer = if inbound { None } else { host.and_then(|host| self.endpoint_peer(host)) };
        let context = self.context(!inbound, peer, session.cluster, host, info);
        let key = Key { flags: session.flags.bits(), ..context.key() };
        Some(match self.istio.tcp.get(&key) {
            Some(series) => *series,
            None => {
                let flags = session.flags.to_string();
                let texts = Texts {
                    protocol: "tcp",
                    code: "0",
                    grpc: "",
                    flags: if flags.is_empty() { "-" } else { &flags },
                    host: None,
                };
                let snapshot = Arc::clone(&self.snapshot);
                let Self { telemetry, local, .. } = self;
                let series =
                    context.with_labels(&snapshot, &local.workload, &texts, |labels| labels.tcp(telemetry));
                keep(&mut self.istio.tcp, key, series)
            }
        })
    }

    fn upstream_peer(&self, exchange: &Exchange) -> Option<Rc<PeerInfo>> {
        exchange.peers.upstream.clone().or_else(|| self.endpoint_peer(exchange.outcome.host.as_deref()?))
    }

    fn endpoint_peer(&self, host: &Host) -> Option<Rc<PeerInfo>> {
        self.local.endpoint(host.endpoint().workload.as_deref()?)
    }

    fn context(
        &self,
        source_side: bool,
        peer: Option<Rc<PeerInfo>>,
        cluster: Option<ClusterIndex>,
        host: Option<&Host>,
        info: &ConnectionInfo,
    ) -> Context {
        let tls = info.tls.borrow();
        let (source_principal, destination_principal, mutual) = if source_side {
            let ours = host.and_then(|host| host.tls.borrow().as_ref().and_then(|tls| tls.local_uri()));
            let theirs = host.and_then(|host| host.principal.borrow().clone());
            (ours.filter(|_| theirs.is_some()), theirs, false)
        } else {
            let theirs = tls.as_ref().and_then(|tls| tls.peer.as_ref()).and_then(|peer| peer.spiffe());
            let mutual = tls.as_ref().is_some_and(|tls| tls.peer.is_some());
            (theirs, tls.as_ref().and_then(|tls| tls.local_uri()).filter(|_| mutual), mutual)
        };
        Context { source_side, peer, cluster, mutual, source_principal, destination_principal }
    }
}

struct Texts<'t> {
    protocol: &'t str,
    code: &'t str,
    grpc: &'t str,
    flags: &'t str,
    host: Option<&'t str>,
}

impl Context {
    fn key(&self) -> Key {
        Key {
            source_side: self.source_side,
            peer: self.peer.as_ref().map_or(0, |peer| peer.number),
            cluster: self.cluster,
            host: None,
            status: 0,
            flags: 0,
            grpc: None,
            is_grpc: false,
            mutual: self.mutual,
            source_principal: self.source_principal.clone(),
            destination_principal: self.destination_principal.clone(),
        }
    }

    fn with_labels<R>(
        &self,
        snapshot: &meshloom_model::Snapshot,
        local: &Workload,
        texts: &Texts<'_>,
        use_them: impl FnOnce(&Labels<'_>) -> R,
    ) -> R {
        let unknown = Workload::default();
        let peer = self.peer.as_ref().map_or(&unknown, |peer| &peer.workload);
        let (source, destination) = if self.source_side { (local, peer) } else { (peer, local) };
        let service = self
            .cluster
            .and_then(|index| snapshot.cluster(index))
            .and_then(|cluster| cluster.service.clone());
        let cluster_name = self.cluster.and_then(|index| snapshot.clusters.name_of(index));
        let fallback = match cluster_name {
            Some(name @ ("PassthroughCluster" | "BlackHoleCluster" | "InboundPassthroughCluster")) => name,
            _ => texts.host.unwrap_or(UNKNOWN),
        };
        let namespace = if self.source_side { UNKNOWN } else { &destination.namespace };
        use_them(&Labels {
            source,
            destination,
            source_side: self.source_side,
            source_principal: self.source_principal.as_deref().unwrap_or(UNKNOWN),
            destination_principal: self.destination_principal.as_deref().unwrap_or(UNKNOWN),
            service: service.as_ref().map_or(fallback, |service| &service.host),
            service_name: service.as_ref().map_or(fallback, |service| &service.name),
            service_namespace: service.as_ref().map_or(namespace, |service| &service.namespace),
            protocol: texts.protocol,
            code: texts.code,
            grpc: texts.grpc,
            flags: texts.flags,
            security: match (self.source_side, self.mutual) {
                (true, _) => UNKNOWN,
                (false, true) => "mutual_tls",
                (false, false) => "none",
            },
        })
    }
}

fn grpc_status(exchange: &Exchange) -> Option<u32> {
    use meshloom_wire::http1::KnownHeader;
    if !exchange.outcome.is_grpc {
        return None;
    }
    let header = exchange.response.fields.get(KnownHeader::GrpcStatus);
    header.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok()).or(exchange.outcome.grpc_status)
}

/// The Host header names the service where the cluster does not, for requests that found a route.
fn named_by_host(exchange: &Exchange) -> bool {
    let Some(index) = exchange.cluster else { return false };
    let has_service = exchange.snapshot.cluster(index).is_some_and(|cluster| cluster.service.is_some());
    exchange.route.is_some() && !has_service
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_cannot_make_labels_without_end() {
        let mut metrics = IstioMetrics::default();
        for number in 0..MAX_HOSTS * 2 {
            metrics.host(format!("{number}.test").as_bytes());
        }
        assert_eq!(metrics.hosts.len(), MAX_HOSTS);
        assert_eq!(metrics.host(b"0.TEST").as_deref(), Some("0.test"));
        assert_eq!(metrics.host(b"another.test"), None);
    }
}
