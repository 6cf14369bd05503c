//! Response heads, as a client reads them.

use super::connection::Options;
use super::framing::Declared;
use super::progress::Progress;
use super::status_line::{self, StatusLine};
use super::window::Window;
use super::{BodyLength, DecodeError, Headers, KnownHeader, Limits, Method, Span, Version};

/// A response head that was accepted. Its fields are in the [`Headers`] that it was parsed into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// Bytes of the head; the body, or the next response, starts here.
    pub len: usize,
    pub version: Version,
    /// 100 to 999.
    pub status: u16,
    /// The reason phrase, which may be empty and means nothing.
    pub reason: Span,
    pub kind: ResponseKind,
    pub body: BodyLength,
    /// What Content-Length says. A response to HEAD and a 304 have one without having a body, and it is passed on.
    pub content_length: Option<u64>,
    /// Whether the connection may carry another exchange after this one.
    pub keep_alive: bool,
    /// The Upgrade field's value, if the Connection field names it too.
    pub upgrade: Option<Span>,
}

/// What a response means for the exchange that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseKind {
    /// 1xx but 101: another head follows for the same request. Bound how many you take.
    Interim,
    /// 101: what follows is not HTTP/1. Refuse it unless the request asked for that protocol.
    SwitchProtocols,
    /// The answer.
    Final,
}

/// Parses response heads; the rules of use are those of [`super::RequestParser`].
#[derive(Clone, Copy, Debug, Default)]
pub struct ResponseParser {
    progress: Progress<StatusLine>,
}

impl ResponseParser {
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

    /// Parses the head at the start of `buf`, the response to a request with `method`. `Ok(None)` means that it is
    /// not all there yet. Any error is the server's: answer 502 and close the connection.
    pub fn parse(
        &mut self,
        buf: &[u8],
        method: Method,
        headers: &mut Headers,
        limits: &Limits,
    ) -> Result<Option<ResponseHead>, DecodeError> {
        let start = || first_line(buf, limits);
        self.progress.advance(buf, headers, limits, start, |line, len, headers| {
            accept(buf.get(..len).unwrap_or(buf), line, method, headers)
        })
    }
}

fn first_line(buf: &[u8], limits: &Limits) -> Result<Option<(StatusLine, usize)>, DecodeError> {
    let window = Window::new(buf, limits);
    match status_line::parse(window.bytes, 0)? {
        Some(parsed) => Ok(Some(parsed)),
        None => window.wants_more(DecodeError::HeadTooLarge { limit: limits.head_bytes }).map(|()| None),
    }
}

/// Applies the rules that need the whole head, which is all of `head`.
fn accept(
    head: &[u8],
    line: StatusLine,
    method: Method,
    headers: &mut Headers,
) -> Result<ResponseHead, DecodeError> {
    let options = Options::read(head, headers)?;
    let declared = Declared::read(head, headers, line.version)?;
    let body = body_length(line.status, method, declared);
    let doubtful = is_doubtful(line.status, declared);
    let upgrade = headers.get(KnownHeader::Upgrade).map(|field| field.value);
    // What is announced twice, or with a body where none can be, switches to nothing.
    let clear = options.upgrade && !doubtful && !headers.is_repeated(KnownHeader::Upgrade);
    Ok(ResponseHead {
        len: head.len(),
        version: line.version,
        status: line.status,
        reason: line.reason,
        kind: ResponseKind::of(line.status),
        body,
        content_length: declared.content_length.filter(|_| !declared.chunked),
        keep_alive: options.persists(line.version) && body != BodyLength::UntilClose && !doubtful,
        upgrade: upgrade.filter(|_| clear),
    })
}

/// RFC 9112 6.3, rules 1 to 8, in their order.
fn body_length(status: u16, method: Method, declared: Declared) -> BodyLength {
    match (status, declared.content_length) {
        (100..=199 | 204 | 304, _) => BodyLength::None,
        _ if method == Method::Head => BodyLength::None,
        (200..=299, _) if method == Method::Connect => BodyLength::None,
        _ if declared.chunked => BodyLength::Chunked,
        (_, Some(length)) => BodyLength::Length(length),
        (_, None) => BodyLength::UntilClose,
    }
}

/// Whether the server's idea of the body may not be ours, so that nothing after it can be trusted: Transfer-Encoding
/// with Content-Length (the former holds, RFC 9112 6.3), or a body announced where none can be.
fn is_doubtful(status: u16, declared: Declared) -> bool {
    let announces = declared.chunked || declared.content_length.is_some_and(|length| length > 0);
    (declared.chunked && declared.content_length.is_some())
        || (matches!(status, 100..=199 | 204) && announces)
}

impl ResponseKind {
    const fn of(status: u16) -> Self {
        match status {
            101 => Self::SwitchProtocols,
            100..=199 => Self::Interim,
            _ => Self::Final,
        }
    }
}
