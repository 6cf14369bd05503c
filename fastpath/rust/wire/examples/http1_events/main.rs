//! Reads connections from standard input and writes what the codec made of them, one JSON array a line.
//!
//! It is the codec's side of the comparison with other implementations (`tests/differential/http1`). A connection is:
//! one byte for the role (0 server, 1 client of GET, 2 of HEAD, 3 of CONNECT), one byte that is 1 when the peer closes
//! in the end, a count of pieces, and the pieces with their lengths; numbers are 32 bits, big-endian. Bytes appear in
//! the JSON as the characters U+0000 to U+00FF.

use std::io::{self, Read};

use meshloom_wire::http1::{BodyLength, Limits, Method, RequestParser, ResponseParser};
use serde_json::{Value, json};

mod driver;
#[path = "../shared/mod.rs"]
mod shared;

use driver::{Event, Role, Session};
use shared::{pairs, read_byte, read_pieces, serve, text};

fn main() -> io::Result<()> {
    serve(io::stdin().lock(), run)
}

fn run(role: u8, input: &mut impl Read) -> io::Result<Vec<Value>> {
    let role = match role {
        0 => Role::Server(RequestParser::new()),
        1 => Role::Client(ResponseParser::new(), Method::Get),
        2 => Role::Client(ResponseParser::new(), Method::Head),
        _ => Role::Client(ResponseParser::new(), Method::Connect),
    };
    let mut session = Session::new(role, Limits::default());
    let closes = read_byte(input)?;
    read_pieces(input, |piece| session.feed(piece))?;
    if closes == Some(1) {
        session.finish();
    }
    Ok(session.events.iter().map(to_json).collect())
}

fn to_json(event: &Event) -> Value {
    match event {
        Event::Request(request) => json!({
            "type": "request",
            "method": text(&request.method),
            "target": text(&request.target),
            "authority": request.authority.as_deref().map(text),
            "version": request.version.as_str(),
            "fields": pairs(&request.fields),
            "body": body(request.body),
            "keep_alive": request.keep_alive,
        }),
        Event::Response(response) => json!({
            "type": "response",
            "status": response.status,
            "reason": text(&response.reason),
            "version": response.version.as_str(),
            "fields": pairs(&response.fields),
            "body": body(response.body),
            "keep_alive": response.keep_alive,
        }),
        Event::Data(payload) => json!({"type": "data", "bytes": text(payload)}),
        Event::Trailers(trailers) => json!({"type": "trailers", "fields": pairs(trailers)}),
        Event::End => json!({"type": "end"}),
        Event::Stop => json!({"type": "stop"}),
        Event::Fault(fault) => json!({
            "type": "fault",
            "kind": format!("{fault:?}").split([' ', '{']).next(),
            "status": fault.status(),
            "details": fault.details(),
        }),
    }
}

fn body(length: BodyLength) -> Value {
    match length {
        BodyLength::None => json!("none"),
        BodyLength::Length(length) => json!(length),
        BodyLength::Chunked => json!("chunked"),
        BodyLength::UntilClose => json!("until-close"),
    }
}
