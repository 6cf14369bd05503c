//! A request on its way through the proxy.

use std::borrow::Cow;
use std::ops::Range;

use meshloom_model::header_case::PreserveCase;
use meshloom_model::matcher::RequestHead as Matchable;
use meshloom_wire::http1::{BodyLength, Headers, KnownHeader, Method, RequestHead, TargetForm};

use meshloom_wire::http2::Head;

use super::{Fields, Protocol};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The head of a request: as received, with what the proxy changed.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) fields: Fields,
    pub(crate) method: Method,
    pub(crate) version: Protocol,
    pub(crate) scheme: Scheme,
    pub(crate) body: BodyLength,
    pub(crate) expect_continue: bool,
    /// Names of its fields go on as they came.
    pub(crate) preserve: Option<PreserveCase>,
    /// The protocol asked for by `Upgrade`, when `Connection` names it too.
    pub(crate) upgrade: Option<Range<usize>>,
    /// It is about the server as a whole: OPTIONS for `http://host`, which goes on with the target `*` (RFC 9112 3.2.4).
    whole_server: bool,
    /// Length of the received head.
    pub(crate) head_len: usize,
    method_text: Range<usize>,
    /// Path and query, in `fields`.
    target: Range<usize>,
    authority: Range<usize>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            fields: Fields::default(),
            method: Method::Get,
            version: Protocol::Http11,
            scheme: Scheme::Http,
            body: BodyLength::None,
            expect_continue: false,
            preserve: None,
            upgrade: None,
            whole_server: false,
            head_len: 0,
            method_text: 0..0,
            target: 0..0,
            authority: 0..0,
        }
    }
}

impl Request {
    /// Takes over a head that was parsed from `bytes`, and with `preserve` how it was spelled.
    pub(crate) fn load(
        &mut self,
        head: &RequestHead,
        bytes: &[u8],
        parsed: &mut Headers,
        preserve: Option<PreserveCase>,
    ) {
        self.fields.load(bytes, parsed);
        self.method = head.method;
        self.version = head.version.into();
        self.scheme = Scheme::Http;
        self.body = head.body;
        self.expect_continue = head.expect_continue;
        self.preserve = preserve;
        // What is offered in several lines is offered like a list in one (RFC 9110 5.3).
        self.upgrade = head.upgrade.map(|span| match self.fields.received_list(KnownHeader::Upgrade) {
            Some(list) => self.fields.store(&list),
            None => span.range(),
        });
        self.whole_server = head.method == Method::Options
            && head.target.form == TargetForm::Absolute
            && head.target.path_span.is_empty()
            && head.target.query.is_none();
        self.head_len = head.len;
        self.method_text = head.method_span.range();
        let path = head.target.path_span.range();
        self.target = match (path.is_empty(), head.target.query) {
            (false, None) => path,
            (false, Some(query)) => path.start..query.range().end,
            _ if head.method == Method::Connect => 0..0,
            // Absolute form without a path: `http://host?query` asks for `/?query`.
            (true, query) => {
                let query = query.map(|span| span.of(bytes));
                let target = self.fields.store(b"/");
                match query {
                    Some(query) => {
                        self.fields.store(b"?");
                        target.start..self.fields.store(query).end
                    }
                    None => target,
                }
            }
        };
        self.authority = head.authority.map_or(0..0, |span| span.range());
    }

    /// Takes over a head that came over HTTP/2. `end`: there is no body.
    pub(crate) fn load_http2(&mut self, head: &mut Head, end: bool) {
        let Head { bytes, headers, request, content_length, .. } = head;
        self.fields.load(bytes, headers);
        self.head_len = bytes.len();
        self.method = request.method;
        self.version = Protocol::Http2;
        self.scheme = if request.https { Scheme::Https } else { Scheme::Http };
        self.body = match (end, *content_length) {
            (true, None) => BodyLength::None,
            (_, Some(length)) => BodyLength::Length(length),
            (false, None) => BodyLength::Chunked,
        };
        self.expect_continue = request.expect_continue;
        self.preserve = None;
        self.upgrade = request.protocol.map(|span| span.range());
        self.method_text = request.method_span.range();
        self.target = request.path.range();
        self.authority = request.authority.range();
        if self.upgrade.is_some() {
            self.read_extended_connect();
        }
    }

    /// RFC 8441 4: an extended CONNECT asks what `GET` with `Upgrade` asks for in HTTP/1, and is routed like that.
    fn read_extended_connect(&mut self) {
        self.method = Method::Get;
        self.method_text = self.fields.store(b"GET");
        self.body = BodyLength::None;
    }

    /// A head that came over HTTP/2 and cannot be used.
    pub(crate) fn none_http2(&mut self) {
        *self = Self { version: Protocol::Http2, ..Self::default() };
    }

    pub(crate) fn method_text(&self) -> &[u8] {
        self.fields.slice(&self.method_text)
    }

    /// Path and query.
    pub(crate) fn target(&self) -> &[u8] {
        self.fields.slice(&self.target)
    }

    /// The target as it goes out in a request line or as `:path` (RFC 9112 3.2.4, RFC 9113 8.3.1).
    pub(crate) fn request_target(&self) -> &[u8] {
        match self.target() {
            b"/" if self.whole_server => b"*",
            target => target,
        }
    }

    pub(crate) fn set_target(&mut self, target: &[u8]) {
        self.target = self.fields.store(target);
    }

    /// The authority: the Host field, or what an absolute target says.
    pub(crate) fn authority(&self) -> &[u8] {
        self.fields.slice(&self.authority)
    }

    pub(crate) fn set_authority(&mut self, authority: &[u8]) {
        self.authority = self.fields.store(authority);
    }

    /// Whether the target is not as it was received.
    pub(crate) fn is_target_rewritten(&self) -> bool {
        self.target.start >= self.head_len
    }

    /// Whether the authority is not as it was received.
    pub(crate) fn is_authority_rewritten(&self) -> bool {
        self.authority.start >= self.head_len
    }

    /// What its fields take as names and values, the four of HTTP/2 that stand for the request line and Host included.
    pub(crate) fn headers_bytes(&self) -> u64 {
        const PSEUDO: usize = ":authority:path:method:scheme".len();
        let line = self.authority().len() + self.target().len() + self.method_text().len();
        let named = PSEUDO + line + self.scheme.as_str().len();
        named as u64 + self.fields.forwarded_bytes() + framing_bytes(self.body)
    }

    /// The protocol that it wants to upgrade to.
    pub(crate) fn upgrade_protocol(&self) -> Option<&[u8]> {
        self.upgrade.as_ref().map(|range| self.fields.slice(range))
    }

    /// What kind of tunnel it asks for: the protocol of `Upgrade`, or CONNECT.
    pub(crate) fn tunnel_kind(&self) -> Option<&[u8]> {
        match (self.upgrade_protocol(), self.method) {
            (Some(protocol), _) => Some(protocol),
            (None, Method::Connect) => Some(meshloom_model::upgrade::CONNECT.as_bytes()),
            (None, _) => None,
        }
    }

    /// Is it a gRPC call? Several content types together are none that gRPC knows.
    pub(crate) fn is_grpc(&self) -> bool {
        self.fields.joined("content-type").is_some_and(|value| is_grpc(&value))
    }
}

/// Is this the content type of a gRPC call or its answer?
pub(crate) fn is_grpc(content_type: &[u8]) -> bool {
    content_type
        .strip_prefix(b"application/grpc")
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// What the field that frames a body takes, as name and value.
pub(super) fn framing_bytes(body: BodyLength) -> u64 {
    let bytes = match body {
        BodyLength::Length(length) => "content-length".len() + digits(length),
        BodyLength::Chunked => "transfer-encodingchunked".len(),
        BodyLength::None | BodyLength::UntilClose => 0,
    };
    bytes as u64
}

fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

impl Matchable for Request {
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        match name {
            ":path" => Some(Cow::Borrowed(self.target())).filter(|value| !value.is_empty()),
            ":method" => Some(Cow::Borrowed(self.method_text())).filter(|value| !value.is_empty()),
            ":authority" | "host" => Some(Cow::Borrowed(self.authority())).filter(|value| !value.is_empty()),
            ":scheme" => Some(Cow::Borrowed(self.scheme.as_str().as_bytes())),
            _ => self.fields.value(name),
        }
    }

    fn any_line(&self, name: &str, passes: &mut dyn FnMut(&[u8]) -> bool) -> Option<bool> {
        if matches!(name, ":path" | ":method" | ":authority" | "host" | ":scheme") || Fields::joins(name) {
            return self.header(name).map(|value| passes(&value));
        }
        let mut lines = self.fields.values(name).peekable();
        lines.peek()?;
        Some(lines.any(passes))
    }

    fn path(&self) -> &[u8] {
        self.target()
    }
}
