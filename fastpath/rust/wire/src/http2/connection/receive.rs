//! Reading: bytes to frames, frames to what they concern.

use super::{Connection, Stage};
use crate::http2::frame::{FrameHead, HEAD_LEN, MAX_PAYLOAD, flag, kind};
use crate::http2::{ConnectionError, Event, Head, PREFACE};

impl Connection {
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
        let before = out.len();
        let result = self.advance(data, at, head, out);
        if let Err(error) = result {
            self.fail(error, out);
        }
        self.unsent.written(out.len() - before);
        result
    }

    fn advance(
        &mut self,
        data: &[u8],
        at: &mut usize,
        head: &mut Head,
        out: &mut Vec<u8>,
    ) -> Result<Event, ConnectionError> {
        if let Some(event) = self.pending.take() {
            return Ok(event);
        }
        loop {
            self.unsent.check(&self.config)?;
            let rest = data.get(*at..).unwrap_or_default();
            let event = match self.stage {
                Stage::Over => return Ok(Event::NeedMore),
                Stage::Preface => match preface(rest)? {
                    Some(len) => {
                        *at += len;
                        self.stage = Stage::Settings;
                        continue;
                    }
                    None => return Ok(Event::NeedMore),
                },
                Stage::Payload(payload) => match self.payload(payload, rest, at, out) {
                    Progress::NeedMore => return Ok(Event::NeedMore),
                    Progress::Done(event) => event,
                },
                Stage::Settings | Stage::Frames => match self.frame(rest, at, head, out)? {
                    Progress::NeedMore => return Ok(Event::NeedMore),
                    Progress::Done(event) => event,
                },
            };
            if let Some(event) = event {
                return Ok(event);
            }
        }
    }

    /// The frame that begins at `rest`.
    fn frame(
        &mut self,
        rest: &[u8],
        at: &mut usize,
        head: &mut Head,
        out: &mut Vec<u8>,
    ) -> Result<Progress, ConnectionError> {
        let Some(frame) = FrameHead::parse(rest) else { return Ok(Progress::NeedMore) };
        self.check_order(&frame)?;
        if frame.kind == kind::DATA {
            return self.data(&frame, rest, at, out);
        }
        let Some(payload) = rest.get(HEAD_LEN..HEAD_LEN + frame.len) else { return Ok(Progress::NeedMore) };
        *at += HEAD_LEN + frame.len;
        let event = match frame.kind {
            kind::HEADERS => self.headers(&frame, payload, head, out)?,
            kind::CONTINUATION => self.continuation(&frame, payload, head, out)?,
            kind::PRIORITY => self.priority(&frame, payload, out)?,
            kind::RST_STREAM => self.rst_stream(&frame, payload)?,
            kind::SETTINGS => self.settings(&frame, payload, out)?,
            kind::PUSH_PROMISE => return Err(ConnectionError::UnexpectedPush),
            kind::PING => self.answer_ping(&frame, payload, out)?,
            kind::GOAWAY => self.goaway_received(&frame, payload)?,
            kind::WINDOW_UPDATE => self.window_update(&frame, payload, out)?,
            _ => {
                self.counters.unknown_frames += 1;
                self.guards.control_frame(&self.config)?;
                None
            }
        };
        Ok(Progress::Done(event))
    }

    /// What can be said of a frame by its head, and of the place that it is in.
    #[inline]
    fn check_order(&self, frame: &FrameHead) -> Result<(), ConnectionError> {
        if let Some(stream) = self.block.open_stream()
            && (frame.kind != kind::CONTINUATION || frame.stream != stream)
        {
            return Err(ConnectionError::InvalidContinuation);
        }
        let is_first = matches!(self.stage, Stage::Settings);
        if is_first && (frame.kind != kind::SETTINGS || frame.has(flag::ACK)) {
            return Err(ConnectionError::SettingsMissing);
        }
        if frame.len > MAX_PAYLOAD {
            return Err(ConnectionError::FrameSize);
        }
        Ok(())
    }
}

/// How far the input went.
pub(super) enum Progress {
    NeedMore,
    /// A frame, or a piece of one, is dealt with.
    Done(Option<Event>),
}

/// The length of the preface if all of it is there. It is refused with its first wrong byte.
fn preface(bytes: &[u8]) -> Result<Option<usize>, ConnectionError> {
    let len = bytes.len().min(PREFACE.len());
    match bytes.get(..len) == PREFACE.get(..len) {
        true => Ok((len == PREFACE.len()).then_some(len)),
        false => Err(ConnectionError::InvalidPreface),
    }
}
