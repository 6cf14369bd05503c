//! Reads HTTP/2 connections from standard input and writes what the codec made of them, one JSON array a line.
//!
//! It is the codec's side of the comparison with other implementations (`tests/differential/http2`). A connection is:
//! one byte for the role (0 server, which echoes the fields of each request in the end; else client with one request
//! open: 1 GET, 2 HEAD, 3 CONNECT), a count of pieces, and the pieces with their lengths; numbers are 32 bits,
//! big-endian. Bytes appear in the JSON as the characters U+0000 to U+00FF. The last event is what was written.

use std::io::{self, Read};

use meshloom_wire::http2::{Config, ResetBy, Role};
use serde_json::{Value, json};

mod driver;
#[path = "../shared/mod.rs"]
mod shared;

use driver::{Event, Line, Session};
use shared::{pairs, read_pieces, serve, text};

fn main() -> io::Result<()> {
    serve(io::stdin().lock(), run)
}

fn run(role: u8, input: &mut impl Read) -> io::Result<Vec<Value>> {
    let mut session = match role {
        0 => Session::new(Role::Server, Config::default()),
        _ => Session::new(Role::Client, Config::default()),
    };
    match role {
        0 => None,
        1 => session.ask(b"GET", true),
        2 => session.ask(b"HEAD", true),
        _ => session.ask(b"CONNECT", false),
    };
    read_pieces(input, |piece| session.feed(piece))?;
    let mut told: Vec<Value> = session.events.iter().map(to_json).collect();
    if role == 0 {
        echo(&mut session);
    }
    told.push(json!({"type": "sent", "bytes": text(&session.out)}));
    Ok(told)
}

/// Answers each request with its own fields (but Content-Length, which would not be true), a body and trailers.
fn echo(session: &mut Session) {
    if matches!(session.events.last(), Some(Event::Fault(_))) {
        return;
    }
    let (connection, out) = (&mut session.connection, &mut session.out);
    for event in &session.events {
        let Event::Request { stream, fields, .. } = event else { continue };
        let own = [(&b":status"[..], &b"200"[..])].into_iter();
        let fields = fields.iter().filter(|(name, _)| name != b"content-length");
        let fields = fields.map(|(name, value)| (name.as_slice(), value.as_slice()));
        connection.send_head(*stream, own.chain(fields), false, out);
        connection.send_data(*stream, b"echo", false, out);
        connection.send_trailers(*stream, b"x-end: yes\r\n", out);
    }
}

fn to_json(event: &Event) -> Value {
    match event {
        Event::Request { stream, line, fields, end } => json!({
            "type": "request",
            "stream": stream,
            "line": to_json_line(line),
            "fields": pairs(fields),
            "end": end,
        }),
        Event::Response { stream, status, fields, end } => json!({
            "type": "response",
            "stream": stream,
            "status": status,
            "fields": pairs(fields),
            "end": end,
        }),
        Event::HeadTooLarge { stream, end } => json!({"type": "too-large", "stream": stream, "end": end}),
        Event::Data { stream, bytes, end } => {
            json!({"type": "data", "stream": stream, "bytes": text(bytes), "end": end})
        }
        Event::Trailers { stream, section } => {
            json!({"type": "trailers", "stream": stream, "section": text(section)})
        }
        Event::Reset { stream, code, by } => json!({
            "type": "reset",
            "stream": stream,
            "code": code.0,
            "fault": match by {
                ResetBy::Peer => None,
                ResetBy::Fault(fault) => Some(format!("{fault:?}")),
            },
        }),
        Event::Goaway { last, code } => json!({"type": "goaway", "last": last, "code": code.0}),
        Event::Settings => json!({"type": "settings"}),
        Event::Pong(payload) => json!({"type": "pong", "bytes": text(payload)}),
        Event::WindowOpened { stream } => json!({"type": "window", "stream": stream}),
        Event::Fault(fault) => {
            json!({"type": "fault", "kind": format!("{fault:?}"), "code": fault.code().0})
        }
    }
}

fn to_json_line(line: &Line) -> Value {
    json!({
        "method": text(&line.method),
        "scheme": if line.https { "https" } else { "http" },
        "authority": text(&line.authority),
        "path": text(&line.path),
        "protocol": line.protocol.as_deref().map(text),
    })
}
