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

/// A number from `least` to the largest there is; `default` where it is not set.
fn number(value: Option<u32>, default: u32, least: u32, at: &At<'_>) -> Result<u32, Invalid> {
    match value {
        Some(value) if !(least..=MOST).contains(&value) => Err(at.refuse(format!("give {least} to {MOST}"))),
        value => Ok(value.unwrap_or(default)),
    }
}

/// Compiles the options; `defaults` is what holds where a field is not set.
pub(super) fn http2_options(
    value: Option<core::Http2ProtocolOptions>,
    defaults: Http2Options,
    at: &At<'_>,
) -> Result<Http2Options, Invalid> {
    let Some(value) = value else { return Ok(defaults) };
    let guards = guards(&value, defaults.guards, at)?;
    let field = |name, value, default, least| number(value, default, least, &at.field(name));
    let (streams, stream_window, window) =
        (defaults.max_concurrent_streams, defaults.stream_window, defaults.connection_window);
    let one_stream_only = value
        .override_stream_error_on_invalid_http_message
        .unwrap_or(value.stream_error_on_invalid_http_messaging || defaults.malformed_ends_stream_only);
    Ok(Http2Options {
        hpack_table_size: value.hpack_table_size.unwrap_or(defaults.hpack_table_size),
        max_concurrent_streams: field("max_concurrent_streams", value.max_concurrent_streams, streams, 1)?,
        stream_window: field(
            "initial_stream_window_size",
            value.initial_stream_window_size,
            stream_window,
            MIN_WINDOW,
        )?,
        connection_window: field(
            "initial_connection_window_size",
            value.initial_connection_window_size,
            window,
            MIN_WINDOW,
        )?,
        allow_connect: value.allow_connect,
        malformed_ends_stream_only: one_stream_only,
        guards,
        keepalive: value
            .connection_keepalive
            .map(|value| keepalive(value, &at.field("connection_keepalive")))
            .transpose()?,
    })
}

fn guards(
    value: &core::Http2ProtocolOptions,
    defaults: Http2Guards,
    at: &At<'_>,
) -> Result<Http2Guards, Invalid> {
    let field = |name, value, default| number(value, default, 1, &at.field(name));
    Ok(Http2Guards {
        max_outbound_frames: field(
            "max_outbound_frames",
            value.max_outbound_frames,
            defaults.max_outbound_frames,
        )?,
        max_outbound_control_frames: field(
            "max_outbound_control_frames",
            value.max_outbound_control_frames,
            defaults.max_outbound_control_frames,
        )?,
        max_empty_frames: value
            .max_consecutive_inbound_frames_with_empty_payload
            .unwrap_or(defaults.max_empty_frames),
        max_priority_frames_per_stream: value
            .max_inbound_priority_frames_per_stream
            .unwrap_or(defaults.max_priority_frames_per_stream),
        max_window_updates_per_data_frame: field(
            "max_inbound_window_update_frames_per_data_frame_sent",
            value.max_inbound_window_update_frames_per_data_frame_sent,
            defaults.max_window_updates_per_data_frame,
        )?,
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
