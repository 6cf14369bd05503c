//! Request heads (RFC 9113 8.3.1, 8.5, RFC 8441 4).

use super::pseudo::Pseudo;
use crate::http1::{KnownHeader, Method, Span, chars, framing, host, scan};
use crate::http2::{Head, RequestLine, StreamFault};

/// Applies the rules that need the whole head, and fills in what it says.
pub(super) fn accept(head: &mut Head, pseudo: &Pseudo, allow_connect: bool) -> Result<(), StreamFault> {
    if pseudo.status.is_some() || (pseudo.protocol.is_some() && !allow_connect) {
        return Err(StreamFault::InvalidPseudoField);
    }
    let method_span = pseudo.method.ok_or(StreamFault::MissingPseudoField)?;
    let method_text = method_span.of(&head.bytes);
    if method_text.is_empty() || !method_text.iter().all(|byte| chars::is_token(*byte)) {
        return Err(StreamFault::InvalidMethod);
    }
    let method = Method::from_bytes(method_text);
    let is_tunnel = method == Method::Connect && pseudo.protocol.is_none();
    let target = if is_tunnel { tunnel(pseudo)? } else { target(&head.bytes, pseudo, method)? };
    head.request = RequestLine {
        method,
        method_span,
        https: target.https,
        path: target.path,
        authority: authority(head, pseudo, is_tunnel)?,
        protocol: protocol(&head.bytes, pseudo, method)?,
        te_trailers: head.headers.contains(KnownHeader::Te),
        expect_continue: is_expect_continue(head),
    };
    head.content_length = content_length(head)?;
    if method == Method::Connect && head.content_length.is_some() {
        return Err(StreamFault::InvalidContentLength);
    }
    head.join_crumbs();
    Ok(())
}

struct Target {
    https: bool,
    path: Span,
}

/// CONNECT has neither scheme nor path (RFC 9113 8.5).
fn tunnel(pseudo: &Pseudo) -> Result<Target, StreamFault> {
    match (pseudo.scheme, pseudo.path) {
        (None, None) => Ok(Target { https: false, path: Span::EMPTY }),
        _ => Err(StreamFault::InvalidPseudoField),
    }
}

fn target(bytes: &[u8], pseudo: &Pseudo, method: Method) -> Result<Target, StreamFault> {
    let scheme = pseudo.scheme.ok_or(StreamFault::MissingPseudoField)?.of(bytes);
    let path = pseudo.path.ok_or(StreamFault::MissingPseudoField)?;
    let https = scheme.eq_ignore_ascii_case(b"https");
    if !https && !scheme.eq_ignore_ascii_case(b"http") {
        return Err(StreamFault::InvalidScheme);
    }
    match path.of(bytes) {
        b"*" if method == Method::Options => {}
        text if text.first() == Some(&b'/') && scan::target_end(text, 0) == text.len() => {}
        _ => return Err(StreamFault::InvalidPath),
    }
    Ok(Target { https, path })
}

/// Host may repeat what `:authority` says, or stand for it; where they differ, one of the two parties that read them
/// would be misled.
fn authority(head: &Head, pseudo: &Pseudo, is_tunnel: bool) -> Result<Span, StreamFault> {
    if head.headers.is_repeated(KnownHeader::Host) {
        return Err(StreamFault::InvalidAuthority);
    }
    let host = head.headers.get(KnownHeader::Host).map(|field| field.value);
    let differs = |one: Span, other: Span| !one.of(&head.bytes).eq_ignore_ascii_case(other.of(&head.bytes));
    let authority = match (pseudo.authority, host) {
        (Some(authority), Some(host)) if differs(authority, host) => {
            return Err(StreamFault::InvalidAuthority);
        }
        (Some(authority), _) => authority,
        (None, Some(host)) if !is_tunnel => host,
        (None, _) => return Err(StreamFault::MissingPseudoField),
    };
    let text = authority.of(&head.bytes);
    let is_valid = if is_tunnel { host::is_valid_with_port(text) } else { host::is_valid(text) };
    if is_valid { Ok(authority) } else { Err(StreamFault::InvalidAuthority) }
}

fn protocol(bytes: &[u8], pseudo: &Pseudo, method: Method) -> Result<Option<Span>, StreamFault> {
    let Some(protocol) = pseudo.protocol else { return Ok(None) };
    let text = protocol.of(bytes);
    let is_token = !text.is_empty() && text.iter().all(|byte| chars::is_token(*byte));
    if method != Method::Connect || !is_token {
        return Err(StreamFault::InvalidProtocol);
    }
    Ok(Some(protocol))
}

/// One decimal number; twice the same number is not worth the argument.
pub(super) fn content_length(head: &Head) -> Result<Option<u64>, StreamFault> {
    let Some(value) = head.headers.value(KnownHeader::ContentLength, &head.bytes) else { return Ok(None) };
    if head.headers.is_repeated(KnownHeader::ContentLength) {
        return Err(StreamFault::InvalidContentLength);
    }
    framing::decimal(value).map(Some).ok_or(StreamFault::InvalidContentLength)
}

fn is_expect_continue(head: &Head) -> bool {
    let value = head.headers.value(KnownHeader::Expect, &head.bytes);
    value.is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
}
