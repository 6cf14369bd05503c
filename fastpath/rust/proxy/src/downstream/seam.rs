//! What exchanges ask of their client's connection, whichever version of HTTP it speaks.

use std::rc::Rc;
use std::sync::Arc;

use super::{Downstream, DownstreamState, RequestPhase, TunnelPhase};
use crate::engine::Engine;
use crate::exchange::Exchange;
use crate::reactor::Token;

impl Engine {
    /// Takes a connection out of its place to write to it. What was gathered for another one leaves first.
    pub(crate) fn lend_downstream(&mut self, token: Token) -> Option<Box<Downstream>> {
        let down = self.downs.take(token)?;
        self.aim_downstream(token);
        Some(down)
    }

    /// Bytes for this connection are gathered from now on; those for another one leave first.
    pub(crate) fn aim_downstream(&mut self, token: Token) {
        if self.down_target == Some(token) {
            return;
        }
        match self.down_target {
            // Somebody works on it: its bytes are put aside until this one is back in its place.
            Some(outer) if self.downs.is_lent(outer) => {
                self.down_outer.push((outer, std::mem::take(&mut self.down_out.bytes)));
            }
            _ => self.flush_downstream(),
        }
        self.down_target = Some(token);
    }

    /// A connection is back in its place: whoever worked on another one when it was lent goes on with that.
    pub(super) fn aim_outer(&mut self) {
        if self.down_outer.is_empty() {
            return;
        }
        self.flush_downstream();
        if let Some((outer, bytes)) = self.down_outer.pop() {
            self.down_out.bytes = bytes;
            self.down_target = Some(outer);
        }
    }

    /// Puts a connection back that was written to. `ended`: an exchange on it is over, or the connection itself. What was
    /// gathered for many streams leaves together, with the end of the loop's turn.
    pub(crate) fn return_downstream(&mut self, token: Token, down: Box<Downstream>, ended: bool) {
        match &down.state {
            DownstreamState::Http1(_) => self.return_http1(token, down, ended),
            DownstreamState::Http2(_) => self.return_http2(token, down),
            _ => {
                self.downs.put_back(token, down);
                self.run_soon(token);
            }
        }
        self.aim_outer();
    }

    /// Sends the response bytes that were gathered for a connection which is in its place.
    pub(crate) fn flush_downstream(&mut self) {
        let Some(token) = self.down_target.take() else { return };
        let Some(down) = self.downs.get_mut(token) else {
            self.down_out.bytes.clear();
            return;
        };
        if self.down_out.flush(&mut down.io).is_err() {
            down.broken = true;
            self.run_soon(token);
        } else {
            down.note_unsent();
        }
    }

    /// An exchange without a request in it yet.
    pub(super) fn open_exchange(
        &mut self,
        token: Token,
        down: &Downstream,
        stream: u32,
    ) -> Option<(Token, Box<Exchange>)> {
        let chain = match &down.state {
            DownstreamState::Http1(http) => Rc::clone(&http.chain),
            DownstreamState::Http2(http) => Rc::clone(&http.chain),
            _ => return None,
        };
        let exchange_token = self.exchanges.reserve()?;
        chain.stats.rq_total.inc();
        chain.stats.rq_active.add(1);
        let info = Rc::clone(&down.info);
        let snapshot = Arc::clone(&self.snapshot);
        let now = self.clock.instant();
        let exchange = match self.spare.pop() {
            Some(mut exchange) => {
                exchange.renew(token, stream, info, chain, snapshot, now);
                exchange
            }
            None => Box::new(Exchange::new(token, stream, info, chain, snapshot, now)),
        };
        Some((exchange_token, exchange))
    }

    /// Puts the head of the exchange's response on its way; gives the bytes it took.
    pub(crate) fn write_response_head(&mut self, exchange: &mut Exchange, down: &mut Downstream) -> usize {
        match &down.state {
            DownstreamState::Http1(_) => self.write_http1_head(exchange, down),
            DownstreamState::Http2(_) => self.write_http2_head(exchange, down),
            _ => 0,
        }
    }

    /// Puts a piece of the response's body on its way.
    pub(crate) fn write_response_data(
        &mut self,
        exchange: &mut Exchange,
        down: &mut Downstream,
        data: &[u8],
    ) {
        match &mut down.state {
            DownstreamState::Http1(http) => {
                if http.sender != crate::codec::Sender::Nothing {
                    exchange.outcome.body_sent += data.len() as u64;
                }
                let sent = http.sender.data(&mut self.down_out, &mut down.io, data);
                down.broken |= sent.is_err();
            }
            DownstreamState::Http2(_) => self.write_http2_data(exchange, down, data),
            _ => {}
        }
    }

    /// Ends the response's body. `trailers` is a received trailer section, or empty.
    pub(crate) fn write_response_end(
        &mut self,
        exchange: &mut Exchange,
        down: &mut Downstream,
        trailers: &[u8],
    ) {
        match &mut down.state {
            DownstreamState::Http1(http) => http.sender.end(&mut self.down_out, trailers),
            DownstreamState::Http2(_) => self.write_http2_end(exchange, down, trailers),
            _ => {}
        }
    }

    /// The response cannot be finished, and the client must see that.
    pub(crate) fn break_response(&mut self, exchange: &mut Exchange, down: &mut Downstream) {
        match &down.state {
            DownstreamState::Http1(_) => self.break_http1(exchange, down),
            DownstreamState::Http2(_) => self.break_http2(exchange, down),
            _ => {}
        }
    }

    /// Answers 100 to a client that waits for it.
    pub(crate) fn write_continue(&mut self, exchange: &mut Exchange, down: &mut Downstream) {
        match &down.state {
            DownstreamState::Http1(_) => {
                self.down_out.bytes.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                down.broken |= self.down_out.flush(&mut down.io).is_err();
            }
            DownstreamState::Http2(_) => self.write_http2_continue(exchange, down),
            _ => {}
        }
    }

    /// Passes an interim response, which is in the exchange, to the client.
    pub(crate) fn write_interim(&mut self, exchange: &mut Exchange, down: &mut Downstream) {
        match &down.state {
            DownstreamState::Http1(http) => {
                let case = http.chain.manager.http1.header_case;
                crate::codec::interim_head(&mut self.down_out.bytes, &exchange.response, case);
                down.broken |= self.down_out.flush(&mut down.io).is_err();
            }
            DownstreamState::Http2(_) => self.write_http2_interim(exchange, down),
            _ => {}
        }
    }

    /// The exchange is over as far as its client is concerned.
    pub(crate) fn leave_downstream(&mut self, exchange: &mut Exchange, down: &mut Downstream) {
        match &down.state {
            DownstreamState::Http1(_) => self.leave_http1(exchange, down),
            DownstreamState::Http2(_) => self.leave_http2(exchange, down),
            _ => {}
        }
    }

    /// The upstream takes body bytes again: a client that was held back may go on, once nobody works on its connection.
    pub(crate) fn resume_request(&mut self, downstream: Token, stream: u32) {
        self.resumed.push((downstream, stream));
    }

    /// Lets the clients go on whose upstreams take bytes again.
    pub(crate) fn resume_requests(&mut self) {
        let mut resumed = std::mem::take(&mut self.resumed);
        for (downstream, stream) in resumed.drain(..) {
            self.resume_one(downstream, stream);
        }
        self.resumed = resumed;
    }

    fn resume_one(&mut self, downstream: Token, stream: u32) {
        let Some(down) = self.downs.get_mut(downstream) else { return };
        match &mut down.state {
            DownstreamState::Http1(http) if http.paused => {
                http.paused = false;
                down.resume = true;
                self.run_soon(downstream);
            }
            DownstreamState::Http2(_) => self.resume_http2(downstream, stream),
            _ => {}
        }
    }
}

impl Downstream {
    /// Nothing more of this exchange's request is wanted for now: its upstream is busy, or there is none yet.
    pub(crate) fn pause_request(&mut self, stream: u32, connected: bool) {
        match &mut self.state {
            DownstreamState::Http1(http) => {
                http.paused = true;
                http.unconnected = !connected;
            }
            DownstreamState::Http2(http) => http.pause(stream, connected),
            _ => {}
        }
    }

    /// The request asks for a tunnel: what follows its head waits for the answer.
    pub(crate) fn await_tunnel(&mut self, stream: u32) {
        match &mut self.state {
            DownstreamState::Http1(http) => http.phase = RequestPhase::Tunnel(TunnelPhase::Waiting),
            DownstreamState::Http2(http) => http.await_tunnel(stream),
            _ => {}
        }
    }

    /// The tunnel is open: the connection's bytes are the exchange's, until either side ends.
    pub(crate) fn open_tunnel(&mut self, stream: u32) {
        match &mut self.state {
            DownstreamState::Http1(http) => {
                http.phase = RequestPhase::Tunnel(TunnelPhase::Open);
                http.close = true;
                self.resume = true;
            }
            DownstreamState::Http2(http) => http.open_tunnel(stream),
            _ => {}
        }
    }

    /// Bytes of this exchange's response that wait to be sent.
    pub(crate) fn backlog(&self, stream: u32) -> usize {
        match &self.state {
            DownstreamState::Http2(http) => self.io.unsent().max(http.backlog(stream)),
            _ => self.io.unsent(),
        }
    }

    /// After the present exchange nothing more of the connection can be understood. (Streams do not concern each other.)
    pub(crate) fn end_after_exchange(&mut self) {
        if let DownstreamState::Http1(http) = &mut self.state {
            http.close = true;
        }
    }
}
