//! The life of an HTTP/2 connection to an upstream: it begins, takes what waits for it, is asked whether it is still
//! there, drains and ends.

use std::rc::Rc;
use std::time::Duration;

use meshloom_wire::http2::{Counters, ErrorCode};

use super::Http2;
use crate::codec::http2_config;
use crate::engine::Engine;
use crate::reactor::{Millis, Token};
use crate::reply::{Failure, StreamReset};
use crate::telemetry::UpstreamHttp2Stats;
use crate::upstream::{Speaks, Upstream, UpstreamFate, UpstreamState, UpstreamStream};

impl Engine {
    pub(super) fn http2(&mut self, connection: Token) -> Option<&mut Http2> {
        self.ups.get_mut(connection)?.http2.as_deref_mut()
    }

    /// The connection is made, and speaks HTTP/2 from here on.
    pub(in crate::upstream) fn begin_http2(&mut self, token: Token, upstream: &mut Upstream) -> UpstreamFate {
        let Some(cluster) = self.clusters.get_mut(upstream.host.cluster) else { return UpstreamFate::Close };
        let (spec, stats) = (cluster.spec.http, cluster.stats);
        if cluster.http2.is_none() {
            cluster.http2 = Some(UpstreamHttp2Stats::register(&mut self.telemetry, cluster.spec.stat_name()));
        }
        stats.cx_http2_total.inc();
        self.aim(token);
        let config = http2_config(&spec.http2, spec.max_response_headers_bytes, spec.max_response_headers);
        let now = self.now();
        let said = upstream.host.said_streams.get();
        // More than the peer allows may cost them all; its word comes before any answer. Whoever allowed none before is
        // asked again, by one request at a time.
        let at_first = if said { upstream.host.allows_streams.get().max(1) } else { 1 };
        let mut http2 = Http2::start(config, &spec.http2, at_first, now, &mut self.up_out.bytes);
        http2.held = std::mem::take(&mut upstream.http.held);
        http2.unsaid = !said;
        let interval = http2.pings.spec.and_then(|spec| spec.interval);
        http2.pings.next =
            interval.map_or(Millis::NEVER, |interval| self.next_upstream_ping(&http2, interval));
        let reads_on = !http2.held.is_empty();
        upstream.http2 = Some(Box::new(http2));
        upstream.state = UpstreamState::Shared;
        if !said {
            upstream.host.note_connecting(&upstream.lane, true);
        }
        upstream.host.share(&upstream.lane, token);
        self.serve_streams(token, upstream);
        self.up_target = None;
        upstream.broken |= self.up_out.flush(&mut upstream.io).is_err();
        upstream.note_unsent();
        if reads_on || upstream.broken || upstream.io.readable() {
            self.run_soon(token);
        }
        UpstreamFate::Keep
    }

    fn next_upstream_ping(&mut self, http2: &Http2, interval: Duration) -> Millis {
        let percent = http2.pings.spec.map_or(0, |spec| spec.jitter_percent);
        let most = interval.saturating_mul(percent) / 100;
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        let jitter = if most == 0 { 0 } else { self.rng.next() % (most + 1) };
        self.now().after(interval + Duration::from_millis(jitter))
    }

    /// Gives streams to the exchanges that wait for one, as far as there is room.
    pub(in crate::upstream) fn serve_streams(&mut self, token: Token, upstream: &mut Upstream) {
        let host = Rc::clone(&upstream.host);
        while self.takes_stream(upstream) {
            let Some(waiting) = host.dequeue(&upstream.lane) else { break };
            let Some(mut exchange) = self.exchanges.take(waiting) else { continue };
            if exchange.waits_for(&host) {
                self.attach(waiting, &mut exchange, token, upstream);
            }
            self.settle_exchange(waiting, exchange);
        }
        let now = self.now();
        if let Some(http2) = &mut upstream.http2 {
            http2.idle_since = http2.is_idle().then(|| http2.idle_since.unwrap_or(now));
        }
        upstream.deadline = self.http2_deadline(upstream);
        self.ups.arm(token, upstream.deadline, &mut self.wheel);
    }

    /// May the connection take one more stream? One that has carried or lived enough takes none.
    pub(in crate::upstream) fn takes_stream(&self, upstream: &Upstream) -> bool {
        let Some(http2) = &upstream.http2 else { return false };
        http2.has_room() && !upstream.broken && !upstream.io.closing()
    }

    /// A request has begun on the connection.
    pub(crate) fn http2_began(&mut self, upstream: &mut Upstream) {
        let now = self.now();
        let Some(cluster) = self.clusters.get(upstream.host.cluster) else { return };
        let (spec, stats) = (cluster.spec.http, cluster.stats);
        let Some(http2) = &mut upstream.http2 else { return };
        http2.idle_since = None;
        if spec.max_requests_per_connection.is_some_and(|most| upstream.served >= u64::from(most)) {
            http2.retired = true;
            stats.cx_max_requests.inc();
        }
        let quiet = http2.pings.spec.and_then(|spec| spec.idle_interval);
        if quiet.is_some_and(|quiet| now >= http2.pings.heard.after(quiet)) {
            http2.ping(now, &mut self.up_out.bytes);
        }
        upstream.deadline = self.http2_deadline(upstream);
    }

    /// When something is due on the connection.
    fn http2_deadline(&self, upstream: &Upstream) -> Millis {
        let Some(http2) = &upstream.http2 else { return Millis::NEVER };
        let Some(cluster) = self.clusters.get(upstream.host.cluster) else { return Millis::NEVER };
        let spec = &cluster.spec.http;
        let idle = spec.idle_timeout.zip(http2.idle_since).map(|(idle, since)| since.after(idle));
        let old = spec.max_connection_duration.filter(|_| !http2.retired);
        let old = old.map(|life| upstream.opened.after(life));
        let earliest = http2.pings.next.min(http2.pings.answer_by);
        earliest.min(idle.unwrap_or(Millis::NEVER)).min(old.unwrap_or(Millis::NEVER))
    }

    /// The connection goes on after a turn: what waits is served, and if nothing can come any more, it ends.
    pub(super) fn http2_goes_on(&mut self, token: Token) {
        let Some(mut upstream) = self.ups.take(token) else { return };
        let Some(http2) = &upstream.http2 else { return self.settle_upstream_kept(token, upstream) };
        if http2.is_spent() || (http2.is_idle() && upstream.host.removed.get()) {
            return self.end_http2(token, upstream);
        }
        self.serve_streams(token, &mut upstream);
        self.settle_upstream_kept(token, upstream);
        self.top_up(token);
    }

    /// What still waits though this connection has served what it can, may need another one.
    fn top_up(&mut self, token: Token) {
        let Some(upstream) = self.ups.get(token) else { return };
        let (host, lane) = (Rc::clone(&upstream.host), upstream.lane.clone());
        self.open_for_waiting(&host, &lane);
    }

    /// Ends a connection in good order.
    fn end_http2(&mut self, token: Token, mut upstream: Box<Upstream>) {
        if self.up_target != Some(token) {
            self.flush_upstream();
        }
        self.up_target = None;
        if let Some(http2) = &mut upstream.http2 {
            http2.codec.goaway(ErrorCode::NO_ERROR, &mut self.up_out.bytes);
        }
        // The peer may be gone already; then nobody misses the farewell.
        upstream.broken |= self.up_out.flush(&mut upstream.io).is_err();
        upstream.io.say_goodbye();
        self.drop_upstream(token, &upstream);
    }

    /// The connection is of no use any more: whoever has a stream on it is told.
    pub(super) fn lose_http2(&mut self, token: Token, failure: &Failure) {
        let Some(mut upstream) = self.ups.take(token) else { return };
        if self.up_target == Some(token) {
            self.up_target = None;
            // Why it ends, when that is to be told, is said as far as the socket takes it.
            let _ = self.up_out.flush(&mut upstream.io);
        }
        self.drop_upstream(token, &upstream);
        let Some(http2) = upstream.http2.take() else { return };
        for number in http2.numbers() {
            let Some(stream) = http2.streams.get(&number) else { continue };
            let of = UpstreamStream { connection: token, number };
            self.on_exchange(stream.exchange, of, |engine, token, exchange, down| {
                engine.stream_failed(token, exchange, down, failure);
            });
        }
        self.flush_upstream();
    }

    /// A deadline of the connection has come, perhaps.
    pub(in crate::upstream) fn http2_timer(&mut self, token: Token) {
        let now = self.now();
        let Some(upstream) = self.ups.get_mut(token) else { return };
        let Some(cluster) = self.clusters.get(upstream.host.cluster) else { return };
        let (spec, stats) = (cluster.spec.http, cluster.stats);
        let Some(http2) = &mut upstream.http2 else { return };
        if http2.pings.answer_by <= now {
            stats.http2_keepalive_timeout.inc();
            return self.lose_http2(token, &Failure::StreamReset(StreamReset::Connection));
        }
        let idle = spec.idle_timeout.zip(http2.idle_since);
        if idle.is_some_and(|(limit, since)| now >= since.after(limit)) {
            stats.cx_idle_timeout.inc();
            http2.retired = true;
        }
        if spec.max_connection_duration.is_some_and(|life| now >= upstream.opened.after(life)) {
            http2.retired = true;
        }
        let pings = http2.pings.next <= now;
        if pings {
            self.aim(token);
            if let Some(http2) = self.ups.get_mut(token).and_then(|upstream| upstream.http2.as_mut()) {
                http2.ping(now, &mut self.up_out.bytes);
            }
        }
        self.http2_goes_on(token);
        self.flush_upstream();
    }

    /// The peer has said what it allows, which its next connection will allow too.
    pub(super) fn http2_settings(&mut self, token: Token) {
        let Some(upstream) = self.ups.get_mut(token) else { return };
        let Some(http2) = &mut upstream.http2 else { return };
        let allowed = http2.codec.peer_max_streams();
        upstream.host.allows_streams.set(allowed);
        upstream.host.said_streams.set(true);
        http2.note_surplus(allowed);
        if std::mem::take(&mut http2.unsaid) {
            upstream.host.note_connecting(&upstream.lane, false);
        }
    }

    pub(super) fn http2_pong(&mut self, token: Token) {
        let Some(mut upstream) = self.ups.take(token) else { return };
        if let Some(http2) = &mut upstream.http2 {
            http2.pings.answer_by = Millis::NEVER;
            if let Some(interval) = http2.pings.spec.and_then(|spec| spec.interval) {
                http2.pings.next = self.next_upstream_ping(http2, interval);
            }
        }
        upstream.deadline = self.http2_deadline(&upstream);
        self.settle_upstream_kept(token, upstream);
    }

    /// The host is gone: its connections end as soon as their streams have.
    pub(in crate::upstream) fn retire_http2(&mut self, token: Token) {
        if let Some(http2) = self.http2(token) {
            http2.retired = true;
            self.http2_goes_on(token);
        }
    }

    /// Adds what the codec has counted to the statistics.
    pub(super) fn count_http2(&mut self, token: Token) {
        let Some(upstream) = self.ups.get_mut(token) else { return };
        let (Some(http2), Some(cluster)) =
            (upstream.http2.as_mut(), self.clusters.get(upstream.host.cluster))
        else {
            return;
        };
        let counted = http2.codec.take_counters();
        if let Some(stats) = cluster.http2.filter(|_| counted != Counters::default()) {
            stats.add(&counted);
        }
    }
}

impl Http2 {
    /// Asks whether the peer is there, unless it is being asked.
    fn ping(&mut self, now: Millis, out: &mut Vec<u8>) {
        self.pings.next = Millis::NEVER;
        let Some(spec) = self.pings.spec.filter(|_| self.pings.answer_by == Millis::NEVER) else { return };
        self.pings.sent += 1;
        self.pings.answer_by = now.after(spec.timeout);
        self.codec.ping(self.pings.sent.to_be_bytes(), out);
    }
}

impl Speaks {
    /// Does this connection, or may it, carry many exchanges at a time?
    pub(crate) fn may_share(self) -> bool {
        self != Self::Http1
    }
}
