//! The fault filter: delays and aborts, before the router sees the request (semantics of Envoy's, whose delay is not cut
//! by the route's timeout and whose abort is not retried).

use std::sync::Arc;
use std::time::Duration;

use meshloom_model::ResponseFlag;
use meshloom_model::filter::{AbortStatus, Fault};
use meshloom_model::matcher::RequestHead;

use super::{Exchange, Stage};
use crate::downstream::Downstream;
use crate::engine::Engine;
use crate::listener::FaultFilter;
use crate::reactor::Token;
use crate::reply::Failure;

impl Engine {
    /// Lets the fault filters have the request; goes on to its route when none keeps it.
    pub(crate) fn apply_faults(&mut self, token: Token, exchange: &mut Exchange, down: &mut Downstream) {
        let delay = match self.faults(exchange).find_map(|fault| self.delay(exchange, &fault)) {
            Some(delay) if !delay.is_zero() => delay,
            _ => return self.abort_or_go(token, exchange, down),
        };
        exchange.flag(ResponseFlag::DelayInjected);
        let chain = &exchange.chain;
        chain.stats.fault_delays.inc();
        chain.active_faults.set(chain.active_faults.get() + 1);
        exchange.stage = Stage::Delayed;
        exchange.deadlines.wake = self.now().after(delay);
    }

    /// The injected delay is over.
    pub(crate) fn after_delay(&mut self, token: Token, exchange: &mut Exchange, down: &mut Downstream) {
        let active = &exchange.chain.active_faults;
        active.set(active.get().saturating_sub(1));
        self.abort_or_go(token, exchange, down);
    }

    fn abort_or_go(&mut self, token: Token, exchange: &mut Exchange, down: &mut Downstream) {
        match self.faults(exchange).find_map(|fault| self.abort(exchange, &fault)) {
            Some(failure) => {
                exchange.chain.stats.fault_aborts.inc();
                self.fail(token, exchange, down, &failure);
            }
            None => self.follow_route(token, exchange, down),
        }
    }

    /// The fault settings that hold for this request.
    fn faults(&self, exchange: &Exchange) -> impl Iterator<Item = Arc<Fault>> + use<> {
        let found: Vec<Arc<Fault>> =
            exchange.chain.faults.iter().filter_map(|filter| settings(exchange, filter)).collect();
        found.into_iter().filter(|fault| fault.delay.is_some() || fault.abort.is_some())
    }

    fn delay(&mut self, exchange: &Exchange, fault: &Fault) -> Option<Duration> {
        let delay = fault.delay.filter(|_| applies(exchange, fault))?;
        let duration = match delay.duration {
            Some(duration) => duration,
            None => Duration::from_millis(number(exchange, "x-envoy-fault-delay-request")?),
        };
        let share = share(exchange, "x-envoy-fault-delay-request-percentage", delay.millionths);
        self.rng.hits(share).then_some(duration)
    }

    fn abort(&mut self, exchange: &Exchange, fault: &Fault) -> Option<Failure> {
        let abort = fault.abort.filter(|_| applies(exchange, fault))?;
        let failure = match abort.status {
            AbortStatus::Http(status) => Failure::FaultAbort { status, grpc: None },
            AbortStatus::Grpc(code) => Failure::FaultAbort { status: 200, grpc: Some(code) },
            AbortStatus::Header => header_abort(exchange)?,
        };
        let share = share(exchange, "x-envoy-fault-abort-request-percentage", abort.millionths);
        self.rng.hits(share).then_some(failure)
    }
}

/// The filter's settings, or what the route has in their place.
fn settings(exchange: &Exchange, filter: &FaultFilter) -> Option<Arc<Fault>> {
    let own = exchange.overrides().and_then(|overrides| overrides.get(&filter.name));
    let disabled = own.and_then(|own| own.disabled).unwrap_or(filter.disabled);
    if disabled {
        return None;
    }
    Some(own.and_then(|own| own.fault.clone()).unwrap_or_else(|| Arc::clone(&filter.fault)))
}

fn applies(exchange: &Exchange, fault: &Fault) -> bool {
    let cluster = || exchange.cluster.and_then(|index| exchange.snapshot.clusters.name_of(index));
    let node = || exchange.request.header("x-envoy-downstream-service-node");
    fault.max_active.is_none_or(|most| exchange.chain.active_faults.get() < most)
        && fault.upstream_cluster.as_deref().is_none_or(|name| cluster() == Some(name))
        && (fault.downstream_nodes.is_empty()
            || node().is_some_and(|node| fault.downstream_nodes.iter().any(|name| name.as_bytes() == &*node)))
        && fault.headers.iter().all(|matcher| matcher.matches(&exchange.request))
}

fn number(exchange: &Exchange, name: &str) -> Option<u64> {
    std::str::from_utf8(&exchange.request.header(name)?).ok()?.trim().parse().ok()
}

/// A header may lower the share, given in percent.
fn share(exchange: &Exchange, name: &str, configured: u32) -> u32 {
    match number(exchange, name).and_then(|percent| u32::try_from(percent).ok()) {
        Some(percent) => percent.saturating_mul(10_000).min(configured),
        None => configured,
    }
}

fn header_abort(exchange: &Exchange) -> Option<Failure> {
    let http = number(exchange, "x-envoy-fault-abort-request")
        .and_then(|status| u16::try_from(status).ok())
        .filter(|status| (200..600).contains(status))
        .map(|status| Failure::FaultAbort { status, grpc: None });
    http.or_else(|| {
        let code = u32::try_from(number(exchange, "x-envoy-fault-abort-grpc-request")?).ok()?;
        Some(Failure::FaultAbort { status: 200, grpc: Some(code) })
    })
}
