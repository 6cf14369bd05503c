//! Responses: what RFC 9113 8 lets be one, and what it calls malformed.

use meshloom_wire::http2::StreamFault;

use crate::driver::Event;
use crate::peer::*;

const OK: [Pair; 1] = [(":status", "200")];

#[test]
fn a_response_with_interim_ones_body_and_trailers() {
    let events = answered(&[
        headers(1, 0, &[(":status", "100")]),
        headers(1, 0, &[(":status", "103"), ("link", "x")]),
        headers(1, 0, &[&OK[..], &[("content-length", "5")]].concat()),
        frame(DATA, 0, 1, b"hello"),
        headers(1, END_STREAM, &[("grpc-status", "0")]),
    ]);
    let statuses: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Response { status, end, .. } => Some((*status, *end)),
            _ => None,
        })
        .collect();
    assert_eq!(statuses, [(100, false), (103, false), (200, false)]);
    let rest = [
        Event::Data { stream: 1, bytes: b"hello".to_vec(), end: false },
        Event::Trailers { stream: 1, section: b"grpc-status: 0\r\n".to_vec() },
    ];
    assert_eq!(events[3..], rest);
}

#[test]
fn malformed_responses_reset_their_stream() {
    use StreamFault::*;
    let wrong: Vec<(Vec<Pair>, u8, StreamFault)> = vec![
        (vec![], END_STREAM, MissingPseudoField),
        (vec![("x", "y")], END_STREAM, MissingPseudoField),
        (vec![(":status", "")], END_STREAM, InvalidStatus),
        (vec![(":status", "20")], END_STREAM, InvalidStatus),
        (vec![(":status", "2000")], END_STREAM, InvalidStatus),
        (vec![(":status", "099")], END_STREAM, InvalidStatus),
        (vec![(":status", "+20")], END_STREAM, InvalidStatus),
        (vec![(":status", "200 OK")], END_STREAM, InvalidStatus),
        (vec![(":status", "101")], 0, InvalidStatus),
        (vec![(":status", "100")], END_STREAM, InterimEnd),
        (vec![(":status", "200"), (":status", "200")], END_STREAM, InvalidPseudoField),
        (vec![("x", "y"), (":status", "200")], END_STREAM, InvalidPseudoField),
        (vec![(":status", "200"), (":path", "/")], END_STREAM, InvalidPseudoField),
        (vec![(":status", "200"), ("X", "y")], END_STREAM, InvalidFieldName),
        (vec![(":status", "200"), ("x", "a\r\n\r\nb")], END_STREAM, InvalidFieldValue),
        (vec![(":status", "200"), ("connection", "close")], END_STREAM, ConnectionSpecificField),
        (vec![(":status", "200"), ("transfer-encoding", "chunked")], 0, ConnectionSpecificField),
        (vec![(":status", "200"), ("content-length", "5")], END_STREAM, ContentLengthMismatch),
        (vec![(":status", "200"), ("content-length", "x")], 0, InvalidContentLength),
        (vec![(":status", "200"), ("content-length", "1"), ("content-length", "2")], 0, InvalidContentLength),
    ];
    for (response, flags, fault) in wrong {
        assert_eq!(stream_fault(&answered(&[headers(1, flags, &response)])), fault, "{response:?}");
    }
}

#[test]
fn a_length_without_content_is_right_where_there_is_none() {
    let sized = |status| headers(1, END_STREAM, &[(":status", status), ("content-length", "5")]);
    for (method, status) in [("HEAD", "200"), ("GET", "304"), ("GET", "204"), ("CONNECT", "200")] {
        let mut session = client(&[method]);
        session.feed(&sized(status));
        assert!(
            matches!(session.events.as_slice(), [Event::Response { end: true, .. }]),
            "{method} {status}"
        );
    }
}

#[test]
fn content_where_there_is_none_is_a_fault() {
    for (method, status) in [("HEAD", "200"), ("GET", "304"), ("GET", "204")] {
        let mut session = client(&[method]);
        session.feed(&[headers(1, 0, &[(":status", status)]), frame(DATA, END_STREAM, 1, b"x")].concat());
        assert_eq!(stream_fault(&session.events), StreamFault::ContentLengthMismatch, "{method} {status}");
    }
}

#[test]
fn data_before_the_head_is_a_fault() {
    assert_eq!(stream_fault(&answered(&[frame(DATA, 0, 1, b"x")])), StreamFault::DataBeforeHead);
    let interim = headers(1, 0, &[(":status", "100")]);
    assert_eq!(stream_fault(&answered(&[interim, frame(DATA, 0, 1, b"x")])), StreamFault::DataBeforeHead);
}

#[test]
fn a_response_behind_the_end_is_ignored() {
    let mut session = client(&["GET"]);
    session.feed(&[headers(1, END_STREAM, &OK), headers(1, END_STREAM, &OK)].concat());
    assert_eq!(session.events.len(), 1);
    assert_eq!(session.connection.active_streams(), 0);
}
