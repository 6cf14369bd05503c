//! The start of a worker: memory, control channel, signals and sockets, all from its settings.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use meshloom_model::Compiler;
use meshloom_shm::{Limits, Quotas, Region, Telemetry, layout};

use super::{CONTROL, SIGNAL, Worker, WorkerError};
use crate::control::{Channel, Settings};
use crate::diag;
use crate::engine::Engine;
use crate::overload::Overload;
use crate::reactor::Millis;
use crate::telemetry::LocalWorkload;
use crate::tls::{TlsCache, ticket_secret};
use crate::upstream::SharedLimits;

impl Worker {
    pub(super) fn start(
        settings: &Settings,
        adopt: &mut impl FnMut(i32) -> OwnedFd,
    ) -> Result<Self, WorkerError> {
        let region = match settings.telemetry_fd {
            Some(fd) => {
                let fd = adopt(fd);
                let len =
                    usize::try_from(rustix::fs::fstat(&fd).map_err(io::Error::from)?.st_size).unwrap_or(0);
                Region::attach(fd, len)?
            }
            None => Region::private(layout::DEFAULT_LEN)?,
        };
        let (telemetry, adoption) = Telemetry::adopt(region, Limits::default());
        diag::debug("telemetry_adopted", &[("how", &format!("{adoption:?}"))]);
        let shared_limits = shared_limits(settings, adopt)?;
        let local = LocalWorkload::from_node(&settings.node);
        let mut engine = Engine::new(telemetry, local, max_connections(settings), |telemetry| {
            Overload::new(&settings.overload, settings.workers, telemetry)
        })?;
        engine.tls = TlsCache::new(ticket_secret(&settings.ticket_secret)?, settings.slot == 0);
        (engine.slot, engine.workers) = (settings.slot, settings.workers);
        engine.shared_limits = shared_limits;
        engine.drains.time = Duration::from_secs(settings.drain_time_s);
        let channel = settings.control_fd.map(|fd| Channel::new(adopt(fd)));
        if let Some(channel) = &channel {
            engine.poller.add_level(channel.fd(), CONTROL)?;
        }
        let signals = watch_signals()?;
        engine.poller.add_level(&signals, SIGNAL)?;
        let mut worker = Self {
            engine,
            compiler: Compiler::new(),
            slot: settings.slot,
            channel,
            signals,
            sockets: HashMap::new(),
            drain_time: Duration::from_secs(settings.drain_time_s),
            drain_until: Millis::NEVER,
            began: false,
        };
        for listener in &settings.listeners {
            if let Some(fd) = listener.fd {
                worker.add_socket(listener, adopt(fd))?;
            }
        }
        Ok(worker)
    }
}

/// SIGTERM drains; SIGINT and SIGHUP are the arbiter's to obey, who tells us what to do.
fn watch_signals() -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    write.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGTERM, write)?;
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGHUP, signal_hook::consts::SIGUSR1] {
        let ignored = Arc::new(std::sync::atomic::AtomicBool::new(false));
        signal_hook::flag::register(signal, ignored)?;
    }
    Ok(read)
}

/// What workers share of circuit breakers; a worker alone needs nothing shared.
fn shared_limits(
    settings: &Settings,
    adopt: &mut impl FnMut(i32) -> OwnedFd,
) -> Result<Option<SharedLimits>, WorkerError> {
    let Some(fd) = settings.limits_fd else { return Ok(None) };
    let fd = adopt(fd);
    let len = usize::try_from(rustix::fs::fstat(&fd).map_err(io::Error::from)?.st_size).unwrap_or(0);
    let quotas = Quotas::adopt(Region::attach(fd, len)?, settings.slot, settings.workers);
    Ok(quotas.map(|quotas| SharedLimits { quotas, workers: settings.workers }))
}

/// Most clients are idle at any time and share pooled upstreams, so a quarter of the descriptors is kept for those, for
/// listeners, logs and the control channel.
fn max_connections(settings: &Settings) -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20);
    let by_files = usize::try_from(files.saturating_sub(64) / 4 * 3).unwrap_or(usize::MAX).max(16);
    match settings.max_connections {
        0 => by_files.min(50_000),
        limit => by_files.min(limit as usize),
    }
}
