//! Circuit breakers: how much of a cluster's upstream may be in use at once.
//!
//! One [`Breakers`] belongs to one worker, one cluster and one routing priority. The configured limits are those of the
//! whole proxy, so a worker gets its part of them; see [`Thresholds::share`].

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    Connections,
    /// Requests that wait for a connection.
    Pending,
    Requests,
    Retries,
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

/// The counters behind the breakers of one cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breakers {
    thresholds: Thresholds,
    connections: u32,
    pending: u32,
    requests: u32,
    retries: u32,
}

impl Breakers {
    #[must_use]
    pub fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, ..Self::default() }
    }

    /// Takes new limits; what is in use stays in use.
    pub fn configure(&mut self, thresholds: Thresholds) {
        self.thresholds = thresholds;
    }

    /// Counts one more, or refuses. Each success is to be paired with one [`Breakers::release`].
    pub fn acquire(&mut self, resource: Resource) -> Result<(), Overflow> {
        if !self.has_room(resource) {
            return Err(Overflow(resource));
        }
        *self.count_mut(resource) += 1;
        Ok(())
    }

    pub fn release(&mut self, resource: Resource) {
        let count = self.count_mut(resource);
        debug_assert!(*count > 0, "released {resource:?} that were never acquired");
        *count = count.saturating_sub(1);
    }

    #[must_use]
    pub fn in_use(&self, resource: Resource) -> u32 {
        match resource {
            Resource::Connections => self.connections,
            Resource::Pending => self.pending,
            Resource::Requests => self.requests,
            Resource::Retries => self.retries,
        }
    }

    /// Whether one more would be allowed.
    #[must_use]
    pub fn has_room(&self, resource: Resource) -> bool {
        let limit = match resource {
            Resource::Connections => self.thresholds.connections.max(1),
            Resource::Pending => self.thresholds.pending,
            Resource::Requests => self.thresholds.requests,
            Resource::Retries => self.retry_limit(),
        };
        self.in_use(resource) < limit
    }

    fn retry_limit(&self) -> u32 {
        match self.thresholds.retry_budget {
            None => self.thresholds.retries,
            Some(budget) => {
                let in_flight = f64::from(self.requests) + f64::from(self.pending);
                ((in_flight * budget.percent / 100.0) as u32).max(budget.min_concurrency)
            }
        }
    }

    fn count_mut(&mut self, resource: Resource) -> &mut u32 {
        match resource {
            Resource::Connections => &mut self.connections,
            Resource::Pending => &mut self.pending,
            Resource::Requests => &mut self.requests,
            Resource::Retries => &mut self.retries,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Breakers, Overflow, Resource, RetryBudget, Thresholds};

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
}
