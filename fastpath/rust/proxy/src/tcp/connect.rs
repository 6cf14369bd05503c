//! From a client's connection to its upstream: which cluster, which endpoint, and the next one when that fails.

use std::rc::Rc;

use meshloom_balance::{Outcome, Resource, xx64};
use meshloom_model::ResponseFlag;
use meshloom_model::route::ResourcePriority;

use crate::downstream::{CloseReason, Downstream, DownstreamState, Fate};
use crate::engine::Engine;
use crate::reactor::{Millis, Token};
use crate::reply::Failure;
use crate::upstream::{Lane, Own, UpstreamState, Want, redirected};

/// How often an endpoint is drawn anew that was tried already.
const HOST_DRAWS: u32 = 5;

impl Engine {
    /// A connection for the TCP proxy: its upstream is chosen and asked for.
    pub(crate) fn tcp_start(&mut self, token: Token, down: &mut Downstream) -> Fate {
        let random = self.rng.next();
        let now = self.now();
        let DownstreamState::Tcp(session) = &mut down.state else {
            return Fate::Close(CloseReason::Internal);
        };
        session.cluster = session.chain.proxy.pick(random);
        session.cluster_name =
            session.cluster.and_then(|id| self.snapshot.clusters.name_of(id)).map(Into::into);
        let proxy = &session.chain.proxy;
        session.times.life = proxy.max_connection_duration.map_or(Millis::NEVER, |life| {
            let share = f64::from(proxy.duration_jitter) / 1e6 * random_share(random);
            now.after(life.mul_f64(1.0 + share))
        });
        session.times.log = proxy.log_interval.map_or(Millis::NEVER, |interval| now.after(interval));
        down.deadline = session.times.next();
        self.tcp_connect(token, down)
    }

    fn tcp_connect(&mut self, token: Token, down: &mut Downstream) -> Fate {
        let DownstreamState::Tcp(session) = &mut down.state else {
            return Fate::Close(CloseReason::Internal);
        };
        session.attempts += 1;
        let now = self.now();
        let Some(cluster) = session.cluster.and_then(|id| self.clusters.get_warm(id, now)) else {
            session.chain.stats.cx_no_route.inc();
            session.flags.set(ResponseFlag::NoClusterFound);
            return Fate::Close(CloseReason::Local);
        };
        let going_to = redirected(down.info.local, &self.listeners);
        let by_source = cluster.spec.balance.policy.is_consistent() && session.chain.proxy.hash_source;
        let want = Want {
            tried: &session.tried,
            choices: HOST_DRAWS,
            subset: None,
            hash: by_source.then(|| xx64(down.info.remote.ip().to_string().as_bytes())),
            now: self.clock.instant(),
        };
        let picked = match (cluster.original_destination(), session.cluster) {
            (Some(_), Some(id)) => going_to.and_then(|address| cluster.host_at(id, address)),
            _ => cluster.pick(&want, &mut self.rng),
        };
        let Some(host) = picked else {
            cluster.stats.cx_none_healthy.inc();
            session.flags.set(ResponseFlag::NoHealthyUpstream);
            return Fate::Close(CloseReason::Local);
        };
        let room = cluster.breakers(ResourcePriority::Default).has_room(Resource::Connections);
        if !room && host.connections.get() > 0 {
            cluster.stats.cx_overflow.inc();
            session.flags.set(ResponseFlag::UpstreamOverflow);
            return Fate::Close(CloseReason::Local);
        }
        session.host = Some(Rc::clone(&host));
        let preamble = self.proxy_header(&host, &down.info);
        let opened = preamble.and_then(|preamble| {
            let lane = Lane { own: Own { name: None, preamble }, ..Lane::HTTP1 };
            self.open_connection(&host, UpstreamState::Tunnel(token), &lane)
        });
        match opened {
            Ok(connection) => {
                session.upstream = Some(connection);
                Fate::Keep
            }
            Err(failure) => self.tcp_try_again(token, down, &failure),
        }
    }

    /// The connection to the upstream did not come about.
    pub(crate) fn tcp_connect_failed(&mut self, token: Token, failure: &Failure) {
        let Some(mut down) = self.downs.take(token) else { return };
        let fate = self.tcp_try_again(token, &mut down, failure);
        self.settle_downstream(token, down, fate);
    }

    fn tcp_try_again(&mut self, token: Token, down: &mut Downstream, failure: &Failure) -> Fate {
        let now = self.clock.instant();
        let DownstreamState::Tcp(session) = &mut down.state else {
            return Fate::Close(CloseReason::Internal);
        };
        session.upstream = None;
        if let Some(host) = session.host.take() {
            if let Some(cluster) = self.clusters.get_mut(host.cluster) {
                cluster.observe(&host, Outcome::ConnectFailed, now, &mut self.rng);
            }
            session.tried.push(Rc::clone(&host));
            session.host = Some(host);
        }
        if let Failure::ConnectFailed { reason } = failure {
            session.failure = Some(reason.to_string());
        }
        if session.attempts < session.chain.proxy.max_connect_attempts {
            return self.tcp_connect(token, down);
        }
        session.flags.set(ResponseFlag::UpstreamConnectionFailure);
        if session.attempts > 1 {
            session.flags.set(ResponseFlag::UpstreamRetryLimitExceeded);
        }
        Fate::Close(CloseReason::Local)
    }
}

/// A number from 0 to 1.
#[allow(clippy::cast_precision_loss, reason = "a share need not be exact")]
fn random_share(random: u64) -> f64 {
    (random >> 11) as f64 / (1u64 << 53) as f64
}
