//! How many connections a filter chain takes at a time.

use std::cell::Cell;
use std::time::Duration;

use meshloom_model::filter_chain::ConnectionLimit;
use meshloom_shm::Telemetry;

use super::ChainRuntime;
use crate::telemetry::LimitStats;

/// A limit and who counts towards it.
pub(crate) struct Limit {
    /// This worker's share.
    most: u64,
    delay: Duration,
    enabled: bool,
    active: Cell<u64>,
    stats: LimitStats,
}

impl Limit {
    /// The limit holds for all workers together. None counts for the others, so each takes an equal share.
    pub(super) fn new(spec: &ConnectionLimit, workers: u32, telemetry: &mut Telemetry) -> Self {
        Self {
            most: spec.max_connections.div_ceil(u64::from(workers.max(1))),
            delay: spec.delay,
            enabled: spec.enabled,
            active: Cell::new(0),
            stats: LimitStats::register(telemetry, &spec.stat_prefix),
        }
    }

    fn add(&self) {
        self.active.set(self.active.get() + 1);
        self.stats.active.add(1);
    }

    fn sub(&self) {
        self.active.set(self.active.get().saturating_sub(1));
        self.stats.active.sub(1);
    }
}

impl ChainRuntime {
    /// Takes a connection in, or says how long to wait before it is closed.
    pub(super) fn admit(&self) -> Result<(), Duration> {
        if let Some(full) = self.limits.iter().find(|limit| limit.enabled && limit.active.get() >= limit.most)
        {
            full.stats.limited.inc();
            return Err(full.delay);
        }
        self.limits.iter().filter(|limit| limit.enabled).for_each(Limit::add);
        Ok(())
    }

    /// A connection that was taken in has ended.
    pub(crate) fn leave(&self) {
        self.limits.iter().filter(|limit| limit.enabled).for_each(Limit::sub);
    }
}
