//! Answers that are made here: failures told, direct responses, redirects. A gRPC call gets each of them as gRPC says it:
//! 200, with the status and the words in headers.

use std::borrow::Cow;

use meshloom_model::route::{DirectResponse, PortRewrite, Redirect, RedirectPath};
use meshloom_wire::http1::{BodyLength, KnownHeader as H};

use super::Exchange;
use crate::downstream::Downstream;
use crate::engine::Engine;
use crate::message::Protocol;
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

    /// Sends the client elsewhere, as the route says. For Envoy's statistics this is a direct response.
    pub(crate) fn redirect(&mut self, exchange: &mut Exchange, down: &mut Downstream, redirect: &Redirect) {
        let location = location(exchange, redirect);
        self.redirect_by_route(exchange, down, redirect.status, &location);
    }

    /// Sends the client to the same place over TLS.
    pub(super) fn redirect_to_tls(&mut self, exchange: &mut Exchange, down: &mut Downstream) {
        let request = &exchange.request;
        let location = [b"https://", request.authority(), request.target()].concat();
        self.redirect_by_route(exchange, down, 301, &location);
    }

    fn redirect_by_route(
        &mut self,
        exchange: &mut Exchange,
        down: &mut Downstream,
        status: u16,
        location: &[u8],
    ) {
        exchange.chain.stats.rq_direct_response.inc();
        exchange.outcome.details = Cow::Borrowed("direct_response");
        self.redirect_to(exchange, down, status, location);
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
        if answer.status == 400 && exchange.request.version != Protocol::Http2 {
            // The request was wrong, says Envoy, and so may be what follows it.
            down.end_after_exchange();
        }
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
    let mut out = [scheme.as_bytes(), b"://"].concat();
    match &redirect.host {
        Some(host) => out.extend_from_slice(host.as_bytes()),
        None => out.extend_from_slice(kept_authority(exchange, scheme, redirect.port)),
    }
    if let PortRewrite::Set(port) = redirect.port {
        out.extend_from_slice(format!(":{port}").as_bytes());
    }
    out.extend_from_slice(&redirect_target(request.target(), redirect));
    out
}

/// The authority that was asked for: without its port where another is set, or where it is the old scheme's own.
fn kept_authority<'a>(exchange: &'a Exchange, scheme: &str, port: PortRewrite) -> &'a [u8] {
    let authority = exchange.request.authority();
    let (host, old) = split_port(authority);
    let was = exchange.request.fields.get(H::XForwardedProto).unwrap_or_default();
    let own: &[u8] = if was == b"https" { b"443" } else { b"80" };
    let changes = was != scheme.as_bytes() && matches!(was, b"http" | b"https");
    if matches!(port, PortRewrite::Set(_)) || (changes && old == Some(own)) { host } else { authority }
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
