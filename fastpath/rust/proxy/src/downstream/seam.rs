//! What exchanges ask of their client's connection, whichever version of HTTP it speaks.

#![allow(clippy::single_match, clippy::collapsible_match, reason = "more versions follow")]

use super::{Downstream, DownstreamState, RequestPhase, TunnelPhase};
use crate::engine::Engine;
use crate::exchange::Exchange;
use crate::reactor::Token;

impl Engine {
    /// Takes a connection out of its place to write to it. What was gathered for another one leaves first.
    pub(crate) fn lend_downstream(&mut self, token: Token) -> Option<Box<Downstream>> {
        if self.down_target != Some(token) {
            self.flush_downstream();
        }
        let down = self.downs.take(token)?;
        self.down_target = Some(token);
        Some(down)
    }

    /// Puts a connection back that was written to. `ended`: an exchange on it is over, or the connection itself.
    pub(crate) fn return_downstream(&mut self, token: Token, down: Box<Downstream>, ended: bool) {
        match &down.state {
            DownstreamState::Http(_) => self.return_http1(token, down, ended),
            _ => {
                self.downs.put_back(token, down);
                self.run_soon(token);
            }
        }
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
        }
    }

    /// Puts the head of the exchange's response on its way; gives the bytes it took.
    pub(crate) fn write_response_head(&mut self, exchange: &mut Exchange, down: &mut Downstream) -> usize {
        match &down.state {
            DownstreamState::Http(_) => self.write_http1_head(exchange, down),
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
            DownstreamState::Http(http) => {
                if http.sender != crate::codec::Sender::Nothing {
                    exchange.outcome.body_sent += data.len() as u64;
                }
                let sent = http.sender.data(&mut self.down_out, &mut down.io, data);
                down.broken |= sent.is_err();
            }
            _ => {}
        }
    }

    /// Ends the response's body. `trailers` is a received trailer section, or empty.
    pub(crate) fn write_response_end(
        &mut self,
        _exchange: &mut Exchange,
        down: &mut Downstream,
        trailers: &[u8],
    ) {
        match &mut down.state {
            DownstreamState::Http(http) => http.sender.end(&mut self.down_out, trailers),
            _ => {}
        }
    }

    /// The response cannot be finished, and the client must see that.
    pub(crate) fn break_response(&mut self, exchange: &mut Exchange, down: &mut Downstream) {
        match &down.state {
            DownstreamState::Http(_) => self.break_http1(exchange, down),
            _ => {}
        }
    }

    /// Answers 100 to a client that waits for it.
    pub(crate) fn write_continue(&mut self, _exchange: &mut Exchange, down: &mut Downstream) {
        match &down.state {
            DownstreamState::Http(_) => {
                self.down_out.bytes.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                down.broken |= self.down_out.flush(&mut down.io).is_err();
            }
            _ => {}
        }
    }

    /// Passes an interim response, which is in the exchange, to the client.
    pub(crate) fn write_interim(&mut self, exchange: &mut Exchange, down: &mut Downstream) {
        match &down.state {
            DownstreamState::Http(_) => {
                crate::codec::interim_head(&mut self.down_out.bytes, &exchange.response);
                down.broken |= self.down_out.flush(&mut down.io).is_err();
            }
            _ => {}
        }
    }

    /// The exchange is over as far as its client is concerned.
    pub(crate) fn leave_downstream(&mut self, exchange: &mut Exchange, down: &mut Downstream) {
        match &down.state {
            DownstreamState::Http(_) => self.leave_http1(exchange, down),
            _ => {}
        }
    }

    /// The upstream takes body bytes again: a client that was held back may go on.
    pub(crate) fn resume_request(&mut self, downstream: Token, _stream: u32) {
        let Some(down) = self.downs.get_mut(downstream) else { return };
        match &mut down.state {
            DownstreamState::Http(http) => {
                if std::mem::take(&mut http.paused) {
                    down.resume = true;
                    self.run_soon(downstream);
                }
            }
            _ => {}
        }
    }
}

impl Downstream {
    /// Nothing more of this exchange's request is wanted for now.
    pub(crate) fn pause_request(&mut self, _stream: u32) {
        match &mut self.state {
            DownstreamState::Http(http) => http.paused = true,
            _ => {}
        }
    }

    /// The request asks for a tunnel: what follows its head waits for the answer.
    pub(crate) fn await_tunnel(&mut self, _stream: u32) {
        match &mut self.state {
            DownstreamState::Http(http) => http.phase = RequestPhase::Tunnel(TunnelPhase::Waiting),
            _ => {}
        }
    }

    /// The tunnel is open: the connection's bytes are the exchange's, until either side ends.
    pub(crate) fn open_tunnel(&mut self, _stream: u32) {
        match &mut self.state {
            DownstreamState::Http(http) => {
                http.phase = RequestPhase::Tunnel(TunnelPhase::Open);
                http.close = true;
                self.resume = true;
            }
            _ => {}
        }
    }

    /// Bytes of this exchange's response that wait to be sent.
    pub(crate) fn backlog(&self, _stream: u32) -> usize {
        self.io.unsent()
    }

    /// After the present exchange nothing more of the connection can be understood.
    pub(crate) fn end_after_exchange(&mut self) {
        match &mut self.state {
            DownstreamState::Http(http) => http.close = true,
            _ => {}
        }
    }
}
