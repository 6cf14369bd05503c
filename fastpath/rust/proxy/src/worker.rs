//! The worker process: builds the engine, turns its loop, obeys the arbiter, drains and ends.

mod sockets;
mod start;

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use meshloom_model::{Address, Compiler, Snapshot};

use crate::control::{Channel, ChannelError, Command, Inbound, Report, Settings, read_payload};
use crate::diag;
use crate::engine::Engine;
use crate::health::HealthReport;
use crate::reactor::{Kind, Millis, Ready, Token};
use crate::tls::TlsContexts;
use crate::upstream::UpdateContext;

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
