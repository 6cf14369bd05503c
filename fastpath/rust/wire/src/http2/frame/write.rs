//! Writing frames.

use super::{HEAD_LEN, MAX_PAYLOAD, flag, kind};
use crate::http2::{ErrorCode, StreamId};

/// A frame's head. `len` is below 2^24, which all of ours are.
#[inline]
pub(in crate::http2) fn head(len: usize, kind: u8, flags: u8, stream: StreamId, out: &mut Vec<u8>) {
    out.extend_from_slice(&head_bytes(len, kind, flags, stream));
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "bytes of a number below 2^24")]
fn head_bytes(len: usize, kind: u8, flags: u8, stream: StreamId) -> [u8; HEAD_LEN] {
    let [a, b, c, d] = stream.to_be_bytes();
    [(len >> 16) as u8, (len >> 8) as u8, len as u8, kind, flags, a, b, c, d]
}

pub(in crate::http2) fn settings(values: impl Iterator<Item = (u16, u32)> + Clone, out: &mut Vec<u8>) {
    head(6 * values.clone().count(), kind::SETTINGS, 0, 0, out);
    for (id, value) in values {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub(in crate::http2) fn settings_ack(out: &mut Vec<u8>) {
    head(0, kind::SETTINGS, flag::ACK, 0, out);
}

pub(in crate::http2) fn ping(flags: u8, payload: [u8; 8], out: &mut Vec<u8>) {
    head(8, kind::PING, flags, 0, out);
    out.extend_from_slice(&payload);
}

pub(in crate::http2) fn rst_stream(stream: StreamId, code: ErrorCode, out: &mut Vec<u8>) {
    head(4, kind::RST_STREAM, 0, stream, out);
    out.extend_from_slice(&code.0.to_be_bytes());
}

pub(in crate::http2) fn goaway(last: StreamId, code: ErrorCode, out: &mut Vec<u8>) {
    head(8, kind::GOAWAY, 0, 0, out);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.0.to_be_bytes());
}

pub(in crate::http2) fn window_update(stream: StreamId, increment: u32, out: &mut Vec<u8>) {
    head(4, kind::WINDOW_UPDATE, 0, stream, out);
    out.extend_from_slice(&increment.to_be_bytes());
}

/// Turns the field block that stands in `out` from `start + HEAD_LEN` on into HEADERS, and CONTINUATION if it is larger
/// than a frame may be. Gives the number of frames.
pub(in crate::http2) fn field_block(start: usize, stream: StreamId, end: bool, out: &mut Vec<u8>) -> u32 {
    let end_stream = if end { flag::END_STREAM } else { 0 };
    let len = out.len().saturating_sub(start + HEAD_LEN);
    if len <= MAX_PAYLOAD {
        patch(start, head_bytes(len, kind::HEADERS, end_stream | flag::END_HEADERS, stream), out);
        return 1;
    }
    patch(start, head_bytes(MAX_PAYLOAD, kind::HEADERS, end_stream, stream), out);
    let rest = out.split_off(start + HEAD_LEN + MAX_PAYLOAD);
    let mut left = rest.chunks(MAX_PAYLOAD).peekable();
    let mut frames = 1;
    while let Some(piece) = left.next() {
        let flags = if left.peek().is_none() { flag::END_HEADERS } else { 0 };
        head(piece.len(), kind::CONTINUATION, flags, stream, out);
        out.extend_from_slice(piece);
        frames += 1;
    }
    frames
}

#[inline]
fn patch(start: usize, bytes: [u8; HEAD_LEN], out: &mut [u8]) {
    if let Some(place) = out.get_mut(start..start + HEAD_LEN) {
        place.copy_from_slice(&bytes);
    }
}
