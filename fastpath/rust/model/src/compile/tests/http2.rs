use std::time::Duration;

use meshloom_xds::envoy::config::core::v3 as core;
use meshloom_xds::envoy::extensions::filters::network::http_connection_manager::v3 as proto;

use super::support::{apply, chain, listener_of, manager, refusal, seconds};
use crate::compile::types::LISTENER;
use crate::filter_chain::NetworkFilter;
use crate::hcm::Codec;
use crate::http2::{Http2Keepalive, Http2Options};

fn with(options: core::Http2ProtocolOptions) -> proto::HttpConnectionManager {
    use proto::http_connection_manager::CodecType;
    let mut message = manager();
    message.codec_type = CodecType::Http2 as i32;
    message.http2_protocol_options = Some(options);
    message
}

fn compiled(options: core::Http2ProtocolOptions) -> Http2Options {
    let outcome = apply(LISTENER, "l", &listener_of(vec![chain(&with(options))]));
    assert_eq!(outcome.rejected, []);
    let listener = &outcome.snapshot.listeners["l"];
    match &listener.chains().next().unwrap().filter {
        NetworkFilter::Http(manager) => {
            assert_eq!(manager.codec, Codec::Http2);
            manager.http2
        }
        other => panic!("{other:?}"),
    }
}

fn refused(options: core::Http2ProtocolOptions) -> String {
    let (path, _) = refusal(LISTENER, "l", &listener_of(vec![chain(&with(options))]));
    let start = "filter_chains[0].filters[0].typed_config.http2_protocol_options.";
    path.strip_prefix(start).unwrap_or(&path).to_owned()
}

#[test]
fn what_is_not_given_is_safe() {
    let made = compiled(core::Http2ProtocolOptions::default());
    assert_eq!(made, Http2Options::DOWNSTREAM);
    assert_eq!((made.stream_window, made.connection_window), (65_536, 1 << 20));
    assert_eq!((made.max_concurrent_streams, made.malformed_ends_stream_only), (100, true));
}

#[test]
fn what_is_given_is_taken() {
    let made = compiled(core::Http2ProtocolOptions {
        hpack_table_size: Some(0),
        max_concurrent_streams: Some(7),
        initial_stream_window_size: Some(65_535),
        allow_connect: true,
        override_stream_error_on_invalid_http_message: Some(false),
        connection_keepalive: Some(core::KeepaliveSettings {
            interval: seconds(30),
            timeout: seconds(5),
            ..Default::default()
        }),
        ..Default::default()
    });
    assert_eq!((made.hpack_table_size, made.max_concurrent_streams), (0, 7));
    assert_eq!(made.stream_window, 65_535);
    assert!(made.allow_connect && !made.malformed_ends_stream_only);
    let keepalive = Http2Keepalive {
        interval: Some(Duration::from_secs(30)),
        timeout: Duration::from_secs(5),
        jitter_percent: 15,
        idle_interval: None,
    };
    assert_eq!(made.keepalive, Some(keepalive));
}

#[test]
fn what_is_out_of_range_is_refused_by_path() {
    type Options = core::Http2ProtocolOptions;
    let none = Options::default;
    assert_eq!(refused(Options { max_concurrent_streams: Some(0), ..none() }), "max_concurrent_streams");
    assert_eq!(
        refused(Options { initial_stream_window_size: Some(65_534), ..none() }),
        "initial_stream_window_size"
    );
    assert_eq!(
        refused(Options { initial_connection_window_size: Some(1 << 31), ..none() }),
        "initial_connection_window_size"
    );
    assert_eq!(refused(Options { max_outbound_frames: Some(0), ..none() }), "max_outbound_frames");
    let keepalive = core::KeepaliveSettings { interval: seconds(1), ..Default::default() };
    assert_eq!(
        refused(Options { connection_keepalive: Some(keepalive), ..none() }),
        "connection_keepalive.timeout"
    );
    let keepalive = core::KeepaliveSettings { timeout: seconds(0), ..Default::default() };
    assert_eq!(
        refused(Options { connection_keepalive: Some(keepalive), ..none() }),
        "connection_keepalive.timeout"
    );
}
