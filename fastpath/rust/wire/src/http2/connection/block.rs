//! HEADERS and CONTINUATION: field blocks, and the streams that they open or go on with.

use super::Connection;
use crate::http2::flow::{ReceiveWindow, SendWindow};
use crate::http2::frame::{FrameHead, flag};
use crate::http2::message::{Limits, Section, Use, Verdict};
use crate::http2::stream::{Asked, BodyLeft, Closed, Receiving, Sending, Stream};
use crate::http2::{ConnectionError, Event, Head, Role, StreamFault, StreamId};

/// A field block that has not ended with its HEADERS frame.
#[derive(Debug, Default)]
pub(super) struct FieldBlock {
    open: Option<Opening>,
    bytes: Vec<u8>,
    continuations: u32,
}

/// What HEADERS said beside its fields.
#[derive(Clone, Copy, Debug)]
struct Opening {
    stream: StreamId,
    end: bool,
    depends_on_itself: bool,
}

/// What a block may leave allocated.
const KEPT_BLOCK: usize = 16 * 1024;

impl FieldBlock {
    #[inline]
    pub(super) fn open_stream(&self) -> Option<StreamId> {
        self.open.map(|opening| opening.stream)
    }
}

impl Connection {
    pub(super) fn headers(
        &mut self,
        frame: &FrameHead,
        payload: &[u8],
        head: &mut Head,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, ConnectionError> {
        if frame.stream == 0 {
            return Err(ConnectionError::WrongStream);
        }
        let (fragment, dependency) = frame.headers(payload)?;
        let end = frame.has(flag::END_STREAM);
        self.guards.message_frame(fragment.is_empty() && !end, &self.config)?;
        let opening =
            Opening { stream: frame.stream, end, depends_on_itself: dependency == Some(frame.stream) };
        if frame.has(flag::END_HEADERS) {
            return self.section(opening, fragment, head, out);
        }
        self.block.continuations = 0;
        self.block.bytes.clear();
        self.block.bytes.extend_from_slice(fragment);
        self.block.open = Some(opening);
        Ok(None)
    }

    pub(super) fn continuation(
        &mut self,
        frame: &FrameHead,
        payload: &[u8],
        head: &mut Head,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, ConnectionError> {
        let Some(opening) = self.block.open else { return Err(ConnectionError::InvalidContinuation) };
        self.guards.message_frame(payload.is_empty() && !opening.end, &self.config)?;
        self.block.continuations += 1;
        if self.block.continuations > self.config.max_continuation_frames {
            return Err(ConnectionError::ContinuationFlood);
        }
        // Twice the limit is enough to answer who is a little over it; more is not worth the memory.
        if self.block.bytes.len() + payload.len() > 2 * self.config.head_bytes.max(32 * 1024) as usize {
            return Err(ConnectionError::FieldBlockTooLarge);
        }
        self.block.bytes.extend_from_slice(payload);
        if !frame.has(flag::END_HEADERS) {
            return Ok(None);
        }
        self.block.open = None;
        let mut bytes = std::mem::take(&mut self.block.bytes);
        let event = self.section(opening, &bytes, head, out);
        bytes.clear();
        bytes.shrink_to(KEPT_BLOCK);
        self.block.bytes = bytes;
        event
    }

    /// A complete field block. It is decoded whatever it is for, since the tables must follow.
    fn section(
        &mut self,
        opening: Opening,
        block: &[u8],
        head: &mut Head,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, ConnectionError> {
        let Opening { stream, end, depends_on_itself } = opening;
        let place = self.place(stream)?;
        let for_what = match place {
            Place::New => Use::Request { allow_connect: self.config.allow_connect },
            Place::Head(_) => Use::Response,
            Place::Body if end => Use::Trailers,
            Place::Body | Place::Faulty(_) | Place::Nowhere => Use::Nothing,
        };
        let limits =
            Limits { bytes: self.config.head_bytes as usize, fields: usize::from(self.config.fields) };
        let mut section = Section::new(head, for_what, limits);
        self.decoder.decode(block, &mut section).map_err(|_| ConnectionError::Compression)?;
        let verdict = match (section.finish(), place) {
            (_, Place::Nowhere) => {
                self.guards.late_block(block.len(), &self.config)?;
                return Ok(None);
            }
            (_, Place::Faulty(fault)) => Verdict::Malformed(fault),
            _ if depends_on_itself => Verdict::Malformed(StreamFault::SelfDependency),
            (_, Place::Body) if !end => Verdict::Malformed(StreamFault::TrailersWithoutEnd),
            (verdict, _) => verdict,
        };
        match (verdict, place) {
            (Verdict::Malformed(fault), _) => self.fault(stream, fault, out),
            (_, Place::New) => self.request(stream, end, verdict == Verdict::TooLarge, head, out),
            (Verdict::TooLarge, _) => self.fault(stream, StreamFault::HeadTooLarge, out),
            (Verdict::Valid, Place::Head(asked)) => self.response(stream, end, asked, head, out),
            (Verdict::Valid, _) => self.trailers(stream, out),
        }
    }

    /// Where a field block on this stream belongs.
    fn place(&mut self, id: StreamId) -> Result<Place, ConnectionError> {
        if let Some(stream) = self.streams.get(id) {
            return Ok(match stream.receiving {
                Receiving::Head if stream.sending == Sending::Head => {
                    Place::Faulty(StreamFault::DataBeforeHead)
                }
                Receiving::Head => Place::Head(stream.asked),
                Receiving::Body(_) => Place::Body,
                Receiving::Nothing => Place::Faulty(StreamFault::Ended),
            });
        }
        match self.role {
            Role::Server => self.place_of_new(id),
            Role::Client if self.is_idle(id) => Err(ConnectionError::InvalidStreamId),
            Role::Client => Ok(Place::Nowhere),
        }
    }

    /// Where a request belongs whose stream is not open.
    fn place_of_new(&mut self, id: StreamId) -> Result<Place, ConnectionError> {
        if id % 2 == 0 {
            return Err(ConnectionError::InvalidStreamId);
        }
        if id <= self.last_peer_stream {
            return match self.streams.closed(id) {
                Closed::ByUs => Ok(Place::Nowhere),
                Closed::Otherwise => Err(ConnectionError::ClosedStream),
                Closed::Unknown => Err(ConnectionError::InvalidStreamId),
            };
        }
        self.last_peer_stream = id;
        if self.goaway_sent.is_some_and(|last| id > last) {
            self.streams.remember(id, Closed::ByUs);
            return Ok(Place::Nowhere);
        }
        if self.streams.len() >= self.config.max_concurrent_streams as usize {
            return Ok(Place::Faulty(StreamFault::Refused));
        }
        self.guards.stream_opened();
        Ok(Place::New)
    }

    fn request(
        &mut self,
        stream: StreamId,
        end: bool,
        is_too_large: bool,
        head: &Head,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, ConnectionError> {
        let body = head.content_length.map_or(BodyLeft::Unknown, BodyLeft::Bytes);
        if end && body.take(0, true).is_err() {
            return self.fault(stream, StreamFault::ContentLengthMismatch, out);
        }
        let opened = Stream {
            receiving: if end { Receiving::Nothing } else { Receiving::Body(body) },
            sending: Sending::Head,
            asked: Asked::Ordinary,
            receive_window: ReceiveWindow::new(self.stream_window),
            send_window: SendWindow::new(self.peer.initial_window_size),
        };
        self.streams.insert(stream, opened);
        if is_too_large {
            self.counters.header_overflow += 1;
            // It will be answered, but all of it had to be decoded in vain.
            self.premature_end()?;
            return Ok(Some(Event::HeadTooLarge { stream, end }));
        }
        Ok(Some(Event::Head { stream, end }))
    }

    fn response(
        &mut self,
        id: StreamId,
        end: bool,
        asked: Asked,
        head: &Head,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, ConnectionError> {
        if head.status < 200 {
            return match end {
                true => self.fault(id, StreamFault::InterimEnd, out),
                false => Ok(Some(Event::Head { stream: id, end })),
            };
        }
        let body = match (head.status, asked) {
            // RFC 9110 9.3.6: a tunnel has no length, whatever the status and the fields say.
            (200..=299, Asked::Connect) => BodyLeft::Unknown,
            (204 | 304, _) | (_, Asked::Head) => BodyLeft::Bytes(0),
            _ => head.content_length.map_or(BodyLeft::Unknown, BodyLeft::Bytes),
        };
        if end && body.take(0, true).is_err() {
            return self.fault(id, StreamFault::ContentLengthMismatch, out);
        }
        if let Some(stream) = self.streams.get_mut(id) {
            stream.receiving = Receiving::Body(body);
        }
        if end {
            self.end_receiving(id);
        }
        self.guards.payload_received();
        Ok(Some(Event::Head { stream: id, end }))
    }

    fn trailers(&mut self, id: StreamId, out: &mut Vec<u8>) -> Result<Option<Event>, ConnectionError> {
        let receiving = self.streams.get(id).map(|stream| stream.receiving);
        if let Some(Receiving::Body(left)) = receiving
            && let Err(fault) = left.take(0, true)
        {
            return self.fault(id, fault, out);
        }
        self.counters.trailers += 1;
        self.end_receiving(id);
        Ok(Some(Event::Trailers { stream: id }))
    }

    /// The peer has sent all of this stream.
    pub(super) fn end_receiving(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.receiving = Receiving::Nothing;
        if stream.is_over() {
            self.streams.close(id, Closed::Otherwise);
        }
    }
}

/// Where a field block belongs.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// A request on a new stream.
    New,
    /// A response to this kind of request.
    Head(Asked),
    /// Behind or between DATA.
    Body,
    /// On a stream that must be reset for it.
    Faulty(StreamFault),
    /// On a stream that is over, so that it is ignored.
    Nowhere,
}
