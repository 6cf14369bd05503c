//! Clusters: what is asked of them, and the health of their endpoints.

use meshloom_balance::Detector;
use meshloom_shm::{Counter, Gauge, Histogram, Telemetry};

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
        rq_per_try_idle_timeout "upstream_rq_per_try_idle_timeout"
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
        passive_failure "health_check.passive_failure"
        verify_cluster "health_check.verify_cluster"
    }
    gauges {
        healthy "health_check.healthy"
        degraded "health_check.degraded"
    }
    histograms {}
    classes {}
}
