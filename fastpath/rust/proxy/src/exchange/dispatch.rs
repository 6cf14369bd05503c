//! One attempt: an endpoint is chosen, a connection found or made, the request sent.

use std::rc::Rc;

use meshloom_balance::Resource;
use meshloom_model::ResponseFlag;
use meshloom_model::cluster::HttpProtocol;
use meshloom_model::route::{HostRewrite, ResourcePriority};
use meshloom_wire::http1::KnownHeader as H;

use super::{Exchange, Link, Stage, Tunnel, forward::set_host};
use crate::downstream::Downstream;
use crate::engine::Engine;
use crate::reactor::{Millis, Token};
use crate::reply::Failure;
use crate::upstream::{Destination, Host, Upstream, UpstreamStream, Want, bump};

/// How often an endpoint is chosen again where the choice has just said that it is going away: what refuses a stream may
/// soon refuse connections, and another endpoint does neither.
const CHOICES_ELSEWHERE: u32 = 5;

impl Exchange {
    /// The stream to its upstream that it has.
    pub(crate) fn upstream(&self) -> Option<UpstreamStream> {
        match &self.link {
            Link::Active(stream, _) => Some(*stream),
            Link::None | Link::Waiting(_) => None,
        }
    }

    pub(crate) fn priority(&self) -> ResourcePriority {
        self.forward().map_or(ResourcePriority::Default, |forward| forward.priority)
    }
}

impl Engine {
    /// Starts an attempt, the first or a retry.
    pub(crate) fn attempt(&mut self, token: Token, exchange: &mut Exchange, down: &mut Downstream) {
        exchange.stage = Stage::Requesting;
        exchange.deadlines.wake = Millis::NEVER;
        exchange.tries.made += 1;
        exchange.tries.holds_retry = std::mem::take(&mut exchange.tries.scheduled);
        if exchange.tries.made > 1 {
            self.expect_sooner(exchange);
        }
        if let Err(failure) = self.try_attempt(token, exchange) {
            self.attempt_failed(token, exchange, down, &failure);
        }
    }

    fn try_attempt(&mut self, token: Token, exchange: &mut Exchange) -> Result<(), Failure> {
        let priority = exchange.priority();
        let Some(id) = exchange.cluster else { return Err(Failure::Internal("no cluster")) };
        let policy = exchange.forward().and_then(|forward| forward.retry.clone());
        let now = self.now();
        let Some(cluster) = self.clusters.get_warm(id, now) else {
            return Err(Failure::ClusterNotFound { status: 503 });
        };
        let hash = if cluster.spec.balance.policy.is_consistent() { exchange.hash() } else { None };
        let (mut avoid, mut choices) =
            policy.map_or((false, 0), |policy| (policy.avoid_previous_endpoints, policy.max_choices));
        if exchange.tries.unprocessed > 0 {
            (avoid, choices) = (true, choices.max(CHOICES_ELSEWHERE));
        }
        let tried: &[Rc<Host>] =
            if avoid || exchange.tries.replaced_stale { &exchange.tries.tried } else { &[] };
        let going_to =
            cluster.original_destination().map(|spec| Destination::of(exchange, spec, &self.listeners));
        let picked = match going_to {
            Some(to) => cluster.original_host(id, &to),
            None => {
                let subset = exchange.metadata_match();
                let now = self.clock.instant();
                let want = Want { tried, choices, subset: subset.as_deref(), hash, now };
                cluster.pick(&want, &mut self.rng)
            }
        };
        let Some(host) = picked else {
            cluster.stats.cx_none_healthy.inc();
            return Err(Failure::NoHealthyUpstream);
        };
        exchange.outcome.host = Some(Rc::clone(&host));
        // With a limit of 0 nothing passes, even where a connection is free: Envoy's behaviour. Of streams only those
        // count that wait for a connection.
        let shares = cluster.spec.http.protocol != HttpProtocol::Http1;
        if !shares && !cluster.breakers(priority).has_room(Resource::Pending) {
            cluster.stats.rq_pending_overflow.inc();
            return Err(Failure::Overflow);
        }
        if cluster.breakers(priority).acquire(Resource::Requests).is_err() {
            cluster.stats.rq_active_overflow.inc();
            return Err(Failure::Overflow);
        }
        exchange.tries.holds_request = true;
        bump(&host.active, true);
        self.find_connection(token, exchange, &host)
    }

    /// The exchange no longer waits for a connection.
    pub(crate) fn leave_queue(&mut self, token: Token, exchange: &mut Exchange) {
        if let Link::Waiting(host) = std::mem::take(&mut exchange.link) {
            host.forget_waiting(token);
            self.stop_waiting(exchange, &host);
        }
    }

    fn stop_waiting(&mut self, exchange: &mut Exchange, host: &Host) {
        let priority = exchange.priority();
        let held = std::mem::take(&mut exchange.tries.holds_pending);
        if let Some(cluster) = self.clusters.get_mut(host.cluster) {
            cluster.stats.rq_pending_active.sub(1);
            if held {
                cluster.breakers(priority).release(Resource::Pending);
            }
        }
    }

    /// The exchange gets a connection: what is there of the request is sent. False when the connection takes no more.
    pub(crate) fn attach(
        &mut self,
        token: Token,
        exchange: &mut Exchange,
        connection: Token,
        upstream: &mut Upstream,
    ) -> bool {
        let on_reused = upstream.served > 0;
        let Some(stream) = upstream.begin(connection, token) else { return false };
        let host = Rc::clone(&upstream.host);
        if matches!(exchange.link, Link::Waiting(_)) {
            self.stop_waiting(exchange, &host);
        }
        exchange.tries.on_reused = on_reused;
        exchange.link = Link::Active(stream, Rc::clone(&host));
        exchange.tries.counted_active = true;
        if let Some(cluster) = self.clusters.get(host.cluster) {
            cluster.stats.rq_total.inc();
            cluster.stats.rq_active.add(1);
            // It may have changed since the connection was made.
            upstream.header_case = cluster.spec.http.header_case;
        }
        exchange.outcome.upstream_local = Some(upstream.local);
        exchange.outcome.upstream_tls.clone_from(&upstream.tls);
        exchange.outcome.upstream_connection = upstream.id;
        exchange.outcome.upstream_protocol = Some(upstream.protocol());
        exchange.times.upstream_begin = Some(self.clock.instant());
        let limits = exchange.times.limits;
        if exchange.body.complete {
            if let Some(limit) = limits.attempt {
                exchange.deadlines.attempt = self.now().after(limit);
            }
        }
        if let Some(limit) = limits.attempt_idle {
            exchange.deadlines.attempt_idle = self.now().after(limit);
        }
        self.attempt_headers(exchange, &host);
        self.send_request(exchange, stream, upstream);
        true
    }

    /// Headers that differ from attempt to attempt.
    fn attempt_headers(&mut self, exchange: &mut Exchange, host: &Host) {
        let Some(forward) = exchange.forward() else { return };
        let keep = forward.append_x_forwarded_host;
        let by_endpoint =
            matches!(Exchange::host_rewrite(forward, exchange.entry), Some(HostRewrite::Endpoint));
        if by_endpoint {
            let name = host.endpoint().hostname.clone();
            if !name.is_empty() {
                set_host(exchange, name.as_bytes(), keep && exchange.tries.made == 1);
            }
        }
        if exchange.route.as_deref().is_some_and(|route| route.attempt_count_in_request) {
            exchange.request.fields.remove(H::XEnvoyAttemptCount);
            exchange.request.fields.add_number(H::XEnvoyAttemptCount, u64::from(exchange.tries.made));
        }
    }

    /// Sends the head, and as much of the body as is there.
    fn send_request(&mut self, exchange: &mut Exchange, to: UpstreamStream, upstream: &mut Upstream) {
        self.aim(to.connection);
        let sent = upstream.send_request(to, &exchange.request, &exchange.body, &mut self.up_out);
        if upstream.http2.is_some() {
            self.http2_began(upstream);
        }
        exchange.outcome.wire_sent += sent.wire;
        if exchange.body.complete {
            exchange.times.upstream_end = Some(self.clock.instant());
        }
        if !exchange.body.replayable {
            exchange.body.kept.clear();
        }
        // The client may have been held back while there was no connection.
        if !exchange.body.complete && !sent.congested {
            self.resume_request(exchange.downstream, exchange.stream);
        }
    }

    /// Gives back what the attempt holds in its cluster.
    pub(crate) fn release_attempt(&mut self, exchange: &mut Exchange, host: &Host) {
        let priority = exchange.priority();
        let request = std::mem::take(&mut exchange.tries.holds_request);
        let active = std::mem::take(&mut exchange.tries.counted_active);
        let retry = std::mem::take(&mut exchange.tries.holds_retry);
        if request {
            bump(&host.active, false);
        }
        let Some(cluster) = self.clusters.get_mut(host.cluster) else { return };
        if request {
            if active {
                cluster.stats.rq_active.sub(1);
            }
            cluster.breakers(priority).release(Resource::Requests);
        }
        if retry {
            cluster.breakers(priority).release(Resource::Retries);
        }
    }

    /// Breaks the tie to the upstream: what is half done there is given up.
    pub(crate) fn abort_upstream(&mut self, exchange: &mut Exchange) {
        match std::mem::take(&mut exchange.link) {
            Link::None => self.cancel_retry(exchange),
            Link::Waiting(host) => {
                // The queue skips exchanges that no longer wait.
                self.stop_waiting(exchange, &host);
                self.release_attempt(exchange, &host);
            }
            Link::Active(stream, host) => {
                self.release_attempt(exchange, &host);
                self.count_cluster(exchange, |stats| stats.rq_tx_reset.inc());
                if exchange.tunnel == Tunnel::Open {
                    self.reset_tunnel(stream);
                }
                self.abort_stream(stream);
            }
        }
    }

    /// The next attempt will not be made.
    fn cancel_retry(&mut self, exchange: &mut Exchange) {
        let priority = exchange.priority();
        if std::mem::take(&mut exchange.tries.scheduled) {
            if let Some(cluster) = exchange.cluster.and_then(|id| self.clusters.get_mut(id)) {
                cluster.breakers(priority).release(Resource::Retries);
            }
        }
    }

    /// An attempt came to nothing: another one, or the failure is told to the client.
    pub(crate) fn attempt_failed(
        &mut self,
        token: Token,
        exchange: &mut Exchange,
        down: &mut Downstream,
        failure: &Failure,
    ) {
        if let Some(host) = exchange.outcome.host.clone() {
            self.release_attempt(exchange, &host);
            exchange.tries.tried.push(host);
        }
        exchange.deadlines.attempt = Millis::NEVER;
        exchange.deadlines.attempt_idle = Millis::NEVER;
        if self.retry_after(token, exchange, down, failure) {
            return;
        }
        if let Failure::Overflow = failure {
            exchange.flag(ResponseFlag::UpstreamOverflow);
        }
        self.fail(token, exchange, down, failure);
    }
}
