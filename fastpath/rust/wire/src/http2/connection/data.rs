//! DATA: payload, told as it comes.

use super::receive::Progress;
use super::{Connection, Stage};
use crate::http2::frame::{FrameHead, HEAD_LEN, flag, write};
use crate::http2::stream::{Closed, Receiving};
use crate::http2::{ConnectionError, Event, Role, StreamFault, StreamId};

/// What is left of a DATA frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payload {
    /// `None`: for nobody, to be skipped.
    stream: Option<StreamId>,
    bytes: usize,
    padding: usize,
    end: bool,
}

impl Connection {
    /// The head of a DATA frame that begins at `rest`; all that is to be judged is judged here, before its payload.
    pub(super) fn data(
        &mut self,
        frame: &FrameHead,
        rest: &[u8],
        at: &mut usize,
        out: &mut Vec<u8>,
    ) -> Result<Progress, ConnectionError> {
        if frame.stream == 0 {
            return Err(ConnectionError::WrongStream);
        }
        let Some((overhead, padding)) = padding(frame, rest)? else { return Ok(Progress::NeedMore) };
        let bytes = frame.len.checked_sub(overhead + padding).ok_or(ConnectionError::InvalidPadding)?;
        let end = frame.has(flag::END_STREAM);
        self.guards.message_frame(bytes == 0 && !end, &self.config)?;
        if self.is_idle(frame.stream) {
            return Err(ConnectionError::IdleStream);
        }
        if !self.receive_window.take(frame.len) {
            return Err(ConnectionError::FlowControl);
        }
        *at += HEAD_LEN + overhead;
        let taken = self.take_data(frame, bytes, end);
        let stream = (taken == Ok(true)).then_some(frame.stream);
        self.stage = Stage::Payload(Payload { stream, bytes, padding, end });
        match taken {
            Ok(true) => {
                self.give_back(frame.stream, overhead + padding, out);
                if bytes > 0 {
                    self.guards.payload_received();
                }
                Ok(Progress::Done(None))
            }
            Ok(false) => {
                // A stream that we reset may have a whole window of small frames on its way, but no more than that.
                if !self.streams.take_late(frame.len) {
                    return Err(ConnectionError::ClosedStream);
                }
                self.give_back(0, frame.len, out);
                Ok(Progress::Done(None))
            }
            Err(fault) => {
                self.give_back(0, frame.len, out);
                self.fault(frame.stream, fault, out).map(Progress::Done)
            }
        }
    }

    /// Notes a DATA frame on its stream; false if nobody wants it.
    fn take_data(&mut self, frame: &FrameHead, bytes: usize, end: bool) -> Result<bool, StreamFault> {
        let Some(stream) = self.streams.get_mut(frame.stream) else {
            return match (self.streams.closed(frame.stream), self.role) {
                (Closed::ByUs, _) | (_, Role::Client) => Ok(false),
                _ => Err(StreamFault::Ended),
            };
        };
        let left = match stream.receiving {
            Receiving::Body(left) => left,
            Receiving::Head => return Err(StreamFault::DataBeforeHead),
            Receiving::Nothing => return Err(StreamFault::Ended),
        };
        if !stream.receive_window.take(frame.len) {
            return Err(StreamFault::FlowControl);
        }
        stream.receiving = Receiving::Body(left.take(bytes, end)?);
        Ok(true)
    }

    /// As much of a payload as there is.
    pub(super) fn payload(
        &mut self,
        mut payload: Payload,
        rest: &[u8],
        at: &mut usize,
        out: &mut Vec<u8>,
    ) -> Progress {
        let start = *at;
        let taken = payload.bytes.min(rest.len());
        payload.bytes -= taken;
        let padding = if payload.bytes == 0 { payload.padding.min(rest.len() - taken) } else { 0 };
        payload.padding -= padding;
        *at += taken + padding;
        let is_complete = payload.bytes == 0 && payload.padding == 0;
        self.stage = if is_complete { Stage::Frames } else { Stage::Payload(payload) };
        let stream = payload.stream.filter(|id| self.streams.get(*id).is_some());
        let Some(stream) = stream else {
            if payload.stream.is_some() {
                // The stream was reset while its payload was on the way.
                self.give_back(0, taken, out);
            }
            return if is_complete { Progress::Done(None) } else { Progress::NeedMore };
        };
        let end = payload.end && is_complete;
        if end {
            self.end_receiving(stream);
        }
        match (taken > 0 || end, is_complete) {
            (true, _) => Progress::Done(Some(Event::Data { stream, range: start..start + taken, end })),
            (false, true) => Progress::Done(None),
            (false, false) => Progress::NeedMore,
        }
    }

    /// Gives `bytes` of received payload back to the peer's windows. Also for a stream that is over.
    pub fn consumed(&mut self, stream: StreamId, bytes: usize, out: &mut Vec<u8>) {
        let before = out.len();
        self.give_back(stream, bytes, out);
        self.unsent.written(out.len() - before);
    }

    /// As [`Self::consumed`], to the connection's window only: whoever lets one slow stream wait must not let all wait. The
    /// stream's part follows with [`Self::consumed_by_stream`].
    pub fn consumed_by_connection(&mut self, bytes: usize, out: &mut Vec<u8>) {
        self.consumed(0, bytes, out);
    }

    /// As [`Self::consumed`], to the stream's window only.
    pub fn consumed_by_stream(&mut self, stream: StreamId, bytes: usize, out: &mut Vec<u8>) {
        let before = out.len();
        self.open_stream_window(stream, bytes, out);
        self.unsent.written(out.len() - before);
    }

    /// The same; `stream` 0 is for payload that no stream has counted.
    fn give_back(&mut self, stream: StreamId, bytes: usize, out: &mut Vec<u8>) {
        if bytes == 0 {
            return;
        }
        if let Some(increment) = self.receive_window.give_back(bytes) {
            write::window_update(0, increment, out);
            self.unsent.frames(1);
        }
        self.open_stream_window(stream, bytes, out);
    }

    fn open_stream_window(&mut self, stream: StreamId, bytes: usize, out: &mut Vec<u8>) {
        let receiving = self.streams.get_mut(stream).filter(|stream| stream.receiving != Receiving::Nothing);
        if let Some(increment) = receiving.and_then(|stream| stream.receive_window.give_back(bytes)) {
            write::window_update(stream, increment, out);
            self.unsent.frames(1);
        }
    }
}

/// The bytes before the payload (the padding's length) and the padding behind it; `None` if that byte has not come.
#[inline]
fn padding(frame: &FrameHead, rest: &[u8]) -> Result<Option<(usize, usize)>, ConnectionError> {
    if !frame.has(flag::PADDED) {
        return Ok(Some((0, 0)));
    }
    if frame.len == 0 {
        return Err(ConnectionError::FrameSize);
    }
    Ok(rest.get(HEAD_LEN).map(|len| (1, usize::from(*len))))
}
