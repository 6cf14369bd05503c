//! The TCP proxy: bytes as they are, both ways, with half-close.

use std::rc::Rc;
use std::time::{Duration, Instant};

use meshloom_balance::{Outcome, Resource};
use meshloom_model::access_log::LogFilter;
use meshloom_model::route::ResourcePriority;
use meshloom_model::template::{Command, TimeFormat, Values};
use meshloom_model::{ResponseFlag, ResponseFlags};

use crate::downstream::{CloseReason, ConnectionInfo, Downstream, DownstreamState, Fate};
use crate::engine::{Engine, READS_PER_TURN};
use crate::exchange::values::{address, downstream_tls, number, text};
use crate::listener::TcpChain;
use crate::reactor::{Clock, Millis, Token};
use crate::reply::Failure;
use crate::telemetry::LocalWorkload;
use crate::transport::{Buffers, Read, Transport};
use crate::upstream::{ClusterId, Host, Upstream, UpstreamFate, UpstreamState, Want, redirected};
use crate::util::Rng;

/// One client connection and its upstream connection.
pub(crate) struct TcpSession {
    pub(crate) chain: Rc<TcpChain>,
    pub(crate) cluster: Option<ClusterId>,
    cluster_name: Option<std::sync::Arc<str>>,
    upstream: Option<Token>,
    pub(crate) host: Option<Rc<Host>>,
    tried: Vec<Rc<Host>>,
    attempts: u32,
    /// The client has ended its side; told to the upstream once everything before it is sent.
    client_ended: Ending,
    upstream_ended: Ending,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) flags: ResponseFlags,
    upstream_local: Option<std::net::SocketAddr>,
    failure: Option<String>,
    pub(crate) opened_counted: bool,
    /// Bytes that Istio's metrics have been told of.
    pub(crate) reported: Reported,
    life: Millis,
    idle_at: Millis,
    /// When bytes that have moved since the last report are reported.
    report_at: Millis,
}

/// What Istio's metrics know of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reported {
    pub(crate) opened: bool,
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

/// The end of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Open,
    /// Seen, but bytes before it still wait.
    Seen,
    Passed,
}

impl TcpSession {
    pub(crate) fn new(chain: Rc<TcpChain>) -> Self {
        Self {
            chain,
            cluster: None,
            cluster_name: None,
            upstream: None,
            host: None,
            tried: Vec::new(),
            attempts: 0,
            client_ended: Ending::Open,
            upstream_ended: Ending::Open,
            received: 0,
            sent: 0,
            flags: ResponseFlags::NONE,
            upstream_local: None,
            failure: None,
            opened_counted: false,
            reported: Reported::default(),
            life: Millis::NEVER,
            idle_at: Millis::NEVER,
            report_at: Millis::NEVER,
        }
    }

    pub(crate) fn upstream(&self) -> Option<Token> {
        self.upstream
    }

    /// The next time at which something is to be done though nothing moves.
    fn deadline(&self) -> Millis {
        self.idle_at.min(self.life).min(self.report_at)
    }

    /// Bytes have moved, or may from now on.
    fn moved(&mut self, now: Millis) {
        let proxy = &self.chain.proxy;
        self.idle_at = proxy.idle_timeout.map_or(Millis::NEVER, |idle| now.after(idle));
        if let (Millis::NEVER, Some(stats)) = (self.report_at, &proxy.stats) {
            self.report_at = now.after(stats.tcp_reporting_interval);
        }
    }
}

/// Why moving bytes in one direction stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moved {
    Wait,
    /// The turn is used up.
    More,
    Ended,
    Broken,
}

/// Moves bytes from one side to the other until there are none, or the other side is full.
fn relay(
    from: &mut Transport,
    to: &mut Transport,
    buffers: &mut Buffers,
    limit: usize,
    count: &mut u64,
) -> Moved {
    for _ in 0..READS_PER_TURN {
        if to.unsent() > limit || !from.readable() {
            return Moved::Wait;
        }
        match from.read(buffers) {
            Read::Data(n) => {
                *count += n as u64;
                if to.send(&[buffers.input.get(..n).unwrap_or_default()]).is_err() {
                    return Moved::Broken;
                }
            }
            Read::Blocked => return Moved::Wait,
            Read::End => return Moved::Ended,
            Read::Failed(_) => return Moved::Broken,
        }
    }
    Moved::More
}

/// Passes the end of a direction on, once everything before it is sent.
fn pass_end(ending: &mut Ending, to: &mut Transport) {
    if *ending == Ending::Seen && to.unsent() == 0 {
        to.shutdown_write();
        *ending = Ending::Passed;
    }
}

impl Engine {
    /// A connection for the TCP proxy: its upstream is chosen and asked for.
    pub(crate) fn tcp_start(&mut self, token: Token, down: &mut Downstream) -> Fate {
        let random = self.rng.next();
        let now = self.now();
        let DownstreamState::Tcp(session) = &mut down.state else {
            return Fate::Close(CloseReason::Internal);
        };
        session.cluster = session.chain.proxy.pick(random);
        session.cluster_name =
            session.cluster.and_then(|id| self.snapshot.clusters.name_of(id)).map(Into::into);
        let proxy = &session.chain.proxy;
        session.life = proxy.max_connection_duration.map_or(Millis::NEVER, |life| now.after(life));
        self.tcp_connect(token, down)
    }

    fn tcp_connect(&mut self, token: Token, down: &mut Downstream) -> Fate {
        let DownstreamState::Tcp(session) = &mut down.state else {
            return Fate::Close(CloseReason::Internal);
        };
        session.attempts += 1;
        let Some(cluster) = session.cluster.and_then(|id| self.clusters.get_mut(id)) else {
            session.chain.stats.cx_no_route.inc();
            session.flags.set(ResponseFlag::NoClusterFound);
            return Fate::Close(CloseReason::Local);
        };
        let going_to = redirected(down.info.local, &self.listeners);
        let want = Want { tried: &session.tried, choices: 5, subset: None, now: self.clock.instant() };
        let picked = match (cluster.original_destination(), session.cluster) {
            (Some(_), Some(id)) => going_to.and_then(|address| cluster.host_at(id, address)),
            _ => cluster.pick(&want, &mut self.rng),
        };
        let Some(host) = picked else {
            cluster.stats.cx_none_healthy.inc();
            session.flags.set(ResponseFlag::NoHealthyUpstream);
            return Fate::Close(CloseReason::Local);
        };
        let room = cluster.breakers(ResourcePriority::Default).has_room(Resource::Connections);
        if !room && host.connections.get() > 0 {
            cluster.stats.cx_overflow.inc();
            session.flags.set(ResponseFlag::UpstreamOverflow);
            return Fate::Close(CloseReason::Local);
        }
        session.host = Some(Rc::clone(&host));
        match self.open_connection(&host, UpstreamState::Tunnel(token)) {
            Ok(connection) => {
                session.upstream = Some(connection);
                Fate::Keep
            }
            Err(failure) => self.tcp_try_again(token, down, &failure),
        }
    }

    /// The connection to the upstream did not come about.
    pub(crate) fn tcp_connect_failed(&mut self, token: Token, failure: &Failure) {
        let Some(mut down) = self.downs.take(token) else { return };
        let fate = self.tcp_try_again(token, &mut down, failure);
        self.settle_downstream(token, down, fate);
    }

    fn tcp_try_again(&mut self, token: Token, down: &mut Downstream, failure: &Failure) -> Fate {
        let now = self.clock.instant();
        let DownstreamState::Tcp(session) = &mut down.state else {
            return Fate::Close(CloseReason::Internal);
        };
        session.upstream = None;
        if let Some(host) = session.host.take() {
            if let Some(cluster) = self.clusters.get_mut(host.cluster) {
                cluster.observe(&host, Outcome::ConnectFailed, now, &mut self.rng);
            }
            session.tried.push(Rc::clone(&host));
            session.host = Some(host);
        }
        if let Failure::ConnectFailed { reason } = failure {
            session.failure = Some(reason.to_string());
        }
        if session.attempts < session.chain.proxy.max_connect_attempts {
            return self.tcp_connect(token, down);
        }
        session.flags.set(ResponseFlag::UpstreamConnectionFailure);
        if session.attempts > 1 {
            session.flags.set(ResponseFlag::UpstreamRetryLimitExceeded);
        }
        Fate::Close(CloseReason::Local)
    }

    /// The client's side has bytes, or room.
    pub(crate) fn tcp_from_downstream(&mut self, _token: Token, down: &mut Downstream) -> Fate {
        let DownstreamState::Tcp(session) = &down.state else { return Fate::Keep };
        let Some(connection) = session.upstream else { return Fate::Keep };
        let Some(mut upstream) = self.ups.take(connection) else { return Fate::Keep };
        if upstream.connecting || upstream.io.is_handshaking() {
            let gone = down.io.closing() && !down.io.readable();
            self.settle_upstream_kept(connection, upstream);
            return if gone { Fate::Close(CloseReason::Remote) } else { Fate::Keep };
        }
        let fate = self.tcp_relay(down, &mut upstream, connection);
        self.settle_upstream_kept(connection, upstream);
        fate
    }

    /// The upstream's side has bytes, or room, or has just been connected.
    pub(crate) fn tcp_from_upstream(
        &mut self,
        token: Token,
        upstream: &mut Upstream,
        downstream: Token,
    ) -> UpstreamFate {
        let Some(mut down) = self.downs.take(downstream) else { return UpstreamFate::Close };
        let fate = self.tcp_relay(&mut down, upstream, token);
        if fate == Fate::Keep {
            self.settle_downstream(downstream, down, fate);
            return UpstreamFate::Keep;
        }
        if let DownstreamState::Tcp(session) = &mut down.state {
            session.upstream = None; // it is in our hands, and ends with our return
        }
        self.settle_downstream(downstream, down, fate);
        UpstreamFate::Close
    }

    /// Moves what there is, both ways.
    fn tcp_relay(&mut self, down: &mut Downstream, upstream: &mut Upstream, connection: Token) -> Fate {
        let limit = self.buffer_limit(down);
        let now = self.now();
        let Some(mut buffers) = self.buffers.take() else { return Fate::Close(CloseReason::Internal) };
        let Downstream { io, state, held, broken, info, .. } = down;
        let DownstreamState::Tcp(session) = state else { return Fate::Close(CloseReason::Internal) };
        if !session.opened_counted {
            session.opened_counted = true;
            session.upstream_local = Some(upstream.local);
            if let Some(cluster) = self.clusters.get_mut(upstream.host.cluster) {
                let at = self.clock.instant();
                cluster.observe(&upstream.host, Outcome::Connected, at, &mut self.rng);
            }
            self.count_istio_tcp(session, info);
        }
        let mut sent_ok = true;
        for (early, to, count) in [
            (held, &mut upstream.io, &mut session.received),
            (&mut upstream.http.held, io, &mut session.sent),
        ] {
            if !early.is_empty() {
                *count += early.len() as u64;
                sent_ok &= to.send(&[early]).is_ok();
                *early = Vec::new();
            }
        }
        let before = session.received + session.sent;
        let up = relay(io, &mut upstream.io, &mut buffers, limit, &mut session.received);
        let back = relay(&mut upstream.io, io, &mut buffers, limit, &mut session.sent);
        self.buffers = Some(buffers);
        if up == Moved::Ended && session.client_ended == Ending::Open {
            session.client_ended = Ending::Seen;
        }
        if back == Moved::Ended && session.upstream_ended == Ending::Open {
            session.upstream_ended = Ending::Seen;
        }
        pass_end(&mut session.client_ended, &mut upstream.io);
        pass_end(&mut session.upstream_ended, io);
        if before != session.received + session.sent || down.deadline == Millis::NEVER {
            session.moved(now);
            down.deadline = session.deadline();
        }
        if up == Moved::More || back == Moved::More {
            self.run_soon(connection);
        }
        let over = session.client_ended == Ending::Passed && session.upstream_ended == Ending::Passed;
        if over {
            return Fate::Close(CloseReason::Local);
        }
        if !sent_ok || up == Moved::Broken || back == Moved::Broken || *broken {
            return Fate::Close(CloseReason::Remote);
        }
        Fate::Keep
    }

    pub(crate) fn tcp_expired(&mut self, _token: Token, down: &mut Downstream) -> Fate {
        let now = self.now();
        if let DownstreamState::Tcp(session) = &mut down.state {
            if now >= session.life {
                session.flags.set(ResponseFlag::DurationTimeout);
            } else if now < session.idle_at {
                session.report_at = Millis::NEVER;
                down.deadline = session.deadline();
                self.count_istio_tcp(session, &down.info);
                return Fate::Keep;
            } else {
                session.chain.stats.idle_timeout.inc();
                session.flags.set(ResponseFlag::StreamIdleTimeout);
            }
        }
        Fate::Close(CloseReason::Timeout)
    }

    /// The session is over: its upstream connection goes, and it is written down.
    pub(crate) fn tcp_ended(&mut self, session: &mut TcpSession, down: &Downstream) {
        if let Some(token) = session.upstream.take() {
            self.close_upstream(token);
        }
        session.chain.stats.rx_bytes_total.add(session.received);
        session.chain.stats.tx_bytes_total.add(session.sent);
        self.count_istio_tcp_closed(session, &down.info);
        let chain = Rc::clone(&session.chain);
        let Self { logs, clock, local, rng, .. } = self;
        let elapsed = ms_since(down.info.accepted, clock);
        let values = TcpValues { session, info: &down.info, clock, local };
        for target in &chain.logs {
            if target.log.filter.as_ref().is_none_or(|filter| passes(filter, session.flags, elapsed, rng)) {
                logs.append(target.sink, clock.millis(), |out| target.log.format.render(&values, out));
            }
        }
    }
}

/// Is a connection logged?
fn passes(filter: &LogFilter, flags: ResponseFlags, elapsed: u64, rng: &mut Rng) -> bool {
    match filter {
        LogFilter::DurationMs(test) => test.matches(elapsed),
        LogFilter::Flags(wanted) if wanted.is_empty() => !flags.is_empty(),
        LogFilter::Flags(wanted) => flags.intersects(*wanted),
        LogFilter::Sample { millionths, .. } => rng.hits(*millionths),
        LogFilter::And(all) => all.iter().all(|filter| passes(filter, flags, elapsed, rng)),
        LogFilter::Or(any) => any.iter().any(|filter| passes(filter, flags, elapsed, rng)),
        // Refused for a TCP proxy when it is compiled: there is no request.
        LogFilter::Status(_) | LogFilter::Header(_) | LogFilter::NotHealthCheck => false,
    }
}

fn ms_since(from: Instant, clock: &Clock) -> u64 {
    u64::try_from(clock.instant().saturating_duration_since(from).as_millis()).unwrap_or(u64::MAX)
}

fn time(format: &TimeFormat, at: Duration, out: &mut Vec<u8>) -> bool {
    format.write(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX), out);
    true
}

/// The format language for TCP connections.
struct TcpValues<'s> {
    session: &'s TcpSession,
    info: &'s ConnectionInfo,
    clock: &'s Clock,
    local: &'s LocalWorkload,
}

impl Values for TcpValues<'_> {
    fn write(&self, command: &Command, out: &mut Vec<u8>) -> bool {
        let (session, info) = (self.session, self.info);
        match command {
            Command::StartTime(format) => time(format, self.clock.wall_at(info.accepted), out),
            Command::EmitTime(format) => time(format, self.clock.wall(), out),
            Command::ResponseCode => number(Some(0), out),
            Command::BytesReceived
            | Command::DownstreamWireBytesReceived
            | Command::UpstreamWireBytesSent => number(Some(session.received), out),
            Command::BytesSent | Command::DownstreamWireBytesSent | Command::UpstreamWireBytesReceived => {
                number(Some(session.sent), out)
            }
            Command::DownstreamTls(field) => downstream_tls(info, *field, out),
            Command::Environment(name) => {
                text(self.local.environment.get(&**name).map(|value| value.as_bytes()), out)
            }
            Command::Duration => number(Some(ms_since(info.accepted, self.clock)), out),
            Command::ConnectionId => number(Some(info.id), out),
            Command::ResponseFlags { long } => {
                session.flags.write(*long, out);
                !session.flags.is_empty()
            }
            Command::UpstreamHost(part) | Command::UpstreamRemoteAddress(part) => match &session.host {
                Some(host) => {
                    let place = host.place();
                    match &place.address {
                        meshloom_model::Address::Ip(ip) => address(Some(*ip), *part, out),
                        meshloom_model::Address::Unix(_) => text(Some(place.text.as_bytes()), out),
                    }
                }
                None => false,
            },
            Command::UpstreamLocalAddress(part) => address(session.upstream_local, *part, out),
            Command::UpstreamTransportFailureReason => {
                text(session.failure.as_deref().map(str::as_bytes), out)
            }
            Command::DownstreamRemoteAddress(part) | Command::DownstreamDirectRemoteAddress(part) => {
                address(Some(info.remote), *part, out)
            }
            Command::DownstreamLocalAddress(part) => address(Some(info.local), *part, out),
            Command::RequestedServerName => {
                text(info.server_name.borrow().as_deref().map(str::as_bytes), out)
            }
            Command::FilterChainName => text(Some(info.chain_name.borrow().as_bytes()), out),
            Command::Hostname => text(Some(self.local.hostname.as_bytes()), out),
            Command::UpstreamCluster | Command::UpstreamClusterRaw => {
                text(session.cluster_name.as_deref().map(str::as_bytes), out)
            }
            _ => false,
        }
    }
}
