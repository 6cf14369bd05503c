//! The streams of a connection, and what waits on them.

use meshloom_wire::http1::TrailerFields;
use meshloom_wire::http2::{Connection, ErrorCode, StreamId};

use crate::reactor::{Millis, Token};

/// One stream that is not over.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    /// `None` once the exchange is over and only what waits is still to be sent.
    pub(super) exchange: Option<Token>,
    /// Response bytes that the client's windows have not taken.
    waiting: Waiting,
    /// How the response ends, once that is known.
    end: End,
    /// The exchange wants no more of the request for now.
    pub(super) paused: Paused,
    pub(super) tunnel: Tunnel,
    /// Bytes behind the head of a request for a tunnel that is not open yet.
    pub(super) early: Vec<u8>,
    /// The client's side of the tunnel has ended before that was open.
    pub(super) early_end: bool,
    /// Request bytes whose window has not been given back.
    pub(super) withheld: usize,
    /// The request is complete.
    pub(super) complete: bool,
    /// When a client that takes nothing of what waits has had its time.
    pub(super) deadline: Millis,
}

/// Whether, and why, a request waits for its exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paused {
    No,
    /// What has come is more than may be kept while there is no upstream.
    Unconnected,
    /// The upstream takes no more for now.
    Congested,
}

/// Whether a stream is to become a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tunnel {
    No,
    /// Nothing that comes is passed on until the upstream has agreed.
    Waiting,
    Open,
}

/// The end of a response.
#[derive(Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// To be sent behind what waits: a trailer section, or nothing.
    Due(Vec<u8>),
    Sent,
}

/// Bytes of which the front may be taken away.
#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    taken: usize,
}

impl Waiting {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    fn push(&mut self, data: &[u8]) {
        // What was taken is thrown away now and then, so that small windows do not make us move bytes again and again.
        if self.taken > self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(data);
    }

    fn take(&mut self, n: usize) {
        self.taken += n;
        if self.rest().is_empty() {
            *self = Self::default();
        }
    }
}

impl Stream {
    pub(super) fn new(id: StreamId, exchange: Option<Token>, complete: bool) -> Self {
        Self {
            id,
            exchange,
            waiting: Waiting::default(),
            end: End::Open,
            paused: Paused::No,
            tunnel: Tunnel::No,
            early: Vec::new(),
            early_end: false,
            withheld: 0,
            complete,
            deadline: Millis::NEVER,
        }
    }

    /// Response bytes that wait for the client's windows.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.rest().len()
    }

    /// The head has been written with the end of the stream.
    pub(super) fn ended_with_head(&mut self) {
        self.end = End::Sent;
    }

    /// Everything of the response has been written.
    pub(super) fn is_sent(&self) -> bool {
        self.end == End::Sent
    }

    /// Writes a piece of the body, as far as the windows take it. `last`: the body ends with it.
    pub(super) fn data(&mut self, codec: &mut Connection, data: &[u8], last: bool, out: &mut Vec<u8>) {
        if self.end != End::Open {
            return;
        }
        let taken = match self.waiting() {
            0 => codec.send_data(self.id, data, last, out),
            _ => 0,
        };
        let rest = data.get(taken..).unwrap_or_default();
        self.waiting.push(rest);
        self.end = match (last, rest.is_empty()) {
            (false, _) => End::Open,
            (true, true) => End::Sent,
            (true, false) => End::Due(Vec::new()),
        };
    }

    /// Ends the body, behind what waits. `trailers` is a received trailer section, or empty.
    pub(super) fn finish(&mut self, codec: &mut Connection, trailers: &[u8], out: &mut Vec<u8>) {
        if self.end != End::Open {
            return;
        }
        let any = TrailerFields::new(trailers).next().is_some();
        if self.waiting() > 0 {
            self.end = End::Due(if any { trailers.to_vec() } else { Vec::new() });
            return;
        }
        match any {
            true => drop(codec.send_trailers(self.id, trailers, out)),
            false => drop(codec.send_data(self.id, b"", true, out)),
        }
        self.end = End::Sent;
    }

    /// Writes what the windows take of what waits. True if anything moved.
    pub(super) fn pump(&mut self, codec: &mut Connection, out: &mut Vec<u8>) -> bool {
        let plain_end = matches!(&self.end, End::Due(trailers) if trailers.is_empty());
        let rest = self.waiting.rest();
        let whole = rest.len();
        if whole > 0 {
            let taken = codec.send_data(self.id, rest, plain_end, out);
            self.waiting.take(taken);
            if taken < whole {
                return taken > 0;
            }
        }
        match &self.end {
            End::Due(trailers) if !trailers.is_empty() => {
                codec.send_trailers(self.id, trailers, out);
            }
            End::Due(_) if whole == 0 => {
                codec.send_data(self.id, b"", true, out);
            }
            End::Due(_) => {}
            End::Open | End::Sent => return whole > 0,
        }
        self.end = End::Sent;
        true
    }

    /// Lets the stream go: its windows are given back, and a client that still sends is told to stop.
    pub(super) fn close(&mut self, codec: &mut Connection, out: &mut Vec<u8>) {
        self.give_back(codec, out);
        if !self.complete {
            // RFC 9113 8.1: the response stands, the rest of the request is not wanted.
            codec.reset(self.id, ErrorCode::NO_ERROR, out);
        }
    }

    /// Gives back the windows of what was withheld.
    pub(super) fn give_back(&mut self, codec: &mut Connection, out: &mut Vec<u8>) {
        let bytes = std::mem::take(&mut self.withheld);
        if bytes > 0 {
            codec.consumed(self.id, bytes, out);
        }
    }
}

/// The streams that are not over, in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Streams {
    all: Vec<Stream>,
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn position(&self, id: StreamId) -> Option<usize> {
        self.all.binary_search_by_key(&id, |stream| stream.id).ok()
    }

    pub(super) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.all.get(self.position(id)?)
    }

    pub(super) fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        let position = self.position(id)?;
        self.all.get_mut(position)
    }

    /// Numbers only grow, so a new stream is the last one.
    pub(super) fn push(&mut self, stream: Stream) {
        self.all.push(stream);
    }

    pub(super) fn remove(&mut self, id: StreamId) -> Option<Stream> {
        self.position(id).map(|position| self.all.remove(position))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.all.iter_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.all.iter()
    }

    /// Keeps those of which this is true.
    pub(super) fn retain(&mut self, keep: impl FnMut(&mut Stream) -> bool) {
        self.all.retain_mut(keep);
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
    }

    /// Those that have exchanges.
    pub(super) fn exchanges(&self) -> Vec<Token> {
        self.all.iter().filter_map(|stream| stream.exchange).collect()
    }
}

#[cfg(test)]
mod tests {
    use meshloom_wire::http2::{Config, Connection, Event, Head, PREFACE, Role};

    use super::{Stream, Waiting};

    /// A connection whose client gives streams a window of so many bytes, and has asked on stream 1.
    fn asked(window: u32) -> (Connection, Vec<u8>) {
        let (mut out, mut asked) = (Vec::new(), PREFACE.to_vec());
        let mut codec = Connection::new(Role::Server, Config::default(), &mut out);
        asked.extend_from_slice(&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4]);
        asked.extend_from_slice(&window.to_be_bytes());
        // :method GET, :scheme http, :path /, :authority a
        asked.extend_from_slice(&[0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84, 0x41, 1, b'a']);
        let (mut at, mut head, mut heads) = (0, Head::new(), 0);
        loop {
            match codec.next(&asked, &mut at, &mut head, &mut out).expect("well-formed") {
                Event::NeedMore => break,
                Event::Head { .. } => heads += 1,
                _ => {}
            }
        }
        assert_eq!(heads, 1);
        assert!(codec.send_head(1, [(&b":status"[..], &b"200"[..])], false, &mut out));
        (codec, out)
    }

    #[test]
    fn what_the_window_does_not_take_waits_and_keeps_its_order() {
        let (mut codec, mut out) = asked(5);
        let mut stream = Stream::new(1, None, true);
        stream.data(&mut codec, b"hello", false, &mut out);
        assert_eq!(stream.waiting(), 0);
        stream.data(&mut codec, b" wor", false, &mut out);
        stream.data(&mut codec, b"ld", true, &mut out);
        assert_eq!((stream.waiting(), stream.is_sent()), (6, false));
        assert!(!stream.pump(&mut codec, &mut out), "no window has opened");
        let update = [0, 0, 4, 8, 0, 0, 0, 0, 1, 0, 0, 0, 100];
        let (mut at, mut head) = (0, Head::new());
        let opened = codec.next(&update, &mut at, &mut head, &mut out).expect("well-formed");
        assert_eq!(opened, Event::WindowOpened { stream: 1 });
        out.clear();
        assert!(stream.pump(&mut codec, &mut out));
        assert!(stream.is_sent());
        assert_eq!(out, [&[0, 0, 6, 0, 1, 0, 0, 0, 1][..], b" world"].concat());
    }

    #[test]
    fn trailers_wait_behind_the_body() {
        let (mut codec, mut out) = asked(0);
        let mut stream = Stream::new(1, None, true);
        stream.data(&mut codec, b"x", false, &mut out);
        stream.finish(&mut codec, b"a: b\r\n", &mut out);
        assert!(!stream.is_sent());
        let update = [0, 0, 4, 8, 0, 0, 0, 0, 1, 0, 0, 0, 1];
        let (mut at, mut head) = (0, Head::new());
        codec.next(&update, &mut at, &mut head, &mut out).expect("well-formed");
        out.clear();
        assert!(stream.pump(&mut codec, &mut out));
        assert!(stream.is_sent());
        let kinds = [out.get(3), out.get(4), out.get(10 + 3), out.get(10 + 4)];
        assert_eq!(kinds, [Some(&0), Some(&0), Some(&1), Some(&5)], "DATA, then HEADERS with the end");
    }

    #[test]
    fn taken_bytes_do_not_pile_up() {
        let mut waiting = Waiting::default();
        for _ in 0..1000 {
            waiting.push(&[1; 10]);
            waiting.take(9);
            waiting.push(&[2; 9]);
            waiting.take(10);
        }
        assert!(waiting.rest().is_empty());
        assert!(waiting.bytes.capacity() < 100);
    }
}
