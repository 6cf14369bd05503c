//! HTTP/2, with clients and with upstreams.

use meshloom_shm::{Counter, Gauge, Telemetry};
use meshloom_wire::http2::Counters;

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

/// Adds what the codec of a connection has counted: the fields have its names.
macro_rules! adds {
    ($($stats:ident)*; $fields:tt) => {
        $(adds!(@one $stats $fields);)*
    };
    (@one $stats:ident [$($field:ident)*]) => {
        impl $stats {
            /// Adds what a connection has counted.
            pub(crate) fn add(&self, counted: &Counters) {
                $(if counted.$field > 0 {
                    self.$field.add(u64::from(counted.$field));
                })*
            }
        }
    };
}

adds!(DownstreamHttp2Stats UpstreamHttp2Stats; [
    goaway_sent
    header_overflow
    inbound_control_frames_flood
    inbound_empty_frames_flood
    inbound_priority_frames_flood
    inbound_window_update_frames_flood
    outbound_control_flood
    outbound_flood
    rx_messaging_error
    rx_reset
    stream_refused_errors
    too_many_header_frames
    too_many_resets
    trailers
    tx_reset
    unknown_frames
]);
