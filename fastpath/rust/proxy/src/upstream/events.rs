//! What happens to a connection to an upstream: it is made, carries requests, waits, and ends.

use std::rc::Rc;

use meshloom_balance::Resource;
use meshloom_model::route::ResourcePriority;

use super::{Host, Upstream, UpstreamState};
use crate::engine::Engine;
use crate::exchange::{Exchange, Link};
use crate::reactor::{Millis, Ready, Token};
use crate::reply::Failure;
use crate::transport::Read;

/// How an upstream connection goes on.
pub(crate) enum UpstreamFate {
    Keep,
    Close,
    /// It ends, and this is what its exchange (or those that wait for it) is told.
    Fail(Failure),
}

impl Engine {
    /// Bytes that may wait towards an upstream.
    pub(crate) fn upstream_limit(&self, upstream: &Upstream) -> usize {
        const DEFAULT: usize = 64 * 1024;
        self.clusters.get(upstream.host.cluster).map_or(DEFAULT, |cluster| cluster.spec.buffer_limit as usize)
    }

    /// An event, or another turn (`None`).
    pub(crate) fn upstream_event(&mut self, token: Token, ready: Option<Ready>) {
        let Some(mut upstream) = self.ups.take(token) else { return };
        if upstream.state == UpstreamState::Shared {
            self.ups.put_back(token, upstream);
            return self.http2_event(token, ready);
        }
        if let Some(ready) = ready {
            upstream.io.ready(ready);
        }
        let fate = self.serve_upstream(token, &mut upstream, ready);
        self.settle_upstream(token, upstream, fate);
    }

    fn serve_upstream(
        &mut self,
        token: Token,
        upstream: &mut Upstream,
        ready: Option<Ready>,
    ) -> UpstreamFate {
        if upstream.connecting {
            return match ready {
                Some(ready) if ready.writable || ready.error => self.connected(token, upstream),
                _ => UpstreamFate::Keep,
            };
        }
        let waiting = upstream.io.unsent();
        // A failed send is not yet the end: what the upstream has answered may still be there to read.
        if upstream.io.flush().is_err() {
            upstream.broken = true;
        }
        if waiting > 0 && upstream.io.unsent() <= self.upstream_limit(upstream) / 2 {
            match upstream.state {
                UpstreamState::Busy(exchange) => {
                    let client =
                        self.exchanges.get(exchange).map(|exchange| (exchange.downstream, exchange.stream));
                    if let Some((downstream, stream)) = client {
                        self.resume_request(downstream, stream);
                    }
                }
                UpstreamState::Tunnel(downstream) => self.run_soon(downstream),
                _ => {}
            }
        }
        match upstream.state {
            UpstreamState::Connecting | UpstreamState::Shared => UpstreamFate::Keep,
            UpstreamState::Handshaking => self.upstream_handshake(token, upstream),
            UpstreamState::Idle => self.idle_input(upstream),
            UpstreamState::Busy(_) if upstream.io.is_handshaking() => {
                self.upstream_handshake(token, upstream)
            }
            UpstreamState::Busy(exchange) => self.response_input(token, upstream, exchange),
            UpstreamState::Tunnel(downstream) if upstream.io.is_handshaking() => {
                let _ = downstream;
                self.upstream_handshake(token, upstream)
            }
            UpstreamState::Tunnel(downstream) => self.tcp_from_upstream(token, upstream, downstream),
        }
    }

    /// On a connection without a request nothing may come: whatever it is, it would be taken for the next answer.
    fn idle_input(&mut self, upstream: &mut Upstream) -> UpstreamFate {
        if !upstream.io.readable() {
            return UpstreamFate::Keep;
        }
        let Some(buffers) = &mut self.buffers else { return UpstreamFate::Close };
        match upstream.io.read(buffers) {
            // With TLS: session tickets and the like.
            Read::Blocked => UpstreamFate::Keep,
            Read::Data(_) | Read::End | Read::Failed(_) => UpstreamFate::Close,
        }
    }

    /// The exchange is over and its connection is free, if it may live.
    pub(crate) fn release_connection(&mut self, token: Token, upstream: &mut Upstream) -> UpstreamFate {
        let spec = self.clusters.get(upstream.host.cluster).map(|cluster| (cluster.spec.http, cluster.stats));
        let Some((http, stats)) = spec else { return UpstreamFate::Close };
        let spent = http.max_requests_per_connection.is_some_and(|most| upstream.served >= u64::from(most));
        if spent {
            stats.cx_max_requests.inc();
        }
        let old = http.max_connection_duration.is_some_and(|life| self.now() >= upstream.opened.after(life));
        if spent
            || old
            || upstream.broken
            || upstream.host.removed.get()
            || !upstream.http.keep_alive
            || !upstream.http.held.is_empty()
            || upstream.io.unsent() > 0
            || upstream.io.closing()
        {
            return UpstreamFate::Close;
        }
        upstream.http.restart();
        self.serve_waiting(token, upstream);
        UpstreamFate::Keep
    }

    /// A deadline has come, perhaps.
    pub(crate) fn upstream_timer(&mut self, token: Token) {
        let Some(mut upstream) = self.ups.take(token) else { return };
        if upstream.deadline > self.now() {
            return self.settle_upstream_kept(token, upstream);
        }
        if upstream.state == UpstreamState::Shared {
            self.ups.put_back(token, upstream);
            return self.http2_timer(token);
        }
        upstream.deadline = Millis::NEVER;
        let stats = self.clusters.get(upstream.host.cluster).map(|cluster| cluster.stats);
        let fate = match upstream.state {
            UpstreamState::Idle => {
                if let Some(stats) = stats {
                    stats.cx_idle_timeout.inc();
                }
                UpstreamFate::Close
            }
            UpstreamState::Connecting
            | UpstreamState::Handshaking
            | UpstreamState::Busy(_)
            | UpstreamState::Tunnel(_)
                if upstream.connecting || upstream.io.is_handshaking() =>
            {
                if let Some(stats) = stats {
                    stats.cx_connect_timeout.inc();
                    stats.cx_connect_fail.inc();
                }
                UpstreamFate::Fail(Failure::ConnectTimeout)
            }
            _ => UpstreamFate::Keep,
        };
        self.settle_upstream(token, upstream, fate);
    }

    pub(crate) fn settle_upstream_kept(&mut self, token: Token, upstream: Box<Upstream>) {
        let at = upstream.deadline;
        self.ups.put_back(token, upstream);
        self.ups.arm(token, at, &mut self.wheel);
    }

    fn settle_upstream(&mut self, token: Token, upstream: Box<Upstream>, fate: UpstreamFate) {
        match fate {
            UpstreamFate::Keep => self.settle_upstream_kept(token, upstream),
            UpstreamFate::Close => self.drop_upstream(token, &upstream),
            UpstreamFate::Fail(failure) => {
                let (state, host, lane) = (upstream.state, Rc::clone(&upstream.host), upstream.lane.clone());
                self.drop_upstream(token, &upstream);
                drop(upstream);
                match state {
                    UpstreamState::Busy(exchange) => self.exchange_lost(exchange, &failure),
                    UpstreamState::Tunnel(downstream) => self.tcp_connect_failed(downstream, &failure),
                    UpstreamState::Connecting | UpstreamState::Handshaking => {
                        self.waiting_lost(&host, &lane, &failure);
                        self.open_for_waiting(&host, &lane);
                    }
                    UpstreamState::Idle | UpstreamState::Shared => {}
                }
            }
        }
    }

    pub(super) fn drop_upstream(&mut self, token: Token, upstream: &Upstream) {
        match upstream.state {
            UpstreamState::Idle | UpstreamState::Shared => upstream.host.forget(&upstream.lane, token),
            UpstreamState::Connecting | UpstreamState::Handshaking => {
                upstream.host.note_connecting(&upstream.lane, false);
            }
            UpstreamState::Busy(_) | UpstreamState::Tunnel(_) => {}
        }
        if upstream.http2.as_ref().is_some_and(|http2| http2.unsaid) {
            upstream.host.note_connecting(&upstream.lane, false);
        }
        self.ups.remove(token);
        let active = match &upstream.http2 {
            Some(http2) => !http2.is_idle(),
            None => matches!(upstream.state, UpstreamState::Busy(_)),
        };
        self.count_closed(upstream, active);
        let was_made = !matches!(upstream.state, UpstreamState::Connecting | UpstreamState::Handshaking);
        if was_made {
            self.open_for_waiting(&upstream.host, &upstream.lane);
        }
    }

    pub(super) fn count_closed(&mut self, upstream: &Upstream, active: bool) {
        upstream.host.note_open(&upstream.lane, false);
        let length = self.now().since(upstream.opened);
        let Some(cluster) = self.clusters.get_mut(upstream.host.cluster) else { return };
        let stats = cluster.stats;
        if let (Some(stats), Some(tls)) = (&cluster.tls_stats, upstream.io.tls()) {
            if tls.has_broken() {
                stats.failed(None);
            }
        }
        if upstream.counted_connection {
            cluster.breakers(ResourcePriority::Default).release(Resource::Connections);
        }
        stats.cx_active.sub(1);
        stats.cx_destroy.inc();
        if upstream.io.closing() {
            stats.cx_destroy_remote.inc();
        } else {
            stats.cx_destroy_local.inc();
        }
        if active {
            stats.cx_destroy_with_active_rq.inc();
        }
        stats.cx_length_ms.record(length);
        stats.cx_rx_bytes_total.add(upstream.io.bytes_read);
        stats.cx_tx_bytes_total.add(upstream.io.bytes_written);
    }

    /// Closes a connection that is at home, whatever it does.
    pub(crate) fn close_upstream(&mut self, token: Token) {
        if let Some(upstream) = self.ups.take(token) {
            self.drop_upstream(token, &upstream);
        } else {
            // Lent out: whoever works on it finds its slot gone, and drops it.
            self.ups.remove(token);
        }
    }

    /// Ends every connection to a host, with whatever is on it.
    pub(crate) fn break_connections(&mut self, host: &Rc<Host>) {
        for token in self.ups.tokens() {
            if let Some(upstream) = self.ups.take(token) {
                if Rc::ptr_eq(&upstream.host, host) {
                    self.settle_upstream(token, upstream, UpstreamFate::Fail(Failure::Terminated));
                } else {
                    self.ups.put_back(token, upstream);
                }
            }
        }
    }

    /// Closes the idle connections of hosts that are gone.
    pub(crate) fn close_hosts(&mut self, hosts: &[Rc<Host>]) {
        for host in hosts {
            for token in host.take_idle() {
                self.close_upstream(token);
            }
            for token in host.shared() {
                self.retire_http2(token);
            }
        }
    }

    /// The connection of an exchange broke.
    fn exchange_lost(&mut self, token: Token, failure: &Failure) {
        let Some(mut exchange) = self.exchanges.take(token) else { return };
        let downstream = exchange.downstream;
        if let Some(mut down) = self.lend_downstream(downstream) {
            self.attempt_lost(token, &mut exchange, &mut down, failure);
            self.return_downstream(downstream, down, exchange.is_done());
        }
        self.settle_exchange(token, exchange);
        self.flush_upstream();
    }

    fn attempt_lost(
        &mut self,
        token: Token,
        exchange: &mut Exchange,
        down: &mut crate::downstream::Downstream,
        failure: &Failure,
    ) {
        if let Link::Active(_, host) = std::mem::take(&mut exchange.link) {
            self.release_attempt(exchange, &host);
        }
        self.count_cluster(exchange, |stats| stats.rq_rx_reset.inc());
        exchange.note_failure(failure);
        self.attempt_failed(token, exchange, down, failure);
    }
}

impl Exchange {
    pub(super) fn note_failure(&mut self, failure: &Failure) {
        if let Failure::ConnectFailed { reason } = failure {
            self.outcome.upstream_failure = Some(reason.as_ref().into());
        }
    }
}
