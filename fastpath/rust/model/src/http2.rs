//! How HTTP/2 is spoken, with clients and with upstreams.

use std::time::Duration;

/// Limits and windows of an HTTP/2 connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2Options {
    /// Bytes of the table with which we compress heads, at most; 0 compresses nothing (4096 unless set).
    pub hpack_table_size: u32,
    /// Streams at a time: what a client is allowed (100 unless set), or what we ask of an upstream at most (1024).
    pub max_concurrent_streams: u32,
    /// Bytes that a peer may send on one stream before we have passed them on (64 KiB unless set).
    pub stream_window: u32,
    /// The same for all streams of a connection (1 MiB unless set).
    pub connection_window: u32,
    /// Extended CONNECT (RFC 8441) is offered, or used.
    pub allow_connect: bool,
    /// A malformed message ends its stream (RFC 9113 8.1.1); false ends the connection, as Envoy does unless told.
    pub malformed_ends_stream_only: bool,
    /// What a hostile peer can cost.
    pub guards: Http2Guards,
    /// Whether the peer is still there is asked from time to time.
    pub keepalive: Option<Http2Keepalive>,
}

/// What a peer may send or leave unread before its connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2Guards {
    /// Frames that wait to be written (10 000).
    pub max_outbound_frames: u32,
    /// Of these, answers that the protocol demands: PING, SETTINGS, RST_STREAM (1000).
    pub max_outbound_control_frames: u32,
    /// Frames without content in a row (1).
    pub max_empty_frames: u32,
    /// PRIORITY frames for each stream (100).
    pub max_priority_frames_per_stream: u32,
    /// WINDOW_UPDATE frames for each DATA frame that we send (10).
    pub max_window_updates_per_data_frame: u32,
}

/// Keep-alive by PING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2Keepalive {
    /// Time between pings; `None` pings only after idle times.
    pub interval: Option<Duration>,
    /// An answer must come within this time, or the connection is dead.
    pub timeout: Duration,
    /// Up to this share of the interval is added at random, in percent (15 unless set).
    pub jitter_percent: u32,
    /// A connection that was quiet for so long is asked before its next request.
    pub idle_interval: Option<Duration>,
}

impl Http2Options {
    /// What holds for clients where nothing is said.
    pub const DOWNSTREAM: Self = Self {
        hpack_table_size: 4096,
        max_concurrent_streams: 100,
        stream_window: 64 * 1024,
        connection_window: 1024 * 1024,
        allow_connect: false,
        malformed_ends_stream_only: true,
        guards: Http2Guards {
            max_outbound_frames: 10_000,
            max_outbound_control_frames: 1000,
            max_empty_frames: 1,
            max_priority_frames_per_stream: 100,
            max_window_updates_per_data_frame: 10,
        },
        keepalive: None,
    };

    /// What holds for upstreams where nothing is said.
    pub const UPSTREAM: Self = Self { max_concurrent_streams: 1024, ..Self::DOWNSTREAM };
}
