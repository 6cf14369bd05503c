//! The end of an exchange: what is counted, and what is written down.

use meshloom_model::ResponseFlag;
use meshloom_model::access_log::LogFilter;

use super::values::ExchangeValues;
use super::{Exchange, Link, Stage};
use crate::engine::Engine;
use crate::telemetry::class_of;

/// How the client went before the exchange was over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone {
    pub(crate) flag: ResponseFlag,
    pub(crate) details: &'static str,
}

impl Gone {
    /// With its connection.
    pub(crate) const DISCONNECTED: Self =
        Self { flag: ResponseFlag::DownstreamConnectionTermination, details: "downstream_remote_disconnect" };
}

impl Engine {
    /// Counts and logs; the exchange is over.
    pub(crate) fn finish(&mut self, exchange: &mut Exchange) {
        exchange.stage = Stage::Done;
        let status = exchange.outcome.status;
        let elapsed = exchange.elapsed_ms(self.clock.instant());
        let stats = &exchange.chain.stats;
        // Those that got an answer, as Envoy counts them.
        if status != 0 {
            stats.rq_completed.inc();
        }
        stats.rq_active.sub(1);
        if exchange.tunnel == super::Tunnel::Open {
            stats.cx_upgrades_active.sub(1);
        }
        stats.rq_time.record(elapsed);
        if let Some(counter) = class_of(&stats.rq_class, status) {
            counter.inc();
        }
        self.count_upstream(exchange, status);
        self.count_istio(exchange);
        self.write_logs(exchange, elapsed);
    }

    fn count_upstream(&mut self, exchange: &Exchange, status: u16) {
        if exchange.tries.made == 0 || status == 0 {
            return;
        }
        let Some(cluster) = exchange.cluster.and_then(|id| self.clusters.get_mut(id)) else { return };
        cluster.stats.rq_completed.inc();
        if let Some(counter) = class_of(&cluster.stats.rq_class, status) {
            counter.inc();
        }
        let name = cluster.spec.stat_name().to_owned();
        cluster.codes.get(&mut self.telemetry, &name, status).inc();
        if let (Some(begin), Some(end)) = (exchange.times.upstream_begin, exchange.times.response_begin) {
            let ms = end.saturating_duration_since(begin).as_millis();
            cluster.stats.rq_time.record(u64::try_from(ms).unwrap_or(u64::MAX));
        }
    }

    fn write_logs(&mut self, exchange: &Exchange, elapsed: u64) {
        let Self { logs, clock, local, rng, .. } = self;
        for target in &exchange.chain.logs {
            let values = ExchangeValues::new(exchange, clock, local);
            if target.log.filter.as_ref().is_none_or(|filter| passes(filter, exchange, elapsed, rng)) {
                logs.append(target.sink, clock.millis(), |out| target.log.format.render(&values, out));
            }
        }
    }

    /// The client is gone: nothing can be answered any more.
    pub(crate) fn client_gone(&mut self, exchange: &mut Exchange, gone: Gone) {
        if exchange.is_done() {
            return;
        }
        let stats = &exchange.chain.stats;
        stats.rq_rx_reset.inc();
        if exchange.stage == Stage::Delayed {
            let active = &exchange.chain.active_faults;
            active.set(active.get().saturating_sub(1));
        }
        if !matches!(exchange.link, Link::None) {
            self.count_cluster(exchange, |stats| stats.rq_cancelled.inc());
        }
        self.abort_upstream(exchange);
        if exchange.stage != Stage::Responding || exchange.outcome.details == "via_upstream" {
            exchange.flag(gone.flag);
            exchange.outcome.details = gone.details.into();
        }
        exchange.times.response_end = Some(self.clock.instant());
        self.finish(exchange);
    }
}

pub(super) fn passes(
    filter: &LogFilter,
    exchange: &Exchange,
    elapsed: u64,
    rng: &mut crate::util::Rng,
) -> bool {
    match filter {
        LogFilter::Status(test) => test.matches(u64::from(exchange.outcome.status)),
        LogFilter::DurationMs(test) => test.matches(elapsed),
        LogFilter::Flags(flags) if flags.is_empty() => !exchange.outcome.flags.is_empty(),
        LogFilter::Flags(flags) => exchange.outcome.flags.intersects(*flags),
        LogFilter::Header(matcher) => matcher.matches(&exchange.request),
        LogFilter::NotHealthCheck => true,
        LogFilter::Sample { millionths, .. } => rng.hits(*millionths),
        LogFilter::And(all) => all.iter().all(|filter| passes(filter, exchange, elapsed, rng)),
        LogFilter::Or(any) => any.iter().any(|filter| passes(filter, exchange, elapsed, rng)),
    }
}
