//! The first steps of an exchange: may it be served at all, who asks, and what does the route say.

use std::sync::Arc;

use meshloom_model::hcm::{StripPort, UnderscoreHeaders};
use meshloom_model::route::{ClusterChoice, RequireTls, RouteAction};
use meshloom_wire::http1::{KnownHeader as H, Method};
use meshloom_wire::path::{PathOutcome, normalize};

use super::{Exchange, Origin, Stage, edge};
use crate::downstream::Downstream;
use crate::engine::Engine;
use crate::message::Protocol;
use crate::reactor::{Millis, Token};
use crate::reply::Failure;

/// What became of the first steps.
enum Begun {
    /// It goes on to filters and its route.
    Go,
    Fail(Failure),
    /// 307 or 301 to this location.
    Redirect(u16, Vec<u8>),
}

impl Engine {
    /// A request's head has arrived (and perhaps all of it).
    pub(crate) fn start_exchange(&mut self, token: Token, exchange: &mut Exchange, down: &mut Downstream) {
        exchange.body.replayable = true;
        exchange.outcome.is_grpc = exchange.request.is_grpc();
        let timeouts = &exchange.chain.manager.timeouts;
        exchange.times.limits.idle = timeouts.stream_idle;
        // Over HTTP/2 a client may well have nothing to say for long.
        let plain = exchange.request.version != Protocol::Http2;
        exchange.times.limits.request_idle = if plain { timeouts.request_idle } else { timeouts.stream_idle };
        if let Some(limit) = timeouts.request.filter(|_| !exchange.body.complete) {
            exchange.deadlines.request = self.now().after(limit);
        }
        if let Some(limit) = timeouts.max_stream {
            exchange.deadlines.life = self.now().after(limit);
        }
        if exchange.body.complete {
            exchange.times.request_end = Some(exchange.times.start);
        }
        if !exchange.chain.bypass_overload && self.refuses_request() {
            exchange.chain.stats.rq_overload_close.inc();
            return self.fail(token, exchange, down, &Failure::Overloaded);
        }
        let begun = self.check_request(exchange);
        match begun {
            Begun::Go => self.find_route(token, exchange, down),
            Begun::Fail(failure) => self.fail(token, exchange, down, &failure),
            Begun::Redirect(status, location) => {
                exchange.outcome.details = "path_normalization_failed".into();
                self.redirect_to(exchange, down, status, &location);
            }
        }
    }

    fn check_request(&mut self, exchange: &mut Exchange) -> Begun {
        let manager = Arc::clone(&exchange.chain.manager);
        let request = &mut exchange.request;
        if request.version == Protocol::Http10 && !manager.http1.accept_http_10 {
            return Begun::Fail(Failure::LowVersion);
        }
        super::tunnel::drop_needless(request);
        if let Some(failure) = check_names(exchange, manager.normalization.underscores) {
            return Begun::Fail(failure);
        }
        let request = &mut exchange.request;
        if request.authority().is_empty() {
            match &manager.http1.default_host_for_http_10 {
                Some(host) => request.set_authority(host.as_bytes()),
                None => return Begun::Fail(Failure::MissingHost),
            }
        }
        strip_host(exchange, manager.normalization.strip_port, manager.normalization.strip_trailing_dot);
        let connects = exchange.request.method == Method::Connect && exchange.request.upgrade.is_none();
        if !connects && !exchange.request.target().starts_with(b"/") {
            return Begun::Fail(Failure::NoPath);
        }
        if connects {
            self.identify(exchange);
            return Begun::Go;
        }
        let outcome = normalize(exchange.request.target(), exchange.chain.paths);
        if let Some(failure) = super::hop::count_hop(&mut exchange.request) {
            return Begun::Fail(failure);
        }
        let redirect = match outcome {
            PathOutcome::Unchanged => None,
            PathOutcome::Changed(path) => {
                exchange.request.set_target(&path);
                None
            }
            PathOutcome::Reject => return Begun::Fail(Failure::PathRejected),
            PathOutcome::Redirect(path) => Some(path),
        };
        self.identify(exchange);
        match redirect {
            Some(path) => Begun::Redirect(307, path),
            None => Begun::Go,
        }
    }

    /// Finds out who the client is and cleans the headers accordingly.
    fn identify(&mut self, exchange: &mut Exchange) {
        let info = &exchange.info;
        let origin =
            Origin { remote: info.remote, local: info.local, tls: info.is_tls(), own: self.local.address };
        exchange.client = edge::sanitize(&mut exchange.request, origin, &exchange.chain.edge, &mut self.rng);
        super::xfcc::rewrite(exchange);
        // Met here, unless the upstream is to meet it; from HTTP/1.0 it means nothing (RFC 9110 10.1.1).
        if !exchange.request.expect_continue || !exchange.chain.manager.proxy_continue {
            exchange.request.fields.remove(H::Expect);
        }
        keep_te_trailers(exchange);
        if !exchange.chain.manager.via.is_empty() {
            let via = exchange.chain.manager.via.as_bytes();
            let joined = match exchange.request.fields.joined("via") {
                Some(list) => [&*list, b", ", via].concat(),
                None => via.to_vec(),
            };
            exchange.request.fields.set(H::Via, &joined);
        }
        self.discover_downstream_peer(exchange);
    }

    /// Finds the route and the cluster, and goes on to the filters.
    pub(crate) fn find_route(&mut self, token: Token, exchange: &mut Exchange, down: &mut Downstream) {
        let random = self.rng.next();
        let host = exchange
            .chain
            .routes(&exchange.snapshot)
            .and_then(|table| table.host(exchange.request.authority()))
            .map(Arc::clone);
        if let Some(host) = &host {
            // What a client says of its own connection does not count.
            let plain = exchange.request.fields.get(H::XForwardedProto) != Some(b"https");
            let redirects = match host.require_tls {
                RequireTls::Never => false,
                RequireTls::External => plain && !exchange.client.internal,
                RequireTls::Always => plain,
            };
            if redirects {
                return self.redirect_to_tls(exchange, down);
            }
        }
        exchange.route = host.and_then(|host| host.route(&exchange.request, random).map(Arc::clone));
        self.limit_life(exchange);
        self.pick_cluster(exchange);
        if let Err(failure) = self.ask_for_tunnel(exchange, down) {
            return self.fail(token, exchange, down, &failure);
        }
        self.apply_faults(token, exchange, down);
    }

    /// Draws the cluster, so that filters and statistics know it.
    fn pick_cluster(&mut self, exchange: &mut Exchange) {
        let Some(route) = exchange.route.clone() else { return };
        let RouteAction::Forward(forward) = &route.action else { return };
        let picked = forward.pick(&route, &exchange.request, self.rng.next());
        let cluster = match &picked.cluster {
            ClusterChoice::Known(index) => Some(*index),
            ClusterChoice::Named(name) => exchange.snapshot.cluster_named(name),
        };
        let entry = picked.entry;
        exchange.cluster = cluster;
        exchange.entry = entry;
    }

    /// Does what the route says, after the filters.
    pub(crate) fn follow_route(&mut self, token: Token, exchange: &mut Exchange, down: &mut Downstream) {
        exchange.stage = Stage::Requesting;
        exchange.deadlines.wake = Millis::NEVER;
        self.touch(exchange);
        let Some(route) = exchange.route.clone() else {
            exchange.chain.stats.no_route.inc();
            return self.fail(token, exchange, down, &Failure::NoRoute);
        };
        match &route.action {
            RouteAction::Forward(forward) => self.forward(token, exchange, down, &route, forward),
            RouteAction::Redirect(redirect) => self.redirect(exchange, down, redirect),
            RouteAction::Direct(direct) => self.direct_response(exchange, down, direct),
        }
    }
}

fn check_names(exchange: &mut Exchange, rule: UnderscoreHeaders) -> Option<Failure> {
    if rule == UnderscoreHeaders::Allow {
        return None;
    }
    let odd: Vec<String> = exchange
        .request
        .fields
        .forwarded()
        .filter(|(name, _)| name.contains(&b'_'))
        .map(|(name, _)| String::from_utf8_lossy(name).to_ascii_lowercase())
        .collect();
    match rule {
        UnderscoreHeaders::RejectRequest if !odd.is_empty() => Some(Failure::UnderscoreRejected),
        _ => {
            odd.iter().for_each(|name| exchange.request.fields.remove_name(name));
            None
        }
    }
}

/// Of TE, which concerns one connection only, `trailers` is passed on: gRPC servers ask for it.
fn keep_te_trailers(exchange: &mut Exchange) {
    let wanted = exchange.request.fields.get(H::Te).is_some_and(|value| {
        value.split(|byte| *byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    });
    if wanted {
        exchange.request.fields.add(H::Te, b"trailers");
    }
}

fn without_port(authority: &[u8]) -> &[u8] {
    match authority.iter().rposition(|byte| *byte == b':') {
        Some(colon) if authority.get(colon + 1..).is_some_and(|port| port.iter().all(u8::is_ascii_digit)) => {
            authority.get(..colon).unwrap_or(authority)
        }
        _ => authority,
    }
}

fn strip_host(exchange: &mut Exchange, rule: StripPort, dot: bool) {
    if rule == StripPort::Keep && !dot {
        return;
    }
    let local = exchange.info.local.port().to_string();
    let authority = exchange.request.authority();
    let host = without_port(authority);
    let port = authority.get(host.len() + 1..).unwrap_or_default();
    let strip = match rule {
        StripPort::Keep => false,
        StripPort::Matching => port == local.as_bytes(),
        StripPort::Any => true,
    };
    let name = if dot { host.strip_suffix(b".").unwrap_or(host) } else { host };
    let kept = if strip { &[][..] } else { authority.get(host.len()..).unwrap_or_default() };
    let stripped = [name, kept].concat();
    if stripped != authority {
        exchange.request.set_authority(&stripped);
    }
}
