//! A decoded head: storage that is made once and used for each message.

use crate::http1::{Headers, KnownHeader, Method, Span};

/// A request's or a response's head, or a trailer section, valid and complete.
///
/// Spans are places in `bytes`. `bytes` and `headers` have the form of a parsed HTTP/1 head, so whoever takes those
/// takes these. Cookie crumbs are joined (RFC 9113 8.2.3).
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub bytes: Vec<u8>,
    /// The fields in order, pseudo-fields not among them; a Host field is, though `authority` says the same.
    pub headers: Headers,
    pub request: RequestLine,
    /// 100 to 999 but 101; 0 in a request.
    pub status: u16,
    pub content_length: Option<u64>,
    /// Cookie crumbs behind the first.
    pub(crate) crumbs: Vec<Span>,
}

/// The pseudo-fields of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLine {
    pub method: Method,
    pub method_span: Span,
    /// `https` rather than `http`. Meaningless for CONNECT without `:protocol`.
    pub https: bool,
    /// `:authority`, or Host where that is missing: `host[:port]`, never empty; with port for CONNECT.
    pub authority: Span,
    /// Path and query, beginning with a slash; or `*` of OPTIONS. Empty only for CONNECT without `:protocol`.
    pub path: Span,
    /// `:protocol` of extended CONNECT (RFC 8441).
    pub protocol: Option<Span>,
    /// TE says `trailers`: the client takes trailer fields.
    pub te_trailers: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expect_continue: bool,
}

impl RequestLine {
    pub(crate) const EMPTY: Self = Self {
        method: Method::Other,
        method_span: Span::EMPTY,
        https: false,
        authority: Span::EMPTY,
        path: Span::EMPTY,
        protocol: None,
        te_trailers: false,
        expect_continue: false,
    };
}

impl Default for RequestLine {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Head {
    /// Takes no memory until it is decoded into.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            headers: Headers::new(),
            request: RequestLine::EMPTY,
            status: 0,
            content_length: None,
            crumbs: Vec::new(),
        }
    }

    /// Forgets the message, keeps the storage.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.headers.clear();
        self.crumbs.clear();
        self.request = RequestLine::EMPTY;
        self.status = 0;
        self.content_length = None;
    }

    /// Clears, and makes room for an ordinary head.
    pub(crate) fn begin(&mut self) {
        self.clear();
        self.headers.begin();
    }

    /// Makes one Cookie of its crumbs (RFC 9113 8.2.3). Empty ones are left out: a value must not end in a space.
    pub(crate) fn join_crumbs(&mut self) {
        let Some(first) = self.headers.get(KnownHeader::Cookie).filter(|_| !self.crumbs.is_empty()) else {
            return;
        };
        let start = self.bytes.len();
        self.bytes.extend_from_within(first.value.range());
        for crumb in self.crumbs.iter().filter(|crumb| !crumb.is_empty()) {
            if self.bytes.len() > start {
                self.bytes.extend_from_slice(b"; ");
            }
            self.bytes.extend_from_within(crumb.range());
        }
        self.headers.set_value(KnownHeader::Cookie, Span::between(start, self.bytes.len()));
    }
}
