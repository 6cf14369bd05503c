//! Our client talking to our server: what one writes the other reads.

use meshloom_wire::http2::{Config, Role};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::driver::{Event, Field, Session};

/// Lets the two speak until neither has more to say.
fn settle(client: &mut Session, server: &mut Session) {
    while !client.out.is_empty() || !server.out.is_empty() {
        let said = std::mem::take(&mut client.out);
        server.feed(&said);
        let answer = std::mem::take(&mut server.out);
        client.feed(&answer);
        client.connection.note_unsent(0);
        server.connection.note_unsent(0);
    }
}

fn own_fields() -> impl Strategy<Value = Vec<Field>> {
    let name = select(vec!["x-a", "x-b", "accept", "user-agent", "x-request-id", "set-cookie", "via"]);
    let value = prop_oneof![
        select(vec!["", "a", "gzip, deflate", "0123456789abcdef"]).prop_map(str::to_owned),
        "[!-~]([ -~]{0,80}[!-~])?",
        "[!-~]{3000}",
    ];
    vec((name, value).prop_map(|(name, value)| (name.as_bytes().to_vec(), value.into_bytes())), 0..12)
}

fn pairs(fields: &[Field]) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_arrive_as_they_were_sent(
        messages in vec((own_fields(), vec(any::<u8>(), 0..40_000), any::<bool>()), 1..8),
    ) {
        let mut client = Session::new(Role::Client, Config::default());
        let mut server = Session::new(Role::Server, Config::default());
        settle(&mut client, &mut server);
        for (fields, body, with_trailers) in messages {
            client.events.clear();
            server.events.clear();
            let stream = client.connection.open().unwrap();
            let line: [(&[u8], &[u8]); 4] =
                [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"shop"), (b":path", b"/a?b")];
            let head = line.into_iter().chain(pairs(&fields));
            prop_assert!(client.connection.send_head(stream, head, false, &mut client.out));
            let section: &[u8] = if with_trailers { b"X-T: v\r\n" } else { b"" };
            exchange(&mut client, &mut server, stream, &body, section);
            let wanted = Event::Request {
                stream,
                line: crate::driver::Line {
                    method: b"POST".to_vec(),
                    https: true,
                    authority: b"shop".to_vec(),
                    path: b"/a?b".to_vec(),
                    protocol: None,
                },
                fields: fields.clone(),
                end: false,
            };
            prop_assert_eq!(&server.events[0], &wanted);
            check_body(&server.events[1..], &body, section);
            let status: [(&[u8], &[u8]); 1] = [(b":status", b"201")];
            let head = status.into_iter().chain(pairs(&fields));
            prop_assert!(server.connection.send_head(stream, head, false, &mut server.out));
            exchange(&mut server, &mut client, stream, &body, section);
            prop_assert_eq!(
                client.events.iter().find(|event| matches!(event, Event::Response { .. })),
                Some(&Event::Response { stream, status: 201, fields, end: false })
            );
            prop_assert_eq!(client.connection.active_streams(), 0);
            prop_assert_eq!(server.connection.active_streams(), 0);
        }
    }
}

#[test]
fn fields_of_an_http1_connection_are_not_written() {
    let mut client = Session::new(Role::Client, Config::default());
    let mut server = Session::new(Role::Server, Config::default());
    settle(&mut client, &mut server);
    let stream = client.connection.open().unwrap();
    let fields: [(&[u8], &[u8]); 14] = [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"a"),
        (b":path", b"/"),
        (b"Host", b"other"),
        (b"Connection", b"close, X-A"),
        (b"Keep-Alive", b"timeout=5"),
        (b"Proxy-Connection", b"close"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Upgrade", b"h2c"),
        (b"TE", b"gzip"),
        (b"Te", b"trailers"),
        (b"X-MiXed", b"As It Is"),
        (b"Content-Length", b"0"),
    ];
    assert!(client.connection.send_head(stream, fields, true, &mut client.out));
    settle(&mut client, &mut server);
    let Some(Event::Request { fields, .. }) = server.events.last() else { panic!("{:?}", server.events) };
    let wanted = [("te", "trailers"), ("x-mixed", "As It Is"), ("content-length", "0")];
    let wanted = wanted.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    assert_eq!(*fields, wanted);
}

#[test]
fn trailers_that_may_not_be_forwarded_end_the_stream_without_fields() {
    let mut client = Session::new(Role::Client, Config::default());
    let mut server = Session::new(Role::Server, Config::default());
    settle(&mut client, &mut server);
    let stream = client.ask(b"POST", false).unwrap();
    assert!(client.connection.send_trailers(stream, b"Content-Length: 5\r\nHost: b\r\n", &mut client.out));
    assert!(!client.connection.send_trailers(stream, b"x: y\r\n", &mut client.out));
    settle(&mut client, &mut server);
    assert_eq!(server.events.last(), Some(&Event::Data { stream, bytes: Vec::new(), end: true }));
}

/// Sends a body, as the windows allow, and its end.
fn exchange(from: &mut Session, to: &mut Session, stream: u32, body: &[u8], section: &[u8]) {
    let mut sent = 0;
    loop {
        let end = section.is_empty();
        sent += from.connection.send_data(stream, &body[sent..], end, &mut from.out);
        let before = received(to);
        settle(from, to);
        let taken = received(to) - before;
        to.connection.consumed(stream, taken, &mut to.out);
        settle(to, from);
        if sent == body.len() {
            break;
        }
    }
    if !section.is_empty() {
        assert!(from.connection.send_trailers(stream, section, &mut from.out));
        settle(from, to);
    }
}

fn received(session: &Session) -> usize {
    let of = |event: &Event| if let Event::Data { bytes, .. } = event { bytes.len() } else { 0 };
    session.events.iter().map(of).sum()
}

fn check_body(events: &[Event], body: &[u8], section: &[u8]) {
    let mut joined = Vec::new();
    let mut ended = false;
    for event in events {
        match event {
            Event::Data { bytes, end, .. } => {
                joined.extend_from_slice(bytes);
                ended = *end;
            }
            Event::Trailers { section: told, .. } => {
                assert_eq!(told.as_slice(), section.to_ascii_lowercase());
                ended = true;
            }
            _ => {}
        }
    }
    assert!(ended && joined == body);
}
