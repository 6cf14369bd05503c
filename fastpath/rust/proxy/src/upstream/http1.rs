//! The client side of HTTP/1: reads responses off a connection.

use meshloom_wire::http1::{BodyDecoder, BodyEvent, BodyLength, DecodeError, ResponseHead, ResponseKind};

use super::events::UpstreamFate;
use super::{MAX_INTERIM, Upstream, UpstreamPhase};
use crate::downstream::Downstream;
use crate::engine::{Engine, READS_PER_TURN};
use crate::exchange::{Exchange, Stage, Tunnel};
use crate::reactor::Token;
use crate::reply::Failure;
use crate::transport::{Buffers, Read};

/// Why reading stopped.
enum Stop {
    /// Nothing more for now.
    Wait,
    /// The response is complete.
    Complete,
    /// The response is thrown away, and another attempt follows.
    Retry,
    Fail(Failure),
}

impl Engine {
    /// Reads what the upstream answers to an exchange.
    pub(crate) fn response_input(
        &mut self,
        token: Token,
        upstream: &mut Upstream,
        exchange_token: Token,
    ) -> UpstreamFate {
        let Some(mut exchange) = self.exchanges.take(exchange_token) else { return UpstreamFate::Close };
        let downstream = exchange.downstream;
        let Some(mut down) = self.lend_downstream(downstream) else {
            self.settle_exchange(exchange_token, exchange);
            return UpstreamFate::Close;
        };
        let Some(mut buffers) = self.buffers.take() else { return UpstreamFate::Close };
        let stop = self.read_response(upstream, &mut exchange, &mut down, &mut buffers);
        self.buffers = Some(buffers);
        let fate = self.response_stopped(token, upstream, exchange_token, &mut exchange, &mut down, stop);
        let ended = exchange.is_done() || down.broken;
        self.settle_exchange(exchange_token, exchange);
        self.return_downstream(downstream, down, ended);
        self.flush_upstream();
        fate
    }

    fn read_response(
        &mut self,
        upstream: &mut Upstream,
        exchange: &mut Exchange,
        down: &mut Downstream,
        buffers: &mut Buffers,
    ) -> Stop {
        let limit = exchange.chain.buffer_limit;
        if std::mem::take(&mut upstream.paused) && !upstream.http.held.is_empty() {
            let held = std::mem::take(&mut upstream.http.held);
            match self.feed_held(upstream, exchange, down, held) {
                Stop::Wait => {}
                stop => return stop,
            }
        }
        for _ in 0..READS_PER_TURN {
            let backlog = down.backlog(exchange.stream);
            if backlog > limit {
                upstream.paused = true;
                self.count_cluster(exchange, |stats| stats.flow_control_paused.inc());
                return Stop::Wait;
            }
            if !upstream.io.readable() {
                return Stop::Wait;
            }
            let stop = match upstream.io.read_for(backlog, limit, buffers) {
                Read::Data(n) => {
                    exchange.outcome.wire_received += n as u64;
                    let data = buffers.input.get(..n).unwrap_or_default();
                    if upstream.http.held.is_empty() {
                        let mut at = 0;
                        let stop = self.feed_response(upstream, exchange, down, data, &mut at);
                        upstream.http.held.extend_from_slice(data.get(at..).unwrap_or_default());
                        stop
                    } else {
                        let mut held = std::mem::take(&mut upstream.http.held);
                        held.extend_from_slice(data);
                        self.feed_held(upstream, exchange, down, held)
                    }
                }
                Read::Blocked => return Stop::Wait,
                Read::End => return self.response_ended(upstream, exchange, down),
                Read::Failed(_) => return Stop::Fail(Failure::Terminated),
            };
            match stop {
                Stop::Wait => {}
                stop => return stop,
            }
        }
        // The others get their turn; this one goes on in the next.
        if let Some(stream) = exchange.upstream() {
            self.run_soon(stream.connection);
        }
        Stop::Wait
    }

    fn feed_held(
        &mut self,
        upstream: &mut Upstream,
        exchange: &mut Exchange,
        down: &mut Downstream,
        mut held: Vec<u8>,
    ) -> Stop {
        let mut at = 0;
        let stop = self.feed_response(upstream, exchange, down, &held, &mut at);
        held.drain(..at.min(held.len()));
        upstream.http.held = held;
        stop
    }

    fn feed_response(
        &mut self,
        upstream: &mut Upstream,
        exchange: &mut Exchange,
        down: &mut Downstream,
        data: &[u8],
        at: &mut usize,
    ) -> Stop {
        upstream.http.began |= !data.is_empty();
        self.answer_moves(exchange);
        loop {
            let limits = upstream.limits;
            match &mut upstream.http.phase {
                UpstreamPhase::Head => {
                    let rest = data.get(*at..).unwrap_or_default();
                    match self.feed_response_head(upstream, exchange, down, rest) {
                        Ok(Some(used)) => *at += used,
                        Ok(None) => return Stop::Wait,
                        Err(stop) => return stop,
                    }
                }
                UpstreamPhase::Body(decoder) => match decoder.next(data, at, &limits) {
                    Ok(BodyEvent::Data(range)) => {
                        self.relay_data(exchange, down, data.get(range).unwrap_or_default());
                    }
                    Ok(BodyEvent::Trailers(range)) => {
                        upstream.http.trailers = data.get(range).unwrap_or_default().to_vec();
                    }
                    Ok(BodyEvent::End) => return Stop::Complete,
                    Ok(BodyEvent::NeedMore) => return Stop::Wait,
                    Err(error) => return self.protocol_error(upstream, error),
                },
            }
        }
    }

    /// Parses one head. `Err` ends the reading.
    fn feed_response_head(
        &mut self,
        upstream: &mut Upstream,
        exchange: &mut Exchange,
        down: &mut Downstream,
        data: &[u8],
    ) -> Result<Option<usize>, Stop> {
        if data.is_empty() {
            return Ok(None);
        }
        let mut headers = match upstream.http.partial.take() {
            Some(partial) => *partial,
            None => std::mem::take(&mut self.headers),
        };
        let limits = upstream.limits;
        let parsed = upstream.http.parser.parse(data, exchange.request.method, &mut headers, &limits);
        let head = match parsed {
            Ok(Some(head)) => head,
            Ok(None) => {
                upstream.http.partial = Some(Box::new(headers));
                return Ok(None);
            }
            Err(error) => {
                self.headers = headers;
                return Err(self.protocol_error(upstream, error));
            }
        };
        let bytes = data.get(..head.len).unwrap_or_default();
        let preserve = upstream.header_case.preserved();
        match head.kind {
            ResponseKind::Final => {}
            ResponseKind::Interim if upstream.http.interim < MAX_INTERIM => {
                upstream.http.interim += 1;
                if exchange.relays_interim(head.status) {
                    exchange.response.load(&head, bytes, &mut headers, preserve);
                    self.write_interim(exchange, down);
                }
                self.headers = headers;
                return Ok(Some(head.len));
            }
            ResponseKind::SwitchProtocols if switches(exchange, &head, data) => {}
            ResponseKind::Interim | ResponseKind::SwitchProtocols => {
                self.headers = headers;
                return Err(self.protocol_error(upstream, DecodeError::InvalidStatusLine { at: 0 }));
            }
        }
        exchange.response.load(&head, bytes, &mut headers, preserve);
        self.headers = headers;
        self.begin_answer(upstream, exchange, down, &head, data.len() == head.len)?;
        Ok(Some(head.len))
    }

    /// The final head is here: it goes to the client, unless another attempt is made. `alone` says that nothing has come
    /// behind it.
    fn begin_answer(
        &mut self,
        upstream: &mut Upstream,
        exchange: &mut Exchange,
        down: &mut Downstream,
        head: &ResponseHead,
        alone: bool,
    ) -> Result<(), Stop> {
        upstream.http.keep_alive = head.keep_alive;
        let opens = exchange.opens_tunnel(head.status);
        let decoder = BodyDecoder::new(if opens { BodyLength::UntilClose } else { head.body });
        let complete = decoder.is_done();
        upstream.http.phase = UpstreamPhase::Body(decoder);
        self.observe_answer(exchange);
        if self.retry_response(exchange) {
            upstream.http.keep_alive &= complete && alone;
            return Err(Stop::Retry);
        }
        self.touch(exchange);
        self.relay_head(exchange, down);
        Ok(())
    }

    fn protocol_error(&mut self, upstream: &Upstream, error: DecodeError) -> Stop {
        if let Some(cluster) = self.clusters.get(upstream.host.cluster) {
            cluster.stats.cx_protocol_error.inc();
        }
        Stop::Fail(Failure::UpstreamProtocol(Some(error)))
    }

    /// The upstream has closed its side.
    fn response_ended(
        &mut self,
        upstream: &mut Upstream,
        exchange: &mut Exchange,
        _down: &mut Downstream,
    ) -> Stop {
        upstream.http.keep_alive = false;
        // A body that is as long as its connection may have been cut on the way (RFC 9112 9.8); of tunnels we know nothing.
        let doubtful = exchange.tunnel != Tunnel::Open && !upstream.io.ended_in_good_order();
        if let UpstreamPhase::Body(decoder) = &mut upstream.http.phase {
            return match decoder.end_of_input() {
                Ok(()) if doubtful => Stop::Fail(Failure::Terminated),
                Ok(()) => Stop::Complete,
                Err(_) => Stop::Fail(Failure::Terminated),
            };
        }
        match &upstream.http.phase {
            UpstreamPhase::Head
                if upstream.http.began && upstream.http.interim == 0 && !upstream.http.held.is_empty() =>
            {
                self.protocol_error(upstream, DecodeError::Truncated)
            }
            _ => Stop::Fail(Failure::Terminated),
        }
    }

    fn response_stopped(
        &mut self,
        token: Token,
        upstream: &mut Upstream,
        exchange_token: Token,
        exchange: &mut Exchange,
        down: &mut Downstream,
        stop: Stop,
    ) -> UpstreamFate {
        match stop {
            Stop::Wait => UpstreamFate::Keep,
            Stop::Complete => {
                let trailers = std::mem::take(&mut upstream.http.trailers);
                let whole = exchange.body.complete;
                self.let_go(exchange);
                exchange.note_trailers(&trailers);
                self.relay_end(exchange, down, &trailers);
                // An answer before the end of the request: the rest of it has nowhere to go.
                upstream.http.keep_alive &= whole;
                self.release_connection(token, upstream)
            }
            Stop::Retry => {
                self.let_go(exchange);
                if let Some(host) = exchange.outcome.host.clone() {
                    exchange.tries.tried.push(host);
                }
                self.release_connection(token, upstream)
            }
            Stop::Fail(failure) => {
                self.let_go(exchange);
                self.count_cluster(exchange, |stats| stats.rq_rx_reset.inc());
                if exchange.stage == Stage::Responding {
                    self.observe(exchange, meshloom_balance::Outcome::ConnectFailed);
                    self.fail(exchange_token, exchange, down, &failure);
                } else {
                    self.attempt_failed(exchange_token, exchange, down, &failure);
                }
                UpstreamFate::Close
            }
        }
    }
}

/// Is this 101 the answer to the upgrade that was asked for?
fn switches(exchange: &Exchange, head: &ResponseHead, data: &[u8]) -> bool {
    let protocol = head.upgrade.map(|span| span.of(data));
    exchange.opens_tunnel(head.status) && protocol.is_some_and(|protocol| exchange.asked_for(protocol))
}
