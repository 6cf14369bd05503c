//! Limits of an HTTP/2 connection, as the configuration gives them, in the terms of the codec.

use meshloom_model::http2::Http2Options;
use meshloom_wire::http2::Config;

/// For either side; `head_bytes` and `fields` bound the heads that the peer sends. How many streams a peer may open is
/// a server's to add.
pub(crate) fn http2_config(options: &Http2Options, head_bytes: u32, fields: u32) -> Config {
    let guards = options.guards;
    Config {
        head_bytes,
        fields: u16::try_from(fields).unwrap_or(u16::MAX),
        hpack_table_size: options.hpack_table_size,
        initial_stream_window_size: options.stream_window,
        initial_connection_window_size: options.connection_window,
        allow_connect: options.allow_connect,
        max_outbound_frames: guards.max_outbound_frames,
        max_outbound_control_frames: guards.max_outbound_control_frames,
        max_consecutive_inbound_frames_with_empty_payload: guards.max_empty_frames,
        max_inbound_priority_frames_per_stream: guards.max_priority_frames_per_stream,
        max_inbound_window_update_frames_per_data_frame_sent: guards.max_window_updates_per_data_frame,
        ..Config::default()
    }
}
