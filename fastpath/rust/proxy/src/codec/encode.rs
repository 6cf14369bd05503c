//! Heads and bodies onto the wire.

use meshloom_model::header_case::HeaderCase;
use meshloom_wire::http1::{
    BodyLength, CHUNK_END, ChunkHead, HeadWriter, LAST_CHUNK, LAST_CHUNK_HEAD, Method, TrailerFields, Version,
};

use super::Outbox;
use super::spelling::Spelling;
use crate::message::{Request, Response};
use crate::transport::{Transport, TransportError};

/// How the body of the message under way is put on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sender {
    /// There is none, or it is left out (HEAD).
    #[default]
    Nothing,
    /// As it is: the length was announced, or the end of the connection tells.
    Raw,
    Chunked,
    /// As it is, and its end is the end of our side of the connection.
    Tunnel,
}

impl Sender {
    fn of(body: BodyLength) -> Self {
        match body {
            BodyLength::None => Self::Nothing,
            BodyLength::Length(_) | BodyLength::UntilClose => Self::Raw,
            BodyLength::Chunked => Self::Chunked,
        }
    }

    /// Bytes that a piece of the body takes on the wire.
    pub(crate) fn wire_len(self, data: &[u8]) -> u64 {
        let framing = match self {
            Self::Nothing => return 0,
            Self::Chunked if !data.is_empty() => {
                ChunkHead::new(data.len()).as_bytes().len() + CHUNK_END.len()
            }
            Self::Raw | Self::Chunked | Self::Tunnel => 0,
        };
        (data.len() + framing) as u64
    }

    /// Sends one piece of the body.
    pub(crate) fn data(
        self,
        out: &mut Outbox,
        io: &mut Transport,
        data: &[u8],
    ) -> Result<(), TransportError> {
        match self {
            Self::Nothing => Ok(()),
            Self::Raw | Self::Tunnel => out.payload(io, data),
            Self::Chunked if data.is_empty() => Ok(()),
            Self::Chunked => {
                out.bytes.extend_from_slice(ChunkHead::new(data.len()).as_bytes());
                out.payload(io, data)?;
                out.bytes.extend_from_slice(CHUNK_END);
                Ok(())
            }
        }
    }

    /// Ends the body. `trailers` is a received trailer section, or empty.
    pub(crate) fn end(self, out: &mut Outbox, trailers: &[u8]) {
        if self != Self::Chunked {
            return;
        }
        let mut fields = TrailerFields::new(trailers).peekable();
        if fields.peek().is_none() {
            out.bytes.extend_from_slice(LAST_CHUNK);
            return;
        }
        out.bytes.extend_from_slice(LAST_CHUNK_HEAD);
        let mut writer = HeadWriter::trailers(&mut out.bytes);
        for (name, value) in fields {
            writer.copy_lowercase(name, value);
        }
        writer.end();
    }
}

/// Writes the head of a request to an upstream, whose connection spells names as `case` says.
pub(crate) fn request_head(out: &mut Vec<u8>, request: &Request, case: HeaderCase) -> Sender {
    let start = out.len();
    let sender = write_request(out, request);
    Spelling::of(request.preserve, &request.fields, case).apply(out.get_mut(start..).unwrap_or_default());
    sender
}

fn write_request(out: &mut Vec<u8>, request: &Request) -> Sender {
    let target =
        if request.method == Method::Connect { request.authority() } else { request.request_target() };
    let mut writer = HeadWriter::request(out, request.method_text(), target, Version::Http11);
    writer.copy(b"host", request.authority());
    for (name, value) in request.fields.forwarded() {
        writer.copy_lowercase(name, value);
    }
    match request.body {
        BodyLength::UntilClose => return tunnel_head(writer, request.upgrade_protocol()),
        // RFC 9110 8.6: a method that means something by its body says so when there is none.
        BodyLength::None if expects_body(request.method) => writer.framing(BodyLength::Length(0)),
        body => writer.framing(body),
    };
    writer.end();
    Sender::of(request.body)
}

/// Ends the head of a message that opens a tunnel.
fn tunnel_head(mut writer: HeadWriter<'_>, protocol: Option<&[u8]>) -> Sender {
    if let Some(protocol) = protocol {
        writer.copy(b"connection", b"upgrade").copy(b"upgrade", protocol);
    }
    writer.end();
    Sender::Tunnel
}

/// Writes an interim response to a client.
pub(crate) fn interim_head(out: &mut Vec<u8>, response: &Response, case: HeaderCase) {
    let start = out.len();
    begin_response(out, response).end();
    spell_response(out, start, response, case);
}

/// Writes the status line and the fields that the response has itself.
fn begin_response<'o>(out: &'o mut Vec<u8>, response: &Response) -> HeadWriter<'o> {
    let mut writer =
        HeadWriter::response_with_reason(out, Version::Http11, response.status, response.reason());
    for (name, value) in response.fields.forwarded() {
        writer.copy_lowercase(name, value);
    }
    writer
}

/// Spells the names in the head that begins at `start`.
fn spell_response(out: &mut [u8], start: usize, response: &Response, case: HeaderCase) {
    let head = out.get_mut(start..).unwrap_or_default();
    Spelling::of(response.preserve, &response.fields, case).apply(head);
}

fn may_have_body(status: u16) -> bool {
    !matches!(status, 100..=199 | 204 | 304)
}

fn expects_body(method: Method) -> bool {
    !matches!(
        method,
        Method::Get | Method::Head | Method::Delete | Method::Connect | Method::Options | Method::Trace
    )
}

/// What the connection adds to a response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseOptions {
    /// The connection ends after this response.
    pub(crate) close: bool,
    /// The client's version.
    pub(crate) version: Version,
    /// The request was HEAD.
    pub(crate) head: bool,
    /// It opens a tunnel.
    pub(crate) tunnel: bool,
    /// How the connection spells names of fields.
    pub(crate) case: HeaderCase,
}

/// Writes the head of a response to a client. Also says whether the end of the body is the end of the connection.
pub(crate) fn response_head(
    out: &mut Vec<u8>,
    response: &Response,
    options: ResponseOptions,
) -> (Sender, bool) {
    let start = out.len();
    let written = if options.tunnel {
        (tunnel_head(begin_response(out, response), response.upgrade_protocol()), true)
    } else {
        write_response(out, response, options)
    };
    spell_response(out, start, response, options.case);
    written
}

fn write_response(out: &mut Vec<u8>, response: &Response, options: ResponseOptions) -> (Sender, bool) {
    let bodiless = options.head || matches!(response.status, 100..=199 | 204 | 304);
    let framing = match (bodiless, response.announced) {
        (false, _) => response.body.towards(options.version),
        // What a GET would have had (RFC 9110 8.6); never on 1xx and 204.
        (true, Some(length)) if response.status >= 200 && response.status != 204 => {
            BodyLength::Length(length)
        }
        (true, _) => BodyLength::None,
    };
    let ends_by_close = framing == BodyLength::UntilClose && !bodiless;
    let mut writer = begin_response(out, response);
    match framing {
        BodyLength::None if !bodiless => writer.framing(BodyLength::Length(0)),
        // The upstream did not say how long it would have been, and a GET would have got it in chunks.
        BodyLength::None
            if options.head && options.version == Version::Http11 && may_have_body(response.status) =>
        {
            writer.framing(BodyLength::Chunked)
        }
        framing => writer.framing(framing),
    };
    if options.close || ends_by_close {
        writer.copy(b"connection", b"close");
    } else if options.version == Version::Http10 {
        writer.copy(b"connection", b"keep-alive");
    }
    writer.end();
    (if bodiless { Sender::Nothing } else { Sender::of(framing) }, ends_by_close)
}
