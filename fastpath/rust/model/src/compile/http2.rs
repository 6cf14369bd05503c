//! Options of HTTP/2.

use meshloom_xds::envoy::config::core::v3 as core;

use super::parts::{duration, percent};
use super::path::{At, Invalid};
use crate::http2::{Http2Guards, Http2Keepalive, Http2Options};

/// The largest number of streams, and the largest window (RFC 9113 5.1.1, 6.9.1).
const MOST: u32 = (1 << 31) - 1;
/// The window with which every stream begins unless settings say otherwise; a smaller one is not taken, as in Envoy.
const MIN_WINDOW: u32 = 65_535;
const DEFAULT_JITTER_PERCENT: f64 = 15.0;

/// Compiles the options; `defaults` is what holds where a field is not set.
pub(super) fn http2_options(
    value: Option<core::Http2ProtocolOptions>,
    defaults: Http2Options,
    at: &At<'_>,
) -> Result<Http2Options, Invalid> {
    let Some(value) = value else { return Ok(defaults) };
    let core::Http2ProtocolOptions {
        hpack_table_size,
        max_concurrent_streams,
        initial_stream_window_size,
        initial_connection_window_size,
        allow_connect,
        max_outbound_frames,
        max_outbound_control_frames,
        max_consecutive_inbound_frames_with_empty_payload,
        max_inbound_priority_frames_per_stream,
        max_inbound_window_update_frames_per_data_frame_sent,
        stream_error_on_invalid_http_messaging,
        override_stream_error_on_invalid_http_message,
        connection_keepalive,
    } = value;
    let number = |value: Option<u32>, default: u32, least: u32, name: &'static str| match value {
        Some(value) if !(least..=MOST).contains(&value) => {
            Err(at.field(name).refuse(format!("give {least} to {MOST}")))
        }
        value => Ok(value.unwrap_or(default)),
    };
    let guards = defaults.guards;
    Ok(Http2Options {
        hpack_table_size: hpack_table_size.unwrap_or(defaults.hpack_table_size),
        max_concurrent_streams: number(
            max_concurrent_streams,
            defaults.max_concurrent_streams,
            1,
            "max_concurrent_streams",
        )?,
        stream_window: number(
            initial_stream_window_size,
            defaults.stream_window,
            MIN_WINDOW,
            "initial_stream_window_size",
        )?,
        connection_window: number(
            initial_connection_window_size,
            defaults.connection_window,
            MIN_WINDOW,
            "initial_connection_window_size",
        )?,
        allow_connect,
        malformed_ends_stream_only: override_stream_error_on_invalid_http_message
            .unwrap_or(stream_error_on_invalid_http_messaging || defaults.malformed_ends_stream_only),
        guards: Http2Guards {
            max_outbound_frames: number(
                max_outbound_frames,
                guards.max_outbound_frames,
                1,
                "max_outbound_frames",
            )?,
            max_outbound_control_frames: number(
                max_outbound_control_frames,
                guards.max_outbound_control_frames,
                1,
                "max_outbound_control_frames",
            )?,
            max_empty_frames: max_consecutive_inbound_frames_with_empty_payload
                .unwrap_or(guards.max_empty_frames),
            max_priority_frames_per_stream: max_inbound_priority_frames_per_stream
                .unwrap_or(guards.max_priority_frames_per_stream),
            max_window_updates_per_data_frame: number(
                max_inbound_window_update_frames_per_data_frame_sent,
                guards.max_window_updates_per_data_frame,
                1,
                "max_inbound_window_update_frames_per_data_frame_sent",
            )?,
        },
        keepalive: connection_keepalive
            .map(|value| keepalive(value, &at.field("connection_keepalive")))
            .transpose()?,
    })
}

fn keepalive(value: core::KeepaliveSettings, at: &At<'_>) -> Result<Http2Keepalive, Invalid> {
    use std::time::Duration;
    const LEAST: Duration = Duration::from_millis(1);
    let core::KeepaliveSettings { interval, timeout, interval_jitter, connection_idle_interval } = value;
    let at_least = |value, name| match duration(value, &at.field(name))? {
        Some(value) if value < LEAST => Err(at.field(name).refuse("this must be at least 0.001s")),
        value => Ok(value),
    };
    let jitter = percent(interval_jitter, DEFAULT_JITTER_PERCENT, &at.field("interval_jitter"))?;
    Ok(Http2Keepalive {
        interval: at_least(interval, "interval")?,
        timeout: at.field("timeout").required(at_least(timeout, "timeout")?)?,
        jitter_percent: jitter.round() as u32,
        idle_interval: at_least(connection_idle_interval, "connection_idle_interval")?,
    })
}
