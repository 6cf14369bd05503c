//! Envoy's statistics: one struct of handles per listener, connection manager, TCP proxy and cluster.

use meshloom_balance::Detector;
use meshloom_shm::{Bounds, Counter, Gauge, Histogram, Label, Telemetry};
use meshloom_wire::proxy_protocol::Version;

/// Names the statistics of one scope: `cluster.orders.` with its tag taken out for Prometheus.
struct Scope<'t> {
    telemetry: &'t mut Telemetry,
    /// `cluster.orders.`
    flat: String,
    /// `cluster.`
    base: &'static str,
    /// `envoy_cluster_name`, `orders`
    tag: (&'static str, &'t str),
}

impl<'t> Scope<'t> {
    /// Statistics of the process as a whole have no tag.
    fn tags(&self) -> impl Iterator<Item = Label<'t>> {
        std::iter::once(self.tag).filter(|(name, value)| !name.is_empty() && !value.is_empty())
    }

    fn counter(&mut self, name: &str) -> Counter {
        let (flat, base) = (format!("{}{name}", self.flat), format!("{}{name}", self.base));
        let tags: Vec<_> = self.tags().collect();
        self.telemetry.counter(&flat, &base, &tags)
    }

    fn gauge(&mut self, name: &str) -> Gauge {
        let (flat, base) = (format!("{}{name}", self.flat), format!("{}{name}", self.base));
        let tags: Vec<_> = self.tags().collect();
        self.telemetry.gauge(&flat, &base, &tags)
    }

    fn histogram(&mut self, name: &str) -> Histogram {
        let (flat, base) = (format!("{}{name}", self.flat), format!("{}{name}", self.base));
        let tags: Vec<_> = self.tags().collect();
        self.telemetry.histogram(Bounds::Envoy, &flat, &base, &tags)
    }

    /// `<name>_2xx` and so on, with the class as a label.
    fn classes(&mut self, name: &str) -> [Counter; 5] {
        [1, 2, 3, 4, 5].map(|class: u8| {
            let class = class.to_string();
            let flat = format!("{}{name}_{class}xx", self.flat);
            let base = format!("{}{name}_xx", self.base);
            self.telemetry.counter(&flat, &base, &[self.tag, ("envoy_response_code_class", &class)])
        })
    }
}

macro_rules! stats {
    ($(#[$doc:meta])* $name:ident, $base:literal, $tag:literal;
     counters { $($counter:ident $counter_name:literal)* }
     gauges { $($gauge:ident $gauge_name:literal)* }
     histograms { $($histogram:ident $histogram_name:literal)* }
     classes { $($class:ident $class_name:literal)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name {
            $(pub(crate) $counter: Counter,)*
            $(pub(crate) $gauge: Gauge,)*
            $(pub(crate) $histogram: Histogram,)*
            $(pub(crate) $class: [Counter; 5],)*
        }

        impl $name {
            /// Registers, or finds again, the statistics of this name.
            pub(crate) fn register(telemetry: &mut Telemetry, name: &str) -> Self {
                let flat = if name.is_empty() { $base.to_owned() } else { format!("{}{name}.", $base) };
                let mut scope = Scope { telemetry, flat, base: $base, tag: ($tag, name) };
                Self {
                    $($counter: scope.counter($counter_name),)*
                    $($gauge: scope.gauge($gauge_name),)*
                    $($histogram: scope.histogram($histogram_name),)*
                    $($class: scope.classes($class_name),)*
                }
            }
        }
    };
}

stats! {
    /// Of one listener.
    ListenerStats, "listener.", "envoy_listener_address";
    counters {
        cx_total "downstream_cx_total"
        cx_destroy "downstream_cx_destroy"
        cx_overflow "downstream_cx_overflow"
        cx_overload_reject "downstream_cx_overload_reject"
        global_cx_overflow "downstream_global_cx_overflow"
        pre_cx_timeout "downstream_pre_cx_timeout"
        filter_remote_close "downstream_listener_filter_remote_close"
        no_filter_chain_match "no_filter_chain_match"
        handshake_timeout "downstream_cx_transport_socket_connect_timeout"
    }
    gauges {
        cx_active "downstream_cx_active"
        pre_cx_active "downstream_pre_cx_active"
    }
    histograms { cx_length "downstream_cx_length_ms" }
    classes {}
}

stats! {
    /// Of the filters that look at first bytes, over all listeners.
    InspectorStats, "", "inspector";
    counters {
        tls_found "tls_inspector.tls_found"
        tls_not_found "tls_inspector.tls_not_found"
        hello_too_large "tls_inspector.client_hello_too_large"
        sni_found "tls_inspector.sni_found"
        sni_not_found "tls_inspector.sni_not_found"
        alpn_found "tls_inspector.alpn_found"
        alpn_not_found "tls_inspector.alpn_not_found"
        http10_found "http_inspector.http10_found"
        http11_found "http_inspector.http11_found"
        http2_found "http_inspector.http2_found"
        http_not_found "http_inspector.http_not_found"
    }
    gauges {}
    histograms {}
    classes {}
}

stats! {
    /// Of one version of the PROXY protocol.
    ProxyVersionStats, "proxy_proto.", "envoy_proxy_protocol_version";
    counters {
        found "found"
        disallowed "disallowed"
        error "error"
    }
    gauges {}
    histograms {}
    classes {}
}

stats! {
    /// Of PROXY protocol filters, by their `stat_prefix`.
    ProxyPrefixStats, "proxy_proto.", "envoy_proxy_protocol_prefix";
    counters {
        not_found_allowed "not_found_allowed"
        not_found_disallowed "not_found_disallowed"
    }
    gauges {}
    histograms {}
    classes {}
}

stats! {
    /// Of all PROXY protocol filters together, under the name that Envoy had first.
    ProxyTotals, "", "proxy_protocol";
    counters { error "downstream_cx_proxy_proto_error" }
    gauges {}
    histograms {}
    classes {}
}

/// Of a PROXY protocol filter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProxyProtocolStats {
    pub(crate) not_found_allowed: Counter,
    pub(crate) not_found_disallowed: Counter,
    pub(crate) legacy_error: Counter,
    v1: ProxyVersionStats,
    v2: ProxyVersionStats,
}

impl ProxyProtocolStats {
    pub(crate) fn register(telemetry: &mut Telemetry, prefix: &str) -> Self {
        let general = ProxyPrefixStats::register(telemetry, prefix);
        let mut version = |name: &str| {
            let scope = if prefix.is_empty() { String::new() } else { format!("{prefix}.") };
            ProxyVersionStats::register(telemetry, &format!("{scope}versions.{name}"))
        };
        Self {
            not_found_allowed: general.not_found_allowed,
            not_found_disallowed: general.not_found_disallowed,
            v1: version("v1"),
            v2: version("v2"),
            legacy_error: ProxyTotals::register(telemetry, "").error,
        }
    }

    pub(crate) fn of(&self, version: Version) -> &ProxyVersionStats {
        match version {
            Version::V1 => &self.v1,
            Version::V2 => &self.v2,
        }
    }
}

stats! {
    /// Of connection limits, by their `stat_prefix`.
    LimitStats, "connection_limit.", "envoy_connection_limit_prefix";
    counters { limited "limited_connections" }
    gauges { active "active_connections" }
    histograms {}
    classes {}
}

stats! {
    /// Of listeners as they come and go.
    ManagerStats, "listener_manager.", "worker";
    counters {
        added "listener_added"
        modified "listener_modified"
        removed "listener_removed"
        in_place_updated "listener_in_place_updated"
    }
    gauges {
        listeners_draining "total_listeners_draining"
        chains_draining "total_filter_chains_draining"
    }
    histograms {}
    classes {}
}

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
        rq_redirect "rq_redirect"
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
    /// Of HTTP/2 with all clients.
    DownstreamHttp2Stats, "http2.", "";
    counters {
        keepalive_timeout "keepalive_timeout"
        tx_flush_timeout "tx_flush_timeout"
        goaway_sent "goaway_sent"
        header_overflow "header_overflow"
        inbound_control_frames_flood "inbound_control_frames_flood"
        inbound_empty_frames_flood "inbound_empty_frames_flood"
        inbound_priority_frames_flood "inbound_priority_frames_flood"
        inbound_window_update_frames_flood "inbound_window_update_frames_flood"
        outbound_control_flood "outbound_control_flood"
        outbound_flood "outbound_flood"
        rx_messaging_error "rx_messaging_error"
        rx_reset "rx_reset"
        stream_refused_errors "stream_refused_errors"
        too_many_header_frames "too_many_header_frames"
        too_many_resets "too_many_resets"
        trailers "trailers"
        tx_reset "tx_reset"
        unknown_frames "unknown_frames"
    }
    gauges { streams_active "streams_active" }
    histograms {}
    classes {}
}

impl DownstreamHttp2Stats {
    /// Adds what a connection has counted.
    pub(crate) fn add(&self, counted: &meshloom_wire::http2::Counters) {
        let pairs = [
            (self.goaway_sent, counted.goaway_sent),
            (self.header_overflow, counted.header_overflow),
            (self.inbound_control_frames_flood, counted.inbound_control_frames_flood),
            (self.inbound_empty_frames_flood, counted.inbound_empty_frames_flood),
            (self.inbound_priority_frames_flood, counted.inbound_priority_frames_flood),
            (self.inbound_window_update_frames_flood, counted.inbound_window_update_frames_flood),
            (self.outbound_control_flood, counted.outbound_control_flood),
            (self.outbound_flood, counted.outbound_flood),
            (self.rx_messaging_error, counted.rx_messaging_error),
            (self.rx_reset, counted.rx_reset),
            (self.stream_refused_errors, counted.stream_refused_errors),
            (self.too_many_header_frames, counted.too_many_header_frames),
            (self.too_many_resets, counted.too_many_resets),
            (self.trailers, counted.trailers),
            (self.tx_reset, counted.tx_reset),
            (self.unknown_frames, counted.unknown_frames),
        ];
        for (counter, number) in pairs.into_iter().filter(|(_, number)| *number > 0) {
            counter.add(u64::from(number));
        }
    }
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
    /// Of one cluster.
    ClusterStats, "cluster.", "envoy_cluster_name";
    counters {
        cx_total "upstream_cx_total"
        cx_http1_total "upstream_cx_http1_total"
        cx_http2_total "upstream_cx_http2_total"
        cx_close_notify "upstream_cx_close_notify"
        http2_keepalive_timeout "http2.keepalive_timeout"
        cx_connect_fail "upstream_cx_connect_fail"
        cx_connect_timeout "upstream_cx_connect_timeout"
        cx_idle_timeout "upstream_cx_idle_timeout"
        cx_overflow "upstream_cx_overflow"
        cx_destroy "upstream_cx_destroy"
        cx_destroy_local "upstream_cx_destroy_local"
        cx_destroy_remote "upstream_cx_destroy_remote"
        cx_destroy_with_active_rq "upstream_cx_destroy_with_active_rq"
        cx_max_requests "upstream_cx_max_requests"
        cx_none_healthy "upstream_cx_none_healthy"
        cx_protocol_error "upstream_cx_protocol_error"
        cx_rx_bytes_total "upstream_cx_rx_bytes_total"
        cx_tx_bytes_total "upstream_cx_tx_bytes_total"
        flow_control_paused "upstream_flow_control_paused_reading_total"
        rq_total "upstream_rq_total"
        rq_completed "upstream_rq_completed"
        rq_pending_total "upstream_rq_pending_total"
        rq_pending_overflow "upstream_rq_pending_overflow"
        rq_active_overflow "upstream_rq_active_overflow"
        rq_pending_failure_eject "upstream_rq_pending_failure_eject"
        rq_cancelled "upstream_rq_cancelled"
        rq_timeout "upstream_rq_timeout"
        rq_per_try_timeout "upstream_rq_per_try_timeout"
        rq_rx_reset "upstream_rq_rx_reset"
        rq_tx_reset "upstream_rq_tx_reset"
        rq_retry "upstream_rq_retry"
        rq_retry_success "upstream_rq_retry_success"
        rq_retry_overflow "upstream_rq_retry_overflow"
        rq_retry_limit_exceeded "upstream_rq_retry_limit_exceeded"
        membership_change "membership_change"
        update_success "update_success"
        ejections_enforced_total "outlier_detection.ejections_enforced_total"
        ejections_enforced_5xx "outlier_detection.ejections_enforced_consecutive_5xx"
        ejections_enforced_gateway "outlier_detection.ejections_enforced_consecutive_gateway_failure"
        ejections_enforced_local "outlier_detection.ejections_enforced_consecutive_local_origin_failure"
        ejections_detected_5xx "outlier_detection.ejections_detected_consecutive_5xx"
        ejections_detected_gateway "outlier_detection.ejections_detected_consecutive_gateway_failure"
        ejections_detected_local "outlier_detection.ejections_detected_consecutive_local_origin_failure"
        ejections_overflow "outlier_detection.ejections_overflow"
        ejections_enforced_rate "outlier_detection.ejections_enforced_success_rate"
        ejections_enforced_local_rate "outlier_detection.ejections_enforced_local_origin_success_rate"
        ejections_enforced_percentage "outlier_detection.ejections_enforced_failure_percentage"
        ejections_enforced_local_percentage "outlier_detection.ejections_enforced_local_origin_failure_percentage"
        ejections_detected_rate "outlier_detection.ejections_detected_success_rate"
        ejections_detected_local_rate "outlier_detection.ejections_detected_local_origin_success_rate"
        ejections_detected_percentage "outlier_detection.ejections_detected_failure_percentage"
        ejections_detected_local_percentage "outlier_detection.ejections_detected_local_origin_failure_percentage"
        subsets_created "lb_subsets_created"
        subsets_removed "lb_subsets_removed"
        subsets_selected "lb_subsets_selected"
        subsets_fallback "lb_subsets_fallback"
        subsets_fallback_panic "lb_subsets_fallback_panic"
        original_dst_host_invalid "original_dst_host_invalid"
    }
    gauges {
        cx_active "upstream_cx_active"
        rq_active "upstream_rq_active"
        rq_pending_active "upstream_rq_pending_active"
        membership_total "membership_total"
        membership_healthy "membership_healthy"
        membership_degraded "membership_degraded"
        membership_excluded "membership_excluded"
        subsets_active "lb_subsets_active"
        ejections_active "outlier_detection.ejections_active"
    }
    histograms {
        rq_time "upstream_rq_time"
        cx_connect_ms "upstream_cx_connect_ms"
        cx_length_ms "upstream_cx_length_ms"
    }
    classes { rq_class "upstream_rq" }
}

stats! {
    /// Of HTTP/2 with the upstreams of one cluster.
    UpstreamHttp2Stats, "cluster.", "envoy_cluster_name";
    counters {
        goaway_sent "http2.goaway_sent"
        header_overflow "http2.header_overflow"
        inbound_control_frames_flood "http2.inbound_control_frames_flood"
        inbound_empty_frames_flood "http2.inbound_empty_frames_flood"
        inbound_priority_frames_flood "http2.inbound_priority_frames_flood"
        inbound_window_update_frames_flood "http2.inbound_window_update_frames_flood"
        outbound_control_flood "http2.outbound_control_flood"
        outbound_flood "http2.outbound_flood"
        rx_messaging_error "http2.rx_messaging_error"
        rx_reset "http2.rx_reset"
        stream_refused_errors "http2.stream_refused_errors"
        too_many_header_frames "http2.too_many_header_frames"
        too_many_resets "http2.too_many_resets"
        trailers "http2.trailers"
        tx_reset "http2.tx_reset"
        unknown_frames "http2.unknown_frames"
    }
    gauges {}
    histograms {}
    classes {}
}

impl UpstreamHttp2Stats {
    /// Adds what a connection has counted.
    pub(crate) fn add(&self, counted: &meshloom_wire::http2::Counters) {
        let pairs = [
            (self.goaway_sent, counted.goaway_sent),
            (self.header_overflow, counted.header_overflow),
            (self.inbound_control_frames_flood, counted.inbound_control_frames_flood),
            (self.inbound_empty_frames_flood, counted.inbound_empty_frames_flood),
            (self.inbound_priority_frames_flood, counted.inbound_priority_frames_flood),
            (self.inbound_window_update_frames_flood, counted.inbound_window_update_frames_flood),
            (self.outbound_control_flood, counted.outbound_control_flood),
            (self.outbound_flood, counted.outbound_flood),
            (self.rx_messaging_error, counted.rx_messaging_error),
            (self.rx_reset, counted.rx_reset),
            (self.stream_refused_errors, counted.stream_refused_errors),
            (self.too_many_header_frames, counted.too_many_header_frames),
            (self.too_many_resets, counted.too_many_resets),
            (self.trailers, counted.trailers),
            (self.tx_reset, counted.tx_reset),
            (self.unknown_frames, counted.unknown_frames),
        ];
        for (counter, number) in pairs {
            if number > 0 {
                counter.add(u64::from(number));
            }
        }
    }
}

impl ClusterStats {
    /// How often this detector has spoken.
    pub(crate) fn ejections_detected(&self, detector: Detector) -> Counter {
        match detector {
            Detector::Consecutive5xx => self.ejections_detected_5xx,
            Detector::ConsecutiveGatewayFailure => self.ejections_detected_gateway,
            Detector::ConsecutiveLocalOriginFailure => self.ejections_detected_local,
            Detector::SuccessRate => self.ejections_detected_rate,
            Detector::LocalOriginSuccessRate => self.ejections_detected_local_rate,
            Detector::FailurePercentage => self.ejections_detected_percentage,
            Detector::LocalOriginFailurePercentage => self.ejections_detected_local_percentage,
        }
    }

    /// How often this detector has ejected an endpoint.
    pub(crate) fn ejections_enforced(&self, detector: Detector) -> Counter {
        match detector {
            Detector::Consecutive5xx => self.ejections_enforced_5xx,
            Detector::ConsecutiveGatewayFailure => self.ejections_enforced_gateway,
            Detector::ConsecutiveLocalOriginFailure => self.ejections_enforced_local,
            Detector::SuccessRate => self.ejections_enforced_rate,
            Detector::LocalOriginSuccessRate => self.ejections_enforced_local_rate,
            Detector::FailurePercentage => self.ejections_enforced_percentage,
            Detector::LocalOriginFailurePercentage => self.ejections_enforced_local_percentage,
        }
    }
}

stats! {
    /// Of the health checks of one cluster.
    HealthStats, "cluster.", "envoy_cluster_name";
    counters {
        attempt "health_check.attempt"
        success "health_check.success"
        failure "health_check.failure"
        network_failure "health_check.network_failure"
        verify_cluster "health_check.verify_cluster"
    }
    gauges {
        healthy "health_check.healthy"
        degraded "health_check.degraded"
    }
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
