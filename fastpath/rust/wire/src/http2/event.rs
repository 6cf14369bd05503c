//! What a connection's bytes said.

use std::ops::Range;

use super::{ErrorCode, StreamFault};

/// A stream's number: odd if the client opened it. 0 is the connection itself.
pub type StreamId = u32;

/// Which side of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Server,
    Client,
}

/// The next thing that concerns a message or the pool. What the protocol itself asks for (acknowledgements, resets of
/// faulty streams) is done, and not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Everything before the cursor is used up. Come back with more bytes; those behind the cursor, if any, must be
    /// presented again in front of them (an unfinished frame, at most [`super::MAX_FRAME_BYTES`]).
    NeedMore,
    /// A request (server) or a response, interim ones too (client), is in `head`. `end`: there is no body.
    Head { stream: StreamId, end: bool },
    /// A request's head is over the limits, and nothing of it is in `head`. The stream is open: answer (431), then
    /// [`super::Connection::reset`] it. Only a server gets this; to a client it is a `Reset`.
    HeadTooLarge { stream: StreamId, end: bool },
    /// Payload at `range` of the input; empty only with `end`. Give back its window with
    /// [`super::Connection::consumed`] as it is passed on.
    Data { stream: StreamId, range: Range<usize>, end: bool },
    /// The message has ended with trailer fields; `head.bytes` is an HTTP/1 trailer section of them
    /// (`name: value\r\n`...).
    Trailers { stream: StreamId },
    /// The stream is over; nothing can be sent on it. It may be one that was never told of: a request that was
    /// malformed from the start.
    Reset { stream: StreamId, code: ErrorCode, by: ResetBy },
    /// The peer will take no stream above `last` of ours; those that are, are forgotten here without a `Reset`, and
    /// may be tried elsewhere. May come again, with a lower `last`.
    Goaway { last: StreamId, code: ErrorCode },
    /// The peer's settings have changed; look at `peer_max_streams` and `peer_allows_connect_protocol` again.
    Settings,
    /// The answer to one of our pings.
    Pong { payload: [u8; 8] },
    /// `send_data` that took less than it was given may be tried again; on all streams if `stream` is 0.
    WindowOpened { stream: StreamId },
}

/// Who ended a stream before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetBy {
    Peer,
    /// We, because of what the peer did; the RST_STREAM is written.
    Fault(StreamFault),
}
