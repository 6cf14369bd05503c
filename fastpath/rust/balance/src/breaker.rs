//! Circuit breakers: how much of a cluster's upstream may be in use at once.
//!
//! One [`Breakers`] belongs to one worker, one cluster and one routing priority. The limits are those of the whole proxy:
//! where there are several workers, they share a [`Pool`], and each takes its part of it as it needs more. Of a small
//! limit a part is one, so that it is kept to the letter; of a large one it is more, so that ordinary requests need not
//! look at what the others do.

use std::rc::Rc;

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    Connections,
    /// Requests that wait for a connection.
    Pending,
    Requests,
    Retries,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Connections, Self::Pending, Self::Requests, Self::Retries];

    /// Its place in [`Resource::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Connections => 0,
            Self::Pending => 1,
            Self::Requests => 2,
            Self::Retries => 3,
        }
    }
}

/// What workers share of one cluster at one priority.
pub trait Pool {
    /// Takes so many, if all workers together then have no more than `limit`.
    fn take(&self, resource: Resource, amount: u32, limit: u32) -> bool;
    /// Gives back what was taken.
    fn give(&self, resource: Resource, amount: u32);
    /// What all workers have taken.
    fn total(&self, resource: Resource) -> u32;
}

/// A breaker is open: nothing more of this may be started. Response flag UO, header `x-envoy-overloaded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow(pub Resource);

/// Limits of one cluster at one routing priority. The default is Envoy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// A first connection is always allowed, even with 0.
    pub connections: u32,
    /// With 0 every request is refused, even where a connection is free, as with Envoy.
    pub pending: u32,
    pub requests: u32,
    /// Concurrent retries; a budget replaces it.
    pub retries: u32,
    pub retry_budget: Option<RetryBudget>,
}

/// Allows retries in proportion to the requests in flight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    /// Percent of active and pending requests that may be retries. Envoy's default is 20.
    pub percent: f64,
    /// Concurrent retries that are allowed however few requests there are. Envoy's default is 3.
    pub min_concurrency: u32,
}

impl Eq for RetryBudget {}

impl Default for Thresholds {
    fn default() -> Self {
        Self { connections: 1024, pending: 1024, requests: 1024, retries: 3, retry_budget: None }
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { percent: 20.0, min_concurrency: 3 }
    }
}

impl Thresholds {
    /// One worker's part of the limits, rounded up, so that a small limit does not become zero.
    #[must_use]
    pub fn share(self, workers: u32) -> Self {
        let part = |limit: u32| limit.div_ceil(workers.max(1));
        Self {
            connections: part(self.connections),
            pending: part(self.pending),
            requests: part(self.requests),
            retries: part(self.retries),
            retry_budget: self.retry_budget,
        }
    }
}

/// A worker takes so many parts of a limit at a time, divided by the workers.
const PARTS: u32 = 64;

/// The counters behind the breakers of one cluster.
pub struct Breakers {
    thresholds: Thresholds,
    used: [u32; 4],
    /// Taken from the pool; never less than is used.
    taken: [u32; 4],
    pool: Option<Shared>,
}

struct Shared {
    pool: Rc<dyn Pool>,
    workers: u32,
}

impl Breakers {
    /// Of the only worker.
    #[must_use]
    pub fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, used: [0; 4], taken: [0; 4], pool: None }
    }

    /// Of one of several workers.
    #[must_use]
    pub fn shared(thresholds: Thresholds, pool: Rc<dyn Pool>, workers: u32) -> Self {
        let pool = Some(Shared { pool, workers: workers.max(1) });
        Self { thresholds, used: [0; 4], taken: [0; 4], pool }
    }

    /// Takes new limits; what is in use stays in use.
    pub fn configure(&mut self, thresholds: Thresholds) {
        self.thresholds = thresholds;
    }

    /// Counts one more, or refuses. Each success is to be paired with one [`Breakers::release`].
    pub fn acquire(&mut self, resource: Resource) -> Result<(), Overflow> {
        let (used, taken) = (self.in_use(resource), self.of(&self.taken, resource));
        let limit = self.limit(resource);
        let Some(shared) = &self.pool else {
            return if used < limit { self.count(resource) } else { Err(Overflow(resource)) };
        };
        if used < taken {
            return self.count(resource);
        }
        let part = shared.part(limit);
        let more = [part, 1].into_iter().find(|amount| shared.pool.take(resource, *amount, limit));
        let Some(more) = more else { return Err(Overflow(resource)) };
        if let Some(taken) = self.taken.get_mut(resource.index()) {
            *taken += more;
        }
        self.count(resource)
    }

    fn count(&mut self, resource: Resource) -> Result<(), Overflow> {
        if let Some(used) = self.used.get_mut(resource.index()) {
            *used += 1;
        }
        Ok(())
    }

    pub fn release(&mut self, resource: Resource) {
        let limit = self.limit(resource);
        if let Some(used) = self.used.get_mut(resource.index()) {
            debug_assert!(*used > 0, "released {resource:?} that were never acquired");
            *used = used.saturating_sub(1);
        }
        let Some(shared) = &self.pool else { return };
        let part = shared.part(limit);
        let spare = self.of(&self.taken, resource).saturating_sub(self.in_use(resource));
        // One part is kept for the next request, unless it is the smallest that there is.
        let keep = if part == 1 { 0 } else { part };
        if spare >= (2 * keep).max(1) {
            shared.pool.give(resource, spare - keep);
            if let Some(taken) = self.taken.get_mut(resource.index()) {
                *taken -= spare - keep;
            }
        }
    }

    /// What this worker has in use.
    #[must_use]
    pub fn in_use(&self, resource: Resource) -> u32 {
        self.of(&self.used, resource)
    }

    fn of(&self, counts: &[u32; 4], resource: Resource) -> u32 {
        counts.get(resource.index()).copied().unwrap_or_default()
    }

    /// Whether one more would be allowed.
    #[must_use]
    pub fn has_room(&self, resource: Resource) -> bool {
        let limit = self.limit(resource);
        match &self.pool {
            None => self.in_use(resource) < limit,
            Some(shared) => {
                let spare = self.in_use(resource) < self.of(&self.taken, resource);
                (spare && limit > 0) || shared.pool.total(resource) < limit
            }
        }
    }

    fn limit(&self, resource: Resource) -> u32 {
        match resource {
            Resource::Connections => self.thresholds.connections.max(1),
            Resource::Pending => self.thresholds.pending,
            Resource::Requests => self.thresholds.requests,
            Resource::Retries => self.retry_limit(),
        }
    }

    fn retry_limit(&self) -> u32 {
        match self.thresholds.retry_budget {
            None => self.thresholds.retries,
            Some(budget) => {
                let in_flight = f64::from(self.everywhere(Resource::Requests))
                    + f64::from(self.everywhere(Resource::Pending));
                ((in_flight * budget.percent / 100.0) as u32).max(budget.min_concurrency)
            }
        }
    }

    /// What all workers have in use; of the others what they have taken.
    fn everywhere(&self, resource: Resource) -> u32 {
        let used = self.in_use(resource);
        let spare = self.of(&self.taken, resource).saturating_sub(used);
        self.pool.as_ref().map_or(used, |shared| shared.pool.total(resource).saturating_sub(spare))
    }
}

impl Shared {
    fn part(&self, limit: u32) -> u32 {
        (limit / PARTS / self.workers).max(1)
    }
}

impl Drop for Breakers {
    fn drop(&mut self) {
        let Some(shared) = &self.pool else { return };
        for resource in Resource::ALL {
            shared.pool.give(resource, self.of(&self.taken, resource));
        }
    }
}

impl std::fmt::Debug for Breakers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Breakers")
            .field("thresholds", &self.thresholds)
            .field("used", &self.used)
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::{Breakers, Overflow, Pool, Resource, RetryBudget, Thresholds};
    use crate::{Random, SplitMix};

    #[test]
    fn a_breaker_opens_at_its_limit_and_closes_on_release() {
        let mut breakers = Breakers::new(Thresholds { requests: 2, ..Thresholds::default() });
        assert_eq!(breakers.acquire(Resource::Requests), Ok(()));
        assert_eq!(breakers.acquire(Resource::Requests), Ok(()));
        assert_eq!(breakers.acquire(Resource::Requests), Err(Overflow(Resource::Requests)));
        breakers.release(Resource::Requests);
        assert_eq!(breakers.acquire(Resource::Requests), Ok(()));
    }

    #[test]
    fn one_connection_is_always_allowed() {
        let mut breakers = Breakers::new(Thresholds { connections: 0, ..Thresholds::default() });
        assert_eq!(breakers.acquire(Resource::Connections), Ok(()));
        assert!(!breakers.has_room(Resource::Connections));
    }

    #[test]
    fn a_retry_budget_grows_with_the_load_from_its_minimum() {
        let budget = RetryBudget { percent: 20.0, min_concurrency: 3 };
        let mut breakers = Breakers::new(Thresholds { retry_budget: Some(budget), ..Thresholds::default() });
        assert_eq!((0..10).take_while(|_| breakers.acquire(Resource::Retries).is_ok()).count(), 3);
        for _ in 0..100 {
            breakers.acquire(Resource::Requests).unwrap();
        }
        assert_eq!((0..100).take_while(|_| breakers.acquire(Resource::Retries).is_ok()).count(), 17);
    }

    #[test]
    fn a_worker_s_part_of_a_small_limit_is_not_zero() {
        let thresholds = Thresholds { connections: 3, retries: 0, ..Thresholds::default() }.share(2);
        assert_eq!((thresholds.connections, thresholds.requests, thresholds.retries), (2, 512, 0));
    }

    /// A pool of one thread, for any number of workers.
    #[derive(Default)]
    struct Counts([Cell<u32>; 4]);

    impl Pool for Counts {
        fn take(&self, resource: Resource, amount: u32, limit: u32) -> bool {
            let count = &self.0[resource.index()];
            let fits = count.get() + amount <= limit;
            count.set(count.get() + if fits { amount } else { 0 });
            fits
        }

        fn give(&self, resource: Resource, amount: u32) {
            let count = &self.0[resource.index()];
            count.set(count.get() - amount);
        }

        fn total(&self, resource: Resource) -> u32 {
            self.0[resource.index()].get()
        }
    }

    #[test]
    fn a_small_limit_is_kept_to_the_letter_by_all_workers_together() {
        let mut random = SplitMix::new(6);
        for limit in 0..20 {
            let pool = Rc::new(Counts::default());
            let thresholds = Thresholds { requests: limit, ..Thresholds::default() };
            let mut workers: Vec<Breakers> =
                (0..3).map(|_| Breakers::shared(thresholds, pool.clone(), 3)).collect();
            let mut used = 0;
            for _ in 0..500 {
                let worker = &mut workers[random.index(3)];
                if random.percent(60) {
                    assert_eq!(worker.has_room(Resource::Requests), used < limit);
                    assert_eq!(worker.acquire(Resource::Requests).is_ok(), used < limit);
                    used += u32::from(used < limit);
                } else if worker.in_use(Resource::Requests) > 0 {
                    worker.release(Resource::Requests);
                    used -= 1;
                }
            }
        }
    }

    #[test]
    fn a_large_limit_is_never_exceeded_and_almost_all_of_it_can_be_had() {
        let pool = Rc::new(Counts::default());
        let mut workers: Vec<Breakers> =
            (0..4).map(|_| Breakers::shared(Thresholds::default(), pool.clone(), 4)).collect();
        for worker in &mut workers {
            worker.acquire(Resource::Requests).unwrap();
        }
        let greedy = (0..5000).filter(|_| workers[0].acquire(Resource::Requests).is_ok()).count();
        assert!((1000..=1021).contains(&greedy), "{greedy}");
        drop(workers);
        assert_eq!(pool.total(Resource::Requests), 0);
    }
}
