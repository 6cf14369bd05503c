//! A request that came in HTTP/2, written as HTTP/1, is one request that says the same. So are trailers: as many fields as
//! there were.
//!
//! The bytes are names and values, 0xfe between the two and 0xff behind them; with a first byte that is odd they are
//! trailers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshloom_wire::http1::{BodyLength, DecodeError, HeadWriter, Headers, Limits, RequestParser, Version};
use meshloom_wire::http2::{Config, PREFACE, Role};

#[path = "../../wire/examples/http2_events/driver.rs"]
mod driver;

use driver::{Event, Session};

const GET: &[u8] = b":method\xfeGET\xff:scheme\xfehttp\xff:authority\xfea\xff:path\xfe/";

fuzz_target!(|bytes: &[u8]| {
    let [choice, recipe @ ..] = bytes else { return };
    let mut session = Session::new(Role::Server, Config::default());
    session.feed(PREFACE);
    session.feed(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    if choice & 1 != 0 {
        session.feed(&headers(0, GET));
    }
    session.feed(&headers(1, recipe));
    match session.events.last() {
        Some(Event::Request { end: true, .. }) => check_request(session.events.last()),
        Some(Event::Trailers { section, .. }) => {
            let lines = section.split(|byte| *byte == b'\n').count() - 1;
            assert_eq!(lines, recipe.split(|byte| *byte == 0xff).count());
            assert!(!section.contains(&0) && section.iter().filter(|byte| **byte == b'\r').count() == lines);
        }
        _ => {}
    }
});

/// HEADERS with END_HEADERS on stream 1; every field a literal that no table keeps.
fn headers(end: u8, recipe: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    for field in recipe.split(|byte| *byte == 0xff) {
        let mut halves = field.splitn(2, |byte| *byte == 0xfe);
        block.push(0);
        for text in [halves.next().unwrap_or_default(), halves.next().unwrap_or_default()] {
            let text = &text[..text.len().min(126)];
            block.push(text.len() as u8);
            block.extend_from_slice(text);
        }
    }
    block.truncate(16_384);
    let len = (block.len() as u32).to_be_bytes();
    let mut frame = len[1..].to_vec();
    frame.extend([1, 4 | end, 0, 0, 0, 1]);
    frame.extend(block);
    frame
}

fn check_request(event: Option<&Event>) {
    let Some(Event::Request { line, fields, .. }) = event else { return };
    let is_tunnel = line.path.is_empty();
    let target = if is_tunnel { &line.authority } else { &line.path };
    let mut written = Vec::new();
    let mut writer = HeadWriter::request(&mut written, &line.method, target, Version::Http11);
    writer.copy(b"host", &line.authority);
    let forwarded = |name: &[u8]| !matches!(name, b"host" | b"content-length" | b"te");
    let sent: Vec<_> = fields.iter().filter(|(name, _)| forwarded(name)).collect();
    sent.iter().for_each(|(name, value)| drop(writer.copy(name, value)));
    writer.end();

    let limits = Limits { extension_methods: true, fields: 200, ..Limits::with_head(1 << 20, 200) };
    let mut headers = Headers::new();
    let head = match RequestParser::new().parse(&written, &mut headers, &limits) {
        Ok(Some(head)) => head,
        Err(DecodeError::UnknownExpectation) => return,
        other => panic!("{other:?} of {}", written.escape_ascii()),
    };
    assert_eq!(head.len, written.len(), "a second request appeared");
    assert_eq!(head.body, BodyLength::None);
    assert_eq!(head.method_span.of(&written), line.method);
    assert_eq!(head.authority.map(|span| span.of(&written)), Some(line.authority.as_slice()));
    assert_eq!(head.target.raw.of(&written), target.as_slice());
    let read: Vec<_> =
        headers.iter().skip(1).map(|field| (field.name.of(&written), field.value.of(&written))).collect();
    let sent: Vec<_> = sent.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    assert_eq!(read, sent);
}
