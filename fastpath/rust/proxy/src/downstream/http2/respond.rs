//! Responses on the streams of a connection.

use meshloom_wire::http1::{BodyLength, Method};
use meshloom_wire::http2::{ErrorCode, StreamId};

use super::Http2;
use super::streams::{Paused, Stream, Tunnel};
use crate::downstream::{Downstream, DownstreamState};
use crate::engine::Engine;
use crate::exchange::{self, Exchange};
use crate::message::{Protocol, Response};
use crate::reactor::{Millis, Token};
use crate::util::decimal;

/// Bytes that may wait for the windows of all streams of a connection together, before each stream may keep but little.
const CONNECTION_WAITING: usize = 1024 * 1024;

impl Engine {
    pub(in crate::downstream) fn write_http2_head(
        &mut self,
        exchange: &mut Exchange,
        down: &mut Downstream,
    ) -> usize {
        self.drain_with_response(down);
        let out = &mut self.down_out.bytes;
        let before = out.len();
        let Some(http) = down.http2() else { return 0 };
        let bodiless = exchange.request.method == Method::Head
            || (is_bodiless(exchange.response.status) && exchange.tunnel != exchange::Tunnel::Open);
        let ends = bodiless || has_no_body(&exchange.response);
        send_head(http, exchange.stream, &exchange.response, bodiless, ends, out);
        if let Some(stream) = http.streams.get_mut(exchange.stream).filter(|_| ends) {
            stream.ended_with_head();
        }
        out.len() - before
    }

    /// An interim response, which is in the exchange.
    pub(in crate::downstream) fn write_http2_interim(&mut self, exchange: &Exchange, down: &mut Downstream) {
        if let Some(http) = down.http2() {
            let out = &mut self.down_out.bytes;
            send_head(http, exchange.stream, &exchange.response, true, false, out);
        }
    }

    pub(in crate::downstream) fn write_http2_continue(&mut self, exchange: &Exchange, down: &mut Downstream) {
        if let Some(http) = down.http2() {
            let fields = [(&b":status"[..], &b"100"[..])];
            http.codec.send_head(exchange.stream, fields, false, &mut self.down_out.bytes);
        }
    }

    pub(in crate::downstream) fn write_http2_data(
        &mut self,
        exchange: &mut Exchange,
        down: &mut Downstream,
        data: &[u8],
    ) {
        let Some(http) = down.http2() else { return };
        let Http2 { codec, streams, waiting, .. } = http;
        let Some(stream) = streams.get_mut(exchange.stream).filter(|stream| !stream.is_sent()) else {
            return;
        };
        exchange.outcome.body_sent += data.len() as u64;
        // The end goes with the last piece, where it is known to be the last.
        let last = exchange.response.version != Protocol::Http2
            && matches!(exchange.response.body, BodyLength::Length(all) if exchange.outcome.body_sent >= all);
        let before = stream.waiting();
        stream.data(codec, data, last, &mut self.down_out.bytes);
        *waiting += stream.waiting() - before;
        self.send_full(down);
    }

    pub(in crate::downstream) fn write_http2_end(
        &mut self,
        exchange: &Exchange,
        down: &mut Downstream,
        trailers: &[u8],
    ) {
        let Some(http) = down.http2() else { return };
        let Http2 { codec, streams, .. } = http;
        if let Some(stream) = streams.get_mut(exchange.stream) {
            stream.finish(codec, trailers, &mut self.down_out.bytes);
        }
    }

    /// Nothing more can come of this response: the client sees that by a reset.
    pub(in crate::downstream) fn break_http2(&mut self, exchange: &Exchange, down: &mut Downstream) {
        let now = self.now();
        let Some(http) = down.http2() else { return };
        if http.remove(exchange.stream, now, &mut self.down_out.bytes).is_some() {
            http.codec.reset(exchange.stream, breach(exchange), &mut self.down_out.bytes);
        }
    }

    /// The exchange is over; what waits is still sent.
    pub(in crate::downstream) fn leave_http2(&mut self, exchange: &Exchange, down: &mut Downstream) {
        let now = self.now();
        let Some(http) = down.http2() else { return };
        let Http2 { codec, streams, chain, .. } = http;
        let Some(stream) = streams.get_mut(exchange.stream) else { return };
        stream.exchange = None;
        if stream.is_sent() {
            stream.close(codec, &mut self.down_out.bytes);
            http.remove(exchange.stream, now, &mut self.down_out.bytes);
            return;
        }
        stream.give_back(codec, &mut self.down_out.bytes);
        let limit = chain.manager.timeouts.stream_flush;
        stream.deadline = limit.map_or(Millis::NEVER, |limit| now.after(limit));
        http.flush_by = http.flush_by.min(stream.deadline);
    }

    /// The client has opened a window: what waits goes on.
    pub(super) fn window_opened(&mut self, down: &mut Downstream, id: StreamId) {
        if id == 0 {
            let Some(http) = down.http2().filter(|http| http.waiting > 0) else { return };
            let waiting: Vec<StreamId> =
                http.streams.iter().filter(|stream| stream.waiting() > 0).map(|stream| stream.id).collect();
            for id in waiting {
                self.pump(down, id);
            }
        } else {
            self.pump(down, id);
        }
    }

    fn pump(&mut self, down: &mut Downstream, id: StreamId) {
        let now = self.now();
        let Some(http) = down.http2() else { return };
        let limit = http.waiting_limit();
        let Http2 { codec, streams, waiting, chain, .. } = http;
        let Some(stream) = streams.get_mut(id) else { return };
        let before = stream.waiting();
        if !stream.pump(codec, &mut self.down_out.bytes) {
            return;
        }
        *waiting = waiting.saturating_sub(before - stream.waiting());
        let Some(token) = stream.exchange else {
            let limit = chain.manager.timeouts.stream_flush;
            stream.deadline = limit.map_or(Millis::NEVER, |limit| now.after(limit));
            if stream.is_sent() {
                stream.close(codec, &mut self.down_out.bytes);
                http.remove(id, now, &mut self.down_out.bytes);
            }
            return self.send_full(down);
        };
        let resumes = stream.waiting() <= limit / 2;
        if let Some(exchange) = self.exchanges.get_mut(token) {
            exchange.moved(now);
            if let Some(upstream) = exchange.upstream().filter(|_| resumes) {
                self.resume_response(upstream);
            }
        }
        self.send_full(down);
    }

    /// The socket takes bytes again: upstreams that were held back may go on.
    pub(in crate::downstream) fn http2_drained(&mut self, down: &mut Downstream) {
        let Some(http) = down.http2() else { return };
        let limit = http.waiting_limit();
        let ready = http.streams.iter().filter(|stream| stream.waiting() <= limit / 2);
        let upstreams: Vec<_> = ready
            .filter_map(|stream| stream.exchange)
            .filter_map(|token| self.exchanges.get(token)?.upstream())
            .collect();
        for upstream in upstreams {
            self.resume_response(upstream);
        }
    }

    /// Gives the client back the windows of what it was not asked for until now.
    pub(in crate::downstream) fn resume_http2(&mut self, token: Token, id: StreamId) {
        self.aim_downstream(token);
        let Some(down) = self.downs.get_mut(token) else { return };
        if let Some(http) = down.http2() {
            http.resume(id, &mut self.down_out.bytes);
        }
    }

    /// Puts a connection back that was written to.
    pub(in crate::downstream) fn return_http2(&mut self, token: Token, down: Box<Downstream>) {
        let DownstreamState::Http2(http) = &down.state else { return self.downs.put_back(token, down) };
        let (at, turns) = (http.deadline(), http.is_over() || down.broken);
        let mut down = down;
        down.deadline = at;
        self.downs.put_back(token, down);
        self.downs.arm(token, at, &mut self.wheel);
        if turns {
            self.run_soon(token);
        }
    }

    /// Sends what was gathered, when it has become much.
    pub(super) fn send_full(&mut self, down: &mut Downstream) {
        if self.down_out.is_large() {
            self.send_gathered(down);
        }
    }
}

impl Http2 {
    /// Bytes of a stream that wait for the client's windows. Where too much waits on the others, this one has little room.
    pub(in crate::downstream) fn backlog(&self, id: StreamId) -> usize {
        match self.streams.get(id).map_or(0, Stream::waiting) {
            0 => 0,
            _ if self.waiting > CONNECTION_WAITING => usize::MAX,
            waiting => waiting,
        }
    }

    /// Forgets a stream.
    pub(super) fn remove(&mut self, id: StreamId, now: Millis, out: &mut Vec<u8>) -> Option<Stream> {
        let mut stream = self.streams.remove(id)?;
        self.chain.http2_stats.streams_active.sub(1);
        stream.give_back(&mut self.codec, out);
        self.waiting = self.waiting.saturating_sub(stream.waiting());
        if self.streams.is_empty() {
            self.idle_since = now;
        }
        Some(stream)
    }

    /// Nothing more of this request is taken for now.
    pub(in crate::downstream) fn pause(&mut self, id: StreamId, connected: bool) {
        self.revisit |= !connected;
        if let Some(stream) = self.streams.get_mut(id) {
            stream.paused = if connected { Paused::Congested } else { Paused::Unconnected };
        }
    }

    fn resume(&mut self, id: StreamId, out: &mut Vec<u8>) {
        let Self { codec, streams, .. } = self;
        if let Some(stream) = streams.get_mut(id) {
            stream.paused = Paused::No;
            stream.give_back(codec, out);
        }
    }

    /// What comes behind this request's head waits for the answer.
    pub(in crate::downstream) fn await_tunnel(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.tunnel = Tunnel::Waiting;
            // A client may have nothing to say, and say so with the head.
            stream.early_end = stream.complete;
        }
    }

    /// What has come behind the head, and what comes, is the exchange's.
    pub(in crate::downstream) fn open_tunnel(&mut self, id: StreamId) {
        self.revisit = true;
        if let Some(stream) = self.streams.get_mut(id) {
            stream.tunnel = Tunnel::Open;
        }
    }
}

/// How a stream says that its other end has broken off: in tunnels as RFC 8441 5 and RFC 9113 8.5 have it.
fn breach(exchange: &Exchange) -> ErrorCode {
    match exchange.tunnel {
        exchange::Tunnel::Open if exchange.request.upgrade.is_some() => ErrorCode::CANCEL,
        exchange::Tunnel::Open => ErrorCode::CONNECT_ERROR,
        _ => ErrorCode::INTERNAL_ERROR,
    }
}

fn is_bodiless(status: u16) -> bool {
    matches!(status, 100..=199 | 204 | 304)
}

/// There will be no body. (An HTTP/2 upstream that says so by Content-Length alone may still send trailers.)
fn has_no_body(response: &Response) -> bool {
    match response.body {
        BodyLength::None => true,
        BodyLength::Length(0) => response.version != Protocol::Http2,
        _ => false,
    }
}

fn send_head(
    http: &mut Http2,
    id: StreamId,
    response: &Response,
    bodiless: bool,
    end: bool,
    out: &mut Vec<u8>,
) {
    let length = match (bodiless, response.body) {
        (false, BodyLength::Length(length)) => Some(length),
        // What a GET would have had (RFC 9110 8.6); never on 1xx and 204.
        (true, _) if response.status >= 200 && response.status != 204 => response.announced,
        _ => None,
    };
    let (mut status, mut digits) = ([0; 20], [0; 20]);
    let first = [(&b":status"[..], decimal(u64::from(response.status), &mut status))];
    let last = length.map(|length| (&b"content-length"[..], decimal(length, &mut digits)));
    let fields = first.into_iter().chain(response.fields.forwarded()).chain(last);
    http.codec.send_head(id, fields, end, out);
}
