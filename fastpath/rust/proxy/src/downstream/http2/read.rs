//! Frames of a client become requests.

use meshloom_model::ResponseFlag;
use meshloom_wire::http2::{ErrorCode, Event, Head, ResetBy, StreamFault, StreamId};

use super::streams::{Paused, Stream, Tunnel};
use super::{Drain, Http2};
use crate::downstream::{CloseReason, Downstream, Fate};
use crate::engine::{Engine, READS_PER_TURN};
use crate::exchange::Gone;
use crate::reactor::{Millis, Token};
use crate::reply::Failure;
use crate::transport::{Buffers, Read};

/// Why nothing more can be read. The GOAWAY that says so is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    details: &'static str,
    /// Each frame was legal, and there were too many of them.
    flood: bool,
}

impl Engine {
    /// Reads and deals with frames until there is nothing more to do for now.
    pub(in crate::downstream) fn http2_input(&mut self, token: Token, down: &mut Downstream) -> Fate {
        let Some(mut buffers) = self.buffers.take() else { return Fate::Close(CloseReason::Internal) };
        self.revisit_streams(down);
        let fate = self.read_frames(token, down, &mut buffers);
        self.buffers = Some(buffers);
        self.flush_upstream();
        self.send_gathered(down);
        if fate == Fate::Keep { self.after_http2_input(token, down) } else { fate }
    }

    fn read_frames(&mut self, token: Token, down: &mut Downstream, buffers: &mut Buffers) -> Fate {
        let limit = self.buffer_limit(down);
        for _ in 0..READS_PER_TURN {
            if std::mem::take(&mut down.resume) && !down.held.is_empty() {
                let held = std::mem::take(&mut down.held);
                self.feed_frames(token, down, held);
            }
            let Some(http) = down.http2() else { return Fate::Keep };
            // Whoever does not read what it is sent is not read from.
            if http.failed || !down.io.readable() || down.io.unsent() > limit {
                return Fate::Keep;
            }
            match down.io.read(buffers) {
                Read::Data(n) => {
                    let data = buffers.input.get(..n).unwrap_or_default();
                    if down.held.is_empty() {
                        let used = self.frames(token, down, data);
                        down.held.extend_from_slice(data.get(used..).unwrap_or_default());
                    } else {
                        let mut held = std::mem::take(&mut down.held);
                        held.extend_from_slice(data);
                        self.feed_frames(token, down, held);
                    }
                }
                Read::Blocked => return Fate::Keep,
                Read::End | Read::Failed(_) => return Fate::Close(CloseReason::Remote),
            }
            self.send_gathered(down);
        }
        self.run_soon(token);
        Fate::Keep
    }

    fn feed_frames(&mut self, token: Token, down: &mut Downstream, held: Vec<u8>) {
        let used = self.frames(token, down, &held);
        down.hold(held, used);
    }

    /// Deals with frames; gives how many bytes are done with.
    fn frames(&mut self, token: Token, down: &mut Downstream, data: &[u8]) -> usize {
        let now = self.now();
        let mut head = std::mem::take(&mut self.decoded);
        let mut at = 0;
        if let Some(http) = down.http2() {
            http.heard_before = http.heard;
            http.heard = now;
            http.codec.note_time(now.0);
        }
        let used = loop {
            let Some(http) = down.http2().filter(|http| !http.failed) else { break data.len() };
            let broken = match http.codec.next(data, &mut at, &mut head, &mut self.down_out.bytes) {
                Ok(Event::NeedMore) => break at,
                Ok(event) => self.frame_event(token, down, event, data, &mut head).err(),
                Err(error) => Some(Broken { details: error.details(), flood: error.is_flood() }),
            };
            if let Some(broken) = broken {
                self.connection_broken(down, broken);
                break data.len();
            }
            self.send_full(down);
        };
        self.decoded = head;
        if let Some(http) = down.http2() {
            http.note_partial(used, data.len() - used, now);
        }
        used
    }

    fn frame_event(
        &mut self,
        token: Token,
        down: &mut Downstream,
        event: Event,
        data: &[u8],
        head: &mut Head,
    ) -> Result<(), Broken> {
        match event {
            Event::Head { stream, end } => self.begin_stream(token, down, stream, end, head),
            Event::HeadTooLarge { stream, end } => {
                self.refuse_stream(token, down, stream, end, &Failure::Http2HeadTooLarge);
            }
            Event::Data { stream, range, end } => {
                self.stream_data(down, stream, data.get(range).unwrap_or_default(), end);
            }
            Event::Trailers { stream } => self.stream_trailers(down, stream, head),
            Event::Reset { stream, code, by } => return self.stream_reset(token, down, stream, code, by),
            Event::WindowOpened { stream } => self.window_opened(down, stream),
            Event::Pong { .. } => self.pong(down),
            // The client opens no streams any more, and closes when it has what it wants.
            Event::Goaway { .. } | Event::Settings | Event::NeedMore => {}
        }
        Ok(())
    }

    /// A request's head has arrived.
    fn begin_stream(
        &mut self,
        token: Token,
        down: &mut Downstream,
        id: StreamId,
        end: bool,
        head: &mut Head,
    ) {
        let Some((exchange_token, mut exchange)) = self.open_stream(token, down, id, end) else { return };
        exchange.request.load_http2(head, end);
        exchange.body.complete = end;
        self.count_request(down);
        self.start_exchange(exchange_token, &mut exchange, down);
        self.settle_exchange(exchange_token, exchange);
    }

    /// A stream with an exchange that has no request in it yet.
    fn open_stream(
        &mut self,
        token: Token,
        down: &mut Downstream,
        id: StreamId,
        end: bool,
    ) -> Option<(Token, Box<crate::exchange::Exchange>)> {
        let opened = self.open_exchange(token, down, id);
        let http = down.http2()?;
        let Some((exchange_token, exchange)) = opened else {
            http.codec.reset(id, ErrorCode::REFUSED_STREAM, &mut self.down_out.bytes);
            return None;
        };
        http.chain.stats.rq_http2_total.inc();
        http.streams.push(Stream::new(id, Some(exchange_token), end));
        http.chain.http2_stats.streams_active.add(1);
        Some((exchange_token, exchange))
    }

    /// Answers where no head could be taken: there is an exchange for the log, but no request in it.
    fn refuse_stream(
        &mut self,
        token: Token,
        down: &mut Downstream,
        id: StreamId,
        end: bool,
        failure: &Failure,
    ) {
        let Some((exchange_token, mut exchange)) = self.open_stream(token, down, id, end) else { return };
        exchange.request.none_http2();
        exchange.body.complete = end;
        self.fail(exchange_token, &mut exchange, down, failure);
        self.settle_exchange(exchange_token, exchange);
    }

    fn stream_data(&mut self, down: &mut Downstream, id: StreamId, data: &[u8], end: bool) {
        let Some(http) = down.http2() else { return };
        let Some(stream) = http.streams.get_mut(id) else {
            return http.codec.consumed(id, data.len(), &mut self.down_out.bytes);
        };
        stream.complete |= end;
        if stream.tunnel == Tunnel::Waiting && stream.exchange.is_some() {
            stream.early.extend_from_slice(data);
            stream.early_end |= end;
            stream.withheld += data.len();
            return;
        }
        self.pass_on(down, id, data, end);
        let Some(http) = down.http2() else { return };
        match http.streams.get_mut(id) {
            Some(stream) if stream.paused != Paused::No => stream.withheld += data.len(),
            _ => http.codec.consumed(id, data.len(), &mut self.down_out.bytes),
        }
    }

    /// Gives the exchange of a stream a piece of its request.
    fn pass_on(&mut self, down: &mut Downstream, id: StreamId, data: &[u8], end: bool) {
        let exchange = down.http2().and_then(|http| http.streams.get(id)?.exchange);
        let Some(token) = exchange else { return };
        let Some(mut exchange) = self.exchanges.take(token) else { return };
        if !data.is_empty() {
            self.request_data(&mut exchange, down, data);
        }
        if end && !exchange.is_done() {
            self.request_end(token, &mut exchange);
        }
        self.settle_exchange(token, exchange);
    }

    /// Another turn without an event: requests that waited for an upstream may go on.
    pub(super) fn revisit_streams(&mut self, down: &mut Downstream) {
        let Some(http) = down.http2().filter(|http| http.revisit) else { return };
        let Http2 { codec, streams, revisit, .. } = http;
        *revisit = false;
        let mut opened = Vec::new();
        for stream in streams.iter_mut() {
            let Some(exchange) = stream.exchange.and_then(|token| self.exchanges.get(token)) else {
                continue;
            };
            if stream.tunnel == Tunnel::Open && (stream.early_end || !stream.early.is_empty()) {
                let end = std::mem::take(&mut stream.early_end);
                opened.push((stream.id, std::mem::take(&mut stream.early), end));
            }
            let connected = exchange.upstream().is_some();
            *revisit |= stream.paused == Paused::Unconnected && !connected;
            if stream.paused == Paused::Unconnected && connected {
                stream.paused = Paused::No;
                stream.give_back(codec, &mut self.down_out.bytes);
            }
        }
        for (id, early, end) in opened {
            self.pass_on(down, id, &early, end);
            let Some(http) = down.http2() else { return };
            let Http2 { codec, streams, .. } = http;
            if let Some(stream) = streams.get_mut(id).filter(|stream| stream.paused == Paused::No) {
                stream.give_back(codec, &mut self.down_out.bytes);
            }
        }
    }

    /// The request has ended with trailers.
    fn stream_trailers(&mut self, down: &mut Downstream, id: StreamId, head: &Head) {
        let Some(stream) = down.http2().and_then(|http| http.streams.get_mut(id)) else { return };
        stream.complete = true;
        let Some(token) = stream.exchange else { return };
        let Some(mut exchange) = self.exchanges.take(token) else { return };
        exchange.body.trailers.extend_from_slice(&head.bytes);
        self.request_end(token, &mut exchange);
        self.settle_exchange(token, exchange);
    }

    /// The stream is over before its time.
    fn stream_reset(
        &mut self,
        token: Token,
        down: &mut Downstream,
        id: StreamId,
        code: ErrorCode,
        by: ResetBy,
    ) -> Result<(), Broken> {
        let gone = match by {
            ResetBy::Peer if code == ErrorCode::REFUSED_STREAM => {
                Gone { flag: ResponseFlag::DownstreamRemoteReset, details: "http2.remote_refuse" }
            }
            ResetBy::Peer => {
                Gone { flag: ResponseFlag::DownstreamRemoteReset, details: "http2.remote_reset" }
            }
            ResetBy::Fault(fault) => {
                Gone { flag: ResponseFlag::DownstreamProtocolError, details: fault.details() }
            }
        };
        let now = self.now();
        let Some(http) = down.http2() else { return Ok(()) };
        let known = http.remove(id, now, &mut self.down_out.bytes);
        match (known, by) {
            (Some(stream), _) => self.give_up_exchange(stream.exchange, gone),
            (None, ResetBy::Fault(fault)) if fault.is_malformed() => {
                self.note_malformed(token, down, id, gone);
            }
            (None, _) => {}
        }
        match by {
            ResetBy::Fault(fault) => self.after_fault(down, fault),
            ResetBy::Peer => Ok(()),
        }
    }

    /// A request that was malformed from the start is written down without a request.
    fn note_malformed(&mut self, token: Token, down: &mut Downstream, id: StreamId, gone: Gone) {
        let Some((exchange_token, mut exchange)) = self.open_exchange(token, down, id) else { return };
        exchange.chain.stats.rq_http2_total.inc();
        exchange.request.none_http2();
        self.client_gone(&mut exchange, gone);
        self.settle_exchange(exchange_token, exchange);
    }

    /// A malformed message may end the whole connection, where that is asked for.
    fn after_fault(&mut self, down: &mut Downstream, fault: StreamFault) -> Result<(), Broken> {
        let Some(http) = down.http2() else { return Ok(()) };
        if !fault.is_malformed() || http.chain.manager.http2.malformed_ends_stream_only {
            return Ok(());
        }
        http.codec.goaway(ErrorCode::PROTOCOL_ERROR, &mut self.down_out.bytes);
        Err(Broken { details: fault.details(), flood: false })
    }

    /// Nothing more can be read: everything under way is given up.
    pub(super) fn connection_broken(&mut self, down: &mut Downstream, broken: Broken) {
        let Some(http) = down.http2() else { return };
        http.failed = true;
        http.drain = Drain::Closing;
        if !broken.flood {
            http.chain.stats.cx_protocol_error.inc();
        }
        let gone = Gone { flag: ResponseFlag::DownstreamProtocolError, details: broken.details };
        self.give_up_streams(http, gone);
    }

    /// Ends all exchanges of a connection.
    pub(in crate::downstream) fn give_up_streams(&mut self, http: &mut Http2, gone: Gone) {
        let exchanges = http.streams.exchanges();
        http.chain.http2_stats.streams_active.sub(http.streams.len() as u64);
        http.streams.clear();
        http.waiting = 0;
        for token in exchanges {
            self.give_up_exchange(Some(token), gone);
        }
    }

    fn give_up_exchange(&mut self, token: Option<Token>, gone: Gone) {
        let Some(token) = token else { return };
        if let Some(mut exchange) = self.exchanges.take(token) {
            self.client_gone(&mut exchange, gone);
            self.settle_exchange(token, exchange);
        }
    }
}

impl Downstream {
    pub(super) fn http2(&mut self) -> Option<&mut Http2> {
        match &mut self.state {
            crate::downstream::DownstreamState::Http2(http) => Some(http),
            _ => None,
        }
    }
}

impl Http2 {
    /// Takes down since when a frame or a head is incomplete, after so many bytes were used up and others were not.
    fn note_partial(&mut self, used: usize, left: usize, now: Millis) {
        let in_head = self.codec.is_in_field_block();
        self.partial_since = match self.partial_since {
            _ if left == 0 && !in_head => Millis::NEVER,
            // Another frame of the same head does not buy time, but another message does.
            since if since != Millis::NEVER && (used == 0 || (in_head && self.in_head)) => since,
            _ => now,
        };
        self.in_head = in_head;
    }
}

impl Broken {
    /// The client took too long over a frame or a head.
    pub(super) const SLOW: Self = Self { details: "request_header_timeout", flood: true };
}
