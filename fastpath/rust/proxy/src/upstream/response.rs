//! What every response has in common, whichever version of HTTP it came over.

use meshloom_balance::Outcome;
use meshloom_wire::http1::{KnownHeader, TrailerFields};

use crate::engine::Engine;
use crate::exchange::{Exchange, Link};
use crate::reactor::Millis;

impl Engine {
    /// Something of the answer has come.
    pub(super) fn answer_moves(&mut self, exchange: &mut Exchange) {
        if let Some(limit) = exchange.times.limits.attempt_idle {
            exchange.deadlines.attempt_idle = self.now().after(limit);
        }
    }

    /// Tells the outlier detector of the answer whose head is in the exchange. A gRPC call that failed at once counts as
    /// what it would be in HTTP.
    pub(super) fn observe_answer(&mut self, exchange: &Exchange) {
        let grpc = exchange.outcome.is_grpc.then(|| exchange.response.fields.get(KnownHeader::GrpcStatus));
        let status = match grpc.flatten().and_then(number) {
            Some(code) => crate::reply::http_status(code),
            None => exchange.response.status,
        };
        self.observe(exchange, Outcome::Status(status));
        if exchange.response.fields.contains(KnownHeader::XEnvoyImmediateHealthCheckFail) {
            if let Some(host) = exchange.outcome.host.clone() {
                self.endpoint_unwell(&host);
            }
        }
    }

    /// The exchange needs its upstream no more.
    pub(super) fn let_go(&mut self, exchange: &mut Exchange) {
        exchange.deadlines.attempt = Millis::NEVER;
        exchange.deadlines.attempt_idle = Millis::NEVER;
        if let Link::Active(_, host) = std::mem::take(&mut exchange.link) {
            self.release_attempt(exchange, &host);
        }
    }
}

impl Exchange {
    /// Reads what the trailers say of a gRPC call.
    pub(super) fn note_trailers(&mut self, section: &[u8]) {
        if !self.outcome.is_grpc || section.is_empty() {
            return;
        }
        let mut fields = TrailerFields::new(section);
        let status = fields.find(|(name, _)| name.eq_ignore_ascii_case(b"grpc-status"));
        if let Some(code) = status.and_then(|(_, value)| number(value)) {
            self.outcome.grpc_status = Some(code);
        }
    }
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
