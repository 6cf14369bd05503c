//! One stream, and the table of those that are not over (RFC 9113 5.1).

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::flow::{ReceiveWindow, SendWindow};
use super::{StreamFault, StreamId};

/// A stream that is open, or closed on one side.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) receiving: Receiving,
    pub(super) sending: Sending,
    pub(super) asked: Asked,
    pub(super) receive_window: ReceiveWindow,
    pub(super) send_window: SendWindow,
}

/// What the peer has yet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiving {
    /// The final response.
    Head,
    Body(BodyLeft),
    Nothing,
}

/// What we have yet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    Head,
    Body,
    Nothing,
}

/// The kind of a request, as far as it decides whether its response has a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Ordinary,
    Head,
    Connect,
}

/// How much payload there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyLeft {
    Unknown,
    /// As Content-Length says; 0 also where no content can be.
    Bytes(u64),
}

impl BodyLeft {
    /// Notes a DATA frame with `bytes` of payload (RFC 9113 8.1.1).
    #[inline]
    pub(super) fn take(self, bytes: usize, end: bool) -> Result<Self, StreamFault> {
        let Self::Bytes(left) = self else { return Ok(self) };
        match left.checked_sub(bytes as u64) {
            Some(0) => Ok(Self::Bytes(0)),
            Some(left) if !end => Ok(Self::Bytes(left)),
            _ => Err(StreamFault::ContentLengthMismatch),
        }
    }
}

impl Stream {
    pub(super) fn is_over(&self) -> bool {
        self.receiving == Receiving::Nothing && self.sending == Sending::Nothing
    }
}

/// Why a stream is no longer in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// We reset it, so the peer may still be sending: what comes is ignored.
    ByUs,
    /// The peer should know.
    Otherwise,
    /// Long ago, or never opened.
    Unknown,
}

/// How many closed streams are remembered; more than an attentive peer has under way.
const REMEMBERED: usize = 256;
/// What a peer may send on a stream before it has heard of our settings (RFC 9113 6.9.2), and somewhat more.
const LATE_PAYLOAD: u64 = 65_535 + 1024;

#[derive(Debug)]
pub(super) struct Streams {
    open: HashMap<StreamId, Stream, BuildHasherDefault<IdHasher>>,
    /// The last streams that ended: number, and who ended it. Grows to [`REMEMBERED`].
    closed: Vec<(StreamId, Closed)>,
    next_closed: usize,
    /// Bytes of payload that may still come on streams which are over, because the peer had not heard of their end.
    late: u64,
}

impl Default for Streams {
    fn default() -> Self {
        Self { open: HashMap::default(), closed: Vec::new(), next_closed: 0, late: LATE_PAYLOAD }
    }
}

impl Streams {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    #[inline]
    pub(super) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.open.get(&id)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.open.get_mut(&id)
    }

    pub(super) fn insert(&mut self, id: StreamId, stream: Stream) {
        self.open.insert(id, stream);
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.open.values_mut()
    }

    /// Ends a stream that is open; false if it was over.
    pub(super) fn close(&mut self, id: StreamId, why: Closed) -> bool {
        let Some(stream) = self.open.remove(&id) else { return false };
        if why == Closed::ByUs {
            self.expect_late(stream.receive_window.left());
        }
        self.note(id, why);
        true
    }

    /// The peer may have so much payload, and at the least what a new stream may have, on its way.
    fn expect_late(&mut self, window: u64) {
        self.late = self.late.saturating_add(window.max(LATE_PAYLOAD));
    }

    /// Payload has come on a stream that is over; false if that is more than can have been on its way. (An empty frame
    /// counts too: it ends the stream for the peer.)
    pub(super) fn take_late(&mut self, bytes: usize) -> bool {
        let left = self.late.checked_sub(bytes.max(1) as u64);
        self.late = left.unwrap_or(self.late);
        left.is_some()
    }

    /// Takes out a stream that the peer has never heard of.
    pub(super) fn forget(&mut self, id: StreamId) {
        self.open.remove(&id);
    }

    /// Ends the streams above `last`, of which the peer says that it has not seen them.
    pub(super) fn forget_above(&mut self, last: StreamId) {
        let before = self.open.len();
        self.open.retain(|id, _| *id <= last);
        (self.open.len()..before).for_each(|_| self.expect_late(0));
    }

    /// Notes how a stream ended that is not open: one that was not taken at all, or whose end is another now.
    pub(super) fn remember(&mut self, id: StreamId, why: Closed) {
        match self.closed.iter_mut().find(|(known, _)| *known == id) {
            Some(known) => known.1 = why,
            None => {
                self.expect_late(0);
                self.note(id, why);
            }
        }
    }

    fn note(&mut self, id: StreamId, why: Closed) {
        // Some servers say the end of a stream twice.
        self.late = self.late.saturating_add(1);
        match self.closed.get_mut(self.next_closed) {
            Some(place) => *place = (id, why),
            None => self.closed.push((id, why)),
        }
        self.next_closed = (self.next_closed + 1) % REMEMBERED;
    }

    /// How a stream that is not open ended.
    pub(super) fn closed(&self, id: StreamId) -> Closed {
        self.closed.iter().find(|(known, _)| *known == id).map_or(Closed::Unknown, |(_, why)| *why)
    }
}

/// One multiplication: the keys are small numbers, and the peer can have no more of them than it may have streams.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    #[inline]
    fn write_u32(&mut self, id: u32) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }
}
