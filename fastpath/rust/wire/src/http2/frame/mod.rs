//! Frames (RFC 9113 4.1, 6).

pub(super) mod write;

use super::{ConnectionError, StreamId};

/// Bytes of a frame's head.
pub(super) const HEAD_LEN: usize = 9;

/// SETTINGS_MAX_FRAME_SIZE, ours always and the peer's at first. We send no larger ones: a frame is what another stream
/// has to wait for.
pub(super) const MAX_PAYLOAD: usize = 16_384;

pub(super) mod kind {
    pub(in crate::http2) const DATA: u8 = 0;
    pub(in crate::http2) const HEADERS: u8 = 1;
    pub(in crate::http2) const PRIORITY: u8 = 2;
    pub(in crate::http2) const RST_STREAM: u8 = 3;
    pub(in crate::http2) const SETTINGS: u8 = 4;
    pub(in crate::http2) const PUSH_PROMISE: u8 = 5;
    pub(in crate::http2) const PING: u8 = 6;
    pub(in crate::http2) const GOAWAY: u8 = 7;
    pub(in crate::http2) const WINDOW_UPDATE: u8 = 8;
    pub(in crate::http2) const CONTINUATION: u8 = 9;
}

pub(super) mod flag {
    pub(in crate::http2) const ACK: u8 = 0x1;
    pub(in crate::http2) const END_STREAM: u8 = 0x1;
    pub(in crate::http2) const END_HEADERS: u8 = 0x4;
    pub(in crate::http2) const PADDED: u8 = 0x8;
    pub(in crate::http2) const PRIORITY: u8 = 0x20;
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) len: usize,
    pub(super) kind: u8,
    flags: u8,
    pub(super) stream: StreamId,
}

impl FrameHead {
    /// The head at the start of `bytes`, if it is all there.
    #[inline]
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, stream @ ..] = bytes.first_chunk::<HEAD_LEN>()?;
        let len = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        Some(Self { len, kind: *kind, flags: *flags, stream: u31(*stream) })
    }

    #[inline]
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// What HEADERS carries: the fragment of its field block, and the stream that it says to depend on.
    pub(super) fn headers<'p>(
        &self,
        payload: &'p [u8],
    ) -> Result<(&'p [u8], Option<StreamId>), ConnectionError> {
        let mut rest = payload;
        let mut padding = 0;
        if self.has(flag::PADDED) {
            let (len, behind) = rest.split_first().ok_or(ConnectionError::FrameSize)?;
            (padding, rest) = (usize::from(*len), behind);
        }
        let mut dependency = None;
        if self.has(flag::PRIORITY) {
            let (priority, behind) = rest.split_first_chunk::<5>().ok_or(ConnectionError::FrameSize)?;
            (dependency, rest) = (priority.first_chunk().map(|bytes| u31(*bytes)), behind);
        }
        let len = rest.len().checked_sub(padding).ok_or(ConnectionError::InvalidPadding)?;
        Ok((rest.get(..len).unwrap_or_default(), dependency))
    }
}

/// A number of 31 bits; the highest bit is reserved and ignored.
#[inline]
pub(super) fn u31(bytes: [u8; 4]) -> u32 {
    u32::from_be_bytes(bytes) & 0x7fff_ffff
}
