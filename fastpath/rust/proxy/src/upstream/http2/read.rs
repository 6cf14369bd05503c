//! Reads an HTTP/2 connection to an upstream.

use meshloom_wire::http2::{ConnectionError, Event, Head, ResetBy};

use crate::engine::{Engine, READS_PER_TURN};
use crate::reactor::{Ready, Token};
use crate::reply::{Failure, StreamReset};
use crate::transport::{Buffers, Read};
use crate::upstream::UpstreamStream;

/// How a turn of reading ended.
enum Turn {
    /// Nothing more for now.
    Wait,
    /// There may be more: the others get their turn first.
    Again,
    /// The upstream has ended the connection, or it broke.
    Ended,
    Failed(ConnectionError),
    /// The connection is no more.
    Gone,
}

impl Engine {
    /// An event of a connection that carries streams, or another turn (`None`).
    pub(in crate::upstream) fn http2_event(&mut self, token: Token, ready: Option<Ready>) {
        let limit = self.ups.get(token).map_or(0, |upstream| self.upstream_limit(upstream));
        let Some(upstream) = self.ups.get_mut(token) else { return };
        if let Some(ready) = ready {
            upstream.io.ready(ready);
        }
        let waiting = upstream.io.unsent();
        // A failed send is not yet the end: what the upstream has answered may still be there to read.
        upstream.broken |= upstream.io.flush().is_err();
        upstream.note_unsent();
        if waiting > 0 && upstream.io.unsent() <= limit / 2 {
            self.socket_drained(token);
        }
        let Some(mut buffers) = self.buffers.take() else { return };
        let mut head = std::mem::take(&mut self.decoded);
        let turn = self.read_http2(token, &mut buffers, &mut head);
        self.decoded = head;
        self.buffers = Some(buffers);
        self.flush_upstream();
        self.http2_turned(token, &turn);
        self.flush_upstream();
    }

    fn read_http2(&mut self, token: Token, buffers: &mut Buffers, head: &mut Head) -> Turn {
        let now = self.now();
        if let Some(http2) = self.ups.get_mut(token).and_then(|upstream| upstream.http2.as_mut()) {
            http2.codec.note_time(now.0);
            // What came with the end of the TLS handshake.
            let held = std::mem::take(&mut http2.held);
            if !held.is_empty() {
                match self.feed_http2_held(token, held, head) {
                    Turn::Wait => {}
                    turn => return turn,
                }
            }
        }
        for _ in 0..READS_PER_TURN {
            let Some(upstream) = self.ups.get_mut(token) else { return Turn::Gone };
            let Some(http2) = &mut upstream.http2 else { return Turn::Gone };
            if !upstream.io.readable() {
                return Turn::Wait;
            }
            let turn = match upstream.io.read(buffers) {
                Read::Data(n) => {
                    http2.pings.heard = now;
                    let data = buffers.input.get(..n).unwrap_or_default();
                    if http2.held.is_empty() {
                        let mut at = 0;
                        let turn = self.feed_http2(token, data, &mut at, head);
                        self.hold_http2(token, data.get(at..).unwrap_or_default());
                        turn
                    } else {
                        let mut held = std::mem::take(&mut http2.held);
                        held.extend_from_slice(data);
                        self.feed_http2_held(token, held, head)
                    }
                }
                Read::Blocked => return Turn::Wait,
                Read::End | Read::Failed(_) => return Turn::Ended,
            };
            match turn {
                Turn::Wait => {}
                turn => return turn,
            }
        }
        Turn::Again
    }

    fn feed_http2_held(&mut self, token: Token, mut held: Vec<u8>, head: &mut Head) -> Turn {
        let mut at = 0;
        let turn = self.feed_http2(token, &held, &mut at, head);
        held.drain(..at.min(held.len()));
        if let Some(http2) = self.ups.get_mut(token).and_then(|upstream| upstream.http2.as_mut()) {
            http2.held = held;
        }
        turn
    }

    fn hold_http2(&mut self, token: Token, rest: &[u8]) {
        if rest.is_empty() {
            return;
        }
        if let Some(http2) = self.ups.get_mut(token).and_then(|upstream| upstream.http2.as_mut()) {
            http2.held.extend_from_slice(rest);
        }
    }

    fn feed_http2(&mut self, token: Token, data: &[u8], at: &mut usize, head: &mut Head) -> Turn {
        loop {
            self.aim(token);
            let Some(http2) = self.ups.get_mut(token).and_then(|upstream| upstream.http2.as_mut()) else {
                return Turn::Gone;
            };
            let before = *at;
            let event = match http2.codec.next(data, at, head, &mut self.up_out.bytes) {
                Ok(Event::NeedMore) => return Turn::Wait,
                Ok(event) => event,
                Err(error) => return Turn::Failed(error),
            };
            let wire = (*at - before) as u64;
            self.http2_said(token, event, data, head, wire);
        }
    }

    /// Deals with one thing that the upstream has said; `wire` is what it took to say it.
    fn http2_said(&mut self, token: Token, event: Event, data: &[u8], head: &mut Head, wire: u64) {
        let of = |number| UpstreamStream { connection: token, number };
        match event {
            Event::Head { stream, end } => self.http2_head(of(stream), head, end, wire),
            Event::Data { stream, range, end } => {
                self.http2_data(of(stream), data.get(range).unwrap_or_default(), end, wire);
            }
            Event::Trailers { stream } => self.http2_trailers(of(stream), &head.bytes, wire),
            Event::Reset { stream, code, by } => {
                let failure = match by {
                    ResetBy::Peer => Failure::StreamReset(StreamReset::by_peer(code)),
                    ResetBy::Fault(_) => Failure::UpstreamProtocol(None),
                };
                self.http2_reset(of(stream), &failure, by);
            }
            Event::Goaway { last, .. } => self.http2_goaway(token, last),
            Event::WindowOpened { stream } => self.upstream_window_opened(token, stream),
            Event::Pong { .. } => self.http2_pong(token),
            // Room for more streams is looked for when the turn is over.
            Event::Settings => self.http2_settings(token),
            Event::NeedMore | Event::HeadTooLarge { .. } => {}
        }
    }

    /// What follows from the turn for the connection.
    fn http2_turned(&mut self, token: Token, turn: &Turn) {
        self.count_http2(token);
        let broken = self.ups.get(token).is_some_and(|upstream| upstream.broken);
        match turn {
            Turn::Gone => {}
            Turn::Failed(error) => {
                crate::diag::debug("upstream_http2_error", &[("error", error)]);
                if let Some(upstream) = self.ups.get(token) {
                    if let Some(cluster) = self.clusters.get(upstream.host.cluster) {
                        cluster.stats.cx_protocol_error.inc();
                    }
                }
                self.lose_http2(token, &Failure::UpstreamProtocol(None));
            }
            Turn::Ended => self.lose_http2(token, &Failure::StreamReset(StreamReset::Connection)),
            Turn::Again => {
                self.run_soon(token);
                self.http2_goes_on(token);
            }
            Turn::Wait if broken => self.lose_http2(token, &Failure::StreamReset(StreamReset::Connection)),
            Turn::Wait => self.http2_goes_on(token),
        }
    }
}
