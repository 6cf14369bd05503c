//! Edge-triggered epoll: a descriptor is registered once, for everything, and never modified.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{Timespec, epoll};

use super::Token;

/// What changed on a descriptor since the last time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) token: Token,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer will send no more (FIN) or the connection broke: read to the end instead of trusting a short read.
    pub(crate) closing: bool,
    pub(crate) error: bool,
}

const BATCH: usize = 256;

pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Box<[MaybeUninit<epoll::Event>; BATCH]>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Box::new([const { MaybeUninit::uninit() }; BATCH]) })
    }

    /// Watches a connection in both directions, edge-triggered, for its whole life.
    pub(crate) fn add(&self, fd: impl AsFd, token: Token) -> io::Result<()> {
        use epoll::EventFlags as F;
        Ok(epoll::add(
            &self.epoll,
            fd,
            epoll::EventData::new_u64(token.pack()),
            F::IN | F::OUT | F::RDHUP | F::ET,
        )?)
    }

    /// Watches a listening socket or a control channel, level-triggered: what is left in the queue wakes us again.
    pub(crate) fn add_level(&self, fd: impl AsFd, token: Token) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token.pack());
        Ok(epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN)?)
    }

    pub(crate) fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// Waits for events and appends them to `out`; `None` waits for as long as it takes.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>, out: &mut Vec<Ready>) -> io::Result<()> {
        let timeout = timeout.map(|span| Timespec {
            tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: span.subsec_nanos().into(),
        });
        let (events, _) = match epoll::wait(&self.epoll, self.events.as_mut_slice(), timeout.as_ref()) {
            Ok(events) => events,
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        for event in events {
            use epoll::EventFlags as F;
            let flags = event.flags;
            let Some(token) = Token::unpack(event.data.u64()) else { continue };
            out.push(Ready {
                token,
                readable: flags.intersects(F::IN | F::RDHUP | F::HUP | F::ERR),
                writable: flags.intersects(F::OUT | F::HUP | F::ERR),
                closing: flags.intersects(F::RDHUP | F::HUP | F::ERR),
                error: flags.intersects(F::ERR),
            });
        }
        Ok(())
    }
}
