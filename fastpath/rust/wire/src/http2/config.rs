//! What a connection may cost, and what it offers.

/// Bounds of one connection. The flood guards have Envoy's names and values; sizes are our safe defaults.
///
/// A value is the largest that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Names and values of a head or of trailers, decoded, each cookie crumb counted. Default 60 KiB (Envoy's
    /// `max_request_headers_kb`).
    pub head_bytes: u32,
    /// Fields in a head or in trailers, pseudo-fields not included, cookie crumbs each. Default 100 (`max_headers_count`).
    pub fields: u16,
    /// Our SETTINGS_HEADER_TABLE_SIZE, and the largest table that we keep for what we send. Default 4096.
    pub hpack_table_size: u32,
    /// Streams that the peer may have open. Default 100.
    pub max_concurrent_streams: u32,
    /// Receive window of a stream. Default 64 KiB.
    pub initial_stream_window_size: u32,
    /// Receive window of the connection, at least 65535. Default 1 MiB.
    pub initial_connection_window_size: u32,
    /// Announce SETTINGS_ENABLE_CONNECT_PROTOCOL and take `:protocol` (RFC 8441). Default off.
    pub allow_connect: bool,
    /// Frames written and not yet taken by the network. Default 10000.
    pub max_outbound_frames: u32,
    /// The same of frames that answer the peer's own: PING, SETTINGS, RST_STREAM. Default 1000.
    pub max_outbound_control_frames: u32,
    /// HEADERS, CONTINUATION and DATA in a row without payload and without END_STREAM. Default 1.
    pub max_consecutive_inbound_frames_with_empty_payload: u32,
    /// PRIORITY frames for each stream opened, and as many for none. Default 100.
    pub max_inbound_priority_frames_per_stream: u32,
    /// WINDOW_UPDATE frames for each DATA frame sent. Default 10.
    pub max_inbound_window_update_frames_per_data_frame_sent: u32,
    /// CONTINUATION frames of one field block. Default 32.
    pub max_continuation_frames: u32,
    /// SETTINGS, PING, RST_STREAM of ended streams and unknown frames between two frames that carry a message,
    /// within [`super::Connection::note_time`]'s window. Default 1000.
    pub max_inbound_control_frames: u32,
    /// Streams reset before their end, by the peer or by its fault, when they are also more than half of those opened,
    /// within [`super::Connection::note_time`]'s window. Default 100.
    pub max_premature_resets: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            head_bytes: 60 * 1024,
            fields: 100,
            hpack_table_size: 4096,
            max_concurrent_streams: 100,
            initial_stream_window_size: 64 * 1024,
            initial_connection_window_size: 1024 * 1024,
            allow_connect: false,
            max_outbound_frames: 10_000,
            max_outbound_control_frames: 1000,
            max_consecutive_inbound_frames_with_empty_payload: 1,
            max_inbound_priority_frames_per_stream: 100,
            max_inbound_window_update_frames_per_data_frame_sent: 10,
            max_continuation_frames: 32,
            max_inbound_control_frames: 1000,
            max_premature_resets: 100,
        }
    }
}
