//! A listener with its statistics, logs and TLS contexts.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use meshloom_model::access_log::LogSink;
use meshloom_model::filter::{Fault, HttpFilterKind, PeerMetadata, Router, StatsFilter};
use meshloom_model::filter_chain::{DownstreamTransport, FilterChain, NetworkFilter};
use meshloom_model::hcm::{
    EscapedSlashes, HttpConnectionManager, Normalization, RouteSource, SchemeOverwrite,
};
use meshloom_model::listener::TrafficDirection;
use meshloom_model::listener_filter::{ListenerFilter, ListenerFilterKind};
use meshloom_model::tcp::TcpProxy;
use meshloom_model::{AccessLog, Address, Listener, RouteTable, Snapshot};
use meshloom_shm::Telemetry;
use meshloom_wire::http1::Limits;
use meshloom_wire::path::PathRules;

use super::limit::Limit;
use crate::exchange::EdgeRules;
use crate::log::{LogSinks, SinkId};
use crate::message::Scheme;
use crate::reactor::Millis;
use crate::telemetry::{
    DownstreamHttp2Stats, HttpStats, ListenerStats, ProxyProtocolStats, TcpStats, TlsStats,
};
use crate::tls::{ServerTls, TlsContexts};

/// One listener of the snapshot.
pub(crate) struct ListenerRuntime {
    pub(crate) spec: Arc<Listener>,
    pub(crate) stats: ListenerStats,
    /// `None` when no filter chain speaks TLS.
    pub(crate) tls_stats: Option<TlsStats>,
    /// In the order of [`Listener::chains`].
    pub(crate) chains: Vec<Rc<ChainRuntime>>,
    pub(crate) logs: Box<[LogTarget]>,
    /// Of PROXY protocol filters, by their place.
    pub(crate) proxy_stats: HashMap<usize, ProxyProtocolStats>,
}

/// One filter chain.
pub(crate) struct ChainRuntime {
    pub(crate) spec: Arc<FilterChain>,
    /// For chains with TLS; `None` inside while a secret is missing: then connections are closed.
    pub(crate) tls: RefCell<Option<Rc<ServerTls>>>,
    pub(crate) kind: ChainKind,
    pub(crate) limits: Box<[Limit]>,
    /// Until when its connections may live on, once it is removed or replaced; else never.
    pub(crate) drain_until: Cell<Millis>,
}

pub(crate) enum ChainKind {
    Http(Rc<HttpChain>),
    Tcp(Rc<TcpChain>),
    Close,
}

/// An access log and where its lines go.
pub(crate) struct LogTarget {
    pub(crate) sink: SinkId,
    pub(crate) log: AccessLog,
}

/// A fault filter of a connection manager.
pub(crate) struct FaultFilter {
    pub(crate) name: Arc<str>,
    pub(crate) disabled: bool,
    pub(crate) fault: Arc<Fault>,
}

/// An HTTP connection manager, resolved.
pub(crate) struct HttpChain {
    pub(crate) manager: Arc<HttpConnectionManager>,
    pub(crate) stats: HttpStats,
    pub(crate) http2_stats: DownstreamHttp2Stats,
    pub(crate) limits: Limits,
    pub(crate) edge: EdgeRules,
    pub(crate) paths: PathRules,
    /// The overload manager has no say here.
    pub(crate) bypass_overload: bool,
    pub(crate) logs: Box<[LogTarget]>,
    pub(crate) router: Router,
    pub(crate) faults: Box<[FaultFilter]>,
    pub(crate) peer_metadata: Option<PeerMetadata>,
    pub(crate) istio: Option<StatsFilter>,
    pub(crate) direction: TrafficDirection,
    /// Bytes that may be buffered for one connection in each direction.
    pub(crate) buffer_limit: usize,
    /// Requests delayed by a fault at the moment.
    pub(crate) active_faults: Cell<u32>,
}

/// A TCP proxy, resolved.
pub(crate) struct TcpChain {
    pub(crate) proxy: Arc<TcpProxy>,
    pub(crate) stats: TcpStats,
    pub(crate) logs: Box<[LogTarget]>,
    pub(crate) direction: TrafficDirection,
    pub(crate) buffer_limit: usize,
}

/// What building needs besides the snapshot.
pub(crate) struct BuildContext<'w> {
    pub(crate) telemetry: &'w mut Telemetry,
    pub(crate) logs: &'w mut LogSinks,
    /// Between how many workers limits are shared.
    pub(crate) workers: u32,
}

impl ListenerRuntime {
    /// Chains that `replaced` has too are taken from there, when nothing else of the listener has changed.
    pub(crate) fn build(
        spec: &Arc<Listener>,
        replaced: Option<&Self>,
        contexts: &mut TlsContexts<'_>,
        cx: &mut BuildContext<'_>,
    ) -> Self {
        let name = match (&spec.stat_prefix, spec.addresses().next()) {
            (Some(prefix), _) => prefix.to_string(),
            (None, Some(address)) => stat_address(&address.to_string()),
            (None, None) => spec.name.to_string(),
        };
        let same = replaced.filter(|old| old.spec.shape == spec.shape);
        let chains = spec.chains().map(|chain| match same.and_then(|old| old.chain_like(chain)) {
            Some(kept) => Rc::clone(kept),
            None => Rc::new(ChainRuntime::build(chain, spec, contexts, cx)),
        });
        let speaks_tls = spec.chains().any(|chain| matches!(chain.transport, DownstreamTransport::Tls(_)));
        let made = Self {
            chains: chains.collect(),
            stats: ListenerStats::register(cx.telemetry, &name),
            tls_stats: speaks_tls.then(|| TlsStats::of_listener(cx.telemetry, &name)),
            logs: targets(&spec.access_logs, cx.logs),
            proxy_stats: proxy_stats(spec, cx.telemetry),
            spec: Arc::clone(spec),
        };
        made.refresh_tls(contexts);
        made
    }

    fn chain_like(&self, chain: &FilterChain) -> Option<&Rc<ChainRuntime>> {
        self.chains.iter().find(|runtime| runtime.spec.fingerprint == chain.fingerprint)
    }

    /// Secrets have changed: new handshakes take new contexts.
    pub(crate) fn refresh_tls(&self, contexts: &mut TlsContexts<'_>) {
        for chain in &self.chains {
            let new = contexts.server(&chain.spec.transport);
            let old = chain.tls.replace(new.clone());
            let changed = new.is_some_and(|new| !old.is_some_and(|old| Rc::ptr_eq(&old, &new)));
            if let Some(stats) = self.tls_stats.as_ref().filter(|_| changed && contexts.counts_updates()) {
                stats.updates_by_sds.inc();
            }
        }
    }
}

fn proxy_stats(spec: &Listener, telemetry: &mut Telemetry) -> HashMap<usize, ProxyProtocolStats> {
    let stats = |(place, filter): (usize, &ListenerFilter)| match &filter.kind {
        ListenerFilterKind::ProxyProtocol(rules) => {
            Some((place, ProxyProtocolStats::register(telemetry, &rules.stat_prefix)))
        }
        _ => None,
    };
    spec.filters.iter().enumerate().filter_map(stats).collect()
}

/// Envoy writes addresses in statistics with `_` for `:`.
fn stat_address(address: &str) -> String {
    address.replace(':', "_")
}

impl ChainRuntime {
    fn build(
        spec: &Arc<FilterChain>,
        listener: &Listener,
        contexts: &mut TlsContexts<'_>,
        cx: &mut BuildContext<'_>,
    ) -> Self {
        let kind = match &spec.filter {
            NetworkFilter::Http(manager) => ChainKind::Http(Rc::new(HttpChain::build(manager, listener, cx))),
            NetworkFilter::Tcp(proxy) => ChainKind::Tcp(Rc::new(TcpChain {
                proxy: Arc::clone(proxy),
                stats: TcpStats::register(cx.telemetry, &proxy.stat_prefix),
                logs: targets(&proxy.access_logs, cx.logs),
                direction: listener.direction,
                buffer_limit: listener.buffer_limit as usize,
            })),
            NetworkFilter::Close => ChainKind::Close,
        };
        let limits = spec.limits.iter().map(|limit| Limit::new(limit, cx.workers, cx.telemetry)).collect();
        Self {
            spec: Arc::clone(spec),
            tls: RefCell::new(contexts.server(&spec.transport)),
            kind,
            limits,
            drain_until: Cell::new(Millis::NEVER),
        }
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.spec.transport, DownstreamTransport::Tls(_))
    }
}

fn targets(logs: &[AccessLog], sinks: &mut LogSinks) -> Box<[LogTarget]> {
    let target = |log: &AccessLog| {
        let path = match &log.sink {
            LogSink::File(path) => path.to_string_lossy().into_owned(),
            LogSink::Stdout => "/dev/stdout".to_owned(),
            LogSink::Stderr => "/dev/stderr".to_owned(),
        };
        LogTarget { sink: sinks.open(&path), log: log.clone() }
    };
    logs.iter().map(target).collect()
}

impl HttpChain {
    fn build(manager: &Arc<HttpConnectionManager>, listener: &Listener, cx: &mut BuildContext<'_>) -> Self {
        let mut chain = Self {
            stats: HttpStats::register(cx.telemetry, &manager.stat_prefix),
            http2_stats: DownstreamHttp2Stats::register(cx.telemetry, ""),
            limits: Limits::with_head(
                manager.limits.max_request_headers_bytes,
                u16::try_from(manager.limits.max_request_headers).unwrap_or(u16::MAX),
            ),
            edge: edge_rules(manager),
            paths: path_rules(&manager.normalization),
            bypass_overload: listener.bypass_overload,
            logs: targets(&manager.access_logs, cx.logs),
            router: Router::default(),
            faults: Box::default(),
            peer_metadata: None,
            istio: None,
            direction: listener.direction,
            buffer_limit: listener.buffer_limit as usize,
            active_faults: Cell::new(0),
            manager: Arc::clone(manager),
        };
        let mut faults = Vec::new();
        for filter in &manager.filters {
            match &filter.kind {
                HttpFilterKind::Fault(fault) => faults.push(FaultFilter {
                    name: Arc::clone(&filter.name),
                    disabled: filter.disabled,
                    fault: Arc::clone(fault),
                }),
                HttpFilterKind::PeerMetadata(settings) => chain.peer_metadata = Some(*settings),
                HttpFilterKind::Stats(settings) => chain.istio = Some(*settings),
                HttpFilterKind::Router(router) => chain.router = router.clone(),
            }
        }
        chain.faults = faults.into();
        chain
    }

    /// Where requests find their route, in this snapshot.
    pub(crate) fn routes<'s>(&'s self, snapshot: &'s Snapshot) -> Option<&'s RouteTable> {
        match &self.manager.routes {
            RouteSource::Inline(table) => Some(table),
            RouteSource::Rds(index) => snapshot.routes.get(*index).map(|table| &**table),
        }
    }
}

fn path_rules(rules: &Normalization) -> PathRules {
    use meshloom_wire::path::EscapedSlashes as Slashes;
    PathRules {
        normalize: rules.normalize_path,
        merge_slashes: rules.merge_slashes,
        escaped_slashes: match rules.escaped_slashes {
            EscapedSlashes::Keep => Slashes::Keep,
            EscapedSlashes::Reject => Slashes::Reject,
            EscapedSlashes::UnescapeAndRedirect => Slashes::UnescapeAndRedirect,
            EscapedSlashes::UnescapeAndForward => Slashes::UnescapeAndForward,
        },
    }
}

fn edge_rules(manager: &HttpConnectionManager) -> EdgeRules {
    EdgeRules {
        use_remote_address: manager.trust.use_remote_address,
        trusted_hops: manager.trust.trusted_hops,
        skip_xff_append: manager.trust.skip_append,
        append_x_forwarded_port: manager.trust.append_port,
        internal_ranges: manager.trust.internal.clone(),
        generate_request_id: manager.request_id.generate,
        preserve_external_request_id: manager.request_id.preserve_external,
        scheme: manager.scheme.and_then(|scheme| match scheme {
            SchemeOverwrite::Http => Some(Scheme::Http),
            SchemeOverwrite::Https => Some(Scheme::Https),
            SchemeOverwrite::MatchUpstream => None,
        }),
    }
}

/// The address that a socket stands for.
pub(crate) fn socket_address(address: &str, port: u16) -> Option<Address> {
    match address.starts_with(['/', '@']) {
        true => Some(Address::Unix(Path::new(address).into())),
        false => Some(Address::Ip(SocketAddr::new(address.parse().ok()?, port))),
    }
}
