//! The worker process: builds the engine, turns its loop, obeys the arbiter, drains and ends.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use meshloom_model::{Address, Compiler, Snapshot};
use meshloom_shm::{Limits, Quotas, Region, Telemetry, layout};

use crate::control::{Channel, ChannelError, Command, Inbound, ListenerFd, Report, Settings, read_payload};
use crate::diag;
use crate::engine::Engine;
use crate::health::HealthReport;
use crate::listener::{ListenSocket, ListenerRuntime, socket_address};
use crate::overload::Overload;
use crate::reactor::{Kind, Millis, Ready, Token};
use crate::telemetry::LocalWorkload;
use crate::tls::{TlsCache, TlsContexts, ticket_secret};
use crate::upstream::{SharedLimits, UpdateContext};

/// How a worker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything under way was finished, or its time was over.
    Drained,
    /// Something failed while it served.
    Failed,
    /// The settings cannot be used. Starting again does not help.
    BadSettings,
    /// The first bundle cannot be read. Starting again does not help.
    BadBundle,
}

impl Exit {
    /// The exit code of the process.
    pub fn code(self) -> i32 {
        match self {
            Self::Drained => 0,
            Self::Failed => 1,
            Self::BadSettings => 3,
            Self::BadBundle => 4,
        }
    }
}

/// Why a worker ends early.
#[derive(Debug, thiserror::Error)]
enum WorkerError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("telemetry: {0}")]
    Telemetry(#[from] meshloom_shm::AttachError),
    #[error("{0}")]
    Channel(#[from] ChannelError),
}

/// Serves until drained. `adopt` turns the descriptors of the settings into owned ones.
pub fn run(settings: &Settings, mut adopt: impl FnMut(i32) -> OwnedFd) -> Exit {
    diag::set_level(&settings.log_level);
    let mut worker = match Worker::start(settings, &mut adopt) {
        Ok(worker) => worker,
        Err(error) => {
            diag::error("worker_start_failed", &[("slot", &settings.slot), ("error", &error)]);
            return Exit::BadSettings;
        }
    };
    if let Some(fd) = settings.bundle_fd {
        match read_payload(adopt(fd)) {
            Ok(bundle) => worker.apply(&bundle, settings.bundle_version),
            Err(error) => {
                diag::error("bundle_unreadable", &[("error", &error)]);
                return Exit::BadBundle;
            }
        }
    }
    match worker.serve() {
        Ok(()) => {
            worker.report(&Report::Drained { slot: settings.slot });
            Exit::Drained
        }
        Err(error) => {
            diag::error("worker_failed", &[("slot", &settings.slot), ("error", &error)]);
            Exit::Failed
        }
    }
}

struct Worker {
    engine: Engine,
    compiler: Compiler,
    slot: u32,
    channel: Option<Channel>,
    signals: UnixStream,
    /// Listening sockets by address.
    sockets: HashMap<Address, Token>,
    drain_time: Duration,
    drain_until: Millis,
    /// It takes connections.
    began: bool,
}

const CONTROL: Token = Token { kind: Kind::Control, index: 0, generation: 0 };
const SIGNAL: Token = Token { kind: Kind::Signal, index: 0, generation: 0 };

impl Worker {
    fn start(settings: &Settings, adopt: &mut impl FnMut(i32) -> OwnedFd) -> Result<Self, WorkerError> {
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

    /// A socket that the arbiter has bound for us. It is watched once a listener wants it.
    fn add_socket(&mut self, listener: &ListenerFd, fd: OwnedFd) -> Result<(), WorkerError> {
        let Some(address) = socket_address(&listener.address, listener.port) else {
            diag::warning("socket_ignored", &[("address", &listener.address)]);
            return Ok(());
        };
        rustix::io::ioctl_fionbio(&fd, true).map_err(io::Error::from)?;
        if let Address::Ip(_) = address {
            // Accepted sockets inherit it.
            let _ = rustix::net::sockopt::set_tcp_nodelay(&fd, true);
        }
        if let Some(old) = self.sockets.remove(&address) {
            self.engine.sockets.remove(old);
        }
        let socket = ListenSocket { fd, address: address.clone(), listener: None, watched: false };
        if let Some(token) = self.engine.sockets.insert(socket) {
            self.sockets.insert(address, token);
        }
        Ok(())
    }

    /// Turns the loop until the drain is over.
    fn serve(&mut self) -> Result<(), WorkerError> {
        let mut events: Vec<Ready> = Vec::with_capacity(256);
        self.begin_when_warm();
        while !self.is_drained() {
            self.engine.wait(self.drain_until, &mut events)?;
            self.engine.telemetry.beat();
            // Whoever takes a kept upstream connection in this turn is to know what has arrived on it.
            for ready in events.iter().filter(|ready| ready.token.kind == Kind::Upstream) {
                self.engine.event(*ready);
            }
            for ready in events.drain(..) {
                match ready.token.kind {
                    Kind::Upstream => {}
                    Kind::Control => self.obey()?,
                    Kind::Signal => self.signalled()?,
                    _ => self.engine.event(ready),
                }
            }
            self.engine.finish_turn();
            self.begin_when_warm();
            self.tell_health();
        }
        Ok(())
    }

    /// Connections are taken once the clusters of the start have been checked, or have had their time.
    fn begin_when_warm(&mut self) {
        if !self.began && self.engine.is_warm() {
            self.began = true;
            self.assign_sockets();
            self.report(&Report::Ready { slot: self.slot });
        }
    }

    /// Tells what is new of endpoints; what the arbiter cannot take now waits for the next turn.
    fn tell_health(&mut self) {
        let Some(channel) = &self.channel else {
            self.engine.reports.clear();
            return;
        };
        let slot = self.slot;
        while let Some(next) = self.engine.reports.front() {
            let report = match next {
                HealthReport::Verdicts { cluster, verdicts } => Report::Health { slot, cluster, verdicts },
                HealthReport::Unwell { cluster, address } => Report::Unwell { slot, cluster, address },
                HealthReport::Used { cluster } => Report::Used { slot, cluster },
                HealthReport::Ejected { cluster, address, ejected } => {
                    Report::Ejected { slot, cluster, address, ejected: *ejected }
                }
            };
            if channel.send(&report).is_err() {
                return;
            }
            self.engine.reports.pop_front();
        }
    }

    fn is_drained(&self) -> bool {
        self.drain_until != Millis::NEVER
            && (self.engine.downs.len() == 0 || self.engine.now() >= self.drain_until)
    }

    /// Deals with the arbiter's messages.
    fn obey(&mut self) -> Result<(), WorkerError> {
        loop {
            let Some(channel) = &mut self.channel else { return Ok(()) };
            match channel.receive() {
                Ok(Some(message)) => self.command(message)?,
                Ok(None) => return Ok(()),
                Err(ChannelError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    // The arbiter is gone. What we have goes on serving; nobody could replace us now.
                    diag::warning("arbiter_gone", &[("slot", &self.slot)]);
                    let _ = self.engine.poller.remove(channel.fd());
                    self.channel = None;
                }
                Err(error @ ChannelError::Io(_)) => return Err(error.into()),
                Err(error) => diag::error("control_message_refused", &[("error", &error)]),
            }
        }
    }

    fn command(&mut self, message: Inbound) -> Result<(), WorkerError> {
        let Inbound { command, mut fds } = message;
        match command {
            Command::Update { version, listen } => {
                if fds.is_empty() {
                    diag::error("update_without_payload", &[("version", &version)]);
                    return Ok(());
                }
                let payload = fds.remove(0);
                for (listener, fd) in listen.iter().zip(fds) {
                    self.add_socket(listener, fd)?;
                }
                let update = read_payload(payload)?;
                self.apply(&update, version);
            }
            Command::Drain { seconds } => {
                self.drain(seconds.map_or(self.drain_time, Duration::from_secs));
            }
            Command::DrainListeners => self.engine.draining = true,
            Command::LogLevel { level } => diag::set_level(&level),
            Command::ReopenLogs => self.engine.logs.reopen(),
            Command::Health { cluster, verdicts } => self.engine.hear_verdicts(&cluster, &verdicts),
            Command::Unwell { cluster, address } => self.engine.hear_unwell(&cluster, &address),
            Command::Used { cluster } => self.engine.hear_used(&cluster),
            Command::Ejected { cluster, address, ejected: true } => {
                self.engine.hear_ejected(&cluster, &address);
            }
            Command::Ejected { ejected: false, .. } => {}
        }
        Ok(())
    }

    fn signalled(&mut self) -> Result<(), WorkerError> {
        let mut bytes = [0; 64];
        match self.signals.read(&mut bytes) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        self.drain(self.drain_time);
        Ok(())
    }

    /// Takes nothing new and finishes what is under way. The first deadline holds.
    fn drain(&mut self, limit: Duration) {
        if self.drain_until != Millis::NEVER {
            return;
        }
        diag::info("worker_drains", &[("slot", &self.slot), ("connections", &self.engine.downs.len())]);
        self.drain_until = self.engine.now().after(limit);
        self.engine.draining = true;
        self.engine.server.draining.set(1);
        for (_, token) in std::mem::take(&mut self.sockets) {
            self.close_socket(token);
        }
        self.engine.drain_idle();
    }

    /// Whoever has connected already is served.
    fn close_socket(&mut self, token: Token) {
        let Some(socket) = self.engine.sockets.remove(token) else { return };
        let _ = self.engine.poller.remove(&socket.fd); // others may hold the socket, too
        self.engine.empty_queue(&socket);
    }

    /// Compiles an update, and puts into force what of it is good.
    fn apply(&mut self, update: &[u8], version: u64) {
        let outcome = self.compiler.apply(update);
        for rejected in &outcome.rejected {
            self.engine.server.config_rejected.inc();
            diag::error(
                "resource_rejected",
                &[
                    ("type", &rejected.type_url),
                    ("name", &rejected.name),
                    ("path", &rejected.path),
                    ("reason", &rejected.reason),
                ],
            );
            let report =
                Report::Rejected { slot: self.slot, version, path: &rejected.path, reason: &rejected.reason };
            self.report(&report);
        }
        self.engine.publish(&outcome.snapshot);
        self.assign_sockets();
        self.engine.server.config_applied.inc();
        self.report(&Report::Applied { slot: self.slot, version });
    }

    /// Gives each listener its sockets; those that nobody wants any more are closed.
    fn assign_sockets(&mut self) {
        if self.drain_until != Millis::NEVER || !self.began {
            return;
        }
        let mut wanted: HashMap<Address, Rc<ListenerRuntime>> = HashMap::new();
        for listener in self.engine.listeners.values() {
            for address in listener.spec.addresses().filter(|_| listener.spec.bind_to_port) {
                wanted.insert(address.clone(), Rc::clone(listener));
            }
        }
        let mut unwanted = Vec::new();
        for (address, token) in &self.sockets {
            let Some(socket) = self.engine.sockets.get_mut(*token) else { continue };
            let Some(listener) = wanted.get(address) else {
                if socket.listener.is_some() {
                    unwanted.push(address.clone());
                }
                continue;
            };
            socket.listener = Some(Rc::clone(listener));
            if !socket.watched {
                socket.watched = self.engine.poller.add_level(&socket.fd, *token).is_ok();
            }
        }
        for address in unwanted {
            if let Some(token) = self.sockets.remove(&address) {
                self.close_socket(token);
            }
        }
    }

    fn report(&self, report: &Report<'_>) {
        let Some(channel) = &self.channel else { return };
        if let Err(error) = channel.send(report) {
            diag::warning("report_lost", &[("error", &error)]);
        }
    }
}

impl Engine {
    /// Puts a snapshot into force: new requests see it, those under way keep theirs.
    pub(crate) fn publish(&mut self, snapshot: &Arc<Snapshot>) {
        if Arc::ptr_eq(&self.snapshot, snapshot) {
            return;
        }
        self.snapshot = Arc::clone(snapshot);
        self.spare.clear(); // they hold on to older snapshots
        let mut contexts = TlsContexts::new(snapshot, std::mem::take(&mut self.tls));
        let mut cx = UpdateContext {
            telemetry: &mut self.telemetry,
            rng: &mut self.rng,
            now: self.clock.instant(),
            millis: self.clock.millis(),
            shared: self.shared_limits,
            counts_members: self.slot == 0,
        };
        let gone = self.clusters.update(snapshot, &mut contexts, &mut cx);
        self.close_hosts(&gone);
        self.update_checks();
        self.update_listeners(snapshot, &mut contexts);
        self.tls = contexts.into_cache();
        self.drain_http2();
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
