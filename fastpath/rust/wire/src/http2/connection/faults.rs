//! Ending a stream or the connection for what the peer did.

use super::{Connection, Stage};
use crate::http2::frame::write;
use crate::http2::stream::Closed;
use crate::http2::{ConnectionError, Event, ResetBy, Role, StreamFault, StreamId};

impl Connection {
    /// Resets a stream that the peer has used wrongly, whether it is in the table or not.
    pub(super) fn fault(
        &mut self,
        stream: StreamId,
        fault: StreamFault,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, ConnectionError> {
        if !self.streams.close(stream, Closed::ByUs) {
            self.streams.remember(stream, Closed::ByUs);
        }
        write::rst_stream(stream, fault.code(), out);
        self.unsent.control_frame();
        self.counters.tx_reset += 1;
        match fault {
            StreamFault::HeadTooLarge => self.counters.header_overflow += 1,
            StreamFault::Refused => self.counters.stream_refused_errors += 1,
            _ if fault.is_malformed() => self.counters.rx_messaging_error += 1,
            _ => {}
        }
        match fault {
            // More streams than we said is what a client may do that has not heard of our limit yet.
            StreamFault::Refused => self.guards.control_frame(&self.config)?,
            _ => self.premature_end()?,
        }
        Ok(Some(Event::Reset { stream, code: fault.code(), by: ResetBy::Fault(fault) }))
    }

    /// Counts a stream that ended before its time. To a client it happens: servers refuse, and fail.
    pub(super) fn premature_end(&mut self) -> Result<(), ConnectionError> {
        match self.role {
            Role::Server => self.guards.stream_reset(&self.config),
            Role::Client => self.guards.control_frame(&self.config),
        }
    }

    /// Ends the connection: counts, and writes GOAWAY.
    #[cold]
    pub(super) fn fail(&mut self, error: ConnectionError, out: &mut Vec<u8>) {
        self.stage = Stage::Over;
        let counter = match error {
            ConnectionError::FieldBlockTooLarge => &mut self.counters.header_overflow,
            ConnectionError::ContinuationFlood => &mut self.counters.too_many_header_frames,
            ConnectionError::EmptyFrameFlood => &mut self.counters.inbound_empty_frames_flood,
            ConnectionError::PriorityFlood => &mut self.counters.inbound_priority_frames_flood,
            ConnectionError::WindowUpdateFlood => &mut self.counters.inbound_window_update_frames_flood,
            ConnectionError::ControlFlood => &mut self.counters.inbound_control_frames_flood,
            ConnectionError::ResetFlood => &mut self.counters.too_many_resets,
            ConnectionError::OutboundFlood => &mut self.counters.outbound_flood,
            ConnectionError::OutboundControlFlood => &mut self.counters.outbound_control_flood,
            _ => &mut self.counters.rx_messaging_error,
        };
        *counter += 1;
        self.write_goaway(self.last_peer_stream, error.code(), out);
    }
}
