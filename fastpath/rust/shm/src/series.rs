//! Handles to the values of one series: what the request path holds and touches.
//!
//! One thread, the worker's, writes. A write is a relaxed load and a relaxed store, which compile to plain moves:
//! no lock prefix, no fence. Two threads writing one series would lose counts (never memory safety).

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// A value that only grows, also over restarts of the worker.
#[derive(Clone, Copy, Debug)]
pub struct Counter(pub(crate) &'static AtomicU64);

/// A value that goes up and down; back to zero when a new worker takes over the region.
#[derive(Clone, Copy, Debug)]
pub struct Gauge(pub(crate) &'static AtomicU64);

/// Counts per bucket and the sum of what was recorded. The total count is the sum of the buckets.
#[derive(Clone, Copy, Debug)]
pub struct Histogram {
    pub(crate) upper: &'static [u64],
    pub(crate) buckets: &'static [AtomicU64],
    pub(crate) sum: &'static AtomicU64,
}

impl Counter {
    /// Adds `n`.
    #[inline]
    pub fn add(self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Adds one.
    #[inline]
    pub fn inc(self) {
        self.add(1);
    }

    /// What has been counted since the region was made.
    pub fn get(self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Gauge {
    /// Replaces the value.
    #[inline]
    pub fn set(self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Adds `n`.
    #[inline]
    pub fn add(self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Takes `n` away. Readers show the value as signed, so an imbalance is seen as such.
    #[inline]
    pub fn sub(self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(n), Relaxed);
    }

    /// The value now, in this worker.
    pub fn get(self) -> i64 {
        i64::from_ne_bytes(self.0.load(Relaxed).to_ne_bytes())
    }
}

impl Histogram {
    /// Counts `value`, in the recorded unit of the histogram's [`crate::Bounds`].
    #[inline]
    pub fn record(self, value: u64) {
        let bucket = self.upper.partition_point(|bound| *bound < value);
        if let Some(count) = self.buckets.get(bucket) {
            count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
        }
        self.sum.store(self.sum.load(Relaxed).wrapping_add(value), Relaxed);
    }

    /// Count of each bucket, not cumulative; the last is above every bound.
    pub fn counts(self) -> Vec<u64> {
        self.buckets.iter().map(|count| count.load(Relaxed)).collect()
    }

    /// Sum of everything recorded.
    pub fn sum(self) -> u64 {
        self.sum.load(Relaxed)
    }
}
