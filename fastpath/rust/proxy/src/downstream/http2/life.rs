//! A connection's life: how it begins, is kept alive, drains and ends.

use std::rc::Rc;
use std::time::Duration;

use meshloom_model::http2::Http2Keepalive;
use meshloom_wire::http2::{Counters, ErrorCode};

use super::read::Broken;
use super::{Drain, Http2, Ping};
use crate::downstream::{CloseReason, Downstream, DownstreamState, Fate};
use crate::engine::Engine;
use crate::listener::HttpChain;
use crate::reactor::{Millis, Token};

/// What our pings say; one is under way at a time.
const PING: [u8; 8] = *b"meshloom";
/// Time for a client to read the end of a broken connection where no delay is configured.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Engine {
    /// The connection speaks HTTP/2 from here on.
    pub(in crate::downstream) fn start_http2(
        &mut self,
        token: Token,
        down: &mut Downstream,
        chain: &Rc<HttpChain>,
    ) -> Fate {
        let now = self.now();
        let ping = self.next_ping(chain.manager.http2.keepalive);
        let http = Http2::new(Rc::clone(chain), now, ping, &mut self.down_out.bytes);
        down.state = DownstreamState::Http2(Box::new(http));
        down.resume = true;
        self.http2_input(token, down)
    }

    fn next_ping(&mut self, keepalive: Option<Http2Keepalive>) -> Ping {
        let Some(keepalive) = keepalive else { return Ping::Off };
        let Some(interval) = keepalive.interval else { return Ping::Off };
        let share = u32::try_from(self.rng.next() % 1000).unwrap_or(0) * keepalive.jitter_percent;
        Ping::At(self.now().after(interval + interval * share / 100_000))
    }

    /// The client has answered our ping.
    pub(super) fn pong(&mut self, down: &mut Downstream) {
        let Some(http) = down.http2().filter(|http| matches!(http.ping, Ping::Awaited(_))) else { return };
        let keepalive = http.chain.manager.http2.keepalive;
        let next = self.next_ping(keepalive);
        if let Some(http) = down.http2() {
            http.ping = next;
        }
    }

    fn ping(&mut self, down: &mut Downstream) {
        let now = self.now();
        let Some(http) = down.http2() else { return };
        let Some(keepalive) = http.chain.manager.http2.keepalive else { return };
        http.codec.ping(PING, &mut self.down_out.bytes);
        http.ping = Ping::Awaited(now.after(keepalive.timeout));
    }

    /// One more request has come: after a long silence the client is asked whether it is still there, and after many the
    /// connection drains.
    pub(super) fn count_request(&mut self, down: &mut Downstream) {
        let Some(http) = down.http2() else { return };
        http.served += 1;
        let limit = http.chain.manager.limits.max_requests_per_connection;
        let spent = limit.is_some_and(|most| http.served >= u64::from(most));
        let quiet = http.chain.manager.http2.keepalive.and_then(|keepalive| keepalive.idle_interval);
        let asks = quiet.is_some_and(|quiet| http.heard >= http.heard_before.after(quiet))
            && !matches!(http.ping, Ping::Awaited(_));
        if spent {
            http.chain.stats.cx_max_requests_reached.inc();
            self.start_drain(down);
        }
        if asks {
            self.ping(down);
        }
    }

    /// Announces the end of the connection; streams that are on their way are still taken.
    pub(super) fn start_drain(&mut self, down: &mut Downstream) {
        let now = self.now();
        let Some(http) = down.http2().filter(|http| http.drain == Drain::No) else { return };
        http.codec.goaway_notice(&mut self.down_out.bytes);
        http.drain = Drain::Noticed(now.after(http.chain.manager.timeouts.drain));
    }

    /// With a response goes the news that the connection is to end, if it is.
    pub(super) fn drain_with_response(&mut self, down: &mut Downstream) {
        let draining = self.draining || down.is_draining();
        let Some(http) = down.http2().filter(|http| http.drain == Drain::No) else { return };
        let chain = Rc::clone(&http.chain);
        if draining {
            chain.stats.cx_drain_close.inc();
        } else if !chain.bypass_overload && self.disables_keepalive() {
            chain.stats.cx_overload_disable_keepalive.inc();
        } else {
            return;
        }
        self.start_drain(down);
    }

    /// Tells the clients of all connections that are to end, whether they have requests or not.
    pub(crate) fn drain_http2(&mut self) {
        if !self.draining && self.drains.is_empty() {
            return;
        }
        for token in self.downs.tokens() {
            let all = self.draining;
            let drains = self.downs.get(token).is_some_and(|down| {
                let open = matches!(&down.state, DownstreamState::Http2(http) if http.drain == Drain::No);
                open && (all || down.is_draining())
            });
            if !drains {
                continue;
            }
            if let Some(mut down) = self.lend_downstream(token) {
                if let Some(http) = down.http2() {
                    http.chain.stats.cx_drain_close.inc();
                }
                self.start_drain(&mut down);
                self.settle_downstream(token, down, Fate::Keep);
            }
        }
    }

    /// What the connection does next, once its frames were dealt with.
    pub(super) fn after_http2_input(&mut self, _token: Token, down: &mut Downstream) -> Fate {
        let now = self.now();
        let Some(http) = down.http2() else { return Fate::Keep };
        if !http.is_over() {
            return Fate::Keep;
        }
        let delay = http.chain.manager.timeouts.delayed_close;
        if http.close_by == Millis::NEVER {
            http.close_by = now.after(delay.unwrap_or(LAST_WORDS));
        }
        self.close_gently(down, delay)
    }

    /// A deadline of the connection has come.
    pub(in crate::downstream) fn http2_expired(&mut self, token: Token, down: &mut Downstream) -> Fate {
        let now = self.now();
        let (unsent, limit) = (down.io.unsent(), self.buffer_limit(down));
        let Some(http) = down.http2() else { return Fate::Keep };
        let stats = &http.chain.stats;
        if http.close_by <= now {
            return Fate::Close(CloseReason::Timeout);
        }
        if matches!(http.ping, Ping::Awaited(by) if by <= now) {
            http.chain.http2_stats.keepalive_timeout.inc();
            return Fate::Close(CloseReason::Timeout);
        }
        if http.head_by() <= now && unsent > limit {
            // Nothing was read because of what the client does not read, so the rest may well be there.
            http.partial_since = now;
        } else if http.head_by() <= now {
            stats.rq_header_timeout.inc();
            http.codec.goaway(ErrorCode::ENHANCE_YOUR_CALM, &mut self.down_out.bytes);
            self.connection_broken(down, Broken::SLOW);
        } else if matches!(http.drain, Drain::Noticed(until) if until <= now) {
            http.drain = Drain::Closing;
            http.codec.goaway(ErrorCode::NO_ERROR, &mut self.down_out.bytes);
        } else if http.idle_by() <= now {
            stats.cx_idle_timeout.inc();
            self.start_drain(down);
        } else if http.drain == Drain::No && http.drain_at <= now {
            stats.cx_max_duration_reached.inc();
            self.start_drain(down);
        }
        if matches!(down.http2().map(|http| http.ping), Some(Ping::At(at)) if at <= now) {
            self.ping(down);
        }
        self.drop_stalled(down);
        self.send_gathered(down);
        self.after_http2_input(token, down)
    }

    /// Gives up responses that the client has not taken anything of for too long.
    fn drop_stalled(&mut self, down: &mut Downstream) {
        let now = self.now();
        let Some(http) = down.http2().filter(|http| http.flush_by <= now) else { return };
        let Http2 { codec, streams, chain, waiting, flush_by, .. } = http;
        *flush_by = Millis::NEVER;
        streams.retain(|stream| {
            if stream.deadline <= now {
                chain.http2_stats.tx_flush_timeout.inc();
                chain.http2_stats.streams_active.sub(1);
                *waiting = waiting.saturating_sub(stream.waiting());
                codec.reset(stream.id, ErrorCode::CANCEL, &mut self.down_out.bytes);
                return false;
            }
            *flush_by = stream.deadline.min(*flush_by);
            true
        });
        if http.streams.is_empty() {
            http.idle_since = now;
        }
    }

    /// Sends what was gathered for a connection that is lent out.
    pub(in crate::downstream) fn send_gathered(&mut self, down: &mut Downstream) {
        down.broken |= self.down_out.flush(&mut down.io).is_err();
        down.note_unsent();
    }
}

impl Downstream {
    /// Tells the codec how much of what it has written is not sent, and takes its counters.
    pub(in crate::downstream) fn note_unsent(&mut self) {
        let unsent = self.io.unsent();
        if let Some(http) = self.http2() {
            http.codec.note_unsent(unsent);
            let counted = http.codec.take_counters();
            if counted != Counters::default() {
                http.chain.http2_stats.add(&counted);
            }
        }
    }
}

impl Http2 {
    /// When the connection must be looked at, though nothing comes.
    pub(in crate::downstream) fn deadline(&self) -> Millis {
        let drain = match self.drain {
            Drain::No => self.drain_at,
            Drain::Noticed(until) => until,
            Drain::Closing => Millis::NEVER,
        };
        let ping = match self.ping {
            Ping::Off => Millis::NEVER,
            Ping::At(at) | Ping::Awaited(at) => at,
        };
        let read = self.head_by().min(self.idle_by());
        drain.min(ping).min(read).min(self.flush_by).min(self.close_by)
    }

    /// When the head or frame that has begun must be complete.
    fn head_by(&self) -> Millis {
        match self.chain.manager.timeouts.request_headers {
            Some(limit) if self.partial_since != Millis::NEVER => self.partial_since.after(limit),
            _ => Millis::NEVER,
        }
    }

    /// When a connection without streams has been so for too long.
    fn idle_by(&self) -> Millis {
        if self.drain != Drain::No || !self.streams.is_empty() {
            return Millis::NEVER;
        }
        let timeouts = &self.chain.manager.timeouts;
        match if self.served == 0 { timeouts.first_request } else { timeouts.idle } {
            Some(limit) => self.idle_since.after(limit),
            None => Millis::NEVER,
        }
    }
}
