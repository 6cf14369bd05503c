//! The client side of HTTP/2: a connection that carries many exchanges at a time.
//!
//! While its bytes are dealt with the connection stays in its place: what an exchange does with an answer (try again,
//! give up) may lead back to the connection that the answer came over.

mod life;
mod read;
mod respond;
mod send;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use meshloom_model::http2::{Http2Keepalive, Http2Options};
use meshloom_wire::http2::{Config, Connection, Role, StreamId};

use crate::reactor::{Millis, Token};

/// One connection's streams.
pub(crate) struct Http2 {
    codec: Connection,
    streams: HashMap<StreamId, Stream, BuildHasherDefault<StreamHasher>>,
    /// The beginning of a frame whose end has not arrived.
    held: Vec<u8>,
    /// Streams at a time that we want, whatever the peer allows.
    most: usize,
    /// The same until the peer has said what it allows.
    at_first: usize,
    /// Nobody knows yet what the peer allows: the connection still counts among those that are being made, and who finds no
    /// room on it waits for its word.
    pub(super) unsaid: bool,
    /// No further stream is begun; the connection ends with those it has.
    retired: bool,
    /// Some clients wait until the socket takes more.
    crowded: bool,
    /// A malformed response ends the connection, not only its stream.
    strict: bool,
    /// Since when there is no stream.
    idle_since: Option<Millis>,
    pings: Pings,
}

/// One exchange's stream.
#[derive(Debug)]
struct Stream {
    exchange: Token,
    /// Bytes of the request that the peer's windows do not take yet, from `sent` on.
    pending: Vec<u8>,
    sent: usize,
    /// The request is complete, though it may still be pending.
    complete: bool,
    /// Trailer section of the request.
    trailers: Vec<u8>,
    /// The end of the request is written.
    ended: bool,
    /// The client is held back.
    paused: bool,
    /// It was begun when nobody knew that it would be more than the peer allows: if that refuses it, it has to go
    /// elsewhere.
    surplus: bool,
    /// Interim responses so far.
    interim: u32,
    /// Bytes of the response that the client has not taken, so that the peer's window stays closed by as many.
    owed: usize,
}

/// Asks whether the peer is there.
#[derive(Debug)]
struct Pings {
    spec: Option<Http2Keepalive>,
    next: Millis,
    /// When the answer to the one under way must be there.
    answer_by: Millis,
    sent: u64,
    /// When something last arrived.
    heard: Millis,
}

impl Http2 {
    /// Begins a connection: the preface goes to `out`.
    pub(super) fn start(
        config: Config,
        options: &Http2Options,
        at_first: u32,
        now: Millis,
        out: &mut Vec<u8>,
    ) -> Self {
        Self {
            codec: Connection::new(Role::Client, config, out),
            streams: HashMap::default(),
            held: Vec::new(),
            most: options.max_concurrent_streams as usize,
            at_first: at_first as usize,
            unsaid: false,
            retired: false,
            crowded: false,
            strict: !options.malformed_ends_stream_only,
            idle_since: Some(now),
            pings: Pings {
                spec: options.keepalive,
                next: Millis::NEVER,
                answer_by: Millis::NEVER,
                sent: 0,
                heard: now,
            },
        }
    }

    /// May another stream begin?
    pub(crate) fn has_room(&self) -> bool {
        let most = if self.codec.is_established() { self.most } else { self.most.min(self.at_first) };
        !self.retired && self.streams.len() < most && self.codec.can_open()
    }

    /// Is there nothing left to wait for on a connection that takes nothing new?
    pub(super) fn is_spent(&self) -> bool {
        let allows_none = self.codec.is_established() && self.codec.peer_max_streams() == 0;
        self.streams.is_empty() && (self.retired || allows_none || self.codec.is_draining())
    }

    /// The peer allows so many streams: those that are more were begun in good faith. Where it allows none at all there
    /// is no sense in asking again.
    pub(super) fn note_surplus(&mut self, allowed: u32) {
        if allowed == 0 || self.streams.len() <= allowed as usize {
            return;
        }
        for number in self.numbers().into_iter().skip(allowed as usize) {
            if let Some(stream) = self.streams.get_mut(&number) {
                stream.surplus = true;
            }
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.streams.is_empty()
    }

    /// Bytes written that the network has not taken.
    pub(crate) fn note_unsent(&mut self, bytes: usize) {
        self.codec.note_unsent(bytes);
    }

    /// Numbers of the streams under way, the oldest first.
    fn numbers(&self) -> Vec<StreamId> {
        let mut numbers: Vec<StreamId> = self.streams.keys().copied().collect();
        numbers.sort_unstable();
        numbers
    }
}

/// Spreads stream numbers. They are ours, so nobody can choose them to collide.
#[derive(Default)]
struct StreamHasher(u64);

impl Hasher for StreamHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
