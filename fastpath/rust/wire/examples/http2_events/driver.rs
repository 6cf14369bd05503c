//! Drives an HTTP/2 connection as an engine would, and records what came of it.
//!
//! Shared by the tests of this crate, by the comparison with other implementations, and by the fuzz targets.

use meshloom_wire::http1::Span;
use meshloom_wire::http2::{
    Config, Connection, ConnectionError, ErrorCode, Event as Told, Head, ResetBy, Role, StreamId,
};

pub(crate) type Field = (Vec<u8>, Vec<u8>);

/// What a connection's bytes said, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Request {
        stream: StreamId,
        line: Line,
        fields: Vec<Field>,
        end: bool,
    },
    Response {
        stream: StreamId,
        status: u16,
        fields: Vec<Field>,
        end: bool,
    },
    HeadTooLarge {
        stream: StreamId,
        end: bool,
    },
    /// Payload; neighbours are joined, since how they are cut says nothing.
    Data {
        stream: StreamId,
        bytes: Vec<u8>,
        end: bool,
    },
    /// As HTTP/1 would have it.
    Trailers {
        stream: StreamId,
        section: Vec<u8>,
    },
    Reset {
        stream: StreamId,
        code: ErrorCode,
        by: ResetBy,
    },
    Goaway {
        last: StreamId,
        code: ErrorCode,
    },
    Settings,
    Pong([u8; 8]),
    WindowOpened {
        stream: StreamId,
    },
    Fault(ConnectionError),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) method: Vec<u8>,
    pub(crate) https: bool,
    pub(crate) authority: Vec<u8>,
    pub(crate) path: Vec<u8>,
    pub(crate) protocol: Option<Vec<u8>>,
}

/// One connection, whose peer's bytes are fed. Nothing of what it writes is taken away, nor any window given back, so
/// that what it says depends on the bytes alone.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    head: Head,
    /// What has arrived and is not used up.
    input: Vec<u8>,
    pub(crate) out: Vec<u8>,
    pub(crate) events: Vec<Event>,
    is_over: bool,
}

impl Session {
    pub(crate) fn new(role: Role, config: Config) -> Self {
        let mut out = Vec::new();
        let connection = Connection::new(role, config, &mut out);
        Self { connection, head: Head::new(), input: Vec::new(), out, events: Vec::new(), is_over: false }
    }

    /// Asks for something (as a client) with `method`.
    pub(crate) fn ask(&mut self, method: &[u8], end: bool) -> Option<StreamId> {
        let stream = self.connection.open()?;
        let line: [(&[u8], &[u8]); 4] =
            [(b":method", method), (b":scheme", b"http"), (b":authority", b"a:1"), (b":path", b"/")];
        let of_method = if method == b"CONNECT" { [0, 2].as_slice() } else { [0, 1, 2, 3].as_slice() };
        let fields = of_method.iter().filter_map(|at| line.get(*at).copied());
        self.connection.send_head(stream, fields, end, &mut self.out).then_some(stream)
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        let mut at = 0;
        while !self.is_over {
            match self.connection.next(&self.input, &mut at, &mut self.head, &mut self.out) {
                Ok(Told::NeedMore) => break,
                Ok(told) => self.record(told),
                Err(fault) => {
                    self.events.push(Event::Fault(fault));
                    self.is_over = true;
                }
            }
        }
        self.input.drain(..at);
    }

    fn record(&mut self, told: Told) {
        let event = match told {
            Told::NeedMore => return,
            Told::Head { stream, end } if self.head.status == 0 => self.request(stream, end),
            Told::Head { stream, end } => {
                Event::Response { stream, status: self.head.status, fields: self.fields(), end }
            }
            Told::HeadTooLarge { stream, end } => Event::HeadTooLarge { stream, end },
            Told::Data { stream, range, end } => {
                let payload = self.input.get(range).unwrap_or_default();
                if let Some(Event::Data { stream: last, bytes, end: ended @ false }) = self.events.last_mut()
                    && *last == stream
                {
                    bytes.extend_from_slice(payload);
                    *ended = end;
                    return;
                }
                Event::Data { stream, bytes: payload.to_vec(), end }
            }
            Told::Trailers { stream } => Event::Trailers { stream, section: self.head.bytes.clone() },
            Told::Reset { stream, code, by } => Event::Reset { stream, code, by },
            Told::Goaway { last, code } => Event::Goaway { last, code },
            Told::Settings => Event::Settings,
            Told::Pong { payload } => Event::Pong(payload),
            Told::WindowOpened { stream } => Event::WindowOpened { stream },
        };
        self.events.push(event);
    }

    fn request(&self, stream: StreamId, end: bool) -> Event {
        let text = |span: Span| span.of(&self.head.bytes).to_vec();
        let line = Line {
            method: text(self.head.request.method_span),
            https: self.head.request.https,
            authority: text(self.head.request.authority),
            path: text(self.head.request.path),
            protocol: self.head.request.protocol.map(text),
        };
        Event::Request { stream, line, fields: self.fields(), end }
    }

    fn fields(&self) -> Vec<Field> {
        let text = |span: Span| span.of(&self.head.bytes).to_vec();
        self.head.headers.iter().map(|field| (text(field.name), text(field.value))).collect()
    }
}
