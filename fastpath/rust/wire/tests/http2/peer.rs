//! The other side: frames by hand, and readings of what came back.

use meshloom_wire::http2::{
    Config, ConnectionError, ErrorCode, PREFACE, ResetBy, Role, StreamFault, StreamId,
};

use crate::driver::{Event, Session};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITISED: u8 = 0x20;

pub(crate) type Pair<'t> = (&'t str, &'t str);

pub(crate) const GET: [Pair; 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
pub(crate) const POST: [Pair; 4] =
    [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")];

pub(crate) fn frame(kind: u8, flags: u8, stream: StreamId, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = len[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A field block that leaves the tables alone, so that blocks may be made in any order.
pub(crate) fn block(fields: &[Pair]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            let mut len = text.len();
            if len < 127 {
                bytes.push(u8::try_from(len).unwrap());
            } else {
                bytes.push(127);
                len -= 127;
                while len >= 128 {
                    bytes.push(u8::try_from(len % 128).unwrap() | 128);
                    len /= 128;
                }
                bytes.push(u8::try_from(len).unwrap());
            }
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

pub(crate) fn headers(stream: StreamId, flags: u8, fields: &[Pair]) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, &block(fields))
}

pub(crate) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = values
        .iter()
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(SETTINGS, 0, 0, &payload)
}

pub(crate) fn window_update(stream: StreamId, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

/// A server that has been greeted.
pub(crate) fn server(config: Config) -> Session {
    let mut session = Session::new(Role::Server, config);
    session.feed(&[&PREFACE[..], &settings(&[])].concat());
    session.events.clear();
    session.out.clear();
    session
}

/// A client that has been greeted and has sent requests with these methods, complete but for CONNECT and POST.
pub(crate) fn client(methods: &[&str]) -> Session {
    let mut session = Session::new(Role::Client, Config::default());
    session.feed(&settings(&[]));
    for method in methods {
        session.ask(method.as_bytes(), !["POST", "CONNECT"].contains(method)).unwrap();
    }
    session.events.clear();
    session.out.clear();
    session
}

/// What a server says of these frames.
pub(crate) fn served(frames: &[Vec<u8>]) -> Vec<Event> {
    let mut session = server(Config::default());
    session.feed(&frames.concat());
    session.events
}

/// What a client of one GET says of these frames.
pub(crate) fn answered(frames: &[Vec<u8>]) -> Vec<Event> {
    let mut session = client(&["GET"]);
    session.feed(&frames.concat());
    session.events
}

/// The fault that the last event is about.
pub(crate) fn stream_fault(events: &[Event]) -> StreamFault {
    match events.last() {
        Some(Event::Reset { by: ResetBy::Fault(fault), code, .. }) => {
            assert_eq!(*code, fault.code());
            *fault
        }
        other => panic!("not a stream fault: {other:?} in {events:?}"),
    }
}

pub(crate) fn connection_fault(events: &[Event]) -> ConnectionError {
    match events.last() {
        Some(Event::Fault(fault)) => *fault,
        other => panic!("not a connection error: {other:?}"),
    }
}

/// The frames of `out`: type, flags, stream, payload.
pub(crate) fn sent(out: &[u8]) -> Vec<(u8, u8, StreamId, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut rest = out;
    while let [a, b, c, kind, flags, d, e, f, g, behind @ ..] = rest {
        let len = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        frames.push((*kind, *flags, u32::from_be_bytes([*d, *e, *f, *g]), behind[..len].to_vec()));
        rest = &behind[len..];
    }
    frames
}

pub(crate) fn reset_frame(stream: StreamId, code: ErrorCode) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.0.to_be_bytes())
}
