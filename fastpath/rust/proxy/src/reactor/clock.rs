//! One clock read per turn of the loop: every deadline within a turn is taken against the same instant.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the worker started, on the monotonic clock. Timers and timeouts count in these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Millis(pub(crate) u64);

impl Millis {
    /// A deadline that never comes.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// This instant plus `span`, rounded up so that a timer never fires early; zero spans still wait one tick.
    pub(crate) fn after(self, span: Duration) -> Self {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros.div_ceil(1000)))
    }

    /// Milliseconds since `earlier`, zero when it lies ahead.
    pub(crate) fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The time of this turn of the loop, on both clocks.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    origin: Instant,
    now: Instant,
    millis: Millis,
    /// Offset from the monotonic to the wall clock, refreshed once a second: access logs need no more.
    wall_offset: Duration,
    wall_checked: Millis,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let now = Instant::now();
        let mut clock = Self {
            origin: now,
            now,
            millis: Millis(0),
            wall_offset: Duration::ZERO,
            wall_checked: Millis(0),
        };
        clock.sync_wall();
        clock
    }

    /// Reads the clock: once per turn.
    pub(crate) fn tick(&mut self) {
        self.now = Instant::now();
        let elapsed = self.now.saturating_duration_since(self.origin);
        self.millis = Millis(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        if self.millis.since(self.wall_checked) >= 1000 {
            self.sync_wall();
        }
    }

    fn sync_wall(&mut self) {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.wall_offset = wall.saturating_sub(self.now.saturating_duration_since(self.origin));
        self.wall_checked = self.millis;
    }

    pub(crate) fn millis(&self) -> Millis {
        self.millis
    }

    pub(crate) fn instant(&self) -> Instant {
        self.now
    }

    /// Wall-clock time of this turn since the Unix epoch.
    pub(crate) fn wall(&self) -> Duration {
        self.wall_offset + self.now.saturating_duration_since(self.origin)
    }

    /// Wall-clock time of an instant read in an earlier turn.
    pub(crate) fn wall_at(&self, instant: Instant) -> Duration {
        self.wall_offset + instant.saturating_duration_since(self.origin)
    }
}
