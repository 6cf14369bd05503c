//! Requests on an HTTP/2 connection.

use meshloom_wire::http1::{BodyLength, TrailerFields};
use meshloom_wire::http2::{ErrorCode, StreamId};

use super::{Http2, Stream};
use crate::engine::Engine;
use crate::exchange::RequestBody;
use crate::message::Request;
use crate::reactor::Token;

/// A client is held back when so many bytes of its request wait for the peer's window,
const HOLD_ABOVE: usize = 64 * 1024;
/// and goes on when no more than these are left.
const RESUME_BELOW: usize = 32 * 1024;

impl Http2 {
    /// A stream for this exchange, if there is room for one.
    pub(in crate::upstream) fn open(&mut self, exchange: Token) -> Option<StreamId> {
        let number = self.codec.open()?;
        let stream = Stream {
            exchange,
            pending: Vec::new(),
            sent: 0,
            complete: false,
            trailers: Vec::new(),
            ended: false,
            paused: false,
            surplus: false,
            interim: 0,
            owed: 0,
        };
        self.streams.insert(number, stream);
        Some(number)
    }

    /// Sends the head, what is there of the body, and its end when that is known. True when no more of the body should
    /// come for now.
    pub(in crate::upstream) fn send_request(
        &mut self,
        number: StreamId,
        request: &Request,
        body: &RequestBody,
        out: &mut Vec<u8>,
    ) -> bool {
        let ends = body.complete && body.kept.is_empty() && body.trailers.is_empty();
        let mut length = [0; 20];
        let length = content_length(request.body, &mut length);
        let framing = length.map(|digits| (&b"content-length"[..], digits));
        if request.body == BodyLength::UntilClose {
            self.codec.send_head(number, tunnel_head(request), false, out);
        } else {
            let pseudo = [
                (&b":method"[..], request.method_text()),
                (b":scheme", request.scheme.as_str().as_bytes()),
                (b":authority", request.authority()),
                (b":path", request.request_target()),
            ];
            let fields = pseudo.into_iter().chain(request.fields.forwarded()).chain(framing);
            self.codec.send_head(number, fields, ends, out);
        }
        let Some(stream) = self.streams.get_mut(&number) else { return false };
        stream.ended = ends;
        stream.complete = ends;
        if ends {
            return false;
        }
        let congested = self.send_data(number, &body.kept, out);
        if body.complete {
            self.send_end(number, &body.trailers, out);
        }
        congested
    }

    /// Sends a piece of the body, as far as the windows take it. True when no more should come for now.
    pub(in crate::upstream) fn send_data(
        &mut self,
        number: StreamId,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(stream) = self.streams.get_mut(&number) else { return false };
        let taken = match stream.pending.is_empty() && !data.is_empty() {
            true => self.codec.send_data(number, data, false, out),
            false => 0,
        };
        stream.pending.extend_from_slice(data.get(taken..).unwrap_or_default());
        let congested = stream.backlog() > HOLD_ABOVE;
        stream.paused |= congested;
        congested
    }

    /// Ends the request. `trailers` is a received trailer section, or empty.
    pub(in crate::upstream) fn send_end(&mut self, number: StreamId, trailers: &[u8], out: &mut Vec<u8>) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        stream.complete = true;
        stream.trailers.extend_from_slice(trailers);
        self.push(number, out);
    }

    /// Sends what is pending of a request, as far as the windows take it.
    pub(super) fn push(&mut self, number: StreamId, out: &mut Vec<u8>) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        if stream.ended {
            return;
        }
        let trails = TrailerFields::new(&stream.trailers).next().is_some();
        let last = stream.complete && !trails;
        let rest = stream.pending.get(stream.sent..).unwrap_or_default();
        if !rest.is_empty() {
            let whole = rest.len();
            let taken = self.codec.send_data(number, rest, last, out);
            stream.sent += taken;
            if taken < whole {
                return stream.compact();
            }
            stream.pending.clear();
            stream.sent = 0;
            stream.ended = last;
        }
        if stream.complete && !stream.ended {
            match trails {
                true => drop(self.codec.send_trailers(number, &stream.trailers, out)),
                false => drop(self.codec.send_data(number, b"", true, out)),
            }
            stream.ended = true;
        }
    }

    /// Forgets a stream. What is not complete of it is given up with this code.
    pub(super) fn close(&mut self, number: StreamId, code: ErrorCode, out: &mut Vec<u8>) {
        if self.streams.remove(&number).is_some() {
            self.codec.reset(number, code, out);
        }
    }

    /// Streams whose request waits for a window, or whose client waits, the oldest first.
    fn blocked(&self) -> Vec<StreamId> {
        let waits = |stream: &Stream| stream.paused || stream.backlog() > 0;
        let mut numbers: Vec<StreamId> =
            self.streams.iter().filter(|(_, stream)| waits(stream)).map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Notes that the socket has taken too little of what this stream's request is part of.
    pub(in crate::upstream) fn crowd(&mut self, number: StreamId) {
        self.crowded = true;
        if let Some(stream) = self.streams.get_mut(&number) {
            stream.paused = true;
        }
    }

    /// Takes the exchange of a stream whose client may go on, if it was held back and need not be any more.
    pub(super) fn resumed(&mut self, number: StreamId) -> Option<Token> {
        let stream = self.streams.get_mut(&number)?;
        let resumes = stream.paused && stream.backlog() <= RESUME_BELOW;
        resumes.then(|| {
            stream.paused = false;
            stream.exchange
        })
    }
}

impl Stream {
    fn backlog(&self) -> usize {
        self.pending.len().saturating_sub(self.sent)
    }

    /// Lets go of what is sent, where that is worth moving the rest.
    fn compact(&mut self) {
        if self.sent > RESUME_BELOW {
            self.pending.drain(..self.sent.min(self.pending.len()));
            self.sent = 0;
        }
    }
}

/// What Content-Length says. Of a request without a body that announced none, nothing is said: END_STREAM tells.
fn content_length(body: BodyLength, digits: &mut [u8; 20]) -> Option<&[u8]> {
    let BodyLength::Length(length) = body else { return None };
    Some(crate::util::decimal(length, digits))
}

impl Engine {
    /// A window has opened: what waits for it goes on, on one stream or (0) on all.
    pub(super) fn upstream_window_opened(&mut self, connection: Token, number: StreamId) {
        let Some(http2) = self.ups.get_mut(connection).and_then(|upstream| upstream.http2.as_mut()) else {
            return;
        };
        let numbers = if number == 0 { http2.blocked() } else { vec![number] };
        for number in numbers {
            let Some(http2) = self.ups.get_mut(connection).and_then(|upstream| upstream.http2.as_mut())
            else {
                return;
            };
            http2.push(number, &mut self.up_out.bytes);
            let resumed = http2.resumed(number);
            self.resume_client(resumed);
        }
    }

    /// The socket has taken what was in the way: clients that were held back for it go on.
    pub(super) fn socket_drained(&mut self, connection: Token) {
        let Some(http2) = self.ups.get_mut(connection).and_then(|upstream| upstream.http2.as_mut()) else {
            return;
        };
        if !std::mem::take(&mut http2.crowded) {
            return;
        }
        let resumed: Vec<Token> =
            http2.blocked().into_iter().filter_map(|number| http2.resumed(number)).collect();
        resumed.into_iter().for_each(|exchange| self.resume_client(Some(exchange)));
    }

    fn resume_client(&mut self, exchange: Option<Token>) {
        let found = exchange.and_then(|token| self.exchanges.get(token));
        if let Some((downstream, stream)) = found.map(|exchange| (exchange.downstream, exchange.stream)) {
            self.resume_request(downstream, stream);
        }
    }
}

/// What asks for a tunnel: CONNECT (RFC 9113 8.5), or for an upgrade its extended form (RFC 8441 4).
fn tunnel_head(request: &Request) -> impl Iterator<Item = (&[u8], &[u8])> {
    let extended = request.upgrade_protocol().map(|protocol| {
        let scheme = request.scheme.as_str().as_bytes();
        [(&b":protocol"[..], protocol), (b":scheme", scheme), (b":path", request.target())]
    });
    let pseudo = [(&b":method"[..], &b"CONNECT"[..]), (b":authority", request.authority())];
    // RFC 8441 5: this is for HTTP/1 alone.
    let fields =
        request.fields.forwarded().filter(|(name, _)| !name.eq_ignore_ascii_case(b"sec-websocket-key"));
    pseudo.into_iter().chain(extended.into_iter().flatten()).chain(fields)
}
