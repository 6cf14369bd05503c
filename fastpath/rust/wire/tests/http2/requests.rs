//! Requests: what RFC 9113 8 lets be one, and what it calls malformed.

use meshloom_wire::http2::{Config, ErrorCode, StreamFault};

use crate::driver::{Event, Line};
use crate::peer::*;

fn line(method: &str, authority: &str, path: &str) -> Line {
    let bytes = |text: &str| text.as_bytes().to_vec();
    Line {
        method: bytes(method),
        https: false,
        authority: bytes(authority),
        path: bytes(path),
        protocol: None,
    }
}

fn fields(pairs: &[Pair]) -> Vec<(Vec<u8>, Vec<u8>)> {
    pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// GET with one pseudo-field put in place of its own, or left out.
fn get_with<'t>(name: &str, value: Option<&'t str>) -> Vec<Pair<'t>> {
    let of = |pair: Pair<'static>| match value {
        Some(value) if pair.0 == name => Some((pair.0, value)),
        None if pair.0 == name => None,
        _ => Some(pair),
    };
    GET.into_iter().filter_map(of).collect()
}

#[test]
fn a_request_with_body_and_trailers() {
    let events = served(&[
        headers(1, 0, &[&POST[..], &[("x-y", "z"), ("content-length", "5")]].concat()),
        frame(DATA, 0, 1, b"he"),
        frame(DATA, PADDED, 1, b"\x02llo\0\0"),
        headers(1, END_STREAM, &[("grpc-status", "0"), ("x", "y")]),
    ]);
    let own = fields(&[("x-y", "z"), ("content-length", "5")]);
    let want = [
        Event::Request { stream: 1, line: line("POST", "a", "/"), fields: own, end: false },
        Event::Data { stream: 1, bytes: b"hello".to_vec(), end: false },
        Event::Trailers { stream: 1, section: b"grpc-status: 0\r\nx: y\r\n".to_vec() },
    ];
    assert_eq!(events, want);
}

#[test]
fn requests_that_are_right() {
    let long = "x".repeat(5000);
    let right: [Vec<Pair>; 12] = [
        GET.to_vec(),
        get_with(":path", Some("/a?b=c|\"")),
        get_with(":scheme", Some("HTTPS")),
        [&get_with(":authority", None)[..], &[("host", "h:1")]].concat(),
        [&GET[..], &[("host", "A")]].concat(),
        [&GET[..], &[("te", "trailers")]].concat(),
        [&GET[..], &[("x", "")]].concat(),
        [&GET[..], &[("x", "a \t\u{ff}b")]].concat(),
        [&GET[..], &[("content-length", "0")]].concat(),
        [&GET[..], &[("x", &long)]].concat(),
        vec![(":method", "OPTIONS"), (":scheme", "http"), (":authority", "a"), (":path", "*")],
        vec![(":method", "CONNECT"), (":authority", "a:443")],
    ];
    for request in right {
        let events = served(&[headers(1, END_STREAM, &request)]);
        assert!(
            matches!(events.as_slice(), [Event::Request { stream: 1, end: true, .. }]),
            "{request:?}: {events:?}"
        );
    }
}

#[test]
fn malformed_requests_reset_their_stream_and_no_other() {
    use StreamFault::*;
    let with = |extra: &[Pair<'static>]| [&GET[..], extra].concat();
    let wrong: Vec<(Vec<Pair>, StreamFault)> = vec![
        (with(&[("X", "y")]), InvalidFieldName),
        (with(&[("Host", "a")]), InvalidFieldName),
        (with(&[("", "y")]), InvalidFieldName),
        (with(&[("a b", "y")]), InvalidFieldName),
        (with(&[("a:", "y")]), InvalidFieldName),
        (with(&[("a\r\nb", "y")]), InvalidFieldName),
        (with(&[("\u{e9}", "y")]), InvalidFieldName),
        (with(&[("x", "a\r\nb: c")]), InvalidFieldValue),
        (with(&[("x", "a\nb")]), InvalidFieldValue),
        (with(&[("x", "a\rb")]), InvalidFieldValue),
        (with(&[("x", "a\0b")]), InvalidFieldValue),
        (with(&[("x", "\u{7f}")]), InvalidFieldValue),
        (with(&[("x", " a")]), InvalidFieldValue),
        (with(&[("x", "a\t")]), InvalidFieldValue),
        (with(&[("x", " ")]), InvalidFieldValue),
        (with(&[("connection", "close")]), ConnectionSpecificField),
        (with(&[("keep-alive", "1")]), ConnectionSpecificField),
        (with(&[("proxy-connection", "x")]), ConnectionSpecificField),
        (with(&[("transfer-encoding", "chunked")]), ConnectionSpecificField),
        (with(&[("upgrade", "h2c")]), ConnectionSpecificField),
        (with(&[("transfer_encoding", "chunked")]), ConnectionSpecificField),
        (with(&[("content_length", "5")]), ConnectionSpecificField),
        (with(&[("te", "gzip")]), InvalidTe),
        (with(&[("te", "trailers, gzip")]), InvalidTe),
        (with(&[(":path", "/")]), InvalidPseudoField),
        (with(&[("x", "y"), (":late", "z")]), InvalidPseudoField),
        (with(&[(":unknown", "z")]), InvalidPseudoField),
        (with(&[(":status", "200")]), InvalidPseudoField),
        (with(&[(":protocol", "websocket")]), InvalidPseudoField),
        ([&[("x", "y")], &GET[..]].concat(), InvalidPseudoField),
        (get_with(":method", None), MissingPseudoField),
        (get_with(":scheme", None), MissingPseudoField),
        (get_with(":path", None), MissingPseudoField),
        (get_with(":authority", None), MissingPseudoField),
        (vec![], MissingPseudoField),
        (get_with(":method", Some("")), InvalidMethod),
        (get_with(":method", Some("G T")), InvalidMethod),
        (get_with(":method", Some("GET / HTTP/1.1")), InvalidMethod),
        (get_with(":scheme", Some("")), InvalidScheme),
        (get_with(":scheme", Some("ftp")), InvalidScheme),
        (get_with(":scheme", Some("http://a/")), InvalidScheme),
        (get_with(":path", Some("")), InvalidPath),
        (get_with(":path", Some("a")), InvalidPath),
        (get_with(":path", Some("*")), InvalidPath),
        (get_with(":path", Some("/a b")), InvalidPath),
        (get_with(":path", Some("/ HTTP/1.1")), InvalidPath),
        (get_with(":path", Some("/a#b")), InvalidPath),
        (get_with(":path", Some("/\u{e9}")), InvalidPath),
        (get_with(":path", Some("http://a/")), InvalidPath),
        (get_with(":path", Some("/a\r\nx: y")), InvalidFieldValue),
        (get_with(":authority", Some("")), InvalidAuthority),
        (get_with(":authority", Some("u@a")), InvalidAuthority),
        (get_with(":authority", Some("a/b")), InvalidAuthority),
        (get_with(":authority", Some("a:x")), InvalidAuthority),
        (get_with(":authority", Some(":80")), InvalidAuthority),
        (with(&[("host", "b")]), InvalidAuthority),
        (with(&[("host", "a:80")]), InvalidAuthority),
        (with(&[("host", "a"), ("host", "a")]), InvalidAuthority),
        (with(&[("content-length", "1")]), ContentLengthMismatch),
        (with(&[("content-length", "")]), InvalidContentLength),
        (with(&[("content-length", "+0")]), InvalidContentLength),
        (with(&[("content-length", "0, 0")]), InvalidContentLength),
        (with(&[("content-length", "0"), ("content-length", "0")]), InvalidContentLength),
        (with(&[("content-length", "0"), ("content-length", "1")]), InvalidContentLength),
        (with(&[("content-length", "18446744073709551616")]), InvalidContentLength),
        (vec![(":method", "CONNECT")], MissingPseudoField),
        (vec![(":method", "CONNECT"), (":authority", "a")], InvalidAuthority),
        (vec![(":method", "CONNECT"), ("host", "a:1")], MissingPseudoField),
        (vec![(":method", "CONNECT"), (":authority", "a:1"), (":path", "/")], InvalidPseudoField),
        (vec![(":method", "CONNECT"), (":authority", "a:1"), (":scheme", "http")], InvalidPseudoField),
        (vec![(":method", "CONNECT"), (":authority", "a:1"), ("content-length", "0")], InvalidContentLength),
    ];
    for (request, fault) in wrong {
        let mut session = server(Config::default());
        session.feed(&headers(1, END_STREAM, &request));
        assert_eq!(stream_fault(&session.events), fault, "{request:?}");
        assert_eq!(session.out, reset_frame(1, ErrorCode::PROTOCOL_ERROR));
        session.feed(&headers(3, END_STREAM, &GET));
        assert!(matches!(session.events.last(), Some(Event::Request { stream: 3, .. })), "{request:?}");
        assert_eq!(session.connection.take_counters().rx_messaging_error, 1);
    }
}

#[test]
fn data_is_as_much_as_content_length_says() {
    let post = |length| headers(1, 0, &[&POST[..], &[("content-length", length)]].concat());
    let told = served(&[post("5"), frame(DATA, 0, 1, b"hel"), frame(DATA, END_STREAM, 1, b"lo")]);
    assert_eq!(told.last(), Some(&Event::Data { stream: 1, bytes: b"hello".to_vec(), end: true }));
    for frames in [
        vec![post("4"), frame(DATA, 0, 1, b"hello")],
        vec![post("6"), frame(DATA, END_STREAM, 1, b"hello")],
        vec![post("0"), frame(DATA, END_STREAM, 1, b"x")],
        vec![post("6"), frame(DATA, 0, 1, b"hello"), headers(1, END_STREAM, &[("x", "y")])],
        vec![post("1"), headers(1, END_STREAM, &[])],
    ] {
        let events = served(&frames);
        assert_eq!(stream_fault(&events), StreamFault::ContentLengthMismatch, "{frames:?}");
    }
}

#[test]
fn trailers_are_fields_only() {
    for (fields, fault) in [
        (vec![(":path", "/")], StreamFault::InvalidPseudoField),
        (vec![("X", "y")], StreamFault::InvalidFieldName),
        (vec![("x", "a\r\nhost: b")], StreamFault::InvalidFieldValue),
        (vec![("transfer-encoding", "chunked")], StreamFault::ConnectionSpecificField),
    ] {
        let events = served(&[headers(1, 0, &POST), headers(1, END_STREAM, &fields)]);
        assert_eq!(stream_fault(&events), fault, "{fields:?}");
    }
    let events = served(&[headers(1, 0, &POST), headers(1, 0, &[("x", "y")])]);
    assert_eq!(stream_fault(&events), StreamFault::TrailersWithoutEnd);
}

#[test]
fn cookie_crumbs_become_one_cookie_where_the_first_was() {
    let crumbs = [("a", "1"), ("cookie", "b=c"), ("d", "2"), ("cookie", "e=f"), ("cookie", "g")];
    let events = served(&[headers(1, END_STREAM, &[&GET[..], &crumbs].concat())]);
    let Some(Event::Request { fields: told, .. }) = events.last() else { panic!("{events:?}") };
    assert_eq!(*told, fields(&[("a", "1"), ("cookie", "b=c; e=f; g"), ("d", "2")]));
}

#[test]
fn empty_cookie_crumbs_leave_no_space_behind() {
    for (crumbs, joined) in
        [(["a", "", ""], "a"), (["", "", "b"], "b"), (["", "a", "b"], "a; b"), (["", "", ""], "")]
    {
        let cookies = crumbs.map(|crumb| ("cookie", crumb));
        let events = served(&[headers(1, END_STREAM, &[&GET[..], &cookies].concat())]);
        let Some(Event::Request { fields: told, .. }) = events.last() else { panic!("{events:?}") };
        assert_eq!(*told, fields(&[("cookie", joined)]));
    }
}

#[test]
fn extended_connect_is_taken_only_if_announced() {
    let request = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "a"),
        (":path", "/chat"),
    ];
    assert_eq!(stream_fault(&served(&[headers(1, 0, &request)])), StreamFault::InvalidPseudoField);
    let mut session = server(Config { allow_connect: true, ..Config::default() });
    session.feed(&headers(1, 0, &request));
    let Some(Event::Request { line, end: false, .. }) = session.events.last() else { panic!() };
    assert_eq!(line.protocol.as_deref(), Some(&b"websocket"[..]));
    assert_eq!((line.https, line.path.as_slice()), (true, &b"/chat"[..]));
    // The protocol is for CONNECT alone, and its target is a whole one.
    let mut get = request;
    get[0].1 = "GET";
    session.feed(&headers(3, 0, &get));
    assert_eq!(stream_fault(&session.events), StreamFault::InvalidProtocol);
    session.feed(&headers(5, 0, &[request[0], request[1], request[3]]));
    assert_eq!(stream_fault(&session.events), StreamFault::MissingPseudoField);
}

#[test]
fn a_head_over_the_limits_can_be_answered_and_the_next_request_is_read() {
    let config = Config { head_bytes: 200, fields: 3, ..Config::default() };
    let long = "v".repeat(200);
    let crumbs = [("cookie", "a"); 4];
    for extra in
        [vec![("x", long.as_str())], vec![("a", ""), ("b", ""), ("c", ""), ("d", "")], crumbs.to_vec()]
    {
        let mut session = server(config);
        session.feed(&headers(1, 0, &[&POST[..], &extra].concat()));
        assert_eq!(session.events, [Event::HeadTooLarge { stream: 1, end: false }]);
        let status = [(&b":status"[..], &b"431"[..])];
        assert!(session.connection.send_head(1, status, true, &mut session.out));
        session.connection.reset(1, ErrorCode::NO_ERROR, &mut session.out);
        session.feed(&[frame(DATA, 0, 1, b"late"), headers(3, END_STREAM, &GET)].concat());
        assert!(matches!(session.events.last(), Some(Event::Request { stream: 3, .. })));
        assert_eq!(session.connection.take_counters().header_overflow, 1);
    }
}
