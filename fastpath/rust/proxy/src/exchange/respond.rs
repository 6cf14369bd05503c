//! The response on its way to the client.

use std::borrow::Cow;

use meshloom_model::hcm::ServerHeader;
use meshloom_wire::http1::{BodyLength, KnownHeader as H, TrailerFields};

use super::{Exchange, Stage};
use crate::downstream::Downstream;
use crate::engine::Engine;
use crate::reactor::{Millis, Token};
use crate::reply::Failure;

impl Engine {
    /// The upstream's answer, whose head is in the exchange, goes to the client.
    pub(crate) fn relay_head(&mut self, exchange: &mut Exchange, down: &mut Downstream) {
        let now = self.clock.instant();
        exchange.outcome.details = Cow::Borrowed("via_upstream");
        exchange.times.response_begin = Some(now);
        exchange.deadlines.attempt = Millis::NEVER;
        // Of an answer before the end of the request there is no such time.
        let request_end =
            exchange.times.request_end.filter(|_| !exchange.chain.router.suppress_envoy_headers);
        if let Some(begin) = request_end {
            let ms = u64::try_from(now.saturating_duration_since(begin).as_millis()).unwrap_or(u64::MAX);
            exchange.response.fields.remove(H::XEnvoyUpstreamServiceTime);
            exchange.response.fields.add_number(H::XEnvoyUpstreamServiceTime, ms);
        }
        self.discover_upstream_peer(exchange);
        exchange.give_cookies();
        self.answer_tunnel(exchange, down);
        self.send_head(exchange, down);
    }

    /// Finishes the head in the exchange and puts it on its way.
    pub(crate) fn send_head(&mut self, exchange: &mut Exchange, down: &mut Downstream) {
        exchange.stage = Stage::Responding;
        if exchange.route.as_deref().is_some_and(|route| route.attempt_count_in_response) {
            exchange.response.fields.remove(H::XEnvoyAttemptCount);
            exchange.response.fields.add_number(H::XEnvoyAttemptCount, u64::from(exchange.tries.made));
        }
        if !exchange.is_local_answer() {
            // In an answer of our own there is no code yet, Envoy finds, for the headers to be added.
            exchange.outcome.status = exchange.response.status;
        }
        if let Some(ops) = exchange.response_ops() {
            self.mutate_response(exchange, &ops);
        }
        self.standard_headers(exchange);
        self.tell_downstream_peer(exchange);
        exchange.outcome.head_sent = self.write_response_head(exchange, down) as u64;
        exchange.outcome.status = exchange.response.status;
    }

    fn standard_headers(&mut self, exchange: &mut Exchange) {
        let manager = std::sync::Arc::clone(&exchange.chain.manager);
        let fields = &mut exchange.response.fields;
        match &manager.server_header {
            ServerHeader::Overwrite(name) => fields.set(H::Server, name.as_bytes()),
            ServerHeader::AppendIfAbsent(name) if !fields.contains(H::Server) => {
                fields.add(H::Server, name.as_bytes())
            }
            ServerHeader::AppendIfAbsent(_) | ServerHeader::PassThrough => {}
        }
        if !fields.contains(H::Date) {
            let date = *self.date.get(self.clock.wall());
            fields.add(H::Date, &date);
        }
        if !manager.via.is_empty() {
            let joined = match fields.joined("via") {
                Some(list) => [&*list, b", ", manager.via.as_bytes()].concat(),
                None => manager.via.as_bytes().to_vec(),
            };
            fields.set(H::Via, &joined);
        }
        // Callers that are trusted may ask for a trace, and are told what to look for.
        let forced = exchange.request.fields.contains(H::XEnvoyForceTrace);
        if manager.request_id.always_set_in_response || forced {
            if let Some(id) = exchange.request.fields.get(H::XRequestId) {
                let id = id.to_vec();
                exchange.response.fields.set(H::XRequestId, &id);
            }
        }
    }

    /// A piece of the upstream's body.
    pub(crate) fn relay_data(&mut self, exchange: &mut Exchange, down: &mut Downstream, data: &[u8]) {
        self.touch(exchange);
        self.write_response_data(exchange, down, data);
    }

    /// The body is complete.
    pub(crate) fn relay_end(&mut self, exchange: &mut Exchange, down: &mut Downstream, trailers: &[u8]) {
        if exchange.outcome.is_grpc {
            exchange.outcome.grpc_status = grpc_status(trailers).or(exchange.outcome.grpc_status);
        }
        self.write_response_end(exchange, down, trailers);
        self.complete(exchange, down);
    }

    /// The response cannot be finished: the client must see that it is broken.
    pub(crate) fn cut_short(&mut self, exchange: &mut Exchange, down: &mut Downstream) {
        exchange.chain.stats.rq_tx_reset.inc();
        self.break_response(exchange, down);
        self.complete(exchange, down);
    }

    /// A failure is told to the client, or shown by the end of the connection when a response has begun.
    pub(crate) fn fail(
        &mut self,
        _token: Token,
        exchange: &mut Exchange,
        down: &mut Downstream,
        failure: &Failure,
    ) {
        let reply = match exchange.stage {
            Stage::Responding => failure.midway(),
            _ if exchange.times.limits.told_quietly => failure.reply_quietly(exchange.tries.made),
            _ => failure.reply_after(exchange.tries.made),
        };
        if let Some(flag) = reply.flag {
            exchange.flag(flag);
        }
        if failure.closes_connection() {
            down.end_after_exchange();
        }
        if exchange.stage == Stage::Responding {
            exchange.outcome.details = reply.details;
            return self.cut_short(exchange, down);
        }
        if exchange.stage != Stage::Done {
            let overloaded = matches!(failure, Failure::Overflow);
            self.local_reply(exchange, down, &reply, overloaded);
        }
    }

    /// Sends a response that is complete here and now.
    pub(super) fn send_local(&mut self, exchange: &mut Exchange, down: &mut Downstream, body: &[u8]) {
        exchange.response.announced = match exchange.response.body {
            BodyLength::Length(length) => Some(length),
            _ => None,
        };
        exchange.times.response_begin = Some(self.clock.instant());
        self.send_head(exchange, down);
        self.write_response_data(exchange, down, body);
        self.write_response_end(exchange, down, b"");
        self.complete(exchange, down);
    }

    /// The response is complete, or as complete as it will be.
    pub(crate) fn complete(&mut self, exchange: &mut Exchange, down: &mut Downstream) {
        if exchange.stage == Stage::Done {
            return;
        }
        exchange.times.response_end = Some(self.clock.instant());
        if !exchange.body.complete && exchange.outcome.status != 0 {
            exchange.chain.stats.rq_response_before_rq_complete.inc();
        }
        self.leave_downstream(exchange, down);
        self.finish(exchange);
    }
}

impl Exchange {
    /// The answer does not come from an upstream.
    fn is_local_answer(&self) -> bool {
        self.outcome.details != "via_upstream"
    }
}

/// The status of a call, which its trailers tell.
fn grpc_status(trailers: &[u8]) -> Option<u32> {
    let (_, value) =
        TrailerFields::new(trailers).find(|(name, _)| name.eq_ignore_ascii_case(b"grpc-status"))?;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}
