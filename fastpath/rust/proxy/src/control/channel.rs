//! The SOCK_SEQPACKET channel to the arbiter: JSON headers, with descriptors beside them.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use super::ListenerFd;
use crate::health::Verdicts;

/// Longest header. The kernel cuts what is longer, and then the message is refused.
const MAX_HEADER: usize = 256 * 1024;
/// SCM_MAX_FD of Linux.
const MAX_FDS: usize = 253;
/// Longest bundle: more than any mesh of 100,000 endpoints needs.
const MAX_PAYLOAD: u64 = 512 * 1024 * 1024;

/// What the arbiter says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Command {
    /// Resources in the memfd; sockets for new addresses behind it.
    Update {
        version: u64,
        #[serde(default)]
        listen: Vec<ListenerFd>,
    },
    /// Finish what is under way, take nothing new, and end.
    Drain {
        #[serde(default)]
        seconds: Option<u64>,
    },
    /// Tell clients to go elsewhere, but go on serving.
    DrainListeners,
    LogLevel {
        level: String,
    },
    /// Open the log files anew.
    ReopenLogs,
    /// What health checks have found.
    Health {
        cluster: String,
        verdicts: Verdicts,
    },
    /// An endpoint has told another worker that it fails.
    Unwell {
        cluster: String,
        address: String,
    },
    /// A cluster carries traffic.
    Used {
        cluster: String,
    },
    /// Another worker has taken an endpoint out of its rotation, or put it back.
    Ejected {
        cluster: String,
        address: String,
        ejected: bool,
    },
}

/// What the worker says.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Report<'a> {
    Ready { slot: u32 },
    Applied { slot: u32, version: u64 },
    Rejected { slot: u32, version: u64, path: &'a str, reason: &'a str },
    Drained { slot: u32 },
    Health { slot: u32, cluster: &'a str, verdicts: &'a Verdicts },
    Unwell { slot: u32, cluster: &'a str, address: &'a str },
    Used { slot: u32, cluster: &'a str },
    Ejected { slot: u32, cluster: &'a str, address: &'a str, ejected: bool },
}

/// One message with its descriptors.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) command: Command,
    pub(crate) fds: Vec<OwnedFd>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelError {
    #[error("control channel: {0}")]
    Io(#[from] io::Error),
    #[error("control channel: a message of more than {MAX_HEADER} bytes or {MAX_FDS} descriptors")]
    Truncated,
    #[error("control channel: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("control channel: a bundle of {0} bytes, at most {MAX_PAYLOAD} are allowed")]
    TooLarge(u64),
}

pub(crate) struct Channel {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

impl Channel {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd, buffer: vec![0; MAX_HEADER] }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The next message, `Ok(None)` when there is none now. The arbiter's end is `UnexpectedEof`.
    pub(crate) fn receive(&mut self) -> Result<Option<Inbound>, ChannelError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let received = match recvmsg(&self.fd, &mut [IoSliceMut::new(&mut self.buffer)], &mut control, flags)
        {
            Ok(received) => received,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(None),
            Err(errno) => return Err(ChannelError::Io(errno.into())),
        };
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds.extend(rights);
            }
        }
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(ChannelError::Truncated);
        }
        if received.bytes == 0 {
            return Err(ChannelError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        let text = self.buffer.get(..received.bytes).unwrap_or_default();
        Ok(Some(Inbound { command: serde_json::from_slice(text)?, fds }))
    }

    /// Sends a report. The arbiter reads at its leisure; a full queue is an error for the caller to count.
    pub(crate) fn send(&self, report: &Report<'_>) -> Result<(), ChannelError> {
        let text = serde_json::to_vec(report)?;
        let mut control = SendAncillaryBuffer::default();
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        sendmsg(&self.fd, &[IoSlice::new(&text)], &mut control, flags)
            .map_err(|errno| ChannelError::Io(errno.into()))?;
        Ok(())
    }
}

/// Reads a memfd whole. All workers share its file position, so it is not used.
pub(crate) fn read_payload(fd: OwnedFd) -> Result<Vec<u8>, ChannelError> {
    let file = File::from(fd);
    let len = file.metadata()?.len();
    if len > MAX_PAYLOAD {
        return Err(ChannelError::TooLarge(len));
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
