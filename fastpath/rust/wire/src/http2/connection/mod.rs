//! One connection: frames in, events and frames out.

use super::{Config, ConnectionError, Counters, ErrorCode, Event, Head, Role, StreamId};

/// The HTTP/2 side of one transport connection.
///
/// `out` is always the buffer whose bytes go to the peer next, in order; this only appends to it. After an error of
/// `next` nothing more may be asked of the connection: flush `out` and close.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    config: Config,
    counters: Counters,
}

impl Connection {
    /// Begins a connection: writes the preface (client), SETTINGS and the connection's window.
    #[must_use]
    pub fn new(role: Role, config: Config, out: &mut Vec<u8>) -> Self {
        let _ = out;
        Self { role, config, counters: Counters::default() }
    }

    /// Reads `data` from `*at` on up to the next event, and moves `*at` behind it. Call until [`Event::NeedMore`].
    ///
    /// `head` is overwritten by each head or trailer section; take it over before the next call.
    pub fn next(
        &mut self,
        data: &[u8],
        at: &mut usize,
        head: &mut Head,
        out: &mut Vec<u8>,
    ) -> Result<Event, ConnectionError> {
        let _ = (data, at, head, out);
        Ok(Event::NeedMore)
    }

    /// A new stream of ours (client), to be begun with [`Self::send_head`] before the next one is opened. `None` at the
    /// peer's limit, after a GOAWAY of either side, and when the numbers are used up.
    pub fn open(&mut self) -> Option<StreamId> {
        None
    }

    /// Writes a head: pseudo-fields first, names in any case. Fields that concern one HTTP/1 connection are left out,
    /// `te` too unless it is `trailers`. With an interim `:status` the stream goes on waiting for its head.
    ///
    /// False, and nothing written, if the stream is over or has sent its head.
    pub fn send_head<'f>(
        &mut self,
        stream: StreamId,
        fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
        end: bool,
        out: &mut Vec<u8>,
    ) -> bool {
        let _ = (stream, fields.into_iter().count(), end, out);
        false
    }

    /// Writes as much of `data` as the windows take, and says how much; the rest may be tried again after
    /// [`Event::WindowOpened`]. The stream ends if `end` and all was taken. 0 if the stream is over.
    pub fn send_data(&mut self, stream: StreamId, data: &[u8], end: bool, out: &mut Vec<u8>) -> usize {
        let _ = (stream, data, end, out);
        0
    }

    /// Ends the stream with the fields of an HTTP/1 trailer section that may be forwarded
    /// ([`crate::http1::TrailerFields`]). False if the stream is over.
    pub fn send_trailers(&mut self, stream: StreamId, section: &[u8], out: &mut Vec<u8>) -> bool {
        let _ = (stream, section, out);
        false
    }

    /// Ends the stream with RST_STREAM and forgets it; nothing if it is over already.
    pub fn reset(&mut self, stream: StreamId, code: ErrorCode, out: &mut Vec<u8>) {
        let _ = (stream, code, out);
    }

    /// Gives `bytes` of received payload back to the peer's windows. Also for a stream that is over.
    pub fn consumed(&mut self, stream: StreamId, bytes: usize, out: &mut Vec<u8>) {
        let _ = (stream, bytes, out);
    }

    /// Announces a graceful end: GOAWAY with the highest number there is, so that nothing under way is lost. Follow it
    /// with [`Self::goaway`] a round trip later.
    pub fn goaway_notice(&mut self, out: &mut Vec<u8>) {
        let _ = out;
    }

    /// Says that no stream after the last one seen will be taken; later ones are ignored.
    pub fn goaway(&mut self, code: ErrorCode, out: &mut Vec<u8>) {
        let _ = (code, out);
    }

    /// Writes a PING; its answer is [`Event::Pong`] with the same payload.
    pub fn ping(&mut self, payload: [u8; 8], out: &mut Vec<u8>) {
        let _ = (payload, out);
    }

    /// How many of the bytes written so far the network has not taken. Call after each attempt to write; frames count
    /// against the limits until then.
    pub fn note_unsent(&mut self, bytes: usize) {
        let _ = bytes;
    }

    /// The time in milliseconds on any monotonic clock. The guards that count resets and control frames start afresh
    /// each ten seconds of it; without calls they count over the whole connection.
    pub fn note_time(&mut self, now_ms: u64) {
        let _ = now_ms;
    }

    /// Streams that are not over, of both sides.
    #[must_use]
    pub fn active_streams(&self) -> usize {
        0
    }

    /// Whether [`Self::open`] would give a stream.
    #[must_use]
    pub fn can_open(&self) -> bool {
        false
    }

    /// Whether a GOAWAY was received or sent, so that the connection ends with its streams.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        false
    }

    /// The bytes that [`Self::send_data`] would take of this stream now.
    #[must_use]
    pub fn send_capacity(&self, stream: StreamId) -> usize {
        let _ = stream;
        0
    }

    /// The peer's SETTINGS_MAX_CONCURRENT_STREAMS; `u32::MAX` where it has not said.
    #[must_use]
    pub fn peer_max_streams(&self) -> u32 {
        u32::MAX
    }

    /// Whether the peer takes extended CONNECT (RFC 8441 3).
    #[must_use]
    pub fn peer_allows_connect_protocol(&self) -> bool {
        false
    }

    /// Whether the peer's SETTINGS have arrived.
    #[must_use]
    pub fn is_established(&self) -> bool {
        false
    }

    /// What was counted since the last call.
    pub fn take_counters(&mut self) -> Counters {
        let _ = (self.role, self.config);
        std::mem::take(&mut self.counters)
    }
}
