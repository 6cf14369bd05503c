//! However the input is cut, the events are the same.

use meshloom_wire::http2::{Config, ErrorCode, PREFACE, Role};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::driver::{Event, Session};
use crate::peer::*;

fn stream() -> impl Strategy<Value = u32> {
    prop_oneof![4 => (0..5u32).prop_map(|n| 2 * n + 1), 1 => 0..12u32]
}

/// Frames that are right or nearly so.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = || vec(any::<u8>(), 0..40);
    prop_oneof![
        (stream(), any::<bool>()).prop_map(|(id, end)| headers(id, u8::from(end), &GET)),
        (stream(), any::<bool>()).prop_map(|(id, end)| headers(id, u8::from(end), &[(":status", "200")])),
        stream().prop_map(|id| headers(id, END_STREAM, &[("x-trailer", "y")])),
        (stream(), any::<u8>(), payload()).prop_map(|(id, end, bytes)| frame(DATA, end & 1, id, &bytes)),
        (stream(), 0..30u8, payload()).prop_map(|(id, pad, bytes)| frame(
            DATA,
            PADDED,
            id,
            &[&[pad][..], &bytes].concat()
        )),
        stream().prop_map(|id| frame(HEADERS, END_STREAM, id, &block(&GET)[..9])),
        stream().prop_map(|id| frame(CONTINUATION, END_HEADERS, id, &block(&GET)[9..])),
        stream().prop_map(|id| reset_frame(id, ErrorCode::CANCEL)),
        (stream(), 0..9u32).prop_map(|(id, by)| window_update(id, by)),
        (1..9u16, 0..70_000u32).prop_map(|(id, value)| settings(&[(id, value)])),
        Just(frame(SETTINGS, ACK, 0, b"")),
        Just(frame(PING, 0, 0, b"12345678")),
        (any::<u8>(), any::<u8>(), stream(), payload())
            .prop_map(|(kind, flags, id, bytes)| frame(kind, flags, id, &bytes)),
    ]
}

fn told(role: Role, pieces: &[&[u8]]) -> (Vec<Event>, Vec<u8>) {
    let mut session = Session::new(role, Config { fields: 3, ..Config::default() });
    if role == Role::Client {
        for method in ["GET", "HEAD", "POST"] {
            session.ask(method.as_bytes(), method != "POST");
        }
    }
    pieces.iter().for_each(|piece| session.feed(piece));
    (session.events, session.out)
}

proptest! {
    #[test]
    fn cuts_change_nothing(
        frames in vec(any_frame(), 0..20),
        lengths in vec(1..50usize, 1..10),
        is_server in any::<bool>(),
    ) {
        let role = if is_server { Role::Server } else { Role::Client };
        let greeting = if is_server { &PREFACE[..] } else { b"" };
        let input = [greeting, &settings(&[]), &frames.concat()].concat();
        let mut pieces = Vec::new();
        let mut rest = input.as_slice();
        for length in lengths.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at((*length).min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        prop_assert_eq!(told(role, &[&input]), told(role, &pieces));
    }
}
