//! Request targets: the four forms of RFC 9112 3.2.

use super::{DecodeError, Method, Span, host};

/// Which form a request target has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetForm {
    /// `/path?query`, what clients send to servers.
    Origin,
    /// `http://host/path?query`, what clients send to proxies, and what every server must understand.
    Absolute,
    /// `host:port`, with CONNECT only.
    Authority,
    /// `*`, with OPTIONS only.
    Asterisk,
}

/// A request target, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub form: TargetForm,
    /// All of it, as received.
    pub raw: Span,
    /// `https` rather than `http`; known for the absolute form only.
    pub https: Option<bool>,
    /// Host and port of the absolute and the authority form.
    pub authority: Option<Span>,
    /// From the first slash of the path up to the query. Empty for the authority form, and for an absolute form
    /// without a path; use [`Target::path`].
    pub path_span: Span,
    /// Behind the `?`, if there is one.
    pub query: Option<Span>,
}

impl Target {
    /// The path without the query, as the origin form would have it: never empty, `*` for OPTIONS on the whole server.
    /// CONNECT has no path; it gives `/`.
    #[must_use]
    pub fn path<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        if self.path_span.is_empty() { b"/" } else { self.path_span.of(buf) }
    }

    /// Path and query as one slice, where the client sent them so: everywhere but for `http://host` and
    /// `http://host?query`, of which the former gives `/` and the latter `None`.
    #[must_use]
    pub fn path_and_query<'b>(&self, buf: &'b [u8]) -> Option<&'b [u8]> {
        match (self.path_span.is_empty(), self.query) {
            (true, None) => Some(b"/"),
            (true, Some(_)) => None,
            (false, None) => Some(self.path_span.of(buf)),
            (false, Some(query)) => buf.get(self.path_span.range().start..query.range().end),
        }
    }

    pub(crate) fn parse(buf: &[u8], raw: Span, method: Method) -> Result<Self, DecodeError> {
        let at = raw.range().start;
        let bytes = raw.of(buf);
        let plain =
            |form, path_span, query| Self { form, raw, https: None, authority: None, path_span, query };
        match (bytes, method) {
            (_, Method::Connect) if host::is_valid_with_port(bytes) => {
                Ok(Self { authority: Some(raw), ..plain(TargetForm::Authority, Span::between(at, at), None) })
            }
            (_, Method::Connect) => Err(DecodeError::InvalidTarget { at }),
            ([b'/', ..], _) => {
                let (path, query) = split_query(buf, at, raw.range().end);
                Ok(plain(TargetForm::Origin, path, query))
            }
            (b"*", Method::Options) => Ok(plain(TargetForm::Asterisk, raw, None)),
            _ => Self::absolute(buf, raw),
        }
    }

    fn absolute(buf: &[u8], raw: Span) -> Result<Self, DecodeError> {
        let at = raw.range().start;
        let end = raw.range().end;
        let bytes = raw.of(buf);
        let scheme_len = memchr::memmem::find(bytes, b"://").ok_or(DecodeError::InvalidTarget { at })?;
        let https = match bytes.get(..scheme_len).unwrap_or_default() {
            scheme if scheme.eq_ignore_ascii_case(b"http") => false,
            scheme if scheme.eq_ignore_ascii_case(b"https") => true,
            _ => return Err(DecodeError::InvalidScheme),
        };
        let start = at + scheme_len + 3;
        let rest = buf.get(start..end).unwrap_or_default();
        let authority_len = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
        let authority = host::without_empty_port(Span::between(start, start + authority_len), buf);
        if !host::is_valid(authority.of(buf)) {
            return Err(DecodeError::InvalidHost);
        }
        let (path_span, query) = split_query(buf, start + authority_len, end);
        Ok(Self {
            form: TargetForm::Absolute,
            raw,
            https: Some(https),
            authority: Some(authority),
            path_span,
            query,
        })
    }
}

#[inline]
fn split_query(buf: &[u8], start: usize, end: usize) -> (Span, Option<Span>) {
    match memchr::memchr(b'?', buf.get(start..end).unwrap_or_default()) {
        None => (Span::between(start, end), None),
        Some(len) => (Span::between(start, start + len), Some(Span::between(start + len + 1, end))),
    }
}
