//! What is counted, under Envoy's names and Istio's. Handles are resolved when a listener or a cluster is built, or
//! found in a small cache: counting is one store.

mod istio;
mod peer;
mod stats;
mod structs;
mod tls;

pub(crate) use istio::IstioMetrics;
pub(crate) use peer::{LocalWorkload, PeerInfo, Peers};
pub(crate) use stats::{
    ClusterStats, DownstreamHttp2Stats, HealthStats, HttpStats, InspectorStats, LimitStats, ListenerStats,
    ManagerStats, ProxyProtocolStats, ServerStats, StatusCounters, TcpStats, UpstreamHttp2Stats, class_of,
};
pub(crate) use tls::TlsStats;
