//! Which connection an exchange gets: an idle one, a stream of one that carries many, or one that is made for it.

use std::rc::Rc;

use meshloom_balance::Resource;
use meshloom_model::cluster::HttpProtocol;
use meshloom_model::route::ResourcePriority;

use super::{Host, Http2, Lane, Own, Speaks, Upstream, UpstreamState};
use crate::engine::Engine;
use crate::exchange::{Exchange, Link, Tunnel};
use crate::message::Protocol;
use crate::reactor::{Millis, Token};
use crate::reply::Failure;

/// A host to which the system makes no connection.
pub(crate) struct Unreachable {
    host: Rc<Host>,
    lane: Lane,
    failure: Failure,
}

impl Engine {
    /// A connection for the exchange, else a place in the queue for one.
    pub(crate) fn find_connection(
        &mut self,
        token: Token,
        exchange: &mut Exchange,
        host: &Rc<Host>,
    ) -> Result<(), Failure> {
        if exchange.tunnel == (Tunnel::Asked { ends_here: true }) {
            return self.open_raw(token, exchange, Rc::clone(host));
        }
        let preamble = self.proxy_header(host, &exchange.info)?;
        let own = Own { name: exchange.name_for(host), preamble };
        let lane = Lane { speaks: self.speaks(host, exchange), own };
        if lane.speaks.may_share() && self.join_shared(token, exchange, host, &lane) {
            return Ok(());
        }
        if lane.speaks != Speaks::Http2 {
            while let Some(connection) = host.pop_idle(&lane) {
                if let Some(mut upstream) = self.ups.take(connection) {
                    let attached = self.attach(token, exchange, connection, &mut upstream);
                    self.settle_upstream_kept(connection, upstream);
                    if attached {
                        return Ok(());
                    }
                }
            }
        }
        self.wait_for_connection(token, exchange, host, &lane)
    }

    /// What the connections that this exchange may use are made to speak.
    fn speaks(&self, host: &Host, exchange: &Exchange) -> Speaks {
        let protocol = self.clusters.get(host.cluster).map(|cluster| cluster.spec.http.protocol);
        match protocol.unwrap_or(HttpProtocol::Http1) {
            HttpProtocol::Http1 => Speaks::Http1,
            HttpProtocol::Http2 => Speaks::Http2,
            HttpProtocol::Auto => Speaks::Either,
            HttpProtocol::Downstream if exchange.request.version == Protocol::Http2 => Speaks::Http2,
            HttpProtocol::Downstream => Speaks::Http1,
        }
    }

    /// Begins a stream on the first shared connection that has room for one.
    fn join_shared(&mut self, token: Token, exchange: &mut Exchange, host: &Rc<Host>, lane: &Lane) -> bool {
        let fit = |token| self.ups.get(token).is_some_and(|upstream| self.takes_stream(upstream));
        let Some(connection) = host.find_shared(lane, fit) else { return false };
        let Some(mut upstream) = self.ups.take(connection) else { return false };
        let attached = self.attach(token, exchange, connection, &mut upstream);
        self.settle_upstream_kept(connection, upstream);
        attached
    }

    fn wait_for_connection(
        &mut self,
        token: Token,
        exchange: &mut Exchange,
        host: &Rc<Host>,
        lane: &Lane,
    ) -> Result<(), Failure> {
        let priority = exchange.priority();
        let Some(cluster) = self.clusters.get_mut(host.cluster) else {
            return Err(Failure::Internal("no cluster"));
        };
        let stats = cluster.stats;
        let most = cluster.spec.http.http2.max_concurrent_streams as usize;
        let breakers = cluster.breakers(priority);
        if lane.speaks.may_share() && !breakers.has_room(Resource::Pending) {
            stats.rq_pending_overflow.inc();
            return Err(Failure::Overflow);
        }
        // One connection is always allowed, or an endpoint could never be reached again, or not for that name.
        let has_room = breakers.has_room(Resource::Connections);
        let may_connect = has_room || host.is_unreached(lane);
        let wants = host.wants_connection(lane, most, 1);
        if wants && !may_connect {
            stats.cx_overflow.inc();
        }
        // It has passed the breaker before; the count is for those that come after.
        exchange.tries.holds_pending = breakers.acquire(Resource::Pending).is_ok();
        stats.rq_pending_total.inc();
        stats.rq_pending_active.add(1);
        host.enqueue(lane, token);
        exchange.link = Link::Waiting(Rc::clone(host));
        if wants && may_connect {
            if !has_room && !lane.own.is_common() {
                self.close_idle(host);
            }
            if let Err(failure) = self.open_connection(host, UpstreamState::Connecting, lane) {
                self.leave_queue(token, exchange);
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Ends a connection that waits for a request: another one is needed more.
    fn close_idle(&mut self, host: &Host) {
        if let Some(idle) = host.any_idle() {
            return self.close_upstream(idle);
        }
        let is_idle = |token: &Token| {
            self.ups.get(*token).and_then(|upstream| upstream.http2.as_deref()).is_some_and(Http2::is_idle)
        };
        if let Some(idle) = host.shared().into_iter().find(is_idle) {
            self.retire_http2(idle);
        }
    }

    /// Opens connections for those that wait and for whom none is on its way: where one has ended, or has no room left.
    pub(super) fn open_for_waiting(&mut self, host: &Rc<Host>, lane: &Lane) {
        loop {
            let Some(cluster) = self.clusters.get_mut(host.cluster) else { return };
            let most = cluster.spec.http.http2.max_concurrent_streams as usize;
            let room = cluster.breakers(ResourcePriority::Default).has_room(Resource::Connections)
                || host.is_unreached(lane);
            if !room || !host.wants_connection(lane, most, 0) {
                return;
            }
            if let Err(failure) = self.open_connection(host, UpstreamState::Connecting, lane) {
                // Not from here: whoever lost the connection before may still be at work on one of their clients.
                self.unreachable.push(Unreachable { host: Rc::clone(host), lane: lane.clone(), failure });
                return;
            }
        }
    }

    /// Tells those that wait for a connection to a host to which none can be made.
    pub(crate) fn tell_unreachable(&mut self) {
        while let Some(Unreachable { host, lane, failure }) = self.unreachable.pop() {
            while let Some(token) = host.dequeue(&lane) {
                self.tell_waiting(token, &host, &failure);
            }
        }
    }

    /// A free connection of one exchange at a time: the next that waits gets it, else it goes to the pool.
    pub(super) fn serve_waiting(&mut self, token: Token, upstream: &mut Upstream) {
        let host = Rc::clone(&upstream.host);
        while let Some(waiting) = host.dequeue(&upstream.lane) {
            let Some(mut exchange) = self.exchanges.take(waiting) else { continue };
            let attached = exchange.waits_for(&host) && self.attach(waiting, &mut exchange, token, upstream);
            self.settle_exchange(waiting, exchange);
            if attached {
                if self.up_target == Some(token) {
                    self.up_target = None;
                    upstream.flush(&mut self.up_out);
                }
                return;
            }
        }
        self.go_idle(token, upstream);
    }

    fn go_idle(&mut self, token: Token, upstream: &mut Upstream) {
        let idle =
            self.clusters.get(upstream.host.cluster).and_then(|cluster| cluster.spec.http.idle_timeout);
        upstream.state = UpstreamState::Idle;
        upstream.deadline = idle.map_or(Millis::NEVER, |idle| self.now().after(idle));
        upstream.host.push_idle(&upstream.lane, token);
    }

    /// No connection came about: one of those that wait for one is told, or all where all waited for the same.
    pub(super) fn waiting_lost(&mut self, host: &Rc<Host>, lane: &Lane, failure: &Failure) {
        while let Some(token) = host.dequeue(lane) {
            if !self.tell_waiting(token, host, failure) {
                continue;
            }
            let (waiting, connecting) = host.waiting(lane);
            if !lane.speaks.may_share() || connecting > 0 || waiting == 0 {
                return;
            }
        }
    }

    /// Tells an exchange, if it still waits for a connection to this host.
    pub(super) fn tell_waiting(&mut self, token: Token, host: &Rc<Host>, failure: &Failure) -> bool {
        let Some(mut exchange) = self.exchanges.take(token) else { return false };
        if !exchange.waits_for(host) {
            self.settle_exchange(token, exchange);
            return false;
        }
        self.leave_queue(token, &mut exchange);
        if let Some(cluster) = self.clusters.get(host.cluster) {
            cluster.stats.rq_pending_failure_eject.inc();
        }
        let downstream = exchange.downstream;
        let mut ended = false;
        let down = self.lend_downstream(downstream);
        let down = down.map(|mut down| {
            exchange.note_failure(failure);
            self.attempt_failed(token, &mut exchange, &mut down, failure);
            ended = exchange.is_done();
            down
        });
        self.settle_exchange(token, exchange);
        if let Some(down) = down {
            self.return_downstream(downstream, down, ended);
        }
        self.flush_upstream();
        true
    }
}

impl Exchange {
    /// The name that TLS with a host takes from the request.
    pub(super) fn name_for(&self, host: &Host) -> Option<Rc<str>> {
        self.server_name.clone().filter(|_| host.tls.borrow().is_some())
    }

    /// Does it wait for a connection to this host?
    pub(super) fn waits_for(&self, host: &Rc<Host>) -> bool {
        matches!(&self.link, Link::Waiting(other) if Rc::ptr_eq(other, host))
    }
}

impl Host {
    /// Should one more connection be made for those that wait, and so many more? One that may turn out to carry many
    /// exchanges is waited for.
    fn wants_connection(&self, lane: &Lane, most: usize, more: usize) -> bool {
        let (waiting, connecting) = self.waiting(lane);
        let each = match (lane.speaks, self.chose_http2.get()) {
            // Each exchange has asked for its own, and an idle one may have come first.
            (Speaks::Http1, _) if more > 0 => return true,
            (Speaks::Http1, _) | (Speaks::Either, Some(false)) => 1,
            (Speaks::Http2, _) | (Speaks::Either, _) => most.min(self.allows_streams.get() as usize).max(1),
        };
        waiting + more > connecting.saturating_mul(each)
    }
}
