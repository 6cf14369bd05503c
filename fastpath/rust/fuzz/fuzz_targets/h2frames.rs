//! An HTTP/2 connection under any bytes, cut anywhere, in either role: no panic, the same events as in one piece, and
//! frames of the right form in answer.
//!
//! The first byte chooses the role, the limits and whether the rest is bytes or a recipe for frames; the second how
//! they are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshloom_wire::http2::{Config, PREFACE, Role};

#[path = "../../wire/examples/http2_events/driver.rs"]
mod driver;

use driver::{Event, Session};

fuzz_target!(|bytes: &[u8]| {
    let [choice, step, rest @ ..] = bytes else { return };
    let step = usize::from(*step) + 1;
    let input = if choice & 4 == 0 { rest.to_vec() } else { frames(rest) };
    let input = if choice & 8 == 0 { greeted(choice & 1 == 0, &input) } else { input };
    let whole = run(*choice, [input.as_slice()].into_iter());
    let parts = run(*choice, input.chunks(step));
    assert_eq!(whole, parts);
});

/// With the beginning that a connection has, so that the fuzzer need not find it.
fn greeted(is_server: bool, frames: &[u8]) -> Vec<u8> {
    let mut bytes = if is_server { PREFACE.to_vec() } else { Vec::new() };
    bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(frames);
    bytes
}

/// Frames of right lengths: for each its type, its flags, its stream and the length of its payload, one byte each.
fn frames(recipe: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = recipe;
    while let [kind, flags, stream, len, behind @ ..] = rest {
        let payload = &behind[..behind.len().min(usize::from(*len))];
        bytes.extend([0, 0, payload.len() as u8, kind % 11, *flags, 0, 0, 0, stream % 16]);
        bytes.extend_from_slice(payload);
        rest = &behind[payload.len()..];
    }
    bytes
}

fn run<'b>(choice: u8, pieces: impl Iterator<Item = &'b [u8]>) -> (Vec<Event>, Vec<u8>) {
    let tight = Config {
        head_bytes: 100,
        fields: 3,
        hpack_table_size: 100,
        max_concurrent_streams: 2,
        initial_stream_window_size: 20,
        initial_connection_window_size: 0,
        allow_connect: true,
        max_outbound_frames: 10,
        max_outbound_control_frames: 5,
        max_continuation_frames: 2,
        max_inbound_control_frames: 6,
        max_premature_resets: 2,
        max_inbound_priority_frames_per_stream: 1,
        ..Config::default()
    };
    let config = if choice & 2 == 0 { Config::default() } else { tight };
    let role = if choice & 1 == 0 { Role::Server } else { Role::Client };
    let mut session = Session::new(role, config);
    if role == Role::Client {
        for method in [&b"GET"[..], b"HEAD", b"CONNECT", b"POST"] {
            session.ask(method, method != b"CONNECT");
        }
    }
    pieces.for_each(|piece| session.feed(piece));
    answer(&mut session);
    assert!(is_framed(&session.out, role), "{:?}", session.out);
    (session.events, session.out)
}

/// Answers, or goes on with, each stream that was told of; on those that are over nothing must happen.
fn answer(session: &mut Session) {
    if matches!(session.events.last(), Some(Event::Fault(_))) {
        return;
    }
    let (connection, out) = (&mut session.connection, &mut session.out);
    for event in &session.events {
        match event {
            Event::Request { stream, fields, .. } => {
                let own = [(&b":status"[..], &b"200"[..])];
                let fields = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
                connection.send_head(*stream, own.into_iter().chain(fields), false, out);
                connection.send_data(*stream, &[b'x'; 40_000], true, out);
            }
            Event::Response { stream, .. } => {
                connection.send_trailers(*stream, b"x: y\r\n", out);
            }
            Event::Data { stream, bytes, .. } => connection.consumed(*stream, bytes.len(), out),
            Event::Trailers { stream, section } => {
                connection.send_trailers(*stream, section, out);
            }
            _ => {}
        }
    }
}

fn is_framed(out: &[u8], role: Role) -> bool {
    let mut rest = if role == Role::Client { &out[PREFACE.len()..] } else { out };
    while let [a, b, c, _, _, _, _, _, _, behind @ ..] = rest {
        let len = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        if len > 16_384 || len > behind.len() {
            return false;
        }
        rest = &behind[len..];
    }
    rest.is_empty()
}
