//! The frames that carry no message.

use super::{Connection, Stage};
use crate::http2::frame::{FrameHead, flag, u31, write};
use crate::http2::stream::Closed;
use crate::http2::{ConnectionError, ErrorCode, Event, ResetBy, Role, StreamFault, StreamId};

type Told = Result<Option<Event>, ConnectionError>;

impl Connection {
    pub(super) fn settings(&mut self, frame: &FrameHead, payload: &[u8], out: &mut Vec<u8>) -> Told {
        if frame.stream != 0 {
            return Err(ConnectionError::WrongStream);
        }
        self.guards.control_frame(&self.config)?;
        if frame.has(flag::ACK) {
            return self.settings_acknowledged(payload);
        }
        let updated = self.peer.updated(payload, self.role)?;
        self.stage = Stage::Frames;
        let change = i64::from(updated.initial_window_size) - i64::from(self.peer.initial_window_size);
        self.peer = updated;
        if change != 0 {
            self.change_send_windows(change)?;
        }
        self.encoder.set_peer_limit(updated.header_table_size as usize);
        write::settings_ack(out);
        self.unsent.control_frame();
        Ok(Some(Event::Settings))
    }

    fn settings_acknowledged(&mut self, payload: &[u8]) -> Told {
        if !payload.is_empty() {
            return Err(ConnectionError::FrameSize);
        }
        self.unacknowledged =
            self.unacknowledged.checked_sub(1).ok_or(ConnectionError::UnexpectedSettingsAck)?;
        self.decoder.limit_accepted(self.config.hpack_table_size as usize);
        let window = self.config.initial_stream_window_size;
        if window < self.stream_window {
            self.stream_window = window;
            self.streams.iter_mut().for_each(|stream| stream.receive_window.resize(window));
        }
        Ok(None)
    }

    /// The peer's SETTINGS_INITIAL_WINDOW_SIZE has changed, and with it the window of each stream (RFC 9113 6.9.2).
    fn change_send_windows(&mut self, by: i64) -> Result<(), ConnectionError> {
        let mut unblocked = false;
        for stream in self.streams.iter_mut() {
            if !stream.send_window.change(by) {
                return Err(ConnectionError::InvalidWindowSetting);
            }
            unblocked |= stream.send_window.unblocks();
        }
        if unblocked {
            self.pending = Some(Event::WindowOpened { stream: 0 });
        }
        Ok(())
    }

    pub(super) fn answer_ping(&mut self, frame: &FrameHead, payload: &[u8], out: &mut Vec<u8>) -> Told {
        if frame.stream != 0 {
            return Err(ConnectionError::WrongStream);
        }
        let payload: [u8; 8] = payload.try_into().map_err(|_| ConnectionError::FrameSize)?;
        self.guards.control_frame(&self.config)?;
        if frame.has(flag::ACK) {
            return Ok(Some(Event::Pong { payload }));
        }
        write::ping(flag::ACK, payload, out);
        self.unsent.control_frame();
        Ok(None)
    }

    pub(super) fn rst_stream(&mut self, frame: &FrameHead, payload: &[u8]) -> Told {
        let code: [u8; 4] = payload.try_into().map_err(|_| ConnectionError::FrameSize)?;
        self.check_not_idle(frame.stream)?;
        if !self.streams.close(frame.stream, Closed::Otherwise) {
            self.guards.control_frame(&self.config)?;
            return Ok(None);
        }
        let code = ErrorCode(u32::from_be_bytes(code));
        self.counters.rx_reset += 1;
        self.premature_end()?;
        Ok(Some(Event::Reset { stream: frame.stream, code, by: ResetBy::Peer }))
    }

    pub(super) fn goaway_received(&mut self, frame: &FrameHead, payload: &[u8]) -> Told {
        if frame.stream != 0 {
            return Err(ConnectionError::WrongStream);
        }
        let [a, b, c, d, code @ ..] = payload.first_chunk::<8>().ok_or(ConnectionError::FrameSize)?;
        self.guards.control_frame(&self.config)?;
        let last = u31([*a, *b, *c, *d]);
        // It may only go down (RFC 9113 6.8); one that does not cannot bring back what was given up.
        let last = self.goaway_received.map_or(last, |before| before.min(last));
        self.goaway_received = Some(last);
        if self.role == Role::Client {
            self.streams.forget_above(last);
        }
        Ok(Some(Event::Goaway { last, code: ErrorCode(u32::from_be_bytes(*code)) }))
    }

    pub(super) fn window_update(&mut self, frame: &FrameHead, payload: &[u8], out: &mut Vec<u8>) -> Told {
        let increment = u31(payload.try_into().map_err(|_| ConnectionError::FrameSize)?);
        self.guards.window_update(&self.config)?;
        if frame.stream == 0 {
            return self.connection_window_update(increment);
        }
        self.check_not_idle(frame.stream)?;
        let Some(stream) = self.streams.get_mut(frame.stream) else { return Ok(None) };
        if increment == 0 {
            return self.fault(frame.stream, StreamFault::ZeroWindowIncrement, out);
        }
        if !stream.send_window.change(i64::from(increment)) {
            return self.fault(frame.stream, StreamFault::FlowControl, out);
        }
        let unblocked = stream.send_window.unblocks();
        Ok(unblocked.then_some(Event::WindowOpened { stream: frame.stream }))
    }

    fn connection_window_update(&mut self, increment: u32) -> Told {
        if increment == 0 {
            return Err(ConnectionError::ZeroWindowIncrement);
        }
        if !self.send_window.change(i64::from(increment)) {
            return Err(ConnectionError::FlowControl);
        }
        Ok(self.send_window.unblocks().then_some(Event::WindowOpened { stream: 0 }))
    }

    /// Priorities are gone from HTTP/2 (RFC 9113 5.3); what is left is their form.
    pub(super) fn priority(&mut self, frame: &FrameHead, payload: &[u8], out: &mut Vec<u8>) -> Told {
        if frame.stream == 0 {
            return Err(ConnectionError::WrongStream);
        }
        self.guards.priority_frame(&self.config)?;
        let fault = match payload.first_chunk::<4>().map(|bytes| u31(*bytes)) {
            _ if payload.len() != 5 => StreamFault::FrameSize,
            Some(dependency) if dependency == frame.stream => StreamFault::SelfDependency,
            _ => return Ok(None),
        };
        if self.streams.get(frame.stream).is_some() {
            return self.fault(frame.stream, fault, out);
        }
        // RST_STREAM cannot be sent on a stream that is not open.
        Err(if fault == StreamFault::FrameSize {
            ConnectionError::FrameSize
        } else {
            ConnectionError::SelfDependency
        })
    }

    fn check_not_idle(&self, stream: StreamId) -> Result<(), ConnectionError> {
        match stream {
            0 => Err(ConnectionError::WrongStream),
            _ if self.is_idle(stream) => Err(ConnectionError::IdleStream),
            _ => Ok(()),
        }
    }
}
