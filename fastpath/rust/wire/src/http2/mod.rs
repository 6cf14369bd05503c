//! HTTP/2 (RFC 9113, RFC 7541) for a proxy: both roles, strict, and without allocation per request.
//!
//! # How it is used
//!
//! One [`Connection`] for each transport connection. It owns the HPACK tables, the streams' states, the windows and
//! the guards; it has no I/O, no clock and no payload.
//!
//! ```text
//!             read buffer                             what the engine gets
//!   ┌────────────────────────────┐
//!   │ HEADERS 1, CONTINUATION 1   │ Connection::next ─► Head{1} + Head (fields as spans)    ┐ and in `out`: ACKs,
//!   │ DATA 1                      │ ─────────────────► Data{1, range of the buffer}         │ resets, windows
//!   │ PING                        │ ─────────────────► (answered)                           ┘
//!   └────────────────────────────┘
//! ```
//!
//! * A frame must lie in the buffer whole before it is read, but for DATA, whose payload is told as it comes. So a
//!   buffer of [`MAX_FRAME_BYTES`] is enough for any connection.
//! * However the input is cut, the events are the same, but for how DATA is cut.
//! * A head has exactly one meaning, also when it is written as HTTP/1: what RFC 9113 8 calls malformed resets its
//!   stream and is never told as a message.
//! * What the peer makes us write is bounded: tell [`Connection::note_unsent`] after each attempt to write.
//! * Receive windows open only by [`Connection::consumed`], so whoever stops passing bytes on stops the peer.

mod config;
mod connection;
mod counters;
mod error;
mod event;
mod flow;
mod frame;
mod guards;
mod head;
mod hpack;
mod message;
mod settings;
mod stream;

pub use config::Config;
pub use connection::Connection;
pub use counters::Counters;
pub use error::{ConnectionError, ErrorCode, StreamFault};
pub use event::{Event, ResetBy, Role, StreamId};
pub use head::{Head, RequestLine};
pub use hpack::{Decoder, Encoder, FieldSink, HpackError};

/// What a client sends first (RFC 9113 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The largest frame that a peer may send us, frame head included.
pub const MAX_FRAME_BYTES: usize = 9 + 16_384;
