//! The request's body on its way upstream, bounded by what either side will take.

use super::{Exchange, Link, Stage};
use crate::downstream::Downstream;
use crate::engine::Engine;
use crate::message::Protocol;
use crate::reactor::{Millis, Token};

impl Exchange {
    /// How much of the body may be kept for a retry.
    fn replay_limit(&self) -> usize {
        let configured = self.route.as_deref().and_then(|route| route.retry_buffer_limit);
        configured.map_or(self.chain.buffer_limit, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
    }

    /// May this request ever be sent again? By the retry policy, or because an upstream may say over HTTP/2 that it has
    /// not looked at it.
    fn may_go_again(&self) -> bool {
        let retries = self.tries.max_retries > 0 && !self.tries.on.on.is_empty();
        let refusable = self.outcome.upstream_protocol == Some(Protocol::Http2);
        self.stage == Stage::Requesting && (retries || refusable)
    }
}

impl Engine {
    /// A piece of the body has arrived.
    pub(crate) fn request_data(&mut self, exchange: &mut Exchange, down: &mut Downstream, data: &[u8]) {
        exchange.body.received += data.len() as u64;
        self.touch(exchange);
        if exchange.stage == Stage::Done {
            return;
        }
        let Link::Active(stream, _) = exchange.link else {
            return self.keep_body(exchange, down, data);
        };
        if exchange.body.replayable {
            let fits = exchange.body.kept.len() + data.len() <= exchange.replay_limit();
            if fits && exchange.may_go_again() {
                exchange.body.kept.extend_from_slice(data);
            } else {
                // From here on a failure is final.
                exchange.body.replayable = false;
                exchange.body.kept = Vec::new();
            }
        }
        let sent = self.send_upstream_data(stream, data);
        exchange.outcome.wire_sent += sent.wire;
        if sent.congested {
            self.hold_back(exchange, down);
        }
    }

    /// Nobody takes the body yet: it is kept, up to the limit.
    fn keep_body(&mut self, exchange: &mut Exchange, down: &mut Downstream, data: &[u8]) {
        exchange.body.kept.extend_from_slice(data);
        if exchange.body.kept.len() >= exchange.chain.buffer_limit {
            self.hold_back(exchange, down);
        }
    }

    /// The client is to wait until what it has sent has gone on; that it sends nothing meanwhile is not its fault.
    fn hold_back(&mut self, exchange: &mut Exchange, down: &mut Downstream) {
        exchange.chain.stats.flow_control_paused.inc();
        down.pause_request(exchange.stream, exchange.upstream().is_some());
        let idle = exchange.times.limits.idle;
        exchange.deadlines.idle = idle.map_or(Millis::NEVER, |limit| self.now().after(limit));
    }

    /// The request is complete.
    pub(crate) fn request_end(&mut self, _token: Token, exchange: &mut Exchange) {
        exchange.body.complete = true;
        exchange.times.request_end = Some(self.clock.instant());
        exchange.deadlines.request = crate::reactor::Millis::NEVER;
        self.touch(exchange);
        let Link::Active(stream, _) = exchange.link else {
            if matches!(exchange.link, Link::Waiting(_)) {
                self.start_response_timer(exchange);
            }
            return;
        };
        self.send_upstream_end(stream, &exchange.body.trailers);
        exchange.times.upstream_end = Some(self.clock.instant());
        if exchange.stage == Stage::Requesting {
            if let Some(limit) = exchange.times.limits.attempt {
                exchange.deadlines.attempt = self.now().after(limit);
            }
            self.start_response_timer(exchange);
        }
    }
}
