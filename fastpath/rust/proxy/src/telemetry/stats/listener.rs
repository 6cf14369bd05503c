//! Listeners and their filters.

use meshloom_shm::{Counter, Gauge, Histogram, Telemetry};
use meshloom_wire::proxy_protocol::Version;

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
