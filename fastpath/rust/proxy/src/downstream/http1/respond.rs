//! Responses on a connection that speaks HTTP/1.

use crate::codec::{ResponseOptions, response_head};
use crate::downstream::{Downstream, RequestPhase};
use crate::engine::Engine;
use crate::exchange::{Exchange, Tunnel};
use crate::reactor::{Millis, Token};

use meshloom_wire::http1::Method;

impl Engine {
    pub(in crate::downstream) fn write_http1_head(
        &mut self,
        exchange: &mut Exchange,
        down: &mut Downstream,
    ) -> usize {
        let close = self.closes_after(exchange, down);
        let options = ResponseOptions {
            close,
            version: exchange.request.version.framing(),
            head: exchange.request.method == Method::Head,
            tunnel: exchange.tunnel == Tunnel::Open,
            case: exchange.chain.manager.http1.header_case,
        };
        let before = self.down_out.bytes.len();
        let (sender, ends_by_close) = response_head(&mut self.down_out.bytes, &exchange.response, options);
        if let Some(http) = down.http() {
            http.sender = sender;
            http.ends_by_close = ends_by_close;
            http.close |= close || ends_by_close;
        }
        self.down_out.bytes.len() - before
    }

    /// Does the connection end with this response?
    fn closes_after(&mut self, exchange: &Exchange, down: &mut Downstream) -> bool {
        let now = self.now();
        let draining = self.draining || down.is_draining();
        let overloaded = !exchange.chain.bypass_overload && self.disables_keepalive();
        let Some(http) = down.http() else { return true };
        let stats = &exchange.chain.stats;
        let spent = http
            .chain
            .manager
            .limits
            .max_requests_per_connection
            .is_some_and(|most| http.served >= u64::from(most));
        if spent {
            stats.cx_max_requests_reached.inc();
        }
        if draining || now >= http.drain_at {
            stats.cx_drain_close.inc();
            return true;
        }
        if overloaded {
            stats.cx_overload_disable_keepalive.inc();
            return true;
        }
        // Whoever answers before the end of the request may leave its rest unread.
        spent || http.close || !http.keep_alive || !exchange.body.complete
    }

    pub(in crate::downstream) fn break_http1(&mut self, exchange: &Exchange, down: &mut Downstream) {
        down.broken |= self.down_out.flush(&mut down.io).is_err();
        // A body that ends with the connection would look complete after an orderly end.
        if down.http().is_some_and(|http| http.ends_by_close) {
            down.io.reset_on_close();
        }
        down.broken = true;
        self.run_soon(exchange.downstream);
    }

    pub(in crate::downstream) fn leave_http1(&mut self, exchange: &Exchange, down: &mut Downstream) {
        let now = self.now();
        let Some(http) = down.http() else { return };
        http.exchange = None;
        http.idle_since = now;
        let reads_on = exchange.body.complete && !http.close && !http.ends_by_close;
        http.phase = if reads_on { RequestPhase::Head { began: false } } else { RequestPhase::Closing };
        http.partial = None;
        http.parser.restart();
        down.resume = true;
    }

    /// The client's connection goes on: the next request may be there already, or the end is due.
    pub(in crate::downstream) fn return_http1(
        &mut self,
        token: Token,
        mut down: Box<Downstream>,
        ended: bool,
    ) {
        down.broken |= self.down_out.flush(&mut down.io).is_err();
        self.down_target = None;
        if !ended && !down.broken {
            return self.downs.put_back(token, down);
        }
        let waits = down.held.is_empty() && !down.io.readable() && !down.broken && !down.io.closing();
        let stays = down.http().is_some_and(|http| !http.close);
        if waits && stays && down.io.unsent() == 0 {
            // The common case: the connection waits for its next request.
            let idle = down.http().and_then(|http| http.chain.manager.timeouts.idle);
            let at = idle.map_or(Millis::NEVER, |idle| self.now().after(idle));
            down.deadline = at.min(down.http().map_or(at, |http| http.drain_at));
            let at = down.deadline;
            down.resume = false;
            self.downs.put_back(token, down);
            self.downs.arm(token, at, &mut self.wheel);
        } else {
            self.downs.put_back(token, down);
            self.run_soon(token);
        }
    }
}
