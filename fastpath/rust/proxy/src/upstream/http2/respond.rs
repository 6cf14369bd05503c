//! Responses on an HTTP/2 connection: each event belongs to one exchange.

use meshloom_wire::http2::{ErrorCode, Head, ResetBy, StreamId};

use crate::downstream::Downstream;
use crate::engine::Engine;
use crate::exchange::{Exchange, Link, Stage};
use crate::reactor::Token;
use crate::reply::{Failure, StreamReset};
use crate::upstream::{MAX_INTERIM, UpstreamStream};

/// How often one request may go elsewhere because an upstream did not take it: enough for endpoints that are restarted one
/// after the other. A cluster in which all of them say so again and again serves nobody. (Envoy leaves it to the retry
/// policy and its limit.)
const MAX_UNPROCESSED: u32 = 3;

impl Engine {
    /// Lends the exchange of a stream, and the connection of its client, to `work`.
    pub(super) fn on_exchange(
        &mut self,
        token: Token,
        of: UpstreamStream,
        work: impl FnOnce(&mut Self, Token, &mut Exchange, &mut Downstream),
    ) {
        let Some(mut exchange) = self.exchanges.take(token) else { return };
        let is_its_own = matches!(&exchange.link, Link::Active(stream, _) if *stream == of);
        let downstream = exchange.downstream;
        let down = if is_its_own { self.lend_downstream(downstream) } else { None };
        let Some(mut down) = down else { return self.settle_exchange(token, exchange) };
        work(self, token, &mut exchange, &mut down);
        let ended = exchange.is_done() || down.broken;
        self.settle_exchange(token, exchange);
        self.return_downstream(downstream, down, ended);
    }

    /// As [`Self::on_exchange`], for a stream that goes on.
    fn on_stream(
        &mut self,
        of: UpstreamStream,
        work: impl FnOnce(&mut Self, Token, &mut Exchange, &mut Downstream),
    ) {
        let found = self.ups.get(of.connection).and_then(|upstream| upstream.http2.as_ref());
        if let Some(token) =
            found.and_then(|http2| http2.streams.get(&of.number)).map(|stream| stream.exchange)
        {
            self.on_exchange(token, of, work);
        }
    }

    pub(super) fn http2_head(&mut self, of: UpstreamStream, head: &mut Head, end: bool, wire: u64) {
        self.on_stream(of, |engine, token, exchange, down| {
            exchange.outcome.wire_received += wire;
            engine.answer_moves(exchange);
            exchange.response.load_http2(head, end);
            if (100..200).contains(&head.status) {
                return engine.interim(of, token, exchange, down);
            }
            exchange.read_agreement();
            engine.observe_answer(exchange);
            if engine.retry_response(exchange) {
                let code = if end { ErrorCode::NO_ERROR } else { ErrorCode::CANCEL };
                return engine.try_elsewhere(of, exchange, code);
            }
            engine.touch(exchange);
            engine.relay_head(exchange, down);
            if end {
                engine.http2_complete(of, exchange, down, b"");
            }
        });
    }

    /// An interim response, which is in the exchange. Too many are an attack.
    fn interim(&mut self, of: UpstreamStream, token: Token, exchange: &mut Exchange, down: &mut Downstream) {
        let Some(http2) = self.http2(of.connection) else { return };
        let Some(stream) = http2.streams.get_mut(&of.number) else { return };
        stream.interim += 1;
        let flood = stream.interim > MAX_INTERIM;
        if !flood && exchange.relays_interim(exchange.response.status) {
            self.write_interim(exchange, down);
        }
        if flood {
            self.close_stream(of, ErrorCode::ENHANCE_YOUR_CALM);
            self.stream_failed(token, exchange, down, &Failure::UpstreamProtocol(None));
        }
    }

    /// The response is thrown away, and another attempt follows.
    fn try_elsewhere(&mut self, of: UpstreamStream, exchange: &mut Exchange, code: ErrorCode) {
        self.close_stream(of, code);
        self.let_go(exchange);
        if let Some(host) = exchange.outcome.host.clone() {
            exchange.tries.tried.push(host);
        }
    }

    pub(super) fn http2_data(&mut self, of: UpstreamStream, data: &[u8], end: bool, wire: u64) {
        self.on_stream(of, |engine, _, exchange, down| {
            exchange.outcome.wire_received += wire;
            engine.answer_moves(exchange);
            if !data.is_empty() {
                engine.relay_data(exchange, down, data);
            }
            if end {
                engine.give_window(of, data.len(), true);
                return engine.http2_complete(of, exchange, down, b"");
            }
            let slow = down.backlog(exchange.stream) > exchange.chain.buffer_limit;
            engine.give_window(of, data.len(), slow);
            if slow {
                engine.count_cluster(exchange, |stats| stats.flow_control_paused.inc());
            }
        });
    }

    /// The peer may send as much again: on other streams in any case, on this one unless its client is slow. Then it waits
    /// for [`Self::http2_resume`].
    fn give_window(&mut self, of: UpstreamStream, bytes: usize, slow: bool) {
        self.aim(of.connection);
        let Some(http2) = self.ups.get_mut(of.connection).and_then(|upstream| upstream.http2.as_mut()) else {
            return;
        };
        http2.codec.consumed_by_connection(bytes, &mut self.up_out.bytes);
        let Some(stream) = http2.streams.get_mut(&of.number) else { return };
        stream.owed += bytes;
        if !slow && stream.owed > 0 {
            let owed = std::mem::take(&mut stream.owed);
            http2.codec.consumed_by_stream(of.number, owed, &mut self.up_out.bytes);
        }
    }

    /// The client has taken what there was: more may come.
    pub(in crate::upstream) fn http2_resume(&mut self, of: UpstreamStream) {
        let owes = self
            .http2(of.connection)
            .and_then(|http2| http2.streams.get(&of.number))
            .is_some_and(|stream| stream.owed > 0);
        if owes {
            self.give_window(of, 0, false);
            self.flush_upstream();
        }
    }

    pub(super) fn http2_trailers(&mut self, of: UpstreamStream, section: &[u8], wire: u64) {
        self.on_stream(of, |engine, _, exchange, down| {
            exchange.outcome.wire_received += wire;
            engine.http2_complete(of, exchange, down, section);
        });
    }

    /// The response is complete. A request that is not, has nowhere to go any more (RFC 9113 8.1).
    fn http2_complete(
        &mut self,
        of: UpstreamStream,
        exchange: &mut Exchange,
        down: &mut Downstream,
        trailers: &[u8],
    ) {
        self.close_stream(of, ErrorCode::NO_ERROR);
        self.let_go(exchange);
        exchange.note_trailers(trailers);
        self.relay_end(exchange, down, trailers);
    }

    /// Forgets a stream; what is not complete of it is given up.
    pub(in crate::upstream) fn close_stream(&mut self, of: UpstreamStream, code: ErrorCode) {
        self.aim(of.connection);
        if let Some(http2) = self.ups.get_mut(of.connection).and_then(|upstream| upstream.http2.as_mut()) {
            http2.close(of.number, code, &mut self.up_out.bytes);
        }
    }

    /// A stream is over before its time.
    pub(super) fn http2_reset(&mut self, of: UpstreamStream, failure: &Failure, by: ResetBy) {
        let Some(http2) = self.http2(of.connection) else { return };
        let strict = http2.strict;
        let Some(stream) = http2.streams.remove(&of.number) else { return };
        if stream.surplus && matches!(failure, Failure::StreamReset(StreamReset::Refused)) {
            return self.on_exchange(stream.exchange, of, |engine, token, exchange, down| {
                engine.not_processed(token, exchange, down);
            });
        }
        self.on_exchange(stream.exchange, of, |engine, token, exchange, down| {
            engine.stream_failed(token, exchange, down, failure);
        });
        if let ResetBy::Fault(fault) = by {
            let cluster = self.ups.get(of.connection).map(|upstream| upstream.host.cluster);
            if let Some(cluster) = cluster.and_then(|id| self.clusters.get(id)) {
                cluster.stats.cx_protocol_error.inc();
            }
            if strict && fault.is_malformed() {
                self.lose_http2(of.connection, &Failure::UpstreamProtocol(None));
            }
        }
    }

    /// The exchange has lost its stream.
    pub(super) fn stream_failed(
        &mut self,
        token: Token,
        exchange: &mut Exchange,
        down: &mut Downstream,
        failure: &Failure,
    ) {
        self.let_go(exchange);
        self.count_cluster(exchange, |stats| stats.rq_rx_reset.inc());
        if exchange.stage == Stage::Responding {
            self.observe(exchange, meshloom_balance::Outcome::ConnectFailed);
            self.fail(token, exchange, down, failure);
        } else {
            self.attempt_failed(token, exchange, down, failure);
        }
    }

    /// The upstream takes no more streams; those above `last` it has not looked at, so that they may go elsewhere.
    pub(super) fn http2_goaway(&mut self, connection: Token, last: StreamId) {
        let Some(upstream) = self.ups.get_mut(connection) else { return };
        let Some(http2) = &mut upstream.http2 else { return };
        http2.retired = true;
        if let Some(cluster) = self.clusters.get(upstream.host.cluster) {
            cluster.stats.cx_close_notify.inc();
        }
        let above = http2.numbers().into_iter().filter(|number| *number > last);
        let lost: Vec<(StreamId, Token)> = above
            .filter_map(|number| http2.streams.remove(&number).map(|stream| (number, stream.exchange)))
            .collect();
        for (number, exchange) in lost {
            let of = UpstreamStream { connection, number };
            self.on_exchange(exchange, of, |engine, token, exchange, down| {
                engine.not_processed(token, exchange, down);
            });
        }
    }

    /// The upstream says that it has done nothing with this request: it goes out again, whatever the retry policy.
    fn not_processed(&mut self, token: Token, exchange: &mut Exchange, down: &mut Downstream) {
        let again = exchange.stage == Stage::Requesting
            && exchange.body.replayable
            && exchange.tries.unprocessed < MAX_UNPROCESSED;
        if !again {
            let failure = Failure::StreamReset(StreamReset::Refused);
            return self.stream_failed(token, exchange, down, &failure);
        }
        self.let_go(exchange);
        exchange.tries.unprocessed += 1;
        exchange.tries.tried.extend(exchange.outcome.host.clone());
        exchange.tries.made = exchange.tries.made.saturating_sub(1);
        self.attempt(token, exchange, down);
    }
}
