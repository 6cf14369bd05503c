//! The server side of HTTP/1: reads requests off a connection, one after the other.

mod respond;
mod tunnel;

use meshloom_wire::http1::{BodyDecoder, BodyEvent, DecodeError, Headers, RequestHead, RequestParser};

use super::{CloseReason, Downstream, DownstreamState, Fate, Http1, RequestPhase, TunnelPhase};
use crate::engine::{Engine, READS_PER_TURN};
use crate::listener::HttpChain;
use crate::reactor::{Millis, Token};
use crate::reply::Failure;
use crate::transport::{Buffers, Read};

/// A `held` buffer up to this size stays with its connection.
const KEEP_HELD: usize = 4096;

impl Http1 {
    pub(crate) fn new(chain: std::rc::Rc<HttpChain>, now: Millis) -> Self {
        let drain_at =
            chain.manager.timeouts.max_connection_duration.map_or(Millis::NEVER, |life| now.after(life));
        Self {
            chain,
            phase: RequestPhase::Head { began: false },
            parser: RequestParser::new(),
            partial: None,
            exchange: None,
            sender: crate::codec::Sender::Nothing,
            ends_by_close: false,
            served: 0,
            keep_alive: true,
            close: false,
            paused: false,
            unconnected: false,
            idle_since: now,
            drain_at,
        }
    }

    /// May more be read now?
    fn wants_read(&self) -> bool {
        match self.phase {
            RequestPhase::Head { .. } => true,
            RequestPhase::Body(_) | RequestPhase::Tunnel(TunnelPhase::Open) => !self.paused,
            RequestPhase::Tunnel(TunnelPhase::Waiting | TunnelPhase::Ended)
            | RequestPhase::Response
            | RequestPhase::Closing => false,
        }
    }
}

impl Downstream {
    pub(crate) fn http(&mut self) -> Option<&mut Http1> {
        match &mut self.state {
            DownstreamState::Http1(http) => Some(http),
            _ => None,
        }
    }

    /// The client has not taken its responses: further requests wait.
    fn is_backed_up(&self) -> bool {
        match &self.state {
            DownstreamState::Http1(http) => {
                matches!(http.phase, RequestPhase::Head { .. }) && self.io.unsent() > http.chain.buffer_limit
            }
            _ => false,
        }
    }

    /// Puts back what could not be dealt with.
    pub(super) fn hold(&mut self, mut bytes: Vec<u8>, used: usize) {
        bytes.drain(..used.min(bytes.len()));
        if bytes.is_empty() && bytes.capacity() > KEEP_HELD {
            bytes = Vec::new();
        }
        self.held = bytes;
    }
}

impl Engine {
    /// Reads and deals with requests until there is nothing more to do for now.
    pub(crate) fn http_input(&mut self, token: Token, down: &mut Downstream) -> Fate {
        let Some(mut buffers) = self.buffers.take() else { return Fate::Close(CloseReason::Internal) };
        let fate = self.read_requests(token, down, &mut buffers);
        self.buffers = Some(buffers);
        down.broken |= self.down_out.flush(&mut down.io).is_err();
        self.flush_upstream();
        if fate == Fate::Keep { self.after_http_input(down) } else { fate }
    }

    fn read_requests(&mut self, token: Token, down: &mut Downstream, buffers: &mut Buffers) -> Fate {
        for _ in 0..READS_PER_TURN {
            if down.is_backed_up() {
                return Fate::Keep; // the next writable event comes back here
            }
            // Nothing may be held and yet something be left to do: the end of a body whose last piece held us back.
            if std::mem::take(&mut down.resume) {
                let held = std::mem::take(&mut down.held);
                let used = self.feed(token, down, &held);
                down.hold(held, used);
            }
            let Some(http) = down.http() else { return Fate::Keep };
            if !http.wants_read() || !down.io.readable() {
                return Fate::Keep;
            }
            match down.io.read(buffers) {
                Read::Data(n) => {
                    let data = buffers.input.get(..n).unwrap_or_default();
                    if down.held.is_empty() {
                        let used = self.feed(token, down, data);
                        down.held.extend_from_slice(data.get(used..).unwrap_or_default());
                    } else {
                        down.held.extend_from_slice(data);
                        down.resume = true;
                    }
                }
                Read::Blocked => return Fate::Keep,
                Read::End if self.tunnel_ended(down) => return Fate::Keep,
                Read::End | Read::Failed(_) => return Fate::Close(CloseReason::Remote),
            }
        }
        self.run_soon(token);
        Fate::Keep
    }

    /// Another turn without an event: a request that waited for its upstream may go on.
    pub(super) fn revisit_request(&mut self, down: &mut Downstream) {
        let Some(http) = down.http().filter(|http| http.paused && http.unconnected) else { return };
        let exchange = http.exchange.and_then(|token| self.exchanges.get(token));
        if exchange.is_some_and(|exchange| exchange.upstream().is_some()) {
            http.paused = false;
            down.resume = true;
        }
    }

    /// Deals with bytes of a connection; gives how many are done with.
    fn feed(&mut self, token: Token, down: &mut Downstream, data: &[u8]) -> usize {
        let mut at = 0;
        loop {
            let Some(http) = down.http() else { return data.len() };
            match &mut http.phase {
                RequestPhase::Head { .. } => {
                    let rest = data.get(at..).unwrap_or_default();
                    if rest.is_empty() || down.is_backed_up() {
                        return at;
                    }
                    match self.feed_head(token, down, rest) {
                        Ok(Some(used)) => at += used,
                        Ok(None) => return at,
                        Err(error) => {
                            self.refuse(token, down, unless_preface(error, rest));
                            return data.len();
                        }
                    }
                }
                RequestPhase::Body(_) if http.paused => return at,
                RequestPhase::Body(decoder) => {
                    let limits = http.chain.limits;
                    match decoder.next(data, &mut at, &limits) {
                        Ok(BodyEvent::NeedMore) => return at,
                        Ok(event) => self.request_body(down, event, data),
                        Err(error) => {
                            self.refuse(token, down, error);
                            return data.len();
                        }
                    }
                }
                RequestPhase::Tunnel(TunnelPhase::Open) if !http.paused => {
                    self.tunnel_data(down, data.get(at..).unwrap_or_default());
                    return data.len();
                }
                RequestPhase::Tunnel(_) | RequestPhase::Response => return at,
                RequestPhase::Closing => return data.len(),
            }
        }
    }

    /// Parses one head; `Ok(None)` when it is not complete.
    fn feed_head(
        &mut self,
        token: Token,
        down: &mut Downstream,
        data: &[u8],
    ) -> Result<Option<usize>, DecodeError> {
        let now = self.now();
        let Some(http) = down.http() else { return Ok(None) };
        let limits = http.chain.limits;
        let mut headers = match http.partial.take() {
            Some(partial) => *partial,
            None => std::mem::take(&mut self.headers),
        };
        match http.parser.parse(data, &mut headers, &limits) {
            Ok(Some(head)) => {
                let bytes = data.get(..head.len).unwrap_or_default();
                self.begin(token, down, &head, bytes, &mut headers);
                self.headers = headers;
                Ok(Some(head.len))
            }
            Ok(None) => {
                if matches!(http.phase, RequestPhase::Head { began: false }) {
                    http.phase = RequestPhase::Head { began: true };
                    let limit = http.chain.manager.timeouts.request_headers;
                    down.deadline = limit.map_or(Millis::NEVER, |limit| now.after(limit));
                }
                if let Some(http) = down.http() {
                    http.partial = Some(Box::new(headers));
                }
                Ok(None)
            }
            Err(error) => {
                self.headers = headers;
                Err(error)
            }
        }
    }

    /// A complete head: an exchange begins.
    fn begin(
        &mut self,
        token: Token,
        down: &mut Downstream,
        head: &RequestHead,
        bytes: &[u8],
        parsed: &mut Headers,
    ) {
        down.deadline = Millis::NEVER;
        let Some((exchange_token, mut exchange)) = self.open_exchange(token, down, 0) else { return };
        exchange.chain.stats.rq_http1_total.inc();
        let preserve = exchange.chain.manager.http1.header_case.preserved();
        exchange.request.load(head, bytes, parsed, preserve);
        let Some(http) = down.http() else { return };
        http.exchange = Some(exchange_token);
        http.served += 1;
        http.keep_alive = head.keep_alive;
        http.paused = false;
        let decoder = BodyDecoder::new(head.body);
        exchange.body.complete = decoder.is_done();
        http.phase = if decoder.is_done() { RequestPhase::Response } else { RequestPhase::Body(decoder) };
        self.start_exchange(exchange_token, &mut exchange, down);
        self.settle_exchange(exchange_token, exchange);
    }

    /// Something of the body of the request under way.
    fn request_body(&mut self, down: &mut Downstream, event: BodyEvent, data: &[u8]) {
        let Some(http) = down.http() else { return };
        if event == BodyEvent::End {
            http.phase = RequestPhase::Response;
        }
        let Some(token) = http.exchange else { return };
        let Some(mut exchange) = self.exchanges.take(token) else { return };
        match event {
            BodyEvent::Data(range) => {
                self.request_data(&mut exchange, down, data.get(range).unwrap_or_default());
            }
            BodyEvent::Trailers(range) => {
                exchange.body.trailers.extend_from_slice(data.get(range).unwrap_or_default())
            }
            BodyEvent::End => self.request_end(token, &mut exchange),
            BodyEvent::NeedMore => {}
        }
        self.settle_exchange(token, exchange);
    }

    /// The bytes cannot be read: they are answered, if they can still be, and the connection ends.
    fn refuse(&mut self, token: Token, down: &mut Downstream, error: DecodeError) {
        let Some(http) = down.http() else { return };
        http.chain.stats.cx_protocol_error.inc();
        http.phase = RequestPhase::Closing;
        http.close = true;
        let under_way = http.exchange;
        match under_way {
            Some(exchange_token) => {
                let Some(mut exchange) = self.exchanges.take(exchange_token) else { return };
                self.abort_upstream(&mut exchange);
                self.fail(exchange_token, &mut exchange, down, &Failure::BadRequest(error));
                self.settle_exchange(exchange_token, exchange);
            }
            None => self.refuse_head(token, down, &Failure::BadRequest(error)),
        }
    }

    /// Answers where no head could be read: there is an exchange for the log, but no request in it.
    pub(crate) fn refuse_head(&mut self, token: Token, down: &mut Downstream, failure: &Failure) {
        let Some((exchange_token, mut exchange)) = self.open_exchange(token, down, 0) else { return };
        exchange.chain.stats.rq_http1_total.inc();
        exchange.request = crate::message::Request::default();
        exchange.body.complete = false;
        if let Some(http) = down.http() {
            http.exchange = Some(exchange_token);
            http.phase = RequestPhase::Closing;
            http.close = true;
        }
        self.fail(exchange_token, &mut exchange, down, failure);
        self.settle_exchange(exchange_token, exchange);
    }

    /// What the connection does next, once its bytes were dealt with.
    fn after_http_input(&mut self, down: &mut Downstream) -> Fate {
        let delayed_close = match down.http() {
            Some(http) => http.chain.manager.timeouts.delayed_close,
            None => None,
        };
        let (closing, idle, responding) = match &down.state {
            DownstreamState::Http1(http) => (
                matches!(http.phase, RequestPhase::Closing) && http.exchange.is_none(),
                matches!(http.phase, RequestPhase::Head { began: false }) && http.exchange.is_none(),
                matches!(http.phase, RequestPhase::Response | RequestPhase::Tunnel(TunnelPhase::Waiting)),
            ),
            _ => return Fate::Keep,
        };
        if closing {
            return self.end_http(down, delayed_close);
        }
        // The client is gone: what it asked for is wanted no more.
        if responding && down.io.closing() {
            return Fate::Close(CloseReason::Remote);
        }
        if idle && down.deadline == Millis::NEVER && (down.held.is_empty() || down.io.unsent() > 0) {
            self.idle_deadline(down);
        }
        Fate::Keep
    }

    /// How long the client may take to send its next request, or to read what it was answered.
    fn idle_deadline(&mut self, down: &mut Downstream) {
        let now = self.now();
        let unread = down.io.unsent() > 0;
        let Some(http) = down.http() else { return };
        let timeouts = &http.chain.manager.timeouts;
        let (limit, drain_at) = match (unread, http.served) {
            (true, _) => (timeouts.stream_flush, Millis::NEVER),
            (false, 0) => (timeouts.first_request, http.drain_at),
            (false, _) => (timeouts.idle, http.drain_at),
        };
        down.deadline = limit.map_or(Millis::NEVER, |limit| now.after(limit)).min(drain_at);
    }

    fn end_http(&mut self, down: &mut Downstream, delayed_close: Option<std::time::Duration>) -> Fate {
        // A client that asked for the end sends nothing more, so a reset cannot overtake the response.
        let asked_for = down.http().is_some_and(|http| !http.keep_alive);
        self.close_gently(down, delayed_close.filter(|_| !asked_for))
    }

    /// Once everything is written our side ends, and the client gets time to read it before the socket goes.
    pub(super) fn close_gently(&mut self, down: &mut Downstream, delay: Option<std::time::Duration>) -> Fate {
        if down.io.unsent() > 0 {
            if down.deadline == Millis::NEVER {
                self.idle_deadline(down);
            }
            return Fate::Keep; // the next writable event comes back here
        }
        match delay {
            Some(delay) => {
                down.io.shutdown_write();
                down.state = DownstreamState::Linger;
                down.deadline = self.now().after(delay);
                self.linger(down)
            }
            None => {
                down.io.say_goodbye();
                Fate::Close(CloseReason::Local)
            }
        }
    }

    /// Throws away what comes after our end, so that the kernel does not answer it with a reset.
    pub(crate) fn linger(&mut self, down: &mut Downstream) -> Fate {
        let Some(buffers) = &mut self.buffers else { return Fate::Close(CloseReason::Internal) };
        for _ in 0..READS_PER_TURN {
            match down.io.read(buffers) {
                Read::Data(_) => {}
                Read::Blocked => break,
                Read::End | Read::Failed(_) => return Fate::Close(CloseReason::Local),
            }
        }
        Fate::Keep
    }
}

/// HTTP/2's preface is no request in a version that is not spoken: it is no HTTP/1 at all.
fn unless_preface(error: DecodeError, data: &[u8]) -> DecodeError {
    match error {
        DecodeError::UnsupportedVersion if data.starts_with(b"PRI * HTTP/2.0\r\n") => {
            DecodeError::InvalidVersion { at: "PRI * ".len() }
        }
        error => error,
    }
}
