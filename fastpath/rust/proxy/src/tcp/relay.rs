//! Moving bytes, both ways, until both sides have ended or time is up.

use meshloom_balance::Outcome;
use meshloom_model::ResponseFlag;

use super::{Ending, TcpSession};
use crate::downstream::{CloseReason, ConnectionInfo, Downstream, DownstreamState, Fate};
use crate::engine::{Engine, READS_PER_TURN};
use crate::reactor::{Millis, Token};
use crate::transport::{Buffers, Read, Transport, TransportError};
use crate::upstream::{Upstream, UpstreamFate};

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
        let unsent = to.unsent();
        if unsent > limit || !from.readable() {
            return Moved::Wait;
        }
        match from.read_for(unsent, limit, buffers) {
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

/// Sends what had arrived before there was another side to send it to.
fn send_early(early: &mut Vec<u8>, to: &mut Transport, count: &mut u64) -> Result<(), TransportError> {
    if early.is_empty() {
        return Ok(());
    }
    *count += early.len() as u64;
    to.send(&[&std::mem::take(early)])
}

/// Takes note of the end of a direction, and passes it on once everything before it is sent.
fn pass_end(ending: &mut Ending, moved: Moved, to: &mut Transport) {
    if moved == Moved::Ended && *ending == Ending::Open {
        *ending = Ending::Seen;
    }
    if *ending == Ending::Seen && to.unsent() == 0 {
        to.shutdown_write();
        *ending = Ending::Passed;
    }
}

impl Engine {
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
        let (limit, now) = (self.buffer_limit(down), self.now());
        let Downstream { io, state, held, broken, info, .. } = down;
        let DownstreamState::Tcp(session) = state else { return Fate::Close(CloseReason::Internal) };
        if !session.opened_counted {
            self.tcp_opened(session, info, upstream);
        }
        let Some(buffers) = &mut self.buffers else { return Fate::Close(CloseReason::Internal) };
        let up = send_early(held, &mut upstream.io, &mut session.received);
        let back = send_early(&mut upstream.http.held, io, &mut session.sent);
        let early_sent = up.is_ok() && back.is_ok();

        let before = session.received + session.sent;
        let up = relay(io, &mut upstream.io, buffers, limit, &mut session.received);
        let back = relay(&mut upstream.io, io, buffers, limit, &mut session.sent);
        session.set_paused(upstream.io.unsent() > limit);
        pass_end(&mut session.client_ended, up, &mut upstream.io);
        pass_end(&mut session.upstream_ended, back, io);

        if before != session.received + session.sent || session.times.idle == Millis::NEVER {
            session.moved(now);
            down.deadline = session.times.next();
        }
        let over = session.client_ended == Ending::Passed && session.upstream_ended == Ending::Passed;
        let lost = !early_sent || up == Moved::Broken || back == Moved::Broken || *broken;
        if up == Moved::More || back == Moved::More {
            self.run_soon(connection);
        }
        match (over, lost) {
            (true, _) => Fate::Close(CloseReason::Local),
            (false, true) => Fate::Close(CloseReason::Remote),
            (false, false) => Fate::Keep,
        }
    }

    /// Both sides are connected: takes note of it, once.
    fn tcp_opened(&mut self, session: &mut TcpSession, info: &ConnectionInfo, upstream: &Upstream) {
        session.opened_counted = true;
        session.upstream_local = Some(upstream.local);
        session.upstream_tls.clone_from(&upstream.tls);
        session.upstream_id = Some(upstream.id);
        if let Some(cluster) = self.clusters.get_mut(upstream.host.cluster) {
            cluster.observe(&upstream.host, Outcome::Connected, self.clock.instant(), &mut self.rng);
        }
        self.count_istio_tcp(session, info);
        if session.chain.proxy.log_on_connected {
            self.log_tcp(session, info);
        }
    }

    /// A deadline has come: of the connection's life, of its idleness, or of a report.
    pub(crate) fn tcp_expired(&mut self, _token: Token, down: &mut Downstream) -> Fate {
        let now = self.now();
        let Downstream { state, info, deadline, .. } = down;
        let DownstreamState::Tcp(session) = state else { return Fate::Close(CloseReason::Internal) };
        if now >= session.times.life {
            session.chain.stats.max_duration.inc();
            session.flags.set(ResponseFlag::DurationTimeout);
            return Fate::Close(CloseReason::Timeout);
        }
        if now >= session.times.idle {
            session.chain.stats.idle_timeout.inc();
            session.flags.set(ResponseFlag::StreamIdleTimeout);
            return Fate::Close(CloseReason::Timeout);
        }
        if now >= session.times.report {
            session.times.report = Millis::NEVER;
            self.count_istio_tcp(session, info);
        }
        if now >= session.times.log {
            let interval = session.chain.proxy.log_interval;
            session.times.log = interval.map_or(Millis::NEVER, |interval| now.after(interval));
            self.log_tcp(session, info);
        }
        *deadline = session.times.next();
        Fate::Keep
    }

    /// The session is over: its upstream connection goes, and it is written down.
    pub(crate) fn tcp_ended(&mut self, session: &mut TcpSession, down: &Downstream) {
        if let Some(token) = session.upstream.take() {
            self.close_upstream(token);
        }
        session.chain.stats.rx_bytes_total.add(session.received);
        session.chain.stats.tx_bytes_total.add(session.sent);
        self.count_istio_tcp_closed(session, &down.info);
        self.log_tcp(session, &down.info);
    }
}
