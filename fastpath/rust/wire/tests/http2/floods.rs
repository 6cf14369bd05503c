//! Floods: each is cut at its limit, and counted where statistics look for it.

use meshloom_wire::http2::{Config, ConnectionError, Counters, ErrorCode};

use crate::driver::{Event, Session};
use crate::peer::*;

/// How many of `frames` are read before the connection is ended, with the fault and what was counted.
fn cut(frames: impl Iterator<Item = Vec<u8>>) -> (usize, ConnectionError, Counters) {
    cut_in(server(Config::default()), frames)
}

fn cut_in(mut session: Session, frames: impl Iterator<Item = Vec<u8>>) -> (usize, ConnectionError, Counters) {
    for (count, frame) in frames.enumerate().take(100_000) {
        session.feed(&frame);
        session.connection.note_unsent(0);
        session.out.clear();
        if let Some(Event::Fault(fault)) = session.events.last() {
            return (count, *fault, session.connection.take_counters());
        }
    }
    panic!("never cut");
}

fn ids() -> impl Iterator<Item = u32> {
    (0..).map(|n| 2 * n + 1)
}

#[test]
fn rapid_reset() {
    let (count, fault, counters) =
        cut(ids().map(|id| [headers(id, END_STREAM, &GET), reset_frame(id, ErrorCode::CANCEL)].concat()));
    assert_eq!((count, fault), (100, ConnectionError::ResetFlood));
    assert_eq!((counters.too_many_resets, counters.rx_reset), (1, 101));
    assert_eq!(fault.code(), ErrorCode::ENHANCE_YOUR_CALM);
}

#[test]
fn made_you_reset_in_all_its_forms() {
    let forms: [fn(u32) -> Vec<u8>; 6] = [
        |id| window_update(id, 0),
        |id| window_update(id, 0x7fff_ffff),
        |id| frame(PRIORITY, 0, id, &id.to_be_bytes().into_iter().chain([0]).collect::<Vec<_>>()),
        |id| frame(PRIORITY, 0, id, &[0; 4]),
        |id| frame(DATA, 0, id, b"x"),
        |id| headers(id, 0, &GET),
    ];
    for (at, form) in forms.into_iter().enumerate() {
        let (count, fault, counters) =
            cut(ids().map(|id| [headers(id, END_STREAM, &GET), form(id)].concat()));
        assert_eq!((count, fault), (100, ConnectionError::ResetFlood), "form {at}");
        assert_eq!(counters.tx_reset, 101, "form {at}");
    }
}

#[test]
fn heads_that_are_too_large_though_each_is_answered() {
    let fields: Vec<_> = GET.into_iter().chain([("x", "y"); 101]).collect();
    let mut session = server(Config::default());
    for id in ids().take(101) {
        session.feed(&headers(id, END_STREAM, &fields));
        let (connection, out) = (&mut session.connection, &mut session.out);
        connection.send_head(id, [(&b":status"[..], &b"431"[..])], true, out);
    }
    assert!(matches!(session.events.last(), Some(Event::Fault(ConnectionError::ResetFlood))));
    assert_eq!(session.connection.take_counters().header_overflow, 101);
}

#[test]
fn resets_are_few_if_they_are_less_than_half_or_long_ago() {
    let mut session = server(Config::default());
    for id in ids().take(2000) {
        session.feed(&headers(id, END_STREAM, &GET));
        if id % 6 == 1 {
            session.feed(&reset_frame(id, ErrorCode::CANCEL));
        } else {
            let (connection, out) = (&mut session.connection, &mut session.out);
            connection.send_head(id, [(&b":status"[..], &b"200"[..])], true, out);
        }
    }
    assert!(!matches!(session.events.last(), Some(Event::Fault(_))));
    let mut session = server(Config::default());
    for (at, id) in ids().take(1000).enumerate() {
        session.connection.note_time(at as u64 * 200);
        session.feed(&[headers(id, END_STREAM, &GET), reset_frame(id, ErrorCode::CANCEL)].concat());
    }
    assert!(!matches!(session.events.last(), Some(Event::Fault(_))));
}

#[test]
fn control_frames_without_messages() {
    let floods: [fn(u32) -> Vec<u8>; 4] = [
        |_| settings(&[]),
        |_| frame(PING, 0, 0, &[0; 8]),
        |_| frame(0xee, 0, 0, b""),
        |_| frame(GOAWAY, 0, 0, &[0; 8]),
    ];
    for flood in floods {
        let (count, fault, counters) = cut(ids().map(flood));
        // The SETTINGS of the greeting were the first.
        assert_eq!((count, fault), (999, ConnectionError::ControlFlood));
        assert_eq!(counters.inbound_control_frames_flood, 1);
    }
}

#[test]
fn a_peer_that_does_not_read_its_answers() {
    let mut session = server(Config { max_inbound_control_frames: 100_000, ..Config::default() });
    for _ in 0..1000 {
        session.feed(&frame(PING, 0, 0, &[0; 8]));
        session.connection.note_unsent(session.out.len());
    }
    session.feed(&frame(PING, 0, 0, &[0; 8]));
    assert_eq!(connection_fault(&session.events), ConnectionError::OutboundControlFlood);
    assert_eq!(session.connection.take_counters().outbound_control_flood, 1);
}

#[test]
fn a_peer_that_reads_late_is_not_a_flood() {
    let mut session = server(Config { max_inbound_control_frames: 100_000, ..Config::default() });
    for at in 0..5000usize {
        session.feed(&frame(PING, 0, 0, &[0; 8]));
        // It is always 400 answers behind.
        session.connection.note_unsent((at + 1).min(400) * 17);
    }
    assert!(!matches!(session.events.last(), Some(Event::Fault(_))));
}

#[test]
fn data_frames_that_the_network_does_not_take() {
    let mut session = server(Config { max_outbound_frames: 50, ..Config::default() });
    session.feed(&headers(1, END_STREAM, &GET));
    session.connection.send_head(1, [(&b":status"[..], &b"200"[..])], false, &mut session.out);
    for _ in 0..60 {
        session.connection.send_data(1, b"x", false, &mut session.out);
    }
    session.feed(&frame(PING, 0, 0, &[0; 8]));
    assert_eq!(connection_fault(&session.events), ConnectionError::OutboundFlood);
}

#[test]
fn frames_without_payload() {
    let (count, fault, counters) =
        cut([headers(1, 0, &POST)].into_iter().chain(ids().map(|_| frame(DATA, 0, 1, b""))));
    assert_eq!((count, fault), (2, ConnectionError::EmptyFrameFlood));
    assert_eq!(counters.inbound_empty_frames_flood, 1);
    let padded = ids().map(|_| frame(DATA, PADDED, 1, b"\x02\0\0"));
    assert_eq!(cut([headers(1, 0, &POST)].into_iter().chain(padded)).1, ConnectionError::EmptyFrameFlood);
    let headers = [frame(HEADERS, 0, 1, b"")].into_iter();
    let (count, fault, _) = cut(headers.chain(ids().map(|_| frame(CONTINUATION, 0, 1, b""))));
    assert_eq!((count, fault), (1, ConnectionError::EmptyFrameFlood));
}

#[test]
fn continuation_without_end() {
    let (count, fault, counters) = cut([frame(HEADERS, 0, 1, b"\x82")]
        .into_iter()
        .chain(ids().map(|_| frame(CONTINUATION, 0, 1, b"\0\x01x\x01y"))));
    assert_eq!((count, fault), (33, ConnectionError::ContinuationFlood));
    assert_eq!(counters.too_many_header_frames, 1);
    let (count, fault, counters) = cut([frame(HEADERS, 0, 1, b"\x82")]
        .into_iter()
        .chain(ids().map(|_| frame(CONTINUATION, 0, 1, &[0; 16_384]))));
    assert_eq!((count, fault), (8, ConnectionError::FieldBlockTooLarge));
    assert_eq!(counters.header_overflow, 1);
}

#[test]
fn priorities_and_windows() {
    let (count, fault, counters) = cut(ids().map(|_| frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 0])));
    assert_eq!((count, fault), (100, ConnectionError::PriorityFlood));
    assert_eq!(counters.inbound_priority_frames_flood, 1);
    let (count, fault, counters) = cut(ids().map(|_| window_update(0, 1)));
    assert_eq!((count, fault), (5, ConnectionError::WindowUpdateFlood));
    assert_eq!(counters.inbound_window_update_frames_flood, 1);
}

#[test]
fn an_hpack_bomb_costs_neither_memory_nor_the_connection() {
    let mut session = server(Config::default());
    // One entry of nearly the table's size, then 15000 times its index: 60 MB decoded.
    let mut bomb = block(&POST);
    bomb.extend([0x40, 1, b'x', 0x7f]);
    bomb.extend([0xa1, 0x1e]); // 4000 = 127 + 3873
    bomb.extend([b'a'; 4000]);
    bomb.extend([0xbe; 12_000]);
    let (first, rest) = bomb.split_at(16_000);
    session.feed(&[frame(HEADERS, 0, 1, first), frame(CONTINUATION, END_HEADERS, 1, rest)].concat());
    assert_eq!(session.events, [Event::HeadTooLarge { stream: 1, end: false }]);
    session.feed(&headers(3, END_STREAM, &GET));
    assert!(matches!(session.events.last(), Some(Event::Request { stream: 3, .. })));
}

#[test]
fn a_server_s_refusals_do_not_end_a_client() {
    let mut session = client(&[]);
    for _ in 0..500 {
        let stream = session.ask(b"GET", true).unwrap();
        session.feed(&reset_frame(stream, ErrorCode::REFUSED_STREAM));
    }
    assert!(!matches!(session.events.last(), Some(Event::Fault(_))));
    assert_eq!(session.connection.take_counters().rx_reset, 500);
}

/// A server's answer is complete, and yet more comes on its stream.
#[test]
fn payload_and_heads_on_streams_that_are_over() {
    let over = headers(1, END_STREAM, &[(":status", "200")]);
    let data = std::iter::once(over.clone()).chain((0..).map(|_| frame(DATA, 0, 1, b"x")));
    let (count, fault, _) = cut_in(client(&["GET"]), data);
    assert!((65_535..70_000).contains(&count), "{count}");
    assert_eq!(fault, ConnectionError::ClosedStream);

    let long = "x".repeat(4000);
    let late: Vec<u8> = headers(1, END_STREAM, &[(":status", "200"), ("x", &long)]);
    let (count, fault, _) =
        cut_in(client(&["GET"]), std::iter::once(over).chain((0..).map(|_| late.clone())));
    assert!((20..100).contains(&count), "{count}");
    assert_eq!(fault, ConnectionError::ControlFlood);
}

#[test]
fn what_was_on_its_way_as_we_reset_a_stream_may_come() {
    let mut session = client(&["GET"]);
    session.feed(&headers(1, 0, &[(":status", "200")]));
    session.connection.reset(1, ErrorCode::CANCEL, &mut session.out);
    for _ in 0..8 {
        session.feed(&frame(DATA, 0, 1, &[0; 16_000]));
    }
    session.feed(&frame(DATA, END_STREAM, 1, b""));
    assert!(!matches!(session.events.last(), Some(Event::Fault(_))));
    session.feed(&frame(DATA, 0, 1, &[0; 16_000]));
    assert!(matches!(session.events.last(), Some(Event::Fault(ConnectionError::ClosedStream))));
}
