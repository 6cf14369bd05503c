//! The TCP proxy.

use std::time::Duration;

use meshloom_xds as xds;
use meshloom_xds::envoy::extensions::filters::network::tcp_proxy::v3 as proto;

use meshloom_xds::envoy::r#type::v3::HashPolicy;

use super::access_log::connection_logs;
use super::context::Context;
use super::hcm::at_least_one;
use super::parts::{duration, limit, percent, text};
use super::path::{At, Invalid};
use crate::filter::StatsFilter;
use crate::ids::ClusterIndex;
use crate::tcp::TcpProxy;

const DEFAULT_IDLE: Duration = Duration::from_secs(3600);
const MIN_FLUSH: Duration = Duration::from_millis(1);

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
        max_downstream_connection_duration_jitter_percentage: jitter,
        access_log,
        access_log_flush_interval,
        flush_access_log_on_connected,
        access_log_options,
        hash_policy,
    } = value;
    let flushes = Flushes {
        old: (access_log_flush_interval, flush_access_log_on_connected),
        options: access_log_options,
    };
    let (log_interval, log_on_connected) = flushes.compile(at)?;
    let at_jitter = at.field("max_downstream_connection_duration_jitter_percentage");
    Ok(TcpProxy {
        stat_prefix: text(&stat_prefix, &at.field("stat_prefix"))?.into(),
        clusters: clusters(cluster_specifier, at, cx)?,
        idle_timeout: limit(idle_timeout, Some(DEFAULT_IDLE), &at.field("idle_timeout"))?,
        max_connection_duration: limit(
            max_downstream_connection_duration,
            None,
            &at.field("max_downstream_connection_duration"),
        )?,
        duration_jitter: millionths(percent(jitter, 0.0, &at_jitter)?),
        max_connect_attempts: at_least_one(max_connect_attempts, 1, &at.field("max_connect_attempts"))?,
        access_logs: connection_logs(&access_log, &at.field("access_log"), cx)?,
        log_on_connected,
        log_interval,
        hash_source: hash_source(&hash_policy, &at.field("hash_policy"))?,
        stats,
    })
}

/// Whether connections are hashed by the client's address: there is nothing else.
fn hash_source(values: &[HashPolicy], at: &At<'_>) -> Result<bool, Invalid> {
    let given = values.iter().enumerate().map(|(nth, value)| match value.source_ip {
        Some(_) => Ok(()),
        None => Err(at.item(nth).refuse("give source_ip")),
    });
    given.collect::<Result<(), _>>()?;
    Ok(!values.is_empty())
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a percentage is between 0 and 100"
)]
fn millionths(percent: f64) -> u32 {
    (percent * 10_000.0) as u32
}

/// When lines are written before a connection's end: two fields, and the options that have taken their place.
struct Flushes {
    old: (Option<xds::Duration>, bool),
    options: Option<proto::tcp_proxy::TcpAccessLogOptions>,
}

impl Flushes {
    fn compile(self, at: &At<'_>) -> Result<(Option<Duration>, bool), Invalid> {
        let at_options = at.field("access_log_options");
        let (interval, on_connected, at) = match self.options {
            Some(_) if self.old.0.is_some() || self.old.1 => {
                return Err(at_options.refuse(
                    "access_log_flush_interval and flush_access_log_on_connected may not stand beside it",
                ));
            }
            Some(proto::tcp_proxy::TcpAccessLogOptions {
                access_log_flush_interval: interval,
                flush_access_log_on_connected: on_connected,
            }) => (interval, on_connected, &at_options),
            None => (self.old.0, self.old.1, at),
        };
        let at = at.field("access_log_flush_interval");
        match duration(interval, &at)? {
            Some(short) if short < MIN_FLUSH => Err(at.refuse("this must be at least 0.001s")),
            interval => Ok((interval, on_connected)),
        }
    }
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
