//! The TCP proxy.

use std::time::Duration;

use meshloom_xds::envoy::extensions::filters::network::tcp_proxy::v3 as proto;

use super::access_log::connection_logs;
use super::context::Context;
use super::hcm::at_least_one;
use super::parts::{limit, text};
use super::path::{At, Invalid};
use crate::filter::StatsFilter;
use crate::ids::ClusterIndex;
use crate::tcp::TcpProxy;

const DEFAULT_IDLE: Duration = Duration::from_secs(3600);

pub(super) fn tcp_proxy(
    value: proto::TcpProxy,
    stats: Option<StatsFilter>,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<TcpProxy, Invalid> {
    let proto::TcpProxy {
        stat_prefix,
        cluster_specifier,
        idle_timeout,
        max_connect_attempts,
        max_downstream_connection_duration,
        access_log,
    } = value;
    Ok(TcpProxy {
        stat_prefix: text(&stat_prefix, &at.field("stat_prefix"))?.into(),
        clusters: clusters(cluster_specifier, at, cx)?,
        idle_timeout: limit(idle_timeout, Some(DEFAULT_IDLE), &at.field("idle_timeout"))?,
        max_connection_duration: limit(
            max_downstream_connection_duration,
            None,
            &at.field("max_downstream_connection_duration"),
        )?,
        max_connect_attempts: at_least_one(max_connect_attempts, 1, &at.field("max_connect_attempts"))?,
        access_logs: connection_logs(&access_log, &at.field("access_log"), cx)?,
        stats,
    })
}

fn clusters(
    value: Option<proto::tcp_proxy::ClusterSpecifier>,
    at: &At<'_>,
    cx: &mut Context,
) -> Result<Box<[(ClusterIndex, u32)]>, Invalid> {
    use proto::tcp_proxy::ClusterSpecifier as Specifier;
    match value {
        Some(Specifier::Cluster(name)) => Ok([(cx.cluster(&name, &at.field("cluster"))?, 1)].into()),
        Some(Specifier::WeightedClusters(proto::tcp_proxy::WeightedCluster { clusters })) => {
            let at = at.field("weighted_clusters");
            let at = at.field("clusters");
            if clusters.is_empty() {
                return Err(at.refuse("give at least one"));
            }
            let mut made = Vec::with_capacity(clusters.len());
            for (nth, cluster) in clusters.iter().enumerate() {
                let proto::tcp_proxy::weighted_cluster::ClusterWeight { name, weight } = cluster;
                let at = at.item(nth);
                let weight = at_least_one(Some(*weight), 1, &at.field("weight"))?;
                made.push((cx.cluster(name, &at.field("name"))?, weight));
            }
            Ok(made.into())
        }
        None => Err(at.refuse("give cluster or weighted_clusters")),
    }
}
