//! Circuit breakers of a cluster: their counts are shared with the other workers, where there are any.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use meshloom_balance::{Breakers, Pool, Resource};
use meshloom_model::Cluster as Spec;
use meshloom_shm::{Quota, Quotas};

use super::choose::thresholds;

/// The counts that workers share, and how many workers there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedLimits {
    pub(crate) quotas: Quotas,
    pub(crate) workers: u32,
}

/// The breakers of a new cluster, by priority. Where the shared table is full, each worker has its part of the limits.
pub(super) fn breakers(spec: &Spec, shared: Option<SharedLimits>) -> [Breakers; 2] {
    let mut priority = 0u8;
    thresholds(spec).map(|limits| {
        priority += 1;
        let Some(shared) = shared else { return Breakers::new(limits) };
        match shared.quotas.row(key(spec.name.as_str(), priority)) {
            Some(row) => Breakers::shared(limits, Rc::new(Row(row)), shared.workers),
            None => Breakers::new(limits.share(shared.workers)),
        }
    })
}

/// The same in every worker: they are one program.
fn key(cluster: &str, priority: u8) -> u64 {
    let mut hasher = DefaultHasher::new();
    (cluster, priority).hash(&mut hasher);
    hasher.finish()
}

struct Row(Quota);

impl Pool for Row {
    fn take(&self, resource: Resource, amount: u32, limit: u32) -> bool {
        self.0.take(resource.index(), amount, limit)
    }

    fn give(&self, resource: Resource, amount: u32) {
        self.0.give(resource.index(), amount);
    }

    fn total(&self, resource: Resource) -> u32 {
        u32::try_from(self.0.total(resource.index())).unwrap_or(u32::MAX)
    }
}
