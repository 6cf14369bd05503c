//! Requests on their way to an upstream, whichever version of HTTP it speaks.

use meshloom_wire::http2::ErrorCode;

use super::{Upstream, UpstreamState};
use crate::codec::{Outbox, Sender, request_head};
use crate::engine::Engine;
use crate::exchange::RequestBody;
use crate::message::{Protocol, Request};
use crate::reactor::{Millis, Token};

/// One stream of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamStream {
    pub(crate) connection: Token,
    /// Its number; 0 where a connection carries one message at a time.
    pub(crate) number: u32,
}

impl UpstreamStream {
    /// A connection that is used as one stream.
    pub(crate) fn whole(connection: Token) -> Self {
        Self { connection, number: 0 }
    }
}

/// What became of a piece of a body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    /// Bytes that it takes on the wire.
    pub(crate) wire: u64,
    /// More than may wait is waiting: no more should come for now.
    pub(crate) congested: bool,
}

impl Upstream {
    /// The version that it speaks.
    pub(crate) fn protocol(&self) -> Protocol {
        if self.http2.is_some() { Protocol::Http2 } else { Protocol::Http11 }
    }

    /// The connection carries this exchange from now on.
    pub(crate) fn begin(&mut self, connection: Token, exchange: Token) -> Option<UpstreamStream> {
        let number = match &mut self.http2 {
            Some(http2) => http2.open(exchange)?,
            None => {
                self.state = UpstreamState::Busy(exchange);
                self.deadline = Millis::NEVER;
                self.paused = false;
                self.http.restart();
                0
            }
        };
        self.served += 1;
        Some(UpstreamStream { connection, number })
    }

    /// Sends the head, what is there of the body, and its end when that is known.
    pub(crate) fn send_request(
        &mut self,
        to: UpstreamStream,
        request: &Request,
        body: &RequestBody,
        out: &mut Outbox,
    ) -> Sent {
        let before = out.bytes.len();
        if let Some(http2) = &mut self.http2 {
            let congested = http2.send_request(to.number, request, body, &mut out.bytes);
            return Sent { wire: (out.bytes.len() - before) as u64, congested };
        }
        self.sender = request_head(&mut out.bytes, request, self.header_case);
        let head = (out.bytes.len() - before) as u64;
        let wire = self.sender.wire_len(&body.kept);
        let sent = self.sender.data(out, &mut self.io, &body.kept);
        self.broken |= sent.is_err();
        if body.complete {
            self.sender.end(out, &body.trailers);
        }
        Sent { wire: head + wire, congested: self.io.unsent() > 0 }
    }
}

impl Engine {
    /// Bytes for this connection are gathered from now on; those for another one leave first.
    pub(crate) fn aim(&mut self, connection: Token) {
        if self.up_target.is_some_and(|target| target != connection) {
            self.flush_upstream();
        }
        self.up_target = Some(connection);
    }

    /// Sends a piece of a request's body.
    pub(crate) fn send_upstream_data(&mut self, to: UpstreamStream, data: &[u8]) -> Sent {
        self.aim(to.connection);
        let Some(mut upstream) = self.ups.take(to.connection) else { return Sent::default() };
        if upstream.http2.is_some() {
            let sent = self.send_stream_data(to.number, &mut upstream, data);
            self.ups.put_back(to.connection, upstream);
            return sent;
        }
        let wire = upstream.sender.wire_len(data);
        let sent = upstream.sender.data(&mut self.up_out, &mut upstream.io, data);
        upstream.broken |= sent.is_err();
        let congested = upstream.io.unsent() > self.upstream_limit(&upstream);
        self.settle_upstream_kept(to.connection, upstream);
        Sent { wire, congested }
    }

    /// Ends a request. `trailers` is a received trailer section, or empty.
    pub(crate) fn send_upstream_end(&mut self, to: UpstreamStream, trailers: &[u8]) {
        self.aim(to.connection);
        let Some(upstream) = self.ups.get_mut(to.connection) else { return };
        if let Some(http2) = &mut upstream.http2 {
            return http2.send_end(to.number, trailers, &mut self.up_out.bytes);
        }
        if upstream.sender == Sender::Tunnel {
            upstream.broken |= self.up_out.flush(&mut upstream.io).is_err();
            return upstream.io.end();
        }
        upstream.sender.end(&mut self.up_out, trailers);
    }

    fn send_stream_data(&mut self, number: u32, upstream: &mut Upstream, data: &[u8]) -> Sent {
        let limit = self.upstream_limit(upstream);
        let Some(http2) = &mut upstream.http2 else { return Sent::default() };
        let before = self.up_out.bytes.len();
        let mut congested = http2.send_data(number, data, &mut self.up_out.bytes);
        // What waits for the window counts too: it goes out, if anything does.
        let wire = (self.up_out.bytes.len() - before).max(data.len()) as u64;
        if upstream.io.unsent() > limit {
            http2.crowd(number);
            congested = true;
        }
        if self.up_out.is_large() {
            upstream.flush(&mut self.up_out);
        }
        Sent { wire, congested }
    }

    /// Gives up a request and its response. An HTTP/1 connection with half of either on it is closed.
    pub(crate) fn abort_stream(&mut self, of: UpstreamStream) {
        if self.ups.get(of.connection).is_some_and(|upstream| upstream.http2.is_some()) {
            self.close_stream(of, ErrorCode::CANCEL);
            // Whoever waits for a stream may have this one.
            return self.run_soon(of.connection);
        }
        if self.up_target == Some(of.connection) {
            self.up_target = None;
            self.up_out.bytes.clear();
        }
        self.close_upstream(of.connection);
    }

    /// A tunnel is about to be given up: what the upstream got of it must not look complete (RFC 9113 8.5).
    pub(crate) fn reset_tunnel(&self, of: UpstreamStream) {
        if let Some(upstream) = self.ups.get(of.connection).filter(|upstream| upstream.http2.is_none()) {
            upstream.io.reset_on_close();
        }
    }

    /// The client has taken bytes: a response that was held back may go on.
    pub(crate) fn resume_response(&mut self, of: UpstreamStream) {
        match self.ups.get(of.connection) {
            Some(upstream) if upstream.http2.is_some() => self.http2_resume(of),
            Some(upstream) if upstream.paused => self.run_soon(of.connection),
            _ => {}
        }
    }
}
