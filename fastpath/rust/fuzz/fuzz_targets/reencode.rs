//! What is accepted and written anew is accepted again, and means the same: what the next hop reads is what we read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshloom_wire::http1::{BodyLength, HeadWriter, Headers, Limits, RequestHead, RequestParser};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { extension_methods: true, ..Limits::default() };
    let mut headers = Headers::new();
    let Ok(Some(head)) = RequestParser::new().parse(bytes, &mut headers, &limits) else { return };
    let written = forward(bytes, &head, &headers);

    let mut again = Headers::new();
    // Names and values only lose white space, so it can become too long only by the space behind a colon, and by the
    // Host of an HTTP/1.0 request that has one in its target alone.
    let wide = Limits { head_bytes: 1 << 20, fields: limits.fields + 1, ..limits };
    let second = match RequestParser::new().parse(&written, &mut again, &wide) {
        Ok(Some(second)) => second,
        other => panic!("{other:?} of {}", written.escape_ascii()),
    };

    assert_eq!(second.len, written.len(), "a second request appeared");
    assert_eq!(second.method_span.of(&written), head.method_span.of(bytes));
    assert_eq!(second.target.path(&written), head.target.path(bytes));
    assert_eq!(
        second.target.query.map(|span| span.of(&written)),
        head.target.query.map(|span| span.of(bytes))
    );
    assert_eq!(second.authority.map(|span| span.of(&written)), head.authority.map(|span| span.of(bytes)));
    assert_eq!(second.body, head.body);
    let framing = usize::from(head.body != BodyLength::None) + usize::from(head.authority.is_some());
    assert_eq!(again.len(), headers.end_to_end().count() + framing);
});

/// As a proxy would send it on.
fn forward(bytes: &[u8], head: &RequestHead, headers: &Headers) -> Vec<u8> {
    let mut target = Vec::new();
    match head.target.authority {
        Some(_)
            if head.target.path_span.is_empty()
                && head.target.query.is_none()
                && head.target.https.is_none() =>
        {
            target.extend_from_slice(head.target.raw.of(bytes));
        }
        _ => {
            target.extend_from_slice(head.target.path(bytes));
            if let Some(query) = head.target.query {
                target.push(b'?');
                target.extend_from_slice(query.of(bytes));
            }
        }
    }
    let mut out = Vec::new();
    let mut writer = HeadWriter::request(&mut out, head.method_span.of(bytes), &target, head.version);
    if let Some(authority) = head.authority {
        writer.copy(b"host", authority.of(bytes));
    }
    for field in headers.end_to_end() {
        writer.field(field.name.of(bytes), field.value.of(bytes)).expect("a parsed field can be written");
    }
    writer.framing(head.body).end();
    out
}
