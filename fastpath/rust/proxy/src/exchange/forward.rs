//! What the router does to a request before it looks for an endpoint: headers, path, host.

use std::sync::Arc;
use std::time::Duration;

use meshloom_model::filter::FilterOverrides;
use meshloom_model::headers::HeaderOps;
use meshloom_model::route::{Forward, HostRewrite, PathRewrite, Route, Target};
use meshloom_model::subset::MetadataMatch;
use meshloom_wire::http1::{KnownHeader as H, is_authority};
use meshloom_wire::path::climbs;

use super::server_name::server_name;
use super::terms::{set_limits, set_retries};
use super::{Exchange, Stage};
use crate::downstream::Downstream;
use crate::engine::Engine;
use crate::reactor::{Millis, Token};
use crate::reply::Failure;

impl Engine {
    /// Prepares the request for its upstream, then looks for one.
    pub(crate) fn forward(
        &mut self,
        token: Token,
        exchange: &mut Exchange,
        down: &mut Downstream,
        route: &Route,
        forward: &Forward,
    ) {
        exchange.chain.stats.rq_total_router.inc();
        let Some(cluster) = exchange.cluster.filter(|id| self.clusters.has(*id)) else {
            exchange.chain.stats.no_cluster.inc();
            let status = forward.cluster_not_found_status;
            return self.fail(token, exchange, down, &Failure::ClusterNotFound { status });
        };
        set_limits(exchange, forward);
        self.touch(exchange);
        set_retries(exchange, forward);
        let external = self.clusters.get(cluster).is_some_and(|cluster| cluster.spec.external);
        self.tell_upstream_peer(exchange, external);
        let ops = exchange.request_ops(route);
        self.mutate_request(exchange, &ops);
        let entry = exchange.entry;
        rewrite_host(exchange, Exchange::host_rewrite(forward, entry), forward.append_x_forwarded_host);
        let names = self.clusters.get(cluster).and_then(|cluster| cluster.spec.server_names.as_ref());
        exchange.server_name = names.and_then(|names| server_name(exchange, names));
        if let Some(rewrite) = &forward.path_rewrite {
            rewrite_path(exchange, rewrite);
        }
        if let Some(failure) = unfit_for_upstream(exchange) {
            return self.fail(token, exchange, down, &failure);
        }
        expected_timeout(exchange, exchange.times.limits.response, forward.grpc_timeout.is_some());
        let answers = !exchange.chain.manager.proxy_continue;
        if answers && exchange.request.expect_continue && !exchange.body.complete {
            self.write_continue(exchange, down);
        }
        self.attempt(token, exchange, down);
        if exchange.body.complete {
            self.start_response_timer(exchange);
        }
    }

    /// The request is complete: the route's timeout begins.
    pub(crate) fn start_response_timer(&mut self, exchange: &mut Exchange) {
        if let Some(limit) = exchange.times.limits.response {
            exchange.deadlines.response = self.now().after(limit);
        }
    }

    /// Before another attempt: some of the time has passed.
    pub(super) fn expect_sooner(&self, exchange: &mut Exchange) {
        let ends = exchange.deadlines.response;
        if ends != Millis::NEVER {
            let left = Duration::from_millis(ends.since(self.now()));
            let heeds_calls = exchange.forward().is_some_and(|forward| forward.grpc_timeout.is_some());
            expected_timeout(exchange, Some(left), heeds_calls);
        }
    }

    /// Something has moved on the stream.
    pub(crate) fn touch(&mut self, exchange: &mut Exchange) {
        exchange.moved(self.now());
    }
}

impl Exchange {
    /// Something has moved on the stream.
    pub(crate) fn moved(&mut self, now: Millis) {
        let limits = &self.times.limits;
        let asks = self.tunnel == super::Tunnel::None && self.stage == Stage::Requesting;
        let owes = asks && !self.body.complete;
        let limit = if owes { limits.request_idle } else { limits.idle };
        self.deadlines.idle = limit.map_or(Millis::NEVER, |limit| now.after(limit));
    }

    /// Settings of filters for this request's route.
    pub(crate) fn overrides(&self) -> Option<&FilterOverrides> {
        let route = self.route.as_deref()?;
        match (self.forward().map(|forward| &forward.target), self.entry) {
            (Some(Target::Weighted(clusters)), Some(position)) => {
                clusters.entries.get(position).map(|entry| &entry.overrides)
            }
            _ => Some(&route.overrides),
        }
    }

    fn request_ops(&self, route: &Route) -> HeaderOps {
        match (self.forward().map(|forward| &forward.target), self.entry) {
            (Some(Target::Weighted(clusters)), Some(position)) => clusters
                .entries
                .get(position)
                .map_or_else(HeaderOps::default, |entry| entry.request_headers.clone()),
            _ => route.request_headers.clone(),
        }
    }

    pub(crate) fn response_ops(&self) -> Option<HeaderOps> {
        let route = self.route.as_deref()?;
        let ops = match (self.forward().map(|forward| &forward.target), self.entry) {
            (Some(Target::Weighted(clusters)), Some(position)) => {
                &clusters.entries.get(position)?.response_headers
            }
            _ => &route.response_headers,
        };
        (!ops.is_empty()).then(|| ops.clone())
    }

    /// Which subset of the cluster is asked for.
    pub(crate) fn metadata_match(&self) -> Option<Arc<MetadataMatch>> {
        let forward = self.forward()?;
        match (&forward.target, self.entry) {
            (Target::Weighted(clusters), Some(position)) => {
                clusters.entries.get(position)?.metadata_match.clone()
            }
            _ => forward.metadata_match.clone(),
        }
    }
}

/// Tells the upstream for how long its answer is awaited, `left` of the whole or the time of one attempt; where calls say
/// it, in gRPC's words too.
fn expected_timeout(exchange: &mut Exchange, left: Option<Duration>, heeds_calls: bool) {
    let expected = match (exchange.times.limits.attempt, left) {
        (Some(attempt), Some(response)) => Some(attempt.min(response)),
        (one, other) => one.or(other),
    };
    if let Some(expected) = expected.filter(|_| heeds_calls && exchange.outcome.is_grpc) {
        exchange.tell_grpc_timeout(expected);
    }
    if exchange.chain.router.suppress_envoy_headers {
        return;
    }
    exchange.request.fields.remove(H::XEnvoyExpectedRqTimeoutMs);
    if let Some(expected) = expected {
        let ms = u64::try_from(expected.as_millis()).unwrap_or(u64::MAX);
        exchange.request.fields.add_number(H::XEnvoyExpectedRqTimeoutMs, ms);
    }
}

/// What headers or the path made of the host and the target may not be said to an upstream: a host that is none, or a path
/// that climbs again though it was normalised.
fn unfit_for_upstream(exchange: &Exchange) -> Option<Failure> {
    let request = &exchange.request;
    if request.is_authority_rewritten() && !is_authority(request.authority()) {
        return Some(Failure::HostRejected);
    }
    let normalized = exchange.chain.paths.normalize && request.is_target_rewritten();
    (normalized && climbs(request.target())).then_some(Failure::PathRejected)
}

fn rewrite_path(exchange: &mut Exchange, rewrite: &PathRewrite) {
    let before: Box<[u8]> = exchange.request.target().into();
    let mut after = rewrite.apply(&before);
    if !after.starts_with(b"/") {
        // A target without its slash is none (RFC 9112 3.2.1).
        after.insert(0, b'/');
    }
    if !exchange.chain.router.suppress_envoy_headers {
        exchange.request.fields.set(H::XEnvoyOriginalPath, &before);
    }
    exchange.request.set_target(&after);
}

/// Rewrites that do not depend on the endpoint.
fn rewrite_host(exchange: &mut Exchange, rewrite: Option<&HostRewrite>, keep: bool) {
    use meshloom_model::matcher::RequestHead;
    let host: Option<Vec<u8>> = match rewrite {
        None | Some(HostRewrite::Endpoint) => None,
        Some(HostRewrite::Literal(text)) => Some(text.as_bytes().to_vec()),
        Some(HostRewrite::Header(name)) => {
            exchange.request.header(name.as_str()).map(|value| value.into_owned())
        }
        Some(HostRewrite::Path(replace)) => {
            let (path, _) = meshloom_model::route::split_path(exchange.request.target());
            Some(replace.replace_all(path))
        }
    };
    if let Some(host) = host {
        set_host(exchange, &host, keep);
    }
}

/// Replaces the authority, and keeps the old one in x-forwarded-host when asked.
pub(crate) fn set_host(exchange: &mut Exchange, host: &[u8], keep: bool) {
    let old = exchange.request.authority().to_vec();
    if !exchange.chain.router.suppress_envoy_headers && *host != *old {
        exchange.request.fields.set(H::XEnvoyOriginalHost, &old);
    }
    if keep {
        let joined = match exchange.request.fields.joined("x-forwarded-host") {
            Some(list) => [&*list, b",", &*old].concat(),
            None => old,
        };
        exchange.request.fields.set(H::XForwardedHost, &joined);
    }
    exchange.request.set_authority(host);
}
