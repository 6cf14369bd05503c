//! The chunked coding (RFC 9112 7.1).
//!
//! ```text
//!          ┌──────────────────────── CR LF ◄─────────────────────┐
//!          ▼                                                     │
//!    Size ─┬─ CR ──► SizeLf ─ LF, size > 0 ──► Data ─ all read ──► DataCr ──► DataLf
//!          └─ ';' ─► Extension ─ CR ──┘  └── LF, size = 0 ──► Trailers ──► Done
//!          └─ white space, ';' ──► Extension
//! ```
//!
//! Sizes are hexadecimal digits and nothing else: no sign, no `0x`, no white space but before the semicolon of an
//! extension, where RFC 9112 7.1.1 wants it to be read. Extensions are discarded, since they concern one hop only, and
//! may hold no control character: a lone CR or LF there ends the line for some parsers (CVE-2025-55315).

use super::body::take;
use super::fields::{FieldLine, field_line};
use super::{BodyEvent, DecodeError, Limits, chars};

/// Chunk framing that costs nothing: a size line and two line ends.
const FREE_BYTES: u64 = 16;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ChunkDecoder {
    phase: Phase,
    /// Bytes of the size line so far.
    line_bytes: u64,
    /// Framing bytes that payload does not yet make up for.
    overhead: u64,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Size {
        value: u64,
        digits: u8,
    },
    /// White space behind the size, which only an extension may follow.
    BeforeExtension {
        size: u64,
    },
    Extension {
        size: u64,
    },
    SizeLf {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    Trailers,
    Done,
}

impl Default for Phase {
    fn default() -> Self {
        Self::Size { value: 0, digits: 0 }
    }
}

impl ChunkDecoder {
    pub(crate) fn next(
        &mut self,
        buf: &[u8],
        at: &mut usize,
        limits: &Limits,
    ) -> Result<BodyEvent, DecodeError> {
        loop {
            match self.phase {
                Phase::Data { left } => {
                    let event = take(buf, at, left);
                    if let BodyEvent::Data(range) = &event {
                        self.phase = match left - range.len() as u64 {
                            0 => Phase::DataCr,
                            left => Phase::Data { left },
                        };
                    }
                    return Ok(event);
                }
                Phase::Trailers => return self.trailers(buf, at, limits),
                Phase::Done => return Ok(BodyEvent::End),
                Phase::Size { .. }
                | Phase::BeforeExtension { .. }
                | Phase::Extension { .. }
                | Phase::SizeLf { .. }
                | Phase::DataCr
                | Phase::DataLf => {
                    let Some(byte) = buf.get(*at) else { return Ok(BodyEvent::NeedMore) };
                    self.framing_byte(*byte, *at, limits)?;
                    *at += 1;
                }
            }
        }
    }

    fn framing_byte(&mut self, byte: u8, at: usize, limits: &Limits) -> Result<(), DecodeError> {
        self.line_bytes += 1;
        self.phase = match (self.phase, byte) {
            (Phase::Size { value, digits }, _) => size_byte(value, digits, byte, at)?,
            (Phase::BeforeExtension { size }, b';') => Phase::Extension { size },
            (Phase::BeforeExtension { size }, b' ' | b'\t') => {
                self.check_overhead(limits)?;
                Phase::BeforeExtension { size }
            }
            (Phase::BeforeExtension { .. }, _) => return Err(DecodeError::InvalidChunkSize { at }),
            (Phase::Extension { size }, b'\r') => Phase::SizeLf { size },
            (Phase::Extension { size }, byte) if chars::is_field_value(byte) => {
                self.check_overhead(limits)?;
                Phase::Extension { size }
            }
            (Phase::Extension { .. }, _) => return Err(DecodeError::InvalidChunkExtension { at }),
            (Phase::SizeLf { size }, b'\n') => self.chunk_begins(size),
            (Phase::SizeLf { .. }, _) => return Err(DecodeError::InvalidLineEnding { at }),
            (Phase::DataCr, b'\r') => Phase::DataLf,
            (Phase::DataLf, b'\n') => Phase::default(),
            (Phase::DataCr | Phase::DataLf, _) => return Err(DecodeError::InvalidChunkEnd { at }),
            (phase @ (Phase::Data { .. } | Phase::Trailers | Phase::Done), _) => phase,
        };
        Ok(())
    }

    /// Settles the account of the size line that just ended.
    fn chunk_begins(&mut self, size: u64) -> Phase {
        let earned = FREE_BYTES.saturating_add(size.saturating_mul(2));
        self.overhead = (self.overhead + self.line_bytes).saturating_sub(earned);
        self.line_bytes = 0;
        match size {
            0 => Phase::Trailers,
            left => Phase::Data { left },
        }
    }

    fn check_overhead(&self, limits: &Limits) -> Result<(), DecodeError> {
        match self.overhead + self.line_bytes > u64::from(limits.chunk_overhead_bytes) {
            true => Err(DecodeError::ChunkOverhead { limit: limits.chunk_overhead_bytes }),
            false => Ok(()),
        }
    }

    /// The section is taken as a whole, so that its lines can be handed out as one range.
    fn trailers(&mut self, buf: &[u8], at: &mut usize, limits: &Limits) -> Result<BodyEvent, DecodeError> {
        let start = *at;
        let limit = start + limits.trailer_bytes as usize;
        let window = buf.get(..limit).unwrap_or(buf);
        let mut line = start;
        loop {
            match field_line(window, line)? {
                FieldLine::Field { next, .. } => line = next,
                FieldLine::Partial if window.len() == limit => {
                    return Err(DecodeError::TrailersTooLarge { limit: limits.trailer_bytes });
                }
                FieldLine::Partial => return Ok(BodyEvent::NeedMore),
                FieldLine::End { next } => {
                    *at = next;
                    self.phase = Phase::Done;
                    return Ok(if line == start { BodyEvent::End } else { BodyEvent::Trailers(start..line) });
                }
            }
        }
    }
}

fn size_byte(value: u64, digits: u8, byte: u8, at: usize) -> Result<Phase, DecodeError> {
    let digit = match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        b'\r' if digits > 0 => return Ok(Phase::SizeLf { size: value }),
        b';' if digits > 0 => return Ok(Phase::Extension { size: value }),
        b' ' | b'\t' if digits > 0 => return Ok(Phase::BeforeExtension { size: value }),
        _ => return Err(DecodeError::InvalidChunkSize { at }),
    };
    let value = value << 4 | u64::from(digit);
    match digits >= 16 || value > i64::MAX as u64 {
        true => Err(DecodeError::ChunkTooLarge),
        false => Ok(Phase::Size { value, digits: digits + 1 }),
    }
}
