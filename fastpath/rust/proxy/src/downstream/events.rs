//! What happens to a client's connection: events, deadlines, its end.

use std::rc::Rc;

use super::{CloseReason, Downstream, DownstreamState, Fate, RequestPhase};
use crate::engine::Engine;
use crate::exchange::Gone;
use crate::listener::{ChainKind, ChainRuntime};
use crate::message::Protocol;
use crate::reactor::{Millis, Ready, Token};
use crate::reply::Failure;
use crate::upstream::UpstreamStream;

impl Engine {
    /// An event, or another turn (`None`).
    pub(crate) fn downstream_event(&mut self, token: Token, ready: Option<Ready>) {
        let Some(mut down) = self.lend_downstream(token) else { return };
        match ready {
            Some(ready) => down.io.ready(ready),
            None => self.revisit_request(&mut down),
        }
        let fate = self.serve_downstream(token, &mut down);
        self.settle_downstream(token, down, fate);
    }

    fn serve_downstream(&mut self, token: Token, down: &mut Downstream) -> Fate {
        let waiting = down.io.unsent();
        if down.broken || down.io.flush().is_err() {
            return Fate::Close(CloseReason::Remote);
        }
        if waiting > 0 {
            if down.io.unsent() < waiting && down.awaits_reader() {
                // The client reads: it gets all the time once more.
                down.deadline = Millis::NEVER;
            }
            self.downstream_drained(down);
        }
        match &down.state {
            DownstreamState::Inspect(_) => self.inspect(token, down),
            DownstreamState::Unmatched => Fate::Close(CloseReason::Local),
            DownstreamState::Handshake => self.handshake(token, down),
            DownstreamState::Http1(_) => self.http_input(token, down),
            DownstreamState::Sniff => self.sniff_http(token, down),
            DownstreamState::Http2(_) => self.http2_input(token, down),
            DownstreamState::Tcp(_) => self.tcp_from_downstream(token, down),
            DownstreamState::Linger | DownstreamState::Refused => self.linger(down),
        }
    }

    /// The client has taken bytes: an upstream that was held back may go on.
    fn downstream_drained(&mut self, down: &mut Downstream) {
        let limit = self.buffer_limit(down);
        if down.io.unsent() > limit / 2 {
            return;
        }
        if matches!(down.state, DownstreamState::Http2(_)) {
            return self.http2_drained(down);
        }
        // Requests behind the response that it takes now.
        down.resume |= down.awaits_reader();
        let upstream = match &down.state {
            DownstreamState::Http1(http) => http
                .exchange
                .and_then(|token| self.exchanges.get(token))
                .and_then(|exchange| exchange.upstream()),
            DownstreamState::Tcp(session) => session.upstream().map(UpstreamStream::whole),
            _ => None,
        };
        if let Some(stream) = upstream {
            self.resume_response(stream);
        }
    }

    /// Bytes that may wait in one direction of this connection.
    pub(crate) fn buffer_limit(&self, down: &Downstream) -> usize {
        match down.chain.as_ref().map(|chain| &chain.kind) {
            Some(ChainKind::Http(http)) => http.buffer_limit,
            Some(ChainKind::Tcp(tcp)) => tcp.buffer_limit,
            Some(ChainKind::Close) | None => down.listener.spec.buffer_limit as usize,
        }
    }

    /// A deadline has come, perhaps.
    pub(crate) fn downstream_timer(&mut self, token: Token) {
        let Some(mut down) = self.lend_downstream(token) else { return };
        let fate =
            if down.deadline <= self.now() { self.downstream_expired(token, &mut down) } else { Fate::Keep };
        self.settle_downstream(token, down, fate);
    }

    fn downstream_expired(&mut self, token: Token, down: &mut Downstream) -> Fate {
        down.deadline = Millis::NEVER;
        match &mut down.state {
            DownstreamState::Inspect(_) => {
                down.listener.stats.pre_cx_timeout.inc();
                if down.listener.spec.continue_on_filters_timeout {
                    self.choose_chain(token, down)
                } else {
                    Fate::Close(CloseReason::Timeout)
                }
            }
            DownstreamState::Handshake => {
                down.listener.stats.handshake_timeout.inc();
                Fate::Close(CloseReason::Timeout)
            }
            DownstreamState::Unmatched | DownstreamState::Refused | DownstreamState::Linger => {
                Fate::Close(CloseReason::Timeout)
            }
            DownstreamState::Http1(http) => match http.phase {
                RequestPhase::Head { began: false } | RequestPhase::Closing
                    if http.exchange.is_none() && down.io.unsent() > 0 =>
                {
                    http.chain.stats.rq_idle_timeout.inc();
                    down.io.reset_on_close();
                    Fate::Close(CloseReason::Timeout)
                }
                RequestPhase::Head { began: true } => {
                    http.chain.stats.rq_header_timeout.inc();
                    self.refuse_head(token, down, &Failure::HeadTimeout);
                    self.http_input(token, down)
                }
                RequestPhase::Head { began: false } => {
                    http.chain.stats.cx_idle_timeout.inc();
                    Fate::Close(CloseReason::Timeout)
                }
                RequestPhase::Closing if http.exchange.is_none() => Fate::Close(CloseReason::Timeout),
                RequestPhase::Body(_)
                | RequestPhase::Tunnel(_)
                | RequestPhase::Response
                | RequestPhase::Closing => Fate::Keep,
            },
            DownstreamState::Sniff => self.sniff_expired(down),
            DownstreamState::Http2(_) => self.http2_expired(token, down),
            DownstreamState::Tcp(_) => self.tcp_expired(token, down),
        }
    }

    /// Connections that have waited a while for a request end now; a fresher one may have a request on its way.
    pub(crate) fn drain_idle(&mut self) {
        self.drain_http2();
        for token in self.downs.tokens() {
            let now = self.now();
            let drains = self.downs.get(token).is_some_and(|down| down.is_idle(now));
            if !drains {
                continue;
            }
            if let Some(mut down) = self.lend_downstream(token) {
                down.io.say_goodbye();
                self.settle_downstream(token, down, Fate::Close(CloseReason::Local));
            }
        }
    }

    /// Puts a connection that was worked on back into its place, or ends it.
    pub(crate) fn settle_downstream(&mut self, token: Token, mut down: Box<Downstream>, fate: Fate) {
        // What was gathered may be another connection's, where this one was not lent to be written to.
        if self.down_target == Some(token) {
            self.send_gathered(&mut down);
            self.down_target = None;
        }
        match fate {
            Fate::Keep => {
                if let DownstreamState::Http2(http) = &down.state {
                    down.deadline = http.deadline();
                }
                let at = down.deadline;
                self.downs.put_back(token, down);
                self.downs.arm(token, at, &mut self.wheel);
            }
            Fate::Close(reason) => {
                self.end_downstream(&mut down, reason);
                self.downs.remove(token);
            }
        }
        self.aim_outer();
    }

    /// The end of a connection: what was under way on it is given up.
    fn end_downstream(&mut self, down: &mut Downstream, reason: CloseReason) {
        let mut state = std::mem::replace(&mut down.state, DownstreamState::Linger);
        match &mut state {
            DownstreamState::Http1(http) => {
                let chain = Rc::clone(&http.chain);
                if let Some(token) = http.exchange.take() {
                    if let Some(mut exchange) = self.exchanges.take(token) {
                        self.client_gone(&mut exchange, reason.gone());
                        self.settle_exchange(token, exchange);
                    }
                }
                self.count_http_end(down, &chain, reason);
            }
            DownstreamState::Http2(http) => {
                let chain = Rc::clone(&http.chain);
                self.give_up_streams(http, reason.gone());
                self.count_http_end(down, &chain, reason);
            }
            DownstreamState::Tcp(session) => self.tcp_ended(session, down),
            DownstreamState::Sniff | DownstreamState::Linger => {
                if let Some(ChainRuntime { kind: ChainKind::Http(http), .. }) = down.chain.clone().as_deref()
                {
                    self.count_http_end(down, http, reason);
                }
            }
            DownstreamState::Inspect(_)
            | DownstreamState::Unmatched
            | DownstreamState::Refused
            | DownstreamState::Handshake => {}
        }
        if reason == CloseReason::Internal {
            self.server.internal_error.inc();
        }
        self.log_connection(down, &state);
        if let (Some(stats), Some(tls)) = (&down.listener.tls_stats, down.io.tls()) {
            if tls.has_broken() {
                stats.failed(None);
            }
        }
        let stats = down.listener.stats;
        if let DownstreamState::Inspect(_) = state {
            return stats.pre_cx_active.sub(1);
        }
        let Some(chain) = &down.chain else { return };
        if !matches!(state, DownstreamState::Refused) {
            chain.leave();
        }
        stats.cx_destroy.inc();
        stats.cx_active.sub(1);
        stats.cx_length.record(self.now().since(down.opened));
    }

    fn count_http_end(
        &mut self,
        down: &mut Downstream,
        chain: &crate::listener::HttpChain,
        reason: CloseReason,
    ) {
        let stats = &chain.stats;
        stats.cx_destroy.inc();
        match reason {
            CloseReason::Remote => stats.cx_destroy_remote.inc(),
            _ => stats.cx_destroy_local.inc(),
        }
        stats.cx_active.sub(1);
        match down.protocol {
            Some(Protocol::Http2) => stats.cx_http2_active.sub(1),
            Some(_) => stats.cx_http1_active.sub(1),
            None => {}
        }
        if down.info.is_tls() {
            stats.cx_ssl_active.sub(1);
        }
        stats.cx_rx_bytes_total.add(down.io.bytes_read.saturating_sub(down.counted.0));
        stats.cx_tx_bytes_total.add(down.io.bytes_written.saturating_sub(down.counted.1));
    }
}

impl CloseReason {
    /// What the exchanges of a connection are told that ends for this reason.
    fn gone(self) -> Gone {
        let details = match self {
            Self::Timeout => "downstream_local_disconnect(http2_ping_timeout)",
            Self::Local => "downstream_local_disconnect(filter_chain_is_being_removed)",
            Self::Remote | Self::Handshake | Self::Internal => return Gone::DISCONNECTED,
        };
        Gone { details, ..Gone::DISCONNECTED }
    }
}

impl Downstream {
    /// No exchange is under way on it, but the client has not taken all of its last response.
    fn awaits_reader(&self) -> bool {
        match &self.state {
            DownstreamState::Http1(http) => {
                let between =
                    matches!(http.phase, RequestPhase::Head { began: false } | RequestPhase::Closing);
                between && http.exchange.is_none()
            }
            _ => false,
        }
    }

    /// Without a request for some time, and with nothing of the next one here.
    fn is_idle(&self, now: Millis) -> bool {
        const QUIET_MS: u64 = 250;
        match &self.state {
            DownstreamState::Http1(http) => {
                matches!(http.phase, RequestPhase::Head { began: false })
                    && now.since(http.idle_since) >= QUIET_MS
                    && http.exchange.is_none()
                    && self.held.is_empty()
                    && self.io.unsent() == 0
            }
            DownstreamState::Inspect(_)
            | DownstreamState::Unmatched
            | DownstreamState::Refused
            | DownstreamState::Handshake
            | DownstreamState::Http2(_)
            | DownstreamState::Tcp(_)
            | DownstreamState::Linger => false,
            DownstreamState::Sniff => self.held.is_empty() && now.since(self.opened) >= QUIET_MS,
        }
    }
}
