//! What a peer may do only so often. Each frame that costs us work without carrying a message is counted somewhere
//! here; the counts follow Envoy's, whose names they have in [`Config`].

use super::{Config, ConnectionError};

/// The stretch of time that resets and control frames are counted over, in milliseconds.
const PERIOD_MS: u64 = 10_000;

#[derive(Debug, Default)]
pub(super) struct Guards {
    period_start: Option<u64>,
    /// Streams opened and reset within the period.
    opened: u32,
    resets: u32,
    /// Frames without a message since the last one with, within the period.
    control_frames: u32,
    empty_frames: u32,
    priority_frames: u64,
    window_updates: u64,
    /// Over the whole connection.
    streams_opened: u64,
    data_frames_sent: u64,
}

impl Guards {
    pub(super) fn note_time(&mut self, now_ms: u64) {
        let start = *self.period_start.get_or_insert(now_ms);
        if now_ms.saturating_sub(start) >= PERIOD_MS {
            self.period_start = Some(now_ms);
            (self.opened, self.resets, self.control_frames) = (0, 0, 0);
        }
    }

    /// A stream was opened, by either side.
    pub(super) fn stream_opened(&mut self) {
        self.opened = self.opened.saturating_add(1);
        self.streams_opened += 1;
        self.control_frames = 0;
    }

    /// A stream ended before its time, by the peer's will or fault: it had us begin work in vain (CVE-2023-44487,
    /// CVE-2025-8671). Many such are an attack when they are most of what the peer does.
    pub(super) fn stream_reset(&mut self, config: &Config) -> Result<(), ConnectionError> {
        self.resets = self.resets.saturating_add(1);
        let are_most = self.resets.saturating_mul(2) > self.opened;
        match self.resets > config.max_premature_resets && are_most {
            true => Err(ConnectionError::ResetFlood),
            false => Ok(()),
        }
    }

    /// SETTINGS, PING, or a frame that means nothing here.
    pub(super) fn control_frame(&mut self, config: &Config) -> Result<(), ConnectionError> {
        self.control_frames = self.control_frames.saturating_add(1);
        match self.control_frames > config.max_inbound_control_frames {
            true => Err(ConnectionError::ControlFlood),
            false => Ok(()),
        }
    }

    /// A field block of so many bytes on a stream that is over. Its fields are decoded all the same, so a long one counts
    /// as several.
    pub(super) fn late_block(&mut self, bytes: usize, config: &Config) -> Result<(), ConnectionError> {
        const BYTES_PER_FRAME: usize = 256;
        let more = u32::try_from(bytes / BYTES_PER_FRAME).unwrap_or(u32::MAX);
        self.control_frames = self.control_frames.saturating_add(more);
        self.control_frame(config)
    }

    /// HEADERS, CONTINUATION or DATA. `is_empty`: neither payload nor the end of the stream.
    #[inline]
    pub(super) fn message_frame(&mut self, is_empty: bool, config: &Config) -> Result<(), ConnectionError> {
        if !is_empty {
            self.empty_frames = 0;
            return Ok(());
        }
        self.empty_frames += 1;
        match self.empty_frames > config.max_consecutive_inbound_frames_with_empty_payload {
            true => Err(ConnectionError::EmptyFrameFlood),
            false => Ok(()),
        }
    }

    /// Payload was exchanged, so control frames have a reason.
    #[inline]
    pub(super) fn payload_received(&mut self) {
        self.control_frames = 0;
    }

    #[inline]
    pub(super) fn data_frames_sent(&mut self, frames: u64) {
        self.data_frames_sent += frames;
        self.control_frames = 0;
    }

    pub(super) fn priority_frame(&mut self, config: &Config) -> Result<(), ConnectionError> {
        self.priority_frames += 1;
        let allowed = u64::from(config.max_inbound_priority_frames_per_stream);
        match self.priority_frames > allowed.saturating_mul(1 + self.streams_opened) {
            true => Err(ConnectionError::PriorityFlood),
            false => Ok(()),
        }
    }

    pub(super) fn window_update(&mut self, config: &Config) -> Result<(), ConnectionError> {
        self.window_updates += 1;
        let by_data = u64::from(config.max_inbound_window_update_frames_per_data_frame_sent)
            .saturating_mul(self.data_frames_sent);
        match self.window_updates > by_data.saturating_add(self.streams_opened).saturating_mul(2) + 5 {
            true => Err(ConnectionError::WindowUpdateFlood),
            false => Ok(()),
        }
    }
}

/// Frames that were written and that the network has not taken.
///
/// Their places are not kept, only two counts: of the frames before a mark in the stream of bytes and of those behind
/// it. When the network has passed the mark, the first are gone and a new mark is set. So the count may be too high,
/// never too low.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    /// Bytes written over the whole connection.
    written: u64,
    mark: u64,
    before: Frames,
    behind: Frames,
}

#[derive(Clone, Copy, Debug, Default)]
struct Frames {
    all: u32,
    control: u32,
}

impl Unsent {
    #[inline]
    pub(super) fn written(&mut self, bytes: usize) {
        self.written += bytes as u64;
    }

    #[inline]
    pub(super) fn frames(&mut self, count: u32) {
        self.behind.all = self.behind.all.saturating_add(count);
    }

    #[inline]
    pub(super) fn control_frame(&mut self) {
        self.frames(1);
        self.behind.control = self.behind.control.saturating_add(1);
    }

    pub(super) fn note(&mut self, unsent: usize) {
        let sent = self.written.saturating_sub(unsent as u64);
        if unsent == 0 {
            (self.before, self.behind) = (Frames::default(), Frames::default());
            self.mark = sent;
        } else if sent >= self.mark {
            self.before = std::mem::take(&mut self.behind);
            self.mark = self.written;
        }
    }

    #[inline]
    pub(super) fn check(&self, config: &Config) -> Result<(), ConnectionError> {
        let control = self.before.control.saturating_add(self.behind.control);
        if control > config.max_outbound_control_frames {
            return Err(ConnectionError::OutboundControlFlood);
        }
        if self.before.all.saturating_add(self.behind.all) > config.max_outbound_frames {
            return Err(ConnectionError::OutboundFlood);
        }
        Ok(())
    }
}
