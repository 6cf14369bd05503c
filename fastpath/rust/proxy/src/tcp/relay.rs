//! Moving bytes, both ways, until both sides have ended or time is up.

use meshloom_balance::Outcome;
use meshloom_model::ResponseFlag;

use super::{Ending, TcpSession};
use crate::downstream::{CloseReason, Downstream, DownstreamState, Fate};
use crate::engine::{Engine, READS_PER_TURN};
use crate::reactor::{Millis, Token};
use crate::transport::{Buffers, Read, Transport};
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
            session.upstream_id = Some(upstream.id);
            self.count_istio_tcp(session, info);
            if session.chain.proxy.log_on_connected {
                self.log_tcp(session, info);
            }
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
        session.set_paused(upstream.io.unsent() > limit);
        pass_end(&mut session.client_ended, &mut upstream.io);
        pass_end(&mut session.upstream_ended, io);
        if before != session.received + session.sent || session.times.idle == Millis::NEVER {
            session.moved(now);
            down.deadline = session.times.next();
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
