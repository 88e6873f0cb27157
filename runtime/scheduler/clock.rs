//! The one place that asks what time it is.
//!
//! A clock read costs 21 ns where a switch costs 7, so the loop reads once a turn and everything
//! that may be a turn old uses [`Clock::cached`]. Deadlines are computed from [`Clock::read`]: with
//! an old `now` they would come early. The time limits of I/O, one for each call, count from the
//! turn that follows instead.

use std::time::{Duration, Instant};

/// Nanoseconds since the scheduler began. 64 bits last 584 years.
pub(crate) type Nanos = u64;

/// Monotonic time as the scheduler sees it.
#[derive(Debug)]
pub(crate) struct Clock {
    epoch: Instant,
    cached: Nanos,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock {
            epoch: Instant::now(),
            cached: 0,
        }
    }

    /// Reads the clock.
    pub(crate) fn read(&mut self) -> Nanos {
        self.cached = nanos(self.epoch.elapsed());
        self.cached
    }

    /// What the last read said.
    pub(crate) fn cached(&self) -> Nanos {
        self.cached
    }

    /// When `duration` from now will be.
    pub(crate) fn after(&mut self, duration: Duration) -> Nanos {
        self.read();
        self.after_cached(duration)
    }

    /// When `duration` from the last read will be.
    #[inline]
    pub(crate) fn after_cached(&self, duration: Duration) -> Nanos {
        self.cached.saturating_add(nanos(duration))
    }

    /// An instant in nanoseconds; one before the epoch is zero.
    pub(crate) fn at(&self, instant: Instant) -> Nanos {
        nanos(instant.saturating_duration_since(self.epoch))
    }
}

#[inline]
fn nanos(duration: Duration) -> Nanos {
    let seconds = duration.as_secs().saturating_mul(1_000_000_000);
    seconds.saturating_add(duration.subsec_nanos().into())
}
