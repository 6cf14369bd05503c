//! Answers that are made here: failures told, direct responses, redirects. A gRPC call gets each of them as gRPC says it:
//! 200, with the status and the words in headers.

use std::borrow::Cow;

use meshloom_model::route::{DirectResponse, PortRewrite, Redirect, RedirectPath};
use meshloom_wire::http1::{BodyLength, KnownHeader as H};

use super::Exchange;
use crate::downstream::Downstream;
use crate::engine::Engine;
use crate::message::Scheme;
use crate::reply::{LocalReply, grpc_status};

/// What an answer says.
struct Answer<'a> {
    status: u16,
    body: &'a [u8],
    grpc_status: u32,
    /// One more header.
    header: Option<(H, &'a [u8])>,
}

impl Engine {
    /// Tells the client of a failure.
    pub(super) fn local_reply(
        &mut self,
        exchange: &mut Exchange,
        down: &mut Downstream,
        reply: &LocalReply,
        overloaded: bool,
    ) {
        exchange.outcome.details = reply.details.clone();
        exchange.outcome.local_body = Some(reply.body.clone()).filter(|body| !body.is_empty());
        let tells = overloaded && !exchange.chain.router.suppress_envoy_headers;
        let answer = Answer {
            status: reply.status,
            body: reply.body.as_bytes(),
            grpc_status: reply.grpc_status,
            header: tells.then_some((H::XEnvoyOverloaded, b"true")),
        };
        self.answer(exchange, down, &answer);
    }

    pub(crate) fn direct_response(
        &mut self,
        exchange: &mut Exchange,
        down: &mut Downstream,
        direct: &DirectResponse,
    ) {
        exchange.chain.stats.rq_direct_response.inc();
        exchange.outcome.details = Cow::Borrowed("direct_response");
        // Envoy points to what was asked for.
        let points = direct.status == 201 || (300..400).contains(&direct.status);
        let request = &exchange.request;
        let location =
            [request.scheme.as_str().as_bytes(), b"://", request.authority(), request.target()].concat();
        let answer = Answer {
            status: direct.status,
            body: if matches!(direct.status, 204 | 304) { b"" } else { &direct.body },
            grpc_status: grpc_status(direct.status),
            header: points.then_some((H::Location, &location)),
        };
        self.answer(exchange, down, &answer);
    }

    pub(crate) fn redirect(&mut self, exchange: &mut Exchange, down: &mut Downstream, redirect: &Redirect) {
        exchange.chain.stats.rq_redirect.inc();
        exchange.outcome.details = Cow::Borrowed("direct_response");
        let location = location(exchange, redirect);
        self.redirect_to(exchange, down, redirect.status, &location);
    }

    pub(crate) fn redirect_to(
        &mut self,
        exchange: &mut Exchange,
        down: &mut Downstream,
        status: u16,
        location: &[u8],
    ) {
        let header = Some((H::Location, location));
        self.answer(exchange, down, &Answer { status, body: b"", grpc_status: grpc_status(status), header });
    }

    fn answer(&mut self, exchange: &mut Exchange, down: &mut Downstream, answer: &Answer<'_>) {
        exchange.response.make(answer.status, BodyLength::None);
        if let Some((id, value)) = answer.header {
            exchange.response.fields.add(id, value);
        }
        let mapped = exchange.local_replies().map(|replies| self.map_reply(exchange, &replies, answer.body));
        let body = mapped.as_deref().unwrap_or(answer.body);
        let status = exchange.response.status;
        let grpc = exchange.outcome.is_grpc;
        let fields = &mut exchange.response.fields;
        if grpc {
            let code = if status == answer.status { answer.grpc_status } else { grpc_status(status) };
            exchange.outcome.grpc_status = Some(code);
            fields.set(H::ContentType, b"application/grpc");
            fields.add_number(H::GrpcStatus, u64::from(code));
            if !body.is_empty() {
                fields.add(H::GrpcMessage, &percent_encode(body));
            }
            exchange.response.status = 200;
            return self.send_local(exchange, down, b"");
        }
        if body.is_empty() {
            if mapped.is_some() {
                fields.remove(H::ContentType);
            }
        } else {
            if !fields.contains(H::ContentType) {
                fields.add(H::ContentType, b"text/plain");
            }
            exchange.response.body = BodyLength::Length(body.len() as u64);
        }
        self.send_local(exchange, down, body);
    }
}

fn location(exchange: &Exchange, redirect: &Redirect) -> Vec<u8> {
    let request = &exchange.request;
    let scheme = redirect.scheme.as_deref().unwrap_or(request.scheme.as_str());
    let authority = request.authority();
    let (host, port) = split_port(authority);
    let host: &[u8] = redirect.host.as_deref().map_or(host, str::as_bytes);
    let port = match redirect.port {
        PortRewrite::Set(port) => Some(port.to_string().into_bytes()),
        PortRewrite::Keep if redirect.host.is_some() => None,
        PortRewrite::Keep => {
            let old = if request.scheme == Scheme::Https { &b"443"[..] } else { b"80" };
            let changes = redirect.scheme.as_deref().is_some_and(|to| to != request.scheme.as_str());
            port.filter(|port| !(changes && *port == old)).map(<[u8]>::to_vec)
        }
    };
    // The scheme's own port goes without saying.
    let port = port.filter(|port| !matches!((scheme, &**port), ("http", b"80") | ("https", b"443")));
    let mut out = [scheme.as_bytes(), b"://", host].concat();
    if let Some(port) = port {
        out.push(b':');
        out.extend_from_slice(&port);
    }
    out.extend_from_slice(&redirect_target(exchange.request.target(), redirect));
    out
}

fn redirect_target(target: &[u8], redirect: &Redirect) -> Vec<u8> {
    let (path, _) = meshloom_model::route::split_path(target);
    let query = target.get(path.len()..).unwrap_or_default();
    match &redirect.path {
        RedirectPath::Keep if redirect.strip_query => path.to_vec(),
        RedirectPath::Keep => target.to_vec(),
        RedirectPath::Replace(path) => {
            let mut new = path.as_bytes().to_vec();
            if !redirect.strip_query && !new.contains(&b'?') {
                new.extend_from_slice(query);
            }
            new
        }
        RedirectPath::Rewrite(rewrite) => rewrite.apply(if redirect.strip_query { path } else { target }),
    }
}

fn split_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    match authority.iter().rposition(|byte| *byte == b':') {
        Some(colon) if authority.get(colon + 1..).is_some_and(|port| port.iter().all(u8::is_ascii_digit)) => {
            (authority.get(..colon).unwrap_or_default(), authority.get(colon + 1..))
        }
        _ => (authority, None),
    }
}

/// gRPC's encoding of `grpc-message`.
fn percent_encode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b' '..=b'~' if *byte != b'%' => out.push(*byte),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    out
}
