//! The worker's tables and the turn of its loop. What is done with an event is in the modules it belongs to.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use meshloom_model::Snapshot;
use meshloom_model::ids::ListenerName;
use meshloom_shm::Telemetry;
use meshloom_wire::http1::Headers;

use crate::codec::Outbox;
use crate::downstream::Downstream;
use crate::exchange::Exchange;
use crate::health::{Check, HealthReport};
use crate::listener::{Destinations, Drains, ListenSocket, ListenerRuntime, Spare};
use crate::log::LogSinks;
use crate::overload::Overload;
use crate::reactor::{Clock, Kind, Millis, Poller, Ready, Slab, TimerKey, Token, Wheel};
use crate::telemetry::{InspectorStats, IstioMetrics, LocalWorkload, ManagerStats, ServerStats};
use crate::tls::TlsCache;
use crate::transport::Buffers;
use crate::upstream::{Clusters, SharedLimits, Unreachable, Upstream};
use crate::util::{DateCache, Rng};

/// How often a connection may read before the others get their turn.
pub(crate) const READS_PER_TURN: u32 = 4;

/// Everything that one worker has.
pub(crate) struct Engine {
    pub(crate) poller: Poller,
    pub(crate) wheel: Wheel,
    pub(crate) clock: Clock,
    pub(crate) rng: Rng,
    pub(crate) date: DateCache,
    /// Lent to whoever reads.
    pub(crate) buffers: Option<Box<Buffers>>,
    /// Storage of the head that is being parsed.
    pub(crate) headers: Headers,
    /// Storage of the HTTP/2 head that is being decoded.
    pub(crate) decoded: meshloom_wire::http2::Head,
    /// Request bytes of the present event, and where they go.
    pub(crate) up_out: Outbox,
    pub(crate) up_target: Option<Token>,
    /// Response bytes of the present event, and where they go.
    pub(crate) down_out: Outbox,
    pub(crate) down_target: Option<Token>,
    /// The same of connections that are being worked on while another one is.
    pub(crate) down_outer: Vec<(Token, Vec<u8>)>,
    /// Requests (connection and stream) whose upstreams take bytes again.
    pub(crate) resumed: Vec<(Token, u32)>,
    pub(crate) sockets: Slab<ListenSocket>,
    pub(crate) downs: Slab<Box<Downstream>>,
    pub(crate) ups: Slab<Box<Upstream>>,
    pub(crate) exchanges: Slab<Box<Exchange>>,
    /// Storage of finished exchanges.
    #[allow(clippy::vec_box, reason = "they go back into a slab of boxes as they are")]
    pub(crate) spare: Vec<Box<Exchange>>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) listeners: HashMap<ListenerName, Rc<ListenerRuntime>>,
    pub(crate) destinations: Destinations,
    pub(crate) drains: Drains,
    pub(crate) spare_descriptor: Spare,
    /// Which of how many workers this is.
    pub(crate) slot: u32,
    pub(crate) workers: u32,
    pub(crate) inspectors: InspectorStats,
    pub(crate) manager: ManagerStats,
    pub(crate) clusters: Clusters,
    /// What workers share of circuit breakers; `None` where there is one.
    pub(crate) shared_limits: Option<SharedLimits>,
    /// Health checks that this worker makes.
    pub(crate) checks: Slab<Box<Check>>,
    /// What the arbiter is to be told of endpoints.
    pub(crate) reports: VecDeque<HealthReport>,
    /// Hosts to which no connection can be made for those that wait, who are told at the end of the turn.
    pub(crate) unreachable: Vec<Unreachable>,
    pub(crate) tls: TlsCache,
    /// Connections that have something to do although no event will come.
    pub(crate) run_queue: VecDeque<Token>,
    pub(crate) telemetry: Telemetry,
    pub(crate) server: ServerStats,
    pub(crate) istio: IstioMetrics,
    pub(crate) local: LocalWorkload,
    pub(crate) logs: LogSinks,
    /// Accepted connections at most.
    pub(crate) max_connections: usize,
    pub(crate) overload: Overload,
    pub(crate) draining: bool,
    /// Some listening sockets are not watched, for want of descriptors.
    pub(crate) accept_paused: bool,
    pub(crate) connections_made: u64,
    next_second: Millis,
    due: Vec<(TimerKey, Millis)>,
}

/// Spare exchanges that are kept.
const MAX_SPARE: usize = 256;

impl Engine {
    pub(crate) fn new(
        mut telemetry: Telemetry,
        local: LocalWorkload,
        max_connections: usize,
        overload: impl FnOnce(&mut Telemetry) -> Overload,
    ) -> io::Result<Self> {
        let clock = Clock::start();
        let server = ServerStats::register(&mut telemetry, "");
        let overload = overload(&mut telemetry);
        Ok(Self {
            poller: Poller::new()?,
            wheel: Wheel::new(clock.millis()),
            clock,
            rng: Rng::from_entropy(),
            date: DateCache::new(),
            buffers: Some(Box::new(Buffers::new())),
            headers: Headers::new(),
            decoded: meshloom_wire::http2::Head::new(),
            up_out: Outbox::default(),
            up_target: None,
            down_out: Outbox::default(),
            down_target: None,
            down_outer: Vec::new(),
            resumed: Vec::new(),
            sockets: Slab::new(Kind::Listener),
            downs: Slab::new(Kind::Downstream),
            ups: Slab::new(Kind::Upstream),
            exchanges: Slab::new(Kind::Exchange),
            spare: Vec::new(),
            snapshot: Arc::default(),
            listeners: HashMap::new(),
            destinations: Destinations::default(),
            drains: Drains::default(),
            spare_descriptor: Spare::new(),
            slot: 0,
            workers: 1,
            inspectors: InspectorStats::register(&mut telemetry, ""),
            manager: ManagerStats::register(&mut telemetry, ""),
            clusters: Clusters::default(),
            shared_limits: None,
            checks: Slab::new(Kind::Check),
            reports: VecDeque::new(),
            unreachable: Vec::new(),
            tls: TlsCache::default(),
            run_queue: VecDeque::new(),
            telemetry,
            server,
            istio: IstioMetrics::default(),
            local,
            logs: LogSinks::new(),
            max_connections,
            overload,
            draining: false,
            accept_paused: false,
            connections_made: 0,
            next_second: Millis(1000),
            due: Vec::new(),
        })
    }

    pub(crate) fn now(&self) -> Millis {
        self.clock.millis()
    }

    /// Waits for events, at most until `until`.
    pub(crate) fn wait(&mut self, until: Millis, events: &mut Vec<Ready>) -> io::Result<()> {
        let now = self.clock.millis();
        let timeout = if self.run_queue.is_empty() && self.resumed.is_empty() {
            let timer = self.wheel.next_in(now).unwrap_or(u64::MAX);
            let other =
                until.min(self.next_second).min(self.logs.flush_at()).min(self.overload.next()).since(now);
            timer.min(other)
        } else {
            0
        };
        self.poller.wait(Some(Duration::from_millis(timeout)), events)?;
        self.clock.tick();
        Ok(())
    }

    /// Deals with one event of a connection.
    pub(crate) fn event(&mut self, ready: Ready) {
        match ready.token.kind {
            Kind::Listener => self.accept_event(ready.token),
            Kind::Downstream => self.downstream_event(ready.token, Some(ready)),
            Kind::Upstream => self.upstream_event(ready.token, Some(ready)),
            Kind::Check => self.check_event(ready.token, ready),
            Kind::Exchange | Kind::Control | Kind::Signal => {}
        }
    }

    /// What is left to do in this turn: connections whose turn was cut short, timers, once-a-second work.
    pub(crate) fn finish_turn(&mut self) {
        self.resume_requests();
        for _ in 0..self.run_queue.len() {
            match self.run_queue.pop_front() {
                Some(token) if token.kind == Kind::Downstream => self.downstream_event(token, None),
                Some(token) => self.upstream_event(token, None),
                None => break,
            }
        }
        self.fire_timers();
        self.tell_unreachable();
        self.resume_requests();
        self.flush_downstream();
        let now = self.now();
        if now >= self.logs.flush_at() {
            self.logs.flush();
        }
        self.refresh_overload();
        if now >= self.next_second {
            self.next_second = Millis(now.0 + 1000);
            self.every_second();
        }
    }

    fn fire_timers(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(self.clock.millis(), &mut due);
        for (key, at) in due.drain(..) {
            match key.kind {
                Kind::Downstream => {
                    if let Some(token) = self.downs.fired(key, at) {
                        self.downstream_timer(token);
                    }
                }
                Kind::Upstream => {
                    if let Some(token) = self.ups.fired(key, at) {
                        self.upstream_timer(token);
                    }
                }
                Kind::Exchange => {
                    if let Some(token) = self.exchanges.fired(key, at) {
                        self.exchange_timer(token);
                    }
                }
                Kind::Check => {
                    if let Some(token) = self.checks.fired(key, at) {
                        self.check_timer(token);
                    }
                }
                Kind::Listener | Kind::Control | Kind::Signal => {}
            }
        }
        self.due = due;
    }

    fn every_second(&mut self) {
        let now = self.clock.instant();
        let millis = self.clock.millis();
        self.clusters.purge();
        for cluster in self.clusters.iter_mut() {
            cluster.clean(millis);
            for (address, ejected) in cluster.ejections.drain(..) {
                let (cluster, address) = (cluster.spec.name.as_str().to_owned(), address.into());
                self.reports.push_back(HealthReport::Ejected { cluster, address, ejected });
            }
            if cluster.next_sweep().is_some_and(|at| at <= now) {
                cluster.sweep(now, &mut self.rng);
            }
        }
        self.resume_accept();
        self.look_after_drains();
        if self.draining {
            self.drain_idle();
        }
        self.server.access_log_dropped.add(self.logs.take_dropped());
        self.server.connections.set(self.downs.len() as u64);
        self.telemetry.repair();
    }

    /// Whether every cluster takes requests.
    pub(crate) fn is_warm(&mut self) -> bool {
        let now = self.now();
        self.clusters.are_warm(now)
    }

    /// The next number of a connection, for logs.
    pub(crate) fn connection_id(&mut self) -> u64 {
        self.connections_made += 1;
        self.connections_made
    }

    /// Gives a connection another turn without an event.
    pub(crate) fn run_soon(&mut self, token: Token) {
        self.run_queue.push_back(token);
    }

    /// Puts an exchange that was worked on back into its place, or ends it.
    pub(crate) fn settle_exchange(&mut self, token: Token, mut exchange: Box<Exchange>) {
        if exchange.is_done() {
            self.exchanges.remove(token);
            exchange.retire();
            if self.spare.len() < MAX_SPARE {
                self.spare.push(exchange);
            }
        } else {
            let at = exchange.deadlines.next();
            self.exchanges.put_back(token, exchange);
            self.exchanges.arm(token, at, &mut self.wheel);
        }
    }

    /// Sends the request bytes that this event has gathered.
    pub(crate) fn flush_upstream(&mut self) {
        let Some(token) = self.up_target.take() else { return };
        let Some(upstream) = self.ups.get_mut(token) else {
            self.up_out.bytes.clear();
            return;
        };
        upstream.flush(&mut self.up_out);
        if upstream.broken {
            self.run_queue.push_back(token);
        }
    }
}
