//! Flow control (RFC 9113 5.2, 6.9).

use meshloom_wire::http2::{Config, ConnectionError, ErrorCode, StreamFault};

use crate::driver::Event;
use crate::peer::*;

const STATUS: [(&[u8], &[u8]); 1] = [(b":status", b"200")];

/// The payload bytes in `out`, and whether the stream was ended.
fn payload(out: &[u8]) -> (usize, bool) {
    let frames = sent(out).into_iter().filter(|frame| frame.0 == DATA);
    frames.fold((0, false), |(bytes, _), frame| (bytes + frame.3.len(), frame.1 & END_STREAM != 0))
}

#[test]
fn no_more_is_sent_than_the_windows_take() {
    let mut session = server(Config::default());
    session.feed(&[settings(&[(4, 10)]), headers(1, END_STREAM, &GET)].concat());
    let (connection, out) = (&mut session.connection, &mut session.out);
    out.clear();
    assert_eq!(connection.send_data(1, b"early", true, out), 0);
    assert!(connection.send_head(1, STATUS, false, out));
    assert!(!connection.send_head(1, STATUS, false, out));
    assert_eq!(connection.send_capacity(1), 10);
    assert_eq!(connection.send_data(1, b"hello, world", true, out), 10);
    assert_eq!(connection.send_data(1, b"ld", true, out), 0);
    assert_eq!(payload(out), (10, false));
    session.feed(&window_update(1, 1));
    assert_eq!(session.events.last(), Some(&Event::WindowOpened { stream: 1 }));
    assert_eq!(session.connection.send_data(1, b"ld", true, &mut session.out), 1);
    // Settings open it too, and close it below zero.
    session.feed(&settings(&[(4, 0)]));
    session.feed(&window_update(1, 9));
    assert_eq!(session.connection.send_data(1, b"d", true, &mut session.out), 0);
    session.feed(&settings(&[(4, 11)]));
    assert_eq!(session.events.last(), Some(&Event::WindowOpened { stream: 0 }));
    assert_eq!(session.connection.send_data(1, b"d", true, &mut session.out), 1);
    assert_eq!(payload(&session.out), (12, true));
    assert_eq!(session.connection.active_streams(), 0);
}

#[test]
fn the_connection_s_window_is_shared() {
    let mut session = server(Config::default());
    session.feed(&settings(&[(4, 1_000_000)]));
    session.feed(&[headers(1, END_STREAM, &GET), headers(3, END_STREAM, &GET)].concat());
    let (connection, out) = (&mut session.connection, &mut session.out);
    for stream in [1, 3] {
        connection.send_head(stream, STATUS, false, out);
    }
    let body = vec![b'x'; 60_000];
    assert_eq!(connection.send_data(1, &body, true, out), 60_000);
    assert_eq!(connection.send_data(3, &body, true, out), 5_535);
    session.feed(&window_update(0, 100));
    assert_eq!(session.events.last(), Some(&Event::WindowOpened { stream: 0 }));
    assert!(sent(&session.out).iter().all(|frame| frame.3.len() <= 16_384));
}

#[test]
fn windows_are_given_back_as_payload_is_passed_on() {
    let mut session = server(Config { initial_connection_window_size: 100_000, ..Config::default() });
    session.feed(&headers(1, 0, &POST));
    let mut whole = Vec::new();
    for _ in 0..4 {
        whole.extend(frame(DATA, 0, 1, &[b'x'; 16_384]));
    }
    session.feed(&whole);
    assert_eq!(sent(&session.out), []);
    session.connection.consumed(1, 40_000, &mut session.out);
    assert_eq!(sent(&session.out), [(WINDOW_UPDATE, 0, 1, 40_000u32.to_be_bytes().to_vec())]);
    session.connection.consumed(1, 20_000, &mut session.out);
    assert_eq!(sent(&session.out)[1], (WINDOW_UPDATE, 0, 0, 60_000u32.to_be_bytes().to_vec()));
}

#[test]
fn who_overruns_a_window_is_stopped() {
    let full = || frame(DATA, 0, 1, &[b'x'; 16_384]);
    let events = served(&[headers(1, 0, &POST), full(), full(), full(), full(), frame(DATA, 0, 1, b"x")]);
    assert_eq!(stream_fault(&events), StreamFault::FlowControl);
    let mut session = server(Config { initial_connection_window_size: 0, ..Config::default() });
    session.feed(&[headers(1, 0, &POST), full(), full(), full(), full()].concat());
    assert_eq!(connection_fault(&session.events), ConnectionError::FlowControl);
}

#[test]
fn a_smaller_window_holds_from_its_acknowledgement_on() {
    let small = Config { initial_stream_window_size: 10, ..Config::default() };
    let mut session = server(small);
    session.feed(&[headers(1, 0, &POST), frame(DATA, 0, 1, &[b'x'; 5])].concat());
    session.feed(&frame(SETTINGS, ACK, 0, b""));
    session.feed(&frame(DATA, 0, 1, &[b'x'; 5]));
    assert!(matches!(session.events.last(), Some(Event::Data { stream: 1, .. })));
    session.feed(&frame(DATA, 0, 1, b"x"));
    assert_eq!(stream_fault(&session.events), StreamFault::FlowControl);
}

#[test]
fn payload_and_padding_that_nobody_gets_count_for_the_connection_only_until_skipped() {
    let config = Config { initial_connection_window_size: 65_535, ..Config::default() };
    let mut session = server(config);
    for stream in (1..40).step_by(2) {
        session.feed(&headers(stream, 0, &POST));
        session.connection.reset(stream, ErrorCode::CANCEL, &mut session.out);
        session.feed(&frame(DATA, 0, stream, &[b'x'; 16_384]));
    }
    assert!(!matches!(session.events.last(), Some(Event::Fault(_))), "{:?}", session.events.last());
    let updates = sent(&session.out).into_iter().filter(|frame| frame.0 == WINDOW_UPDATE);
    assert!(updates.count() >= 9);
}

#[test]
fn a_window_of_small_frames_behind_a_reset_is_no_flood() {
    let mut session = server(Config::default());
    session.feed(&headers(1, 0, &POST));
    session.connection.reset(1, ErrorCode::NO_ERROR, &mut session.out);
    for _ in 0..5000 {
        session.feed(&frame(DATA, 0, 1, b"0123456789"));
    }
    session.feed(&headers(3, END_STREAM, &GET));
    assert!(matches!(session.events.last(), Some(Event::Request { stream: 3, .. })));
}
