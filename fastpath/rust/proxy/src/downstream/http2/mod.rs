//! The server side of HTTP/2: many exchanges over one connection.
//!
//! The codec does what the protocol asks for by itself. Here its streams are tied to exchanges, what the client's windows do
//! not take waits, what an upstream does not take is not given back to the client's windows, and the connection ends
//! without losing a request.

mod life;
mod read;
mod respond;
mod streams;

use std::rc::Rc;

use meshloom_wire::http2::{Config, Connection, Role};

use crate::codec::http2_config;
use crate::listener::HttpChain;
use crate::reactor::Millis;
use streams::Streams;

/// The server side of HTTP/2 on one connection.
pub(crate) struct Http2 {
    pub(crate) chain: Rc<HttpChain>,
    codec: Connection,
    streams: Streams,
    /// Requests so far.
    served: u64,
    drain: Drain,
    /// Since when there is no stream.
    idle_since: Millis,
    /// From when on the connection drains (max_connection_duration).
    drain_at: Millis,
    /// When something of the client's last came, and when before that.
    heard: Millis,
    heard_before: Millis,
    ping: Ping,
    /// Since when the frame or head that has begun is not complete.
    partial_since: Millis,
    /// A head had begun when the last bytes were dealt with.
    in_head: bool,
    /// Bytes of all streams that wait for the client's windows.
    waiting: usize,
    /// When the first response that waits without its exchange has had its time.
    flush_by: Millis,
    /// When the connection is closed although its last bytes were not taken.
    close_by: Millis,
    /// Streams wait for something that comes without an event of this connection.
    revisit: bool,
    /// Nothing more can be read.
    failed: bool,
}

/// How far the end of a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drain {
    No,
    /// The client has been told to make no new streams; those on their way are still taken, until then.
    Noticed(Millis),
    /// No new streams are taken; the connection ends with its last one.
    Closing,
}

/// Keep-alive by PING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ping {
    /// None is sent.
    Off,
    /// The next one is due then.
    At(Millis),
    /// The answer must come before then.
    Awaited(Millis),
}

impl Http2 {
    /// Begins a connection: our preface is written to `out`.
    fn new(chain: Rc<HttpChain>, now: Millis, first_ping: Ping, out: &mut Vec<u8>) -> Self {
        let manager = &chain.manager;
        let (options, limits) = (&manager.http2, manager.limits);
        let config = Config {
            max_concurrent_streams: options.max_concurrent_streams,
            ..http2_config(options, limits.max_request_headers_bytes, limits.max_request_headers)
        };
        let drain_at = manager.timeouts.max_connection_duration.map_or(Millis::NEVER, |life| now.after(life));
        Self {
            codec: Connection::new(Role::Server, config, out),
            streams: Streams::default(),
            served: 0,
            drain: Drain::No,
            idle_since: now,
            drain_at,
            heard: now,
            heard_before: now,
            ping: first_ping,
            partial_since: Millis::NEVER,
            in_head: false,
            waiting: 0,
            flush_by: Millis::NEVER,
            close_by: Millis::NEVER,
            revisit: false,
            failed: false,
            chain,
        }
    }

    /// Bytes of a stream's response that may wait for the client's windows.
    fn waiting_limit(&self) -> usize {
        self.chain.buffer_limit
    }

    /// The connection is over once nothing is left to be sent.
    fn is_over(&self) -> bool {
        self.drain == Drain::Closing && self.streams.is_empty()
    }
}
