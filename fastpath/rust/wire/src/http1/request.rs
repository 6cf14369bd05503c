//! Request heads, as a server reads them.

use super::connection::Options;
use super::fields::{FieldLine, field_line, is_framing_in_disguise};
use super::framing::Declared;
use super::progress::Progress;
use super::request_line::{self, RequestLine};
use super::window::Window;
use super::{BodyLength, DecodeError, Headers, KnownHeader, Limits, Method, Span, Target, Version, host};

/// A request head that was accepted. Its fields are in the [`Headers`] that it was parsed into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// Bytes of the head; the body, or the next request, starts here.
    pub len: usize,
    pub method: Method,
    pub method_span: Span,
    pub target: Target,
    pub version: Version,
    /// Host and port that the request is for: of the target if it has them, else of the Host field. `None` only for
    /// HTTP/1.0 without Host. Write the upstream's Host field from this one, never from the field received.
    pub authority: Option<Span>,
    pub body: BodyLength,
    /// Whether the connection may carry another request after this one.
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expect_continue: bool,
    /// The Upgrade field's value, if the Connection field names it too.
    pub upgrade: Option<Span>,
}

/// Parses request heads, one after the other, resuming where bytes ran out.
///
/// One per connection; it is as small as its progress. Between two calls for the same head `buf` may only grow and
/// may move, and `headers` must stay as they were left; if they were used otherwise, call
/// [`RequestParser::restart`]. After `Ok(Some(_))` it is ready for the next head.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestParser {
    progress: Progress<RequestLine>,
}

impl RequestParser {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a head has been begun, so that the next call goes on with it.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.progress.is_partial()
    }

    /// Forgets a head that was begun; the next call parses from its first byte.
    pub fn restart(&mut self) {
        self.progress = Progress::Line;
    }

    /// Parses the head at the start of `buf`. `Ok(None)` means that it is not all there yet.
    ///
    /// After an error the connection is to be answered and closed; see [`DecodeError::status`].
    pub fn parse(
        &mut self,
        buf: &[u8],
        headers: &mut Headers,
        limits: &Limits,
    ) -> Result<Option<RequestHead>, DecodeError> {
        let start = || request_line(buf, limits);
        self.progress
            .advance(buf, headers, limits, start, |line, len, headers| accept(buf, line, len, headers))
    }
}

/// The request line, after at most one empty line: RFC 9112 2.2 asks for one, and more would be a way to keep us busy.
fn request_line(buf: &[u8], limits: &Limits) -> Result<Option<(RequestLine, usize)>, DecodeError> {
    let start = match buf {
        [] | [b'\r'] => return Ok(None),
        [b'\r', b'\n', ..] => 2,
        _ => 0,
    };
    let window = Window::new(buf, limits);
    match request_line::parse(window.bytes, start, limits)? {
        Some(parsed) => Ok(Some(parsed)),
        None => {
            window.wants_more(DecodeError::RequestLineTooLong { limit: limits.head_bytes }).map(|()| None)
        }
    }
}

/// Reads field lines into `headers` from `*next` on. Gives the length of the head when its empty line was reached;
/// otherwise `*next` is where the unfinished line starts.
#[inline]
pub(crate) fn read_fields(
    buf: &[u8],
    next: &mut usize,
    headers: &mut Headers,
    limits: &Limits,
) -> Result<Option<usize>, DecodeError> {
    let window = Window::new(buf, limits);
    loop {
        match field_line(window.bytes, *next)? {
            FieldLine::Field { .. } if headers.len() >= usize::from(limits.fields) => {
                return Err(DecodeError::TooManyFields { limit: limits.fields });
            }
            FieldLine::Field { name, value, next: after } => {
                let id = KnownHeader::from_name(name.of(buf));
                if id.is_none() && is_framing_in_disguise(name.of(buf)) {
                    return Err(DecodeError::InvalidFieldName { at: name.range().start });
                }
                headers.push(name, value, id);
                *next = after;
            }
            FieldLine::End { next: len } => return Ok(Some(len)),
            FieldLine::Partial => {
                window.wants_more(DecodeError::HeadTooLarge { limit: limits.head_bytes })?;
                return Ok(None);
            }
        }
    }
}

/// Applies the rules that need the whole head.
fn accept(
    buf: &[u8],
    line: RequestLine,
    len: usize,
    headers: &mut Headers,
) -> Result<RequestHead, DecodeError> {
    let host = host_field(buf, headers, line.version)?;
    let options = Options::read(buf, headers)?;
    let declared = Declared::read(buf, headers, line.version)?;
    let upgrade = headers.get(KnownHeader::Upgrade).map(|field| field.value).filter(|_| options.upgrade);
    Ok(RequestHead {
        len,
        method: line.method,
        method_span: line.method_span,
        target: line.target,
        version: line.version,
        authority: line.target.authority.or(host),
        body: body_length(declared, line.method)?,
        keep_alive: options.persists(line.version),
        expect_continue: expectation(buf, headers, line.version)?,
        upgrade,
    })
}

/// Exactly one well-formed Host (RFC 9112 3.2), also where the target has an authority; HTTP/1.0 may do without.
#[inline]
fn host_field(buf: &[u8], headers: &Headers, version: Version) -> Result<Option<Span>, DecodeError> {
    if headers.is_repeated(KnownHeader::Host) {
        return Err(DecodeError::DuplicateHost);
    }
    let host = headers.get(KnownHeader::Host).map(|field| host::without_empty_port(field.value, buf));
    match (host, version) {
        (Some(host), _) if host::is_valid(host.of(buf)) => Ok(Some(host)),
        (Some(_), _) => Err(DecodeError::InvalidHost),
        (None, Version::Http10) => Ok(None),
        (None, Version::Http11) => Err(DecodeError::MissingHost),
    }
}

#[inline]
fn body_length(declared: Declared, method: Method) -> Result<BodyLength, DecodeError> {
    match (declared.content_length, declared.chunked) {
        (Some(_), true) => Err(DecodeError::LengthWithTransferEncoding),
        // What follows CONNECT belongs to the tunnel; a body would be an argument about where that starts.
        (Some(_), false) if method == Method::Connect => Err(DecodeError::LengthNotAllowed),
        (None, true) if method == Method::Connect => Err(DecodeError::TransferEncodingNotAllowed),
        (Some(length), false) => Ok(BodyLength::Length(length)),
        (None, true) => Ok(BodyLength::Chunked),
        (None, false) => Ok(BodyLength::None),
    }
}

/// RFC 9110 10.1.1: from HTTP/1.0 the expectation is ignored; one that we do not know is refused.
#[inline]
fn expectation(buf: &[u8], headers: &Headers, version: Version) -> Result<bool, DecodeError> {
    match headers.value(KnownHeader::Expect, buf) {
        None => Ok(false),
        Some(value)
            if value.eq_ignore_ascii_case(b"100-continue") && !headers.is_repeated(KnownHeader::Expect) =>
        {
            Ok(version == Version::Http11)
        }
        Some(_) => Err(DecodeError::UnknownExpectation),
    }
}
