//! Streams, settings and the frames that carry no message (RFC 9113 3.4, 4 to 6).

use meshloom_wire::http2::{Config, ConnectionError, ErrorCode, PREFACE, ResetBy, Role, StreamFault};

use crate::driver::{Event, Session};
use crate::peer::*;

#[test]
fn connection_errors_by_frame() {
    use ConnectionError::*;
    let open = || headers(1, 0, &POST);
    let done = || headers(1, END_STREAM, &GET);
    let cases: Vec<(Vec<Vec<u8>>, ConnectionError)> = vec![
        (vec![frame(DATA, 0, 0, b"x")], WrongStream),
        (vec![frame(HEADERS, END_HEADERS, 0, b"x")], WrongStream),
        (vec![frame(SETTINGS, 0, 1, b"")], WrongStream),
        (vec![frame(PING, 0, 1, &[0; 8])], WrongStream),
        (vec![frame(GOAWAY, 0, 1, &[0; 8])], WrongStream),
        (vec![frame(RST_STREAM, 0, 0, &[0; 4])], WrongStream),
        (vec![frame(PRIORITY, 0, 0, &[0; 5])], WrongStream),
        (vec![frame(DATA, 0, 1, b"x")], IdleStream),
        (vec![frame(RST_STREAM, 0, 1, &[0; 4])], IdleStream),
        (vec![window_update(1, 1)], IdleStream),
        (vec![window_update(2, 1)], IdleStream),
        (vec![headers(2, END_STREAM, &GET)], InvalidStreamId),
        (vec![headers(5, END_STREAM, &GET), headers(3, END_STREAM, &GET)], InvalidStreamId),
        (vec![frame(PING, 0, 0, &[0; 7])], FrameSize),
        (vec![frame(SETTINGS, 0, 0, &[0; 5])], FrameSize),
        (vec![frame(SETTINGS, ACK, 0, &[0; 6])], FrameSize),
        (vec![frame(GOAWAY, 0, 0, &[0; 7])], FrameSize),
        (vec![open(), frame(RST_STREAM, 0, 1, &[0; 3])], FrameSize),
        (vec![open(), frame(WINDOW_UPDATE, 0, 1, &[0; 5])], FrameSize),
        (vec![open(), frame(DATA, PADDED, 1, b"")], FrameSize),
        (vec![frame(HEADERS, PRIORITISED, 1, &[0; 4])], FrameSize),
        (vec![open(), frame(DATA, 0, 1, &[0; 16_385])], FrameSize),
        (vec![open(), frame(DATA, PADDED, 1, b"\x05abcd")], InvalidPadding),
        (vec![frame(HEADERS, PADDED, 1, b"\x05abcd")], InvalidPadding),
        (vec![frame(SETTINGS, ACK, 0, b""), frame(SETTINGS, ACK, 0, b"")], UnexpectedSettingsAck),
        (vec![settings(&[(2, 2)])], InvalidSetting),
        (vec![settings(&[(5, 16_383)])], InvalidSetting),
        (vec![settings(&[(5, 16_777_216)])], InvalidSetting),
        (vec![settings(&[(8, 2)])], InvalidSetting),
        (vec![settings(&[(8, 1)]), settings(&[(8, 0)])], InvalidSetting),
        (vec![settings(&[(4, 0x8000_0000)])], InvalidWindowSetting),
        (vec![open(), window_update(1, 0x7fff_0000), settings(&[(4, 0x7fff_ffff)])], InvalidWindowSetting),
        (vec![window_update(0, 0)], ZeroWindowIncrement),
        (vec![window_update(0, 0x7fff_ffff)], FlowControl),
        (vec![frame(PUSH_PROMISE, END_HEADERS, 1, &[0; 4])], UnexpectedPush),
        (vec![frame(CONTINUATION, END_HEADERS, 1, b"")], InvalidContinuation),
        (vec![done(), frame(CONTINUATION, END_HEADERS, 1, b"x")], InvalidContinuation),
        (vec![frame(HEADERS, 0, 1, b"\x82"), frame(CONTINUATION, END_HEADERS, 3, b"")], InvalidContinuation),
        (vec![frame(HEADERS, 0, 1, b"\x82"), frame(PING, 0, 0, &[0; 8])], InvalidContinuation),
        (vec![frame(HEADERS, 0, 1, b"\x82"), frame(0xee, 0, 0, &[0; 8])], InvalidContinuation),
        (vec![frame(HEADERS, END_HEADERS, 1, b"\x80")], Compression),
        (vec![frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 0])], SelfDependency),
        (vec![frame(PRIORITY, 0, 1, &[0, 0, 0, 1])], ConnectionError::FrameSize),
    ];
    for (frames, fault) in cases {
        let mut session = server(Config::default());
        session.feed(&frames.concat());
        assert_eq!(connection_fault(&session.events), fault, "{frames:?}");
        let (kind, _, _, payload) = sent(&session.out).pop().unwrap();
        assert_eq!((kind, &payload[4..]), (GOAWAY, &fault.code().0.to_be_bytes()[..]), "{fault}");
    }
}

#[test]
fn stream_errors_by_frame() {
    use StreamFault::*;
    let open = || headers(1, 0, &POST);
    let done = || headers(1, END_STREAM, &GET);
    let cases: Vec<(Vec<Vec<u8>>, StreamFault)> = vec![
        (vec![done(), frame(DATA, END_STREAM, 1, b"x")], Ended),
        (vec![done(), headers(1, END_STREAM, &[("x", "y")])], Ended),
        (vec![open(), reset_frame(1, ErrorCode::CANCEL), frame(DATA, END_STREAM, 1, b"x")], Ended),
        (vec![open(), window_update(1, 0)], ZeroWindowIncrement),
        (vec![open(), window_update(1, 0x7fff_ffff)], FlowControl),
        (vec![open(), frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 0])], SelfDependency),
        (vec![open(), frame(PRIORITY, 0, 1, &[0, 0, 0, 1])], FrameSize),
        (vec![frame(HEADERS, END_HEADERS | PRIORITISED, 1, b"\0\0\0\x01\0\x82")], SelfDependency),
    ];
    for (frames, fault) in cases {
        assert_eq!(stream_fault(&served(&frames)), fault, "{frames:?}");
    }
}

#[test]
fn a_connection_begins_with_preface_and_settings() {
    let mut session = Session::new(Role::Server, Config::default());
    session.feed(b"PRI * HTTP/2.0\r\n\r\nSM");
    assert_eq!(session.events, []);
    session.feed(b"x");
    assert_eq!(connection_fault(&session.events), ConnectionError::InvalidPreface);
    for first in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, ACK, 0, b"")] {
        let mut session = Session::new(Role::Server, Config::default());
        session.feed(&[&PREFACE[..], &first].concat());
        assert_eq!(connection_fault(&session.events), ConnectionError::SettingsMissing);
    }
    let session = Session::new(Role::Client, Config::default());
    assert!(session.out.starts_with(PREFACE));
    assert_eq!(sent(&session.out[PREFACE.len()..])[0].0, SETTINGS);
}

#[test]
fn what_the_protocol_asks_for_is_answered() {
    let mut session = server(Config::default());
    session.feed(&[settings(&[(3, 7)]), frame(PING, 0, 0, b"12345678"), frame(0xee, 0xff, 9, b"x")].concat());
    let acks = [(SETTINGS, ACK, 0, vec![]), (PING, ACK, 0, b"12345678".to_vec())];
    assert_eq!(sent(&session.out), acks);
    assert_eq!(session.events, [Event::Settings]);
    assert_eq!(session.connection.take_counters().unknown_frames, 1);
    session.feed(&frame(PING, ACK, 0, b"abcdefgh"));
    assert_eq!(session.events.last(), Some(&Event::Pong(*b"abcdefgh")));
}

#[test]
fn streams_over_the_limit_are_refused_and_may_come_again() {
    let mut session = server(Config { max_concurrent_streams: 1, ..Config::default() });
    session.feed(&[headers(1, 0, &POST), headers(3, 0, &POST), frame(DATA, 0, 3, b"ignored")].concat());
    assert_eq!(stream_fault(&session.events), StreamFault::Refused);
    session.feed(&[reset_frame(1, ErrorCode::CANCEL), headers(5, END_STREAM, &GET)].concat());
    assert!(matches!(session.events.last(), Some(Event::Request { stream: 5, .. })));
}

#[test]
fn a_reset_of_the_peer_is_told_once() {
    let events = served(&[
        headers(1, 0, &POST),
        reset_frame(1, ErrorCode::CANCEL),
        reset_frame(1, ErrorCode::CANCEL),
        window_update(1, 0),
    ]);
    assert_eq!(events.len(), 2);
    assert_eq!(events[1], Event::Reset { stream: 1, code: ErrorCode::CANCEL, by: ResetBy::Peer });
}

#[test]
fn what_comes_on_a_stream_that_we_reset_is_ignored_but_decoded() {
    let mut session = server(Config::default());
    session.feed(&headers(1, 0, &POST));
    session.connection.reset(1, ErrorCode::CANCEL, &mut session.out);
    assert_eq!(session.out, reset_frame(1, ErrorCode::CANCEL));
    // A literal that goes into the table, on the dead stream; then used on a living one.
    let late = frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x40\x01x\x01y");
    let next = [&block(&GET)[..], b"\xbe"].concat();
    session.feed(&[frame(DATA, 0, 1, b"late"), late, frame(HEADERS, 5, 3, &next)].concat());
    let Some(Event::Request { stream: 3, fields, .. }) = session.events.last() else { panic!() };
    assert_eq!(*fields, [(b"x".to_vec(), b"y".to_vec())]);
    session.connection.reset(1, ErrorCode::CANCEL, &mut session.out);
    assert_eq!(session.out, reset_frame(1, ErrorCode::CANCEL));
}

#[test]
fn a_server_drains_in_two_steps() {
    let mut session = server(Config::default());
    session.connection.goaway_notice(&mut session.out);
    session.feed(&headers(1, 0, &POST));
    session.connection.goaway(ErrorCode::NO_ERROR, &mut session.out);
    assert_eq!(sent(&session.out)[0].3[..4], [0x7f, 0xff, 0xff, 0xff]);
    assert_eq!(sent(&session.out)[1].3[..4], [0, 0, 0, 1]);
    session.feed(&[headers(3, 0, &POST), frame(DATA, 0, 3, b"x"), frame(DATA, END_STREAM, 1, b"y")].concat());
    assert_eq!(session.events.last(), Some(&Event::Data { stream: 1, bytes: b"y".to_vec(), end: true }));
    assert_eq!(session.events.len(), 2);
}

#[test]
fn a_client_forgets_the_streams_that_a_goaway_leaves_out() {
    let mut session = client(&["GET", "GET", "GET"]);
    session.feed(&frame(GOAWAY, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0]));
    assert_eq!(session.events, [Event::Goaway { last: 3, code: ErrorCode::NO_ERROR }]);
    assert_eq!((session.connection.active_streams(), session.connection.open()), (2, None));
    session.feed(&headers(3, END_STREAM, &[(":status", "200")]));
    assert!(matches!(session.events.last(), Some(Event::Response { stream: 3, .. })));
    session.feed(&frame(GOAWAY, 0, 0, &[0, 0, 0, 5, 0, 0, 0, 0]));
    assert_eq!(session.events.last(), Some(&Event::Goaway { last: 3, code: ErrorCode::NO_ERROR }));
}

#[test]
fn a_client_opens_as_many_streams_as_the_server_allows() {
    let mut session = client(&[]);
    session.feed(&settings(&[(3, 2), (8, 1)]));
    assert!(session.connection.peer_allows_connect_protocol());
    assert_eq!((session.ask(b"GET", true), session.ask(b"GET", true)), (Some(1), Some(3)));
    assert_eq!(session.ask(b"GET", true), None);
    session.feed(&headers(1, END_STREAM, &[(":status", "200")]));
    assert_eq!(session.ask(b"GET", true), Some(5));
}

#[test]
fn a_client_refuses_what_only_clients_send() {
    for (frames, fault) in [
        (vec![settings(&[(2, 1)])], ConnectionError::InvalidSetting),
        (vec![frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])], ConnectionError::UnexpectedPush),
        (vec![headers(2, END_STREAM, &[(":status", "200")])], ConnectionError::InvalidStreamId),
        (vec![headers(3, END_STREAM, &[(":status", "200")])], ConnectionError::InvalidStreamId),
        (vec![frame(DATA, 0, 3, b"x")], ConnectionError::IdleStream),
    ] {
        assert_eq!(connection_fault(&answered(&frames)), fault, "{frames:?}");
    }
}

#[test]
fn a_stream_that_never_began_ends_without_a_frame() {
    let mut session = client(&[]);
    let stream = session.connection.open().unwrap();
    session.connection.reset(stream, ErrorCode::CANCEL, &mut session.out);
    assert_eq!((session.out.len(), session.connection.active_streams()), (0, 0));
    assert_eq!(session.ask(b"GET", true), Some(3));
}
