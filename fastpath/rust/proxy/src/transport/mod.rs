//! A connected socket, plain or TLS: read what is there, send what can be sent, remember the rest.

mod buffers;
mod socket;

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub(crate) use buffers::Buffers;
use buffers::{READ_LEAST, RECORD};
pub(crate) use socket::{
    SocketError, connect, keep_alive, local_address, original_destination, peer_address, take_error,
};

use crate::reactor::Ready;
use crate::tls::{TlsError, TlsSession};

/// What one read gave.
#[derive(Debug)]
pub(crate) enum Read {
    /// So many bytes of plaintext at the front of [`Buffers::input`]. None: records of TLS alone have come, and there may
    /// be more.
    Data(usize),
    /// Nothing now; an event will come.
    Blocked,
    /// The peer has ended its side.
    End,
    /// The connection is of no use any more.
    Failed(TransportError),
}

/// Why a connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Tls(#[from] TlsError),
}

/// One connected socket. The descriptor is closed when this is dropped.
pub(crate) struct Transport {
    fd: OwnedFd,
    tls: Option<Box<TlsSession>>,
    /// Set by events, cleared by EAGAIN or a short read: edge-triggered epoll tells each change once.
    readable: bool,
    writable: bool,
    /// The peer's FIN or an error is known to wait behind what is still to be read.
    closing: bool,
    /// Our side ends once everything is sent.
    ending: bool,
    /// Bytes accepted but not sent, from `sent` on.
    pending: Vec<u8>,
    sent: usize,
    pub(crate) bytes_read: u64,
    pub(crate) bytes_written: u64,
}

impl Transport {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            tls: None,
            readable: false,
            writable: true,
            closing: false,
            ending: false,
            pending: Vec::new(),
            sent: 0,
            bytes_read: 0,
            bytes_written: 0,
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(crate) fn tls(&self) -> Option<&TlsSession> {
        self.tls.as_deref()
    }

    /// Everything from here on is TLS. Bytes read before belong in [`TlsSession::preload`].
    pub(crate) fn start_tls(&mut self, session: TlsSession) {
        self.tls = Some(Box::new(session));
    }

    /// As [`Self::start_tls`], as the client: the first flight goes out.
    pub(crate) fn start_client_tls(&mut self, mut session: TlsSession) -> Result<(), TransportError> {
        session.start(&mut self.pending)?;
        self.tls = Some(Box::new(session));
        Ok(self.flush()?)
    }

    /// Takes note of an event.
    pub(crate) fn ready(&mut self, ready: Ready) {
        self.readable |= ready.readable;
        self.writable |= ready.writable;
        self.closing |= ready.closing;
    }

    /// May a read give something? False right after a read that emptied the socket.
    pub(crate) fn readable(&self) -> bool {
        self.readable
    }

    /// The peer has closed or broken the connection; what it sent before may still wait to be read.
    pub(crate) fn closing(&self) -> bool {
        self.closing
    }

    /// After [`Read::End`]: did the peer mean it? With TLS anybody on the way can end the connection, but only the peer can
    /// say close_notify.
    pub(crate) fn ended_in_good_order(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.peer_closed())
    }

    /// Bytes accepted by [`Self::send`] that the kernel has not taken yet.
    pub(crate) fn unsent(&self) -> usize {
        self.pending.len().saturating_sub(self.sent)
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Reads once. With TLS, `Blocked` also means that no whole record has arrived.
    pub(crate) fn read(&mut self, buffers: &mut Buffers) -> Read {
        self.read_for(0, usize::MAX, buffers)
    }

    /// As [`Self::read`], towards a side that has `unsent` bytes of at most `limit` waiting: one that is slow gets no more
    /// than it has room for. One that keeps up gets all that one read gives: smaller reads cost a sixth more CPU in bulk.
    pub(crate) fn read_for(&mut self, unsent: usize, limit: usize, buffers: &mut Buffers) -> Read {
        let most = match unsent {
            0 => usize::MAX,
            _ => limit.saturating_sub(unsent).max(READ_LEAST),
        };
        match &mut self.tls {
            None => {
                let most = most.min(buffers.input.len());
                self.read_plain(buffers.input.get_mut(..most).unwrap_or_default())
            }
            Some(_) => self.read_tls(most, buffers),
        }
    }

    /// Reads once, and puts what has come behind what is held already.
    pub(crate) fn read_behind(&mut self, held: &mut Vec<u8>, buffers: &mut Buffers) -> Read {
        let read = self.read(buffers);
        if let Read::Data(n) = read {
            held.extend_from_slice(buffers.input.get(..n).unwrap_or_default());
        }
        read
    }

    fn read_plain(&mut self, into: &mut [u8]) -> Read {
        let room = into.len();
        let flags = rustix::net::RecvFlags::empty();
        match rustix::io::retry_on_intr(|| rustix::net::recv(&self.fd, &mut *into, flags)) {
            Ok((0, _)) => {
                self.readable = false;
                Read::End
            }
            Ok((n, _)) => {
                // A short read emptied the queue, and what comes later raises a new edge; but a FIN that had already
                // been announced raises none.
                if n < room && !self.closing {
                    self.readable = false;
                }
                self.bytes_read += n as u64;
                Read::Data(n)
            }
            Err(rustix::io::Errno::AGAIN) => {
                self.readable = false;
                Read::Blocked
            }
            Err(errno) => Read::Failed(TransportError::Io(errno.into())),
        }
    }

    fn read_tls(&mut self, most: usize, buffers: &mut Buffers) -> Read {
        for _ in 0..MOST_FRUITLESS {
            let Some(mut tls) = self.tls.take() else { return Read::End };
            if tls.peer_closed() {
                // Said together with the last data; nothing more counts (RFC 8446 6.1), and no event need come.
                self.readable = false;
                self.tls = Some(tls);
                return Read::End;
            }
            let outcome = match tls.preloaded(&mut buffers.cipher) {
                Some(held) => Ok(held),
                None => self.receive_cipher(&mut tls, most, buffers),
            };
            let result = outcome.and_then(|have| {
                let cipher = buffers.cipher.get_mut(..have).unwrap_or_default();
                tls.decrypt(cipher, &mut buffers.input, &mut self.pending).map_err(|e| Read::Failed(e.into()))
            });
            let ended = tls.peer_closed();
            self.tls = Some(tls);
            // Handshake flights and alerts go out before anything else happens.
            if let Err(error) = self.flush() {
                return Read::Failed(TransportError::Io(error));
            }
            match result {
                Ok(0) if ended => return Read::End,
                Ok(0) if self.readable => {}
                Ok(0) => return Read::Blocked,
                Ok(n) => {
                    self.readable |= ended;
                    return Read::Data(n);
                }
                Err(read) => return read,
            }
        }
        // Whoever floods us with session tickets is not to keep all others waiting.
        Read::Data(0)
    }

    /// Receives behind the ciphertext that `tls` holds, which goes to the front of the buffer once there is more of it;
    /// gives how many bytes lie there now.
    fn receive_cipher(
        &mut self,
        tls: &mut TlsSession,
        most: usize,
        buffers: &mut Buffers,
    ) -> Result<usize, Read> {
        // There is always room for the rest of a record; of a handshake message several may be held.
        let held = tls.held();
        let end = most.max(held).saturating_add(RECORD).min(buffers.cipher.len());
        let room = buffers.cipher.get_mut(held..end).unwrap_or_default();
        match self.read_plain(room) {
            Read::Data(n) => Ok(tls.restore(&mut buffers.cipher) + n),
            other => Err(other),
        }
    }

    /// Sends the parts as one message. What the kernel does not take now is kept and goes out by [`Self::flush`].
    pub(crate) fn send(&mut self, parts: &[&[u8]]) -> Result<(), TransportError> {
        if let Some(tls) = &mut self.tls {
            for part in parts.iter().filter(|part| !part.is_empty()) {
                tls.encrypt(part, &mut self.pending)?;
            }
            return Ok(self.flush()?);
        }
        if self.unsent() > 0 || !self.writable {
            for part in parts {
                self.pending.extend_from_slice(part);
            }
            return Ok(self.flush()?);
        }
        Ok(self.send_plain(parts)?)
    }

    fn send_plain(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let sent = match parts {
            [one] => rustix::net::send(&self.fd, one, rustix::net::SendFlags::NOSIGNAL),
            _ => self.send_vectored(parts),
        };
        let mut sent = match sent {
            Ok(n) => n,
            Err(rustix::io::Errno::AGAIN) => 0,
            Err(errno) => return Err(errno.into()),
        };
        self.bytes_written += sent as u64;
        if sent < total {
            self.writable = false;
            for part in parts {
                let skip = sent.min(part.len());
                sent -= skip;
                self.pending.extend_from_slice(part.get(skip..).unwrap_or_default());
            }
        }
        Ok(())
    }

    fn send_vectored(&self, parts: &[&[u8]]) -> rustix::io::Result<usize> {
        const MOST: usize = 8;
        let mut slices = [IoSlice::new(&[]); MOST];
        let mut count = 0;
        for (slot, part) in slices.iter_mut().zip(parts) {
            *slot = IoSlice::new(part);
            count += 1;
        }
        let mut control = rustix::net::SendAncillaryBuffer::default();
        let slices = slices.get(..count).unwrap_or_default();
        rustix::net::sendmsg(&self.fd, slices, &mut control, rustix::net::SendFlags::NOSIGNAL)
    }

    /// Sends what is pending, as far as the kernel takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while self.writable && self.unsent() > 0 {
            let rest = self.pending.get(self.sent..).unwrap_or_default();
            match rustix::net::send(&self.fd, rest, rustix::net::SendFlags::NOSIGNAL) {
                Ok(n) => {
                    // A short send means a full buffer: the edge comes when there is room.
                    self.writable = n == rest.len();
                    self.sent += n;
                    self.bytes_written += n as u64;
                }
                Err(rustix::io::Errno::AGAIN) => self.writable = false,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        if self.unsent() == 0 {
            self.sent = 0;
            self.pending.clear();
            // An idle connection keeps no buffer.
            if self.pending.capacity() > KEEP_PENDING {
                self.pending = Vec::new();
            }
            if std::mem::take(&mut self.ending) {
                self.shutdown_write();
            }
        }
        Ok(())
    }

    /// Ends our side in good order once everything is sent.
    pub(crate) fn end(&mut self) {
        self.ending = true;
        // An error shows at the next event.
        let _ = self.flush();
    }

    /// Ends our side in good order (with TLS, close_notify first). What is pending should have been sent.
    pub(crate) fn shutdown_write(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close_notify(&mut self.pending);
            // Best effort: the peer learns of the end from the FIN as well.
            let _ = self.flush();
        }
        let _ = rustix::net::shutdown(&self.fd, rustix::net::Shutdown::Write);
    }

    /// Tells a TLS peer that the end is meant, just before the socket is closed.
    pub(crate) fn say_goodbye(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close_notify(&mut self.pending);
            // Best effort: the socket is closed next.
            let _ = self.flush();
        }
    }

    /// The remaining bytes are lost and the peer gets a reset: for a message that must not look complete.
    pub(crate) fn reset_on_close(&self) {
        let _ = rustix::net::sockopt::set_socket_linger(&self.fd, Some(std::time::Duration::ZERO));
    }
}

/// Reads in a row that give no plaintext, before others get their turn.
const MOST_FRUITLESS: u32 = 4;
/// A send buffer up to this size is kept with its connection for the next time.
const KEEP_PENDING: usize = 4096;
