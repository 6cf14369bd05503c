//! What the configuration makes of answers of our own before they are sent.

use std::borrow::Cow;
use std::sync::Arc;

use meshloom_model::access_log::LogFormat;
use meshloom_model::local_reply::{BodyFormat, LocalReplies, ReplyMapper};
use meshloom_wire::http1::KnownHeader as H;

use super::Exchange;
use super::finish::passes;
use super::values::ExchangeValues;
use crate::engine::Engine;

impl Engine {
    /// Changes the status in the exchange's response, adds headers to it, and gives the new body.
    pub(super) fn map_reply(
        &mut self,
        exchange: &mut Exchange,
        replies: &LocalReplies,
        body: &[u8],
    ) -> Vec<u8> {
        exchange.outcome.status = exchange.response.status;
        let elapsed = exchange.elapsed_ms(self.clock.instant());
        let mapper =
            replies.mappers.iter().find(|mapper| passes(&mapper.filter, exchange, elapsed, &mut self.rng));
        let body = mapper.and_then(|mapper| mapper.body.as_deref()).map_or(body, str::as_bytes);
        if let Some(mapper) = mapper {
            self.apply_mapper(exchange, mapper);
        }
        let own = mapper.and_then(|mapper| mapper.format.as_ref());
        let body = match own.or(replies.format.as_ref()) {
            Some(format) => self.form(exchange, format, body),
            None => body.to_vec(),
        };
        // RFC 9110 6.4.1: these have no body; sending one would be read as the next response.
        if matches!(exchange.response.status, 204 | 304) { Vec::new() } else { body }
    }

    fn apply_mapper(&mut self, exchange: &mut Exchange, mapper: &ReplyMapper) {
        self.mutate_response(exchange, &mapper.headers);
        if let Some(status) = mapper.status {
            exchange.response.status = status;
            exchange.outcome.status = status;
        }
    }

    fn form(&mut self, exchange: &mut Exchange, format: &BodyFormat, body: &[u8]) -> Vec<u8> {
        let said = Cow::Owned(String::from_utf8_lossy(body).into_owned());
        let before = exchange.outcome.local_body.replace(said);
        let mut formed = Vec::new();
        format.format.render(&ExchangeValues::new(exchange, &self.clock, &self.local), &mut formed);
        exchange.outcome.local_body = before;
        if exchange.outcome.is_grpc && matches!(format.format, LogFormat::Json { .. }) {
            // It becomes a header's value, without the end of the line.
            formed.pop();
        }
        // Headers of a mapper may have said what it is; a form that is no plain text says so itself.
        if &*format.content_type != "text/plain" || !exchange.response.fields.contains(H::ContentType) {
            exchange.response.fields.set(H::ContentType, format.content_type.as_bytes());
        }
        formed
    }
}

impl Exchange {
    /// What becomes of answers of our own; `None` leaves them as they are.
    pub(super) fn local_replies(&self) -> Option<Arc<LocalReplies>> {
        self.chain.manager.local_replies.clone()
    }
}
