//! What a connection counts for the statistics.

/// Events since the counters were last taken, by the names of Envoy's `http2.*` statistics; those that Envoy does not
/// have are marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub goaway_sent: u32,
    pub header_overflow: u32,
    /// Ours: guards that Envoy has no counter for (SETTINGS, PING and unknown frames).
    pub inbound_control_frames_flood: u32,
    pub inbound_empty_frames_flood: u32,
    pub inbound_priority_frames_flood: u32,
    pub inbound_window_update_frames_flood: u32,
    pub outbound_control_flood: u32,
    pub outbound_flood: u32,
    pub rx_messaging_error: u32,
    pub rx_reset: u32,
    pub stream_refused_errors: u32,
    pub too_many_header_frames: u32,
    /// Ours: connections closed for their resets.
    pub too_many_resets: u32,
    pub trailers: u32,
    pub tx_reset: u32,
    /// Ours: frames of types that we do not know.
    pub unknown_frames: u32,
}
