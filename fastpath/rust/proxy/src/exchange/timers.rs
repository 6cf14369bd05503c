//! Deadlines of an exchange.

use super::{Exchange, Stage};
use crate::downstream::Downstream;
use crate::engine::Engine;
use crate::reactor::{Millis, Token};
use crate::reply::Failure;

impl Engine {
    /// A deadline has come, perhaps.
    pub(crate) fn exchange_timer(&mut self, token: Token) {
        let Some(mut exchange) = self.exchanges.take(token) else { return };
        if exchange.deadlines.next() > self.now() {
            return self.settle_exchange(token, exchange);
        }
        let downstream = exchange.downstream;
        let Some(mut down) = self.lend_downstream(downstream) else {
            return self.settle_exchange(token, exchange);
        };
        self.exchange_expired(token, &mut exchange, &mut down);
        let ended = exchange.is_done();
        self.settle_exchange(token, exchange);
        self.flush_upstream();
        self.return_downstream(downstream, down, ended);
    }

    fn exchange_expired(&mut self, token: Token, exchange: &mut Exchange, down: &mut Downstream) {
        let now = self.now();
        let due = exchange.deadlines;
        if due.wake <= now {
            exchange.deadlines.wake = Millis::NEVER;
            return match exchange.stage {
                Stage::Delayed => self.after_delay(token, exchange, down),
                _ => self.attempt(token, exchange, down),
            };
        }
        if due.response <= now {
            exchange.deadlines.response = Millis::NEVER;
            self.count_cluster(exchange, |stats| stats.rq_timeout.inc());
            return self.time_out(token, exchange, down, &Failure::ResponseTimeout);
        }
        if due.attempt <= now || due.attempt_idle <= now {
            exchange.deadlines.attempt = Millis::NEVER;
            exchange.deadlines.attempt_idle = Millis::NEVER;
            let idle = due.attempt > now;
            self.count_cluster(exchange, |stats| match idle {
                true => stats.rq_per_try_idle_timeout.inc(),
                false => stats.rq_per_try_timeout.inc(),
            });
            if exchange.stage == Stage::Requesting {
                self.abort_upstream(exchange);
                return self.attempt_failed(token, exchange, down, &Failure::PerTryTimeout { idle });
            }
            return;
        }
        if due.request <= now {
            exchange.deadlines.request = Millis::NEVER;
            exchange.chain.stats.rq_timeout.inc();
            return self.time_out(token, exchange, down, &Failure::RequestTimeout);
        }
        if due.life <= now {
            exchange.deadlines.life = Millis::NEVER;
            exchange.chain.stats.rq_max_duration.inc();
            return self.time_out(token, exchange, down, &Failure::MaxDuration);
        }
        exchange.deadlines.idle = Millis::NEVER;
        exchange.chain.stats.rq_idle_timeout.inc();
        let requesting = !exchange.body.complete;
        self.time_out(token, exchange, down, &Failure::StreamIdle { requesting });
    }

    /// No further attempt: the whole exchange has run out of time.
    fn time_out(&mut self, token: Token, exchange: &mut Exchange, down: &mut Downstream, failure: &Failure) {
        if matches!(failure, Failure::ResponseTimeout) && exchange.stage == Stage::Requesting {
            self.observe(exchange, meshloom_balance::Outcome::TimedOut);
        }
        if exchange.stage == Stage::Delayed {
            let active = &exchange.chain.active_faults;
            active.set(active.get().saturating_sub(1));
        }
        self.abort_upstream(exchange);
        self.fail(token, exchange, down, failure);
    }
}
