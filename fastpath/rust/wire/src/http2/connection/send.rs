//! Writing: heads, payload, ends.

use super::{Connection, NO_LAST_STREAM};
use crate::http1::{KnownHeader, TrailerFields};
use crate::http2::flow::{ReceiveWindow, SendWindow};
use crate::http2::frame::{HEAD_LEN, MAX_PAYLOAD, flag, kind, write};
use crate::http2::stream::{Asked, Closed, Receiving, Sending, Stream};
use crate::http2::{ErrorCode, Role, StreamId};

impl Connection {
    /// A new stream of ours (client), to be begun with [`Self::send_head`] before the next one is opened. `None` at the
    /// peer's limit, after a GOAWAY of either side, and when the numbers are used up.
    pub fn open(&mut self) -> Option<StreamId> {
        if !self.can_open() {
            return None;
        }
        let id = self.next_stream;
        self.next_stream += 2;
        let opened = Stream {
            receiving: Receiving::Head,
            sending: Sending::Head,
            asked: Asked::Ordinary,
            receive_window: ReceiveWindow::new(self.stream_window),
            send_window: SendWindow::new(self.peer.initial_window_size),
        };
        self.streams.insert(id, opened);
        self.guards.stream_opened();
        Some(id)
    }

    /// Writes a head: pseudo-fields first, names in any case. Fields that concern one HTTP/1 connection are left out,
    /// `host` (`:authority` says it) and `te` too unless it is `trailers`. With an interim `:status` the stream goes on
    /// waiting for its head.
    ///
    /// False, and nothing written, if the stream is over or has sent its head.
    pub fn send_head<'f>(
        &mut self,
        stream: StreamId,
        fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
        end: bool,
        out: &mut Vec<u8>,
    ) -> bool {
        if !self.streams.get(stream).is_some_and(|stream| stream.sending == Sending::Head) {
            return false;
        }
        let start = out.len();
        let mut asked = Asked::Ordinary;
        let mut is_interim = false;
        self.begin_block(out);
        for (name, value) in fields {
            match name {
                b":method" => asked = Asked::of(value),
                b":status" => is_interim = value.first() == Some(&b'1'),
                _ => {}
            }
            self.field(name, value, out);
        }
        self.end_block(start, stream, end, out);
        if let Some(stream) = self.streams.get_mut(stream).filter(|_| !is_interim) {
            stream.asked = asked;
            stream.sending = Sending::Body;
        }
        if end {
            self.end_sending(stream);
        }
        true
    }

    /// Writes as much of `data` as the windows take, and says how much; the rest may be tried again after
    /// [`crate::http2::Event::WindowOpened`]. The stream ends if `end` and all was taken; so without data it always
    /// ends. 0 if the stream is over, or has not sent its head.
    pub fn send_data(&mut self, id: StreamId, data: &[u8], end: bool, out: &mut Vec<u8>) -> usize {
        let Some(stream) = self.streams.get_mut(id).filter(|stream| stream.sending == Sending::Body) else {
            return 0;
        };
        let of_stream = stream.send_window.available();
        let of_connection = self.send_window.available();
        let taken = data.len().min(of_stream).min(of_connection);
        if taken < data.len() {
            stream.send_window.is_blocked |= of_stream <= of_connection;
            self.send_window.is_blocked |= of_connection <= of_stream;
        }
        stream.send_window.take(taken);
        self.send_window.take(taken);
        let ends = end && taken == data.len();
        let before = out.len();
        let frames = write_data(id, data.get(..taken).unwrap_or_default(), ends, out);
        self.unsent.written(out.len() - before);
        self.unsent.frames(frames);
        if frames > 0 {
            self.guards.data_frames_sent(u64::from(frames));
        }
        if ends {
            self.end_sending(id);
        }
        taken
    }

    /// Ends the stream with the fields of an HTTP/1 trailer section that may be forwarded ([`TrailerFields`]). False if
    /// the stream is over, or has not sent its head.
    pub fn send_trailers(&mut self, stream: StreamId, section: &[u8], out: &mut Vec<u8>) -> bool {
        if !self.streams.get(stream).is_some_and(|stream| stream.sending == Sending::Body) {
            return false;
        }
        if TrailerFields::new(section).next().is_none() {
            self.send_data(stream, &[], true, out);
            return true;
        }
        let start = out.len();
        self.begin_block(out);
        for (name, value) in TrailerFields::new(section) {
            self.field(name, value, out);
        }
        self.end_block(start, stream, true, out);
        self.end_sending(stream);
        true
    }

    /// Ends the stream with RST_STREAM and forgets it; nothing if it is over already.
    pub fn reset(&mut self, id: StreamId, code: ErrorCode, out: &mut Vec<u8>) {
        let Some(stream) = self.streams.get(id) else { return };
        if self.role == Role::Client && stream.sending == Sending::Head {
            // The peer does not know of it.
            self.streams.forget(id);
            return;
        }
        self.streams.close(id, Closed::ByUs);
        self.counters.tx_reset += 1;
        let before = out.len();
        write::rst_stream(id, code, out);
        self.unsent.frames(1);
        self.unsent.written(out.len() - before);
    }

    /// Announces a graceful end: GOAWAY with the highest number there is, so that nothing under way is lost. Follow it
    /// with [`Self::goaway`] a round trip later.
    pub fn goaway_notice(&mut self, out: &mut Vec<u8>) {
        let before = out.len();
        self.write_goaway(NO_LAST_STREAM, ErrorCode::NO_ERROR, out);
        self.unsent.written(out.len() - before);
    }

    /// Says that no stream after the last one seen will be taken; later ones are ignored.
    pub fn goaway(&mut self, code: ErrorCode, out: &mut Vec<u8>) {
        let before = out.len();
        self.write_goaway(self.last_peer_stream, code, out);
        self.unsent.written(out.len() - before);
    }

    /// Writes a PING; its answer is [`crate::http2::Event::Pong`] with the same payload.
    pub fn ping(&mut self, payload: [u8; 8], out: &mut Vec<u8>) {
        let before = out.len();
        write::ping(0, payload, out);
        self.unsent.frames(1);
        self.unsent.written(out.len() - before);
    }

    pub(super) fn write_goaway(&mut self, last: StreamId, code: ErrorCode, out: &mut Vec<u8>) {
        // It may only go down (RFC 9113 6.8).
        let last = self.goaway_sent.map_or(last, |before| before.min(last));
        self.goaway_sent = Some(last);
        self.counters.goaway_sent += 1;
        write::goaway(last, code, out);
        self.unsent.frames(1);
    }

    fn begin_block(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0; HEAD_LEN]);
        self.encoder.begin(out);
    }

    fn end_block(&mut self, start: usize, stream: StreamId, end: bool, out: &mut Vec<u8>) {
        let frames = write::field_block(start, stream, end, out);
        self.unsent.frames(frames);
        self.unsent.written(out.len() - start);
    }

    #[inline]
    fn field(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let id = KnownHeader::from_name(name);
        if is_of_http1(id, value) {
            return;
        }
        if !name.iter().any(u8::is_ascii_uppercase) {
            self.encoder.known_field(id, name, value, out);
            return;
        }
        self.lower.clear();
        self.lower.extend(name.iter().map(u8::to_ascii_lowercase));
        self.encoder.known_field(id, &self.lower, value, out);
    }

    fn end_sending(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.sending = Sending::Nothing;
        if stream.is_over() {
            self.streams.close(id, Closed::Otherwise);
        }
    }
}

impl Asked {
    fn of(method: &[u8]) -> Self {
        match method {
            b"HEAD" => Self::Head,
            b"CONNECT" => Self::Connect,
            _ => Self::Ordinary,
        }
    }
}

/// Fields that HTTP/2 must not have (RFC 9113 8.2.2), or says otherwise.
#[inline]
fn is_of_http1(id: Option<KnownHeader>, value: &[u8]) -> bool {
    match id {
        Some(KnownHeader::Te) => !value.eq_ignore_ascii_case(b"trailers"),
        Some(KnownHeader::Host) => true,
        Some(id) => id.is_hop_by_hop(),
        None => false,
    }
}

/// DATA frames for `data`, or an empty one if it only ends the stream. Gives their number.
fn write_data(stream: StreamId, data: &[u8], end: bool, out: &mut Vec<u8>) -> u32 {
    if data.is_empty() {
        if end {
            write::head(0, kind::DATA, flag::END_STREAM, stream, out);
        }
        return u32::from(end);
    }
    let mut pieces = data.chunks(MAX_PAYLOAD).peekable();
    let mut frames = 0;
    while let Some(piece) = pieces.next() {
        let flags = if end && pieces.peek().is_none() { flag::END_STREAM } else { 0 };
        write::head(piece.len(), kind::DATA, flags, stream, out);
        out.extend_from_slice(piece);
        frames += 1;
    }
    frames
}
