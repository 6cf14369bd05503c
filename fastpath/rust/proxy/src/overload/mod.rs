//! The overload manager: how near the worker is to its limits, and what it gives up for that.
//!
//! ```text
//!   monitor ── pressure 0..1 ──► trigger (threshold, or scaled) ── 0..1 ──► action, the most of its triggers
//! ```
//!
//! Each worker measures for itself, since it alone knows its connections and its memory, and takes its share of limits
//! that hold for all workers together. Nothing is measured per request: the request path reads the numbers that the
//! last refresh left.

mod cgroup;
mod monitor;
mod settings;

use meshloom_shm::{Counter, Gauge, Telemetry};

use crate::engine::Engine;
use crate::listener::ListenerRuntime;
use crate::reactor::Millis;

pub(crate) use monitor::Usage;
pub use settings::OverloadSettings;

use monitor::Monitor;
use settings::{ActionName, TriggerSettings};

/// What is given up at present, each from 0 (nothing) to 1 (always).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Relief {
    disable_keepalive: f64,
    refuse_requests: f64,
    stop_accepting: f64,
    reject_connections: f64,
    shrink: f64,
}

/// The monitors and actions of one worker.
pub(crate) struct Overload {
    pub(crate) relief: Relief,
    monitors: Vec<Watched>,
    actions: Vec<Action>,
    refresh_ms: u64,
    next: Millis,
    /// Connections that this worker may have; beyond it they are closed as they come.
    connections: Option<u64>,
    workers: u32,
}

struct Watched {
    name: String,
    monitor: Monitor,
    pressure: f64,
    gauge: Gauge,
    failed: Counter,
}

struct Action {
    name: ActionName,
    triggers: Vec<(usize, TriggerSettings)>,
    active: Gauge,
    percent: Gauge,
}

impl Overload {
    /// The manager of one of so many workers.
    pub(crate) fn new(settings: &OverloadSettings, workers: u32, telemetry: &mut Telemetry) -> Self {
        let workers = workers.max(1);
        let monitors: Vec<Watched> = settings
            .monitors
            .iter()
            .map(|monitor| Watched {
                name: monitor.name.clone(),
                monitor: Monitor::new(&monitor.kind, workers),
                pressure: 0.0,
                gauge: gauge(telemetry, &format!("overload.{}.pressure", monitor.name)),
                failed: counter(telemetry, &format!("overload.{}.failed_updates", monitor.name)),
            })
            .collect();
        let place = |name: &str| monitors.iter().position(|watched| watched.name == name);
        let actions = settings
            .actions
            .iter()
            .map(|action| Action {
                name: action.name,
                triggers: action
                    .triggers
                    .iter()
                    .filter_map(|trigger| Some((place(&trigger.monitor)?, trigger.clone())))
                    .collect(),
                active: gauge(telemetry, &format!("overload.{}.active", action.name.as_str())),
                percent: gauge(telemetry, &format!("overload.{}.scale_percent", action.name.as_str())),
            })
            .collect();
        Self {
            relief: Relief::default(),
            connections: settings.connections_share(workers),
            monitors,
            actions,
            refresh_ms: settings.refresh_ms.max(1),
            next: Millis(0),
            workers,
        }
    }

    /// When the next refresh is due.
    pub(crate) fn next(&self) -> Millis {
        if self.monitors.is_empty() { Millis::NEVER } else { self.next }
    }

    /// Measures everything anew.
    fn refresh(&mut self, usage: &Usage) {
        for watched in &mut self.monitors {
            match watched.monitor.pressure(usage) {
                Some(pressure) => watched.pressure = pressure.max(0.0),
                None => watched.failed.inc(),
            }
            // Values of workers are added up: each gives its part of the whole.
            watched.gauge.set(share(watched.pressure, self.workers));
        }
        let mut relief = Relief::default();
        for action in &self.actions {
            let pressure = |place: &usize| self.monitors.get(*place).map_or(0.0, |watched| watched.pressure);
            let value = action
                .triggers
                .iter()
                .map(|(place, trigger)| trigger.value(pressure(place)))
                .fold(0.0, f64::max);
            action.active.set(u64::from(value >= 1.0));
            action.percent.set(share(value, self.workers));
            *relief.of(action.name) = value;
        }
        self.relief = relief;
    }
}

impl Relief {
    fn of(&mut self, name: ActionName) -> &mut f64 {
        match name {
            ActionName::DisableHttpKeepalive => &mut self.disable_keepalive,
            ActionName::StopAcceptingRequests => &mut self.refuse_requests,
            ActionName::StopAcceptingConnections => &mut self.stop_accepting,
            ActionName::RejectIncomingConnections => &mut self.reject_connections,
            ActionName::ShrinkHeap => &mut self.shrink,
        }
    }
}

fn gauge(telemetry: &mut Telemetry, name: &str) -> Gauge {
    telemetry.gauge(name, name, &[])
}

fn counter(telemetry: &mut Telemetry, name: &str) -> Counter {
    telemetry.counter(name, name, &[])
}

/// A worker's part of a percentage.
fn share(value: f64, workers: u32) -> u64 {
    (value * 100.0 / f64::from(workers)).round() as u64
}

impl Engine {
    /// Measures when it is time to, and does what follows.
    pub(crate) fn refresh_overload(&mut self) {
        let now = self.now();
        if now < self.overload.next() {
            return;
        }
        self.overload.next = Millis(now.0 + self.overload.refresh_ms);
        let usage = Usage {
            connections: self.downs.len() as u64,
            descriptors: (self.downs.len() + self.ups.len() + self.sockets.len()) as u64,
        };
        self.overload.refresh(&usage);
        if self.overload.relief.shrink >= 1.0 {
            self.spare = Vec::new();
        }
        self.resume_accept();
    }

    /// Does this request come too much?
    pub(crate) fn refuses_request(&mut self) -> bool {
        let chance = self.overload.relief.refuse_requests;
        self.draws(chance)
    }

    /// Does the connection of this request end with its response?
    pub(crate) fn disables_keepalive(&mut self) -> bool {
        let chance = self.overload.relief.disable_keepalive;
        self.draws(chance)
    }

    /// Are new connections left in the kernel's queue?
    pub(crate) fn stops_accepting(&self, listener: Option<&ListenerRuntime>) -> bool {
        self.overload.relief.stop_accepting >= 1.0
            && listener.is_none_or(|listener| !listener.spec.bypass_overload)
    }

    /// Is a connection that was just accepted one too many? Then it is closed, and counted.
    pub(crate) fn turns_away(&mut self, listener: &ListenerRuntime) -> bool {
        let full = self.overload.connections.is_some_and(|most| self.downs.len() as u64 >= most);
        if full && !listener.spec.ignore_global_limit {
            listener.stats.global_cx_overflow.inc();
            return true;
        }
        let chance = self.overload.relief.reject_connections;
        if !listener.spec.bypass_overload && self.draws(chance) {
            listener.stats.cx_overload_reject.inc();
            return true;
        }
        false
    }

    /// True with this chance.
    fn draws(&mut self, chance: f64) -> bool {
        const MILLION: f64 = 1_000_000.0;
        chance >= 1.0 || (chance > 0.0 && self.rng.hits((chance * MILLION) as u32))
    }
}
