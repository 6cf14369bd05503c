//! The TCP proxy: bytes as they are, to a cluster.

use std::sync::Arc;
use std::time::Duration;

use crate::access_log::AccessLog;
use crate::ids::ClusterIndex;

/// How a TCP connection is forwarded.
#[derive(Clone, Debug)]
pub struct TcpProxy {
    /// Statistics are kept under `tcp.<stat_prefix>.`.
    pub stat_prefix: Arc<str>,
    /// Which clusters, by weight; one at least, and no weight is 0.
    pub clusters: Box<[(ClusterIndex, u32)]>,
    /// A connection on which nothing moves in either direction (1 h unless set); `None` is no limit.
    pub idle_timeout: Option<Duration>,
    /// A connection's life; `None` is no limit.
    pub max_connection_duration: Option<Duration>,
    /// By how much of that, in millionths, it is lengthened at random.
    pub duration_jitter: u32,
    /// How many endpoints are tried, the first included.
    pub max_connect_attempts: u32,
    /// Logs of connections.
    pub access_logs: Box<[AccessLog]>,
    /// A line when the upstream is connected, besides the one at the end.
    pub log_on_connected: bool,
    /// A line each time this has passed.
    pub log_interval: Option<Duration>,
    /// Connections are hashed by the client's address, for clusters that hash consistently.
    pub hash_source: bool,
    /// Istio's standard TCP metrics are kept for these connections.
    pub stats: Option<crate::filter::StatsFilter>,
}

impl TcpProxy {
    /// Chooses a cluster.
    pub fn pick(&self, random: u64) -> Option<ClusterIndex> {
        let total: u64 = self.clusters.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut point = random.checked_rem(total)?;
        self.clusters.iter().find_map(|(cluster, weight)| match point.checked_sub(u64::from(*weight)) {
            Some(rest) => {
                point = rest;
                None
            }
            None => Some(*cluster),
        })
    }
}
