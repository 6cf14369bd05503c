//! Bodies: which of the bytes that follow a head are payload.

use std::ops::Range;

use super::chunked::ChunkDecoder;
use super::{BodyLength, DecodeError, Limits};

/// What a [`BodyDecoder`] found. Ranges are places in the `buf` of that call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyEvent {
    /// Payload; never empty.
    Data(Range<usize>),
    /// The field lines of a trailer section, well-formed; read them with [`super::TrailerFields`]. At most once, just
    /// before `End`, and not at all when there are none.
    Trailers(Range<usize>),
    /// The body is complete. What follows in `buf` is not part of this message.
    End,
    /// Everything before the cursor is used up. Come back with more bytes; those behind the cursor, if any, must be
    /// presented again in front of them (they are an unfinished trailer section, at most `Limits::trailer_bytes`).
    NeedMore,
}

/// Finds the payload of one body, whatever its framing.
#[derive(Clone, Copy, Debug)]
pub struct BodyDecoder {
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Length(u64),
    UntilClose,
    Chunked(ChunkDecoder),
    Done,
}

impl BodyDecoder {
    #[must_use]
    pub fn new(length: BodyLength) -> Self {
        let state = match length {
            BodyLength::None | BodyLength::Length(0) => State::Done,
            BodyLength::Length(length) => State::Length(length),
            BodyLength::Chunked => State::Chunked(ChunkDecoder::default()),
            BodyLength::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    /// The next event in `buf` from `*at` on; moves `*at` behind it. Call until `NeedMore` or `End`.
    pub fn next(&mut self, buf: &[u8], at: &mut usize, limits: &Limits) -> Result<BodyEvent, DecodeError> {
        match &mut self.state {
            State::Done => Ok(BodyEvent::End),
            State::UntilClose => Ok(take(buf, at, u64::MAX)),
            State::Length(left) => {
                let event = take(buf, at, *left);
                if let BodyEvent::Data(range) = &event {
                    *left -= range.len() as u64;
                    if *left == 0 {
                        self.state = State::Done;
                    }
                }
                Ok(event)
            }
            State::Chunked(decoder) => {
                let event = decoder.next(buf, at, limits)?;
                if event == BodyEvent::End {
                    self.state = State::Done;
                }
                Ok(event)
            }
        }
    }

    /// Whether the body has ended. For a Content-Length this is known with the last payload byte, before `End` is asked
    /// for.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Payload bytes still to come, where that is known: what may be spliced without looking at it.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            State::UntilClose | State::Chunked(_) => None,
        }
    }

    /// Notes that `bytes` of the remaining payload went another way (`splice`).
    pub fn skip(&mut self, bytes: u64) {
        if let State::Length(left) = &mut self.state {
            *left = left.saturating_sub(bytes);
            if *left == 0 {
                self.state = State::Done;
            }
        }
    }

    /// The connection ended. An error unless that is how this body ends, or it had ended already: then the peer must
    /// see a truncated message, never a complete one (RFC 9112 8).
    pub fn end_of_input(&mut self) -> Result<(), DecodeError> {
        match self.state {
            State::Done | State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Length(_) | State::Chunked(_) => Err(DecodeError::Truncated),
        }
    }
}

/// Up to `most` bytes of payload from `*at` on.
pub(crate) fn take(buf: &[u8], at: &mut usize, most: u64) -> BodyEvent {
    let start = *at;
    let here = buf.len().saturating_sub(start);
    let len = usize::try_from(most).unwrap_or(usize::MAX).min(here);
    if len == 0 {
        return BodyEvent::NeedMore;
    }
    *at = start + len;
    BodyEvent::Data(start..*at)
}
