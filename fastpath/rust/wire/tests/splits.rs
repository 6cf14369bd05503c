//! Properties: how the bytes are cut changes nothing, nothing panics, and what is written is read back the same.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use meshloom_wire::http1::{
    BodyLength, CHUNK_END, ChunkHead, HeadWriter, InvalidField, LAST_CHUNK, LAST_CHUNK_HEAD, Limits, Method,
    RequestParser, ResponseParser, Version,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

#[path = "../examples/http1_events/driver.rs"]
mod driver;

use driver::{Event, Role, Session};

/// Pieces that put together make heads and bodies which are nearly right.
const PIECES: [&[u8]; 40] = [
    b"GET / HTTP/1.1\r\n",
    b"POST /a?b HTTP/1.1\r\n",
    b"HEAD http://h/ HTTP/1.0\r\n",
    b"CONNECT a:1 HTTP/1.1\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.0 304\r\n",
    b"HTTP/1.1 204 \r\n",
    b"Host: a\r\n",
    b"Host: b:80\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive, x\r\n",
    b"Expect: 100-continue\r\n",
    b"X: y\r\n",
    b"X:\t\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b" ",
    b"hello",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"0\r\nT: v\r\n\r\n",
    b"a;x=y\r\n",
    b"ffffffffffffffff\r\n",
    b"\0",
    b"\xff",
    b":",
    b"GET",
    b"HTTP/1.1",
    b"#",
    b"X : y\r\n",
    b"\x7f",
    b"Content-Length: 99999999999999999999\r\n",
    b"5;",
    b"0123456789",
];

fn role(index: usize) -> Role {
    match index {
        0 => Role::Server(RequestParser::new()),
        1 => Role::Client(ResponseParser::new(), Method::Get),
        2 => Role::Client(ResponseParser::new(), Method::Head),
        _ => Role::Client(ResponseParser::new(), Method::Connect),
    }
}

fn tight() -> Limits {
    Limits {
        head_bytes: 120,
        fields: 4,
        trailer_bytes: 12,
        chunk_overhead_bytes: 20,
        extension_methods: false,
    }
}

fn events(role: Role, limits: Limits, pieces: &[&[u8]]) -> Vec<Event> {
    let mut session = Session::new(role, limits);
    for piece in pieces {
        session.feed(piece);
    }
    session.finish();
    session.events
}

fn cut<'b>(bytes: &'b [u8], cuts: &[usize]) -> Vec<&'b [u8]> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for len in cuts {
        let (piece, tail) = rest.split_at((*len).min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    pieces.push(rest);
    pieces
}

/// Compares all but where in its buffer a body's fault was, which is a matter of how the bytes came.
fn assert_same(whole: &[Event], parts: &[Event], bytes: &[u8]) {
    let (whole_fault, whole) = split_fault(whole);
    let (parts_fault, parts) = split_fault(parts);
    assert_eq!(whole, parts, "{}", bytes.escape_ascii());
    assert_eq!(whole_fault, parts_fault, "{}", bytes.escape_ascii());
}

/// The name of the fault at the end, and the events before it.
fn split_fault(events: &[Event]) -> (Option<String>, &[Event]) {
    match events {
        [before @ .., Event::Fault(fault)] => {
            (format!("{fault:?}").split(' ').next().map(str::to_owned), before)
        }
        all => (None, all),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_cut_of_nearly_right_bytes_gives_the_same_events(
        pieces in vec(select(&PIECES[..]), 0..12), cuts in vec(1usize..24, 0..12), who in 0usize..4, is_tight: bool,
    ) {
        let bytes = pieces.concat();
        let limits = if is_tight { tight() } else { Limits::default() };
        let whole = events(role(who), limits, &[&bytes]);
        assert_same(&whole, &events(role(who), limits, &cut(&bytes, &cuts)), &bytes);
        assert_same(&whole, &events(role(who), limits, &bytes.chunks(1).collect::<Vec<_>>()), &bytes);
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..300), who in 0usize..4) {
        let whole = events(role(who), tight(), &[&bytes]);
        assert_same(&whole, &events(role(who), tight(), &bytes.chunks(1).collect::<Vec<_>>()), &bytes);
    }

    #[test]
    fn a_request_is_read_back_as_it_was_written(
        method in select(&["GET", "POST", "PATCH", "M-SEARCH"][..]), path in "/[!-\"$-~]{0,40}", fields in vec(own_field(), 0..20),
        chunks in vec(vec(any::<u8>(), 1..400), 0..6), trailers in vec(own_field(), 0..4), cuts in vec(1usize..60, 0..10),
    ) {
        let mut bytes = Vec::new();
        let mut head = HeadWriter::request(&mut bytes, method.as_bytes(), path.as_bytes(), Version::Http11);
        head.copy(b"host", b"shop:80");
        for (name, value) in &fields {
            head.field(name.as_bytes(), value.as_bytes()).unwrap();
        }
        head.framing(BodyLength::Chunked).end();
        write_chunks(&mut bytes, &chunks, &trailers);

        let events = events(role(0), Limits::default(), &cut(&bytes, &cuts));

        let Some(Event::Request(request)) = events.first() else { panic!("{events:?}") };
        prop_assert_eq!(&request.method, method.as_bytes());
        prop_assert_eq!(&request.target, path.as_bytes());
        prop_assert_eq!(request.authority.as_deref(), Some(&b"shop:80"[..]));
        prop_assert_eq!(&request.fields[1..fields.len() + 1], &lowercase(&fields)[..]);
        prop_assert_eq!(payload(&events), chunks.concat());
        let mut rest = events.iter().filter(|event| !matches!(event, Event::Request(_) | Event::Data(_)));
        if !trailers.is_empty() {
            let Some(Event::Trailers(have)) = rest.next() else { panic!("no trailers") };
            prop_assert_eq!(have.len(), trailers.len());
        }
        prop_assert_eq!(rest.collect::<Vec<_>>(), vec![&Event::End]);
    }

    #[test]
    fn a_response_is_read_back_as_it_was_written(
        status in 200u16..600, body in vec(any::<u8>(), 0..900), fields in vec(own_field(), 0..20), cuts in vec(1usize..60, 0..10),
    ) {
        let is_bodiless = matches!(status, 204 | 304);
        let body = if is_bodiless { Vec::new() } else { body };
        let mut bytes = Vec::new();
        let mut head = HeadWriter::response(&mut bytes, Version::Http11, status);
        for (name, value) in &fields {
            head.copy_lowercase(name.as_bytes(), value.as_bytes());
        }
        head.framing(if is_bodiless { BodyLength::None } else { BodyLength::Length(body.len() as u64) }).end();
        bytes.extend_from_slice(&body);

        let events = events(role(1), Limits::default(), &cut(&bytes, &cuts));

        let Some(Event::Response(response)) = events.first() else { panic!("{events:?}") };
        prop_assert_eq!(response.status, status);
        prop_assert!(response.keep_alive);
        prop_assert_eq!(payload(&events), body);
        prop_assert_eq!(events.last(), Some(&Event::End));
    }

    #[test]
    fn no_value_gets_a_line_end_into_a_head(name in "[\\x00-\\x7f]{0,8}", value in vec(any::<u8>(), 0..40)) {
        let mut bytes = Vec::new();
        let mut head = HeadWriter::response(&mut bytes, Version::Http11, 200);
        let written = head.field(name.as_bytes(), &value).is_ok();
        head.framing(BodyLength::Length(0)).end();
        let events = events(role(1), Limits::default(), &[&bytes]);
        let Some(Event::Response(response)) = events.first() else { return Ok(()) };
        prop_assert_eq!(response.fields.len(), usize::from(written) + 1);
    }
}

/// A field whose name means nothing to the codec.
fn own_field() -> impl Strategy<Value = (String, String)> {
    ("X-[A-Za-z0-9_~]{1,20}", "([!-~]([ -~]{0,30}[!-~])?)?")
}

fn lowercase(fields: &[(String, String)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields
        .iter()
        .map(|(name, value)| (name.to_lowercase().into_bytes(), value.clone().into_bytes()))
        .collect()
}

fn payload(events: &[Event]) -> Vec<u8> {
    let data = |event: &Event| if let Event::Data(bytes) = event { Some(bytes.clone()) } else { None };
    events.iter().filter_map(data).flatten().collect()
}

fn write_chunks(out: &mut Vec<u8>, chunks: &[Vec<u8>], trailers: &[(String, String)]) {
    for chunk in chunks {
        out.extend_from_slice(ChunkHead::new(chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(CHUNK_END);
    }
    if trailers.is_empty() {
        return out.extend_from_slice(LAST_CHUNK);
    }
    out.extend_from_slice(LAST_CHUNK_HEAD);
    let mut section = HeadWriter::trailers(out);
    for (name, value) in trailers {
        section.copy(name.as_bytes(), value.as_bytes());
    }
    section.end();
}

#[test]
fn chunk_heads_are_hexadecimal() {
    for (len, head) in [
        (1, "1\r\n"),
        (15, "f\r\n"),
        (16, "10\r\n"),
        (0x1234, "1234\r\n"),
        (usize::MAX, "ffffffffffffffff\r\n"),
    ] {
        assert_eq!(ChunkHead::new(len).as_bytes(), head.as_bytes());
    }
}

#[test]
fn heads_are_written_to_the_byte() {
    let mut out = Vec::new();
    let mut head = HeadWriter::response(&mut out, Version::Http10, 404);
    head.copy_lowercase(b"Content-TYPE", b"Text")
        .number("x-count", u64::MAX)
        .framing(BodyLength::Length(0))
        .end();
    let want = "HTTP/1.0 404 Not Found\r\ncontent-type: Text\r\nx-count: 18446744073709551615\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), want);
    let mut out = Vec::new();
    let mut head = HeadWriter::request(&mut out, b"GET", b"/", Version::Http11);
    assert_eq!(head.field(b"a b", b"c").unwrap_err(), InvalidField::Name);
    assert_eq!(head.field(b"", b"c").unwrap_err(), InvalidField::Name);
    assert_eq!(head.field(b"a", b"c\r\nd").unwrap_err(), InvalidField::Value { at: 1 });
    head.framing(BodyLength::None).end();
    assert_eq!(out, b"GET / HTTP/1.1\r\n\r\n");
}

#[test]
fn a_rewritten_target_stays_one_target() {
    let mut out = Vec::new();
    HeadWriter::request(&mut out, b"GET", b"/a b#c\r\n\xc3\xa9%20", Version::Http11).end();
    assert_eq!(out, b"GET /a%20b%23c%0D%0A%C3%A9%20 HTTP/1.1\r\n\r\n");
}

#[test]
fn framing_becomes_what_the_other_version_can_say() {
    assert_eq!(BodyLength::Chunked.towards(Version::Http10), BodyLength::UntilClose);
    assert_eq!(BodyLength::UntilClose.towards(Version::Http11), BodyLength::Chunked);
    assert_eq!(BodyLength::Length(3).towards(Version::Http10), BodyLength::Length(3));
    assert_eq!(BodyLength::None.towards(Version::Http11), BodyLength::None);
}
