//! Any bytes, cut anywhere, in either role: no panic, and the same events as in one piece.
//!
//! The first byte chooses the role and the limits, the second how the rest is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshloom_wire::http1::{Limits, Method, RequestParser, ResponseParser};

#[path = "../../wire/examples/http1_events/driver.rs"]
mod driver;

use driver::{Event, Role, Session};

fuzz_target!(|bytes: &[u8]| {
    let [choice, step, rest @ ..] = bytes else { return };
    let step = usize::from(*step % 32) + 1;
    let whole = events(*choice, [rest].into_iter());
    let parts = events(*choice, rest.chunks(step));
    assert_eq!(without_position(whole), without_position(parts));
});

fn events<'b>(choice: u8, pieces: impl Iterator<Item = &'b [u8]>) -> Vec<Event> {
    let role = match choice % 4 {
        0 => Role::Server(RequestParser::new()),
        1 => Role::Client(ResponseParser::new(), Method::Get),
        2 => Role::Client(ResponseParser::new(), Method::Head),
        _ => Role::Client(ResponseParser::new(), Method::Connect),
    };
    let tight = Limits {
        head_bytes: 120,
        fields: 4,
        trailer_bytes: 12,
        chunk_overhead_bytes: 20,
        extension_methods: true,
    };
    let limits = if choice & 4 == 0 { Limits::default() } else { tight };
    let mut session = Session::new(role, limits);
    pieces.for_each(|piece| session.feed(piece));
    session.finish();
    session.events
}

/// Where in its buffer a body's fault was is a matter of how the bytes came.
fn without_position(mut events: Vec<Event>) -> (Vec<Event>, Option<String>) {
    let fault = match events.last() {
        Some(Event::Fault(fault)) => format!("{fault:?}").split(' ').next().map(str::to_owned),
        _ => return (events, None),
    };
    events.pop();
    (events, fault)
}
