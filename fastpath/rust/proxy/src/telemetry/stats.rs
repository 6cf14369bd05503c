//! Envoy's statistics: one struct of handles per listener, connection manager, TCP proxy and cluster.

#[macro_use]
mod scope;
mod cluster;
mod http2;
mod listener;

pub(crate) use cluster::{ClusterStats, HealthStats};
pub(crate) use http2::{DownstreamHttp2Stats, UpstreamHttp2Stats};
pub(crate) use listener::{InspectorStats, LimitStats, ListenerStats, ManagerStats, ProxyProtocolStats};

use meshloom_shm::{Counter, Gauge, Histogram, Telemetry};

stats! {
    /// Of one HTTP connection manager, by its `stat_prefix`.
    HttpStats, "http.", "envoy_http_conn_manager_prefix";
    counters {
        cx_total "downstream_cx_total"
        cx_ssl_total "downstream_cx_ssl_total"
        cx_http1_total "downstream_cx_http1_total"
        cx_http2_total "downstream_cx_http2_total"
        cx_destroy "downstream_cx_destroy"
        cx_destroy_remote "downstream_cx_destroy_remote"
        cx_destroy_local "downstream_cx_destroy_local"
        cx_idle_timeout "downstream_cx_idle_timeout"
        cx_max_duration_reached "downstream_cx_max_duration_reached"
        cx_max_requests_reached "downstream_cx_max_requests_reached"
        cx_drain_close "downstream_cx_drain_close"
        cx_overload_disable_keepalive "downstream_cx_overload_disable_keepalive"
        cx_protocol_error "downstream_cx_protocol_error"
        cx_upgrades_total "downstream_cx_upgrades_total"
        cx_rx_bytes_total "downstream_cx_rx_bytes_total"
        cx_tx_bytes_total "downstream_cx_tx_bytes_total"
        flow_control_paused "downstream_flow_control_paused_reading_total"
        rq_total "downstream_rq_total"
        rq_completed "downstream_rq_completed"
        rq_http1_total "downstream_rq_http1_total"
        rq_http2_total "downstream_rq_http2_total"
        rq_rx_reset "downstream_rq_rx_reset"
        rq_tx_reset "downstream_rq_tx_reset"
        rq_idle_timeout "downstream_rq_idle_timeout"
        rq_header_timeout "downstream_rq_header_timeout"
        rq_timeout "downstream_rq_timeout"
        rq_max_duration "downstream_rq_max_duration_reached"
        rq_overload_close "downstream_rq_overload_close"
        rq_ws_on_non_ws_route "downstream_rq_ws_on_non_ws_route"
        rq_response_before_rq_complete "downstream_rq_response_before_rq_complete"
        rq_direct_response "rq_direct_response"
        rq_total_router "rq_total"
        no_route "no_route"
        no_cluster "no_cluster"
        fault_aborts "fault.aborts_injected"
        fault_delays "fault.delays_injected"
    }
    gauges {
        cx_active "downstream_cx_active"
        cx_ssl_active "downstream_cx_ssl_active"
        cx_http1_active "downstream_cx_http1_active"
        cx_http2_active "downstream_cx_http2_active"
        cx_upgrades_active "downstream_cx_upgrades_active"
        rq_active "downstream_rq_active"
    }
    histograms {
        rq_time "downstream_rq_time"
    }
    classes { rq_class "downstream_rq" }
}

stats! {
    /// Of one TCP proxy, by its `stat_prefix`.
    TcpStats, "tcp.", "envoy_tcp_prefix";
    counters {
        cx_total "downstream_cx_total"
        cx_no_route "downstream_cx_no_route"
        rx_bytes_total "downstream_cx_rx_bytes_total"
        tx_bytes_total "downstream_cx_tx_bytes_total"
        idle_timeout "idle_timeout"
        max_duration "max_downstream_connection_duration"
        flow_control_paused "downstream_flow_control_paused_reading_total"
        flow_control_resumed "downstream_flow_control_resumed_reading_total"
    }
    gauges {}
    histograms {}
    classes {}
}

stats! {
    /// Of the worker itself.
    ServerStats, "server.", "worker";
    counters {
        access_log_dropped "access_log_dropped"
        config_applied "config_applied"
        config_rejected "config_rejected"
        internal_error "internal_error"
    }
    gauges {
        draining "draining"
        connections "connections"
    }
    histograms {}
    classes {}
}

/// `upstream_rq_<code>`: registered as codes turn up.
#[derive(Debug, Default)]
pub(crate) struct StatusCounters {
    codes: Vec<(u16, Counter)>,
}

impl StatusCounters {
    /// The counter of this code in the cluster's scope.
    pub(crate) fn get(&mut self, telemetry: &mut Telemetry, cluster: &str, code: u16) -> Counter {
        if let Some((_, counter)) = self.codes.iter().find(|(known, _)| *known == code) {
            return *counter;
        }
        let text = code.to_string();
        let labels = [("envoy_cluster_name", cluster), ("envoy_response_code", text.as_str())];
        let counter = telemetry.counter(
            &format!("cluster.{cluster}.upstream_rq_{text}"),
            "cluster.upstream_rq",
            &labels,
        );
        self.codes.push((code, counter));
        counter
    }
}

/// The counter of a status's class.
pub(crate) fn class_of(classes: &[Counter; 5], status: u16) -> Option<Counter> {
    classes.get(usize::from(status / 100).checked_sub(1)?).copied()
}
