//! Gathers what belongs to one message, so that it leaves in one send.

use crate::transport::{Transport, TransportError};

/// Payload from this size on is sent from where it lies instead of being copied.
const COPY_BELOW: usize = 8 * 1024;
/// What is gathered leaves at this size.
const FLUSH_AT: usize = 32 * 1024;

/// Bytes that go to one connection when the present event has been dealt with. The storage is the worker's, for
/// whichever connection is being worked on.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) bytes: Vec<u8>,
}

impl Outbox {
    /// Adds payload; large pieces are sent at once, behind what was gathered before.
    pub(crate) fn payload(&mut self, io: &mut Transport, data: &[u8]) -> Result<(), TransportError> {
        if data.len() < COPY_BELOW {
            self.bytes.extend_from_slice(data);
            return if self.bytes.len() >= FLUSH_AT { self.flush(io) } else { Ok(()) };
        }
        let sent = io.send(&[&self.bytes, data]);
        self.bytes.clear();
        sent
    }

    /// Is enough gathered to leave at once?
    pub(crate) fn is_large(&self) -> bool {
        self.bytes.len() >= FLUSH_AT
    }

    /// Sends what was gathered.
    pub(crate) fn flush(&mut self, io: &mut Transport) -> Result<(), TransportError> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let sent = io.send(&[&self.bytes]);
        self.bytes.clear();
        sent
    }
}
