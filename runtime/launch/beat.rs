//! The heartbeat: whether a worker's loop turns, and if not, who keeps it from turning.
//!
//! In the worker:
//!
//! ```text
//!    beat::start(slot)   a green thread that sleeps and writes the time into the worker's slot. It
//!                        runs only if the loop turns, so nothing in the loop is needed for it.
//!    hog::answer(slot)   a signal handler, for when the loop does not turn: it writes there which
//!                        green thread runs.
//! ```
//!
//! In the launcher, for each worker that is ready:
//!
//! ```text
//!    watch.look(now(), slot.heartbeat)      every LOOK, or when it can
//!        Some(Stalled) ──> siblings adopt its queue
//!        Some(Fresh)   ──> they release it
//!        Some(Hung)    ──> let cause = why(pid, slot);  log cause.report(..)
//!                          SIGABRT, and SIGKILL if it is still there after a while;
//!                          unless the cause is Stopped: it is somebody's wish, or a debugger's
//! ```
//!
//! **The launcher's own stalls count against nobody.** A [`Watch`] does not compare clocks: it adds
//! up the silence that it has witnessed, and no more than [`MOST_PER_LOOK`] from one look to the
//! next. A launcher that was stopped, or a machine that was, takes up the count where it was.

#[expect(unsafe_code, reason = "a signal handler")]
pub(crate) mod hog;

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::board::{Slot, now};
use crate::scheduler::{self, Scheduler};
use crate::thread::{Builder, JoinHandle};

/// How often a worker writes its heartbeat.
pub(crate) const BEAT: Duration = Duration::from_millis(100);
/// How often the launcher looks.
pub(crate) const LOOK: Duration = Duration::from_millis(100);
/// How much silence one look can find.
const MOST_PER_LOOK: u64 = 2 * LOOK.as_nanos() as u64;

/// Begins the heartbeat of this worker: a daemon, until it is cancelled or `run` ends. It keeps a
/// timer armed, so in a worker a deadlock is not found while it beats. `each` is called at every
/// beat, for what else there is to be written.
///
/// # Panics
///
/// Outside [`run`](crate::run).
pub(crate) fn start(slot: &'static Slot, each: impl Fn() + 'static) -> io::Result<JoinHandle<()>> {
    let beat = Builder::new().name("heartbeat".to_owned()).daemon(true);
    beat.spawn(move || {
        let mut due = now();
        loop {
            write(slot, due);
            each();
            due = now() + BEAT.as_nanos() as u64;
            crate::sleep(BEAT);
        }
    })
}

/// Writes what is so now into the slot, for somebody who should have run when it was `due`.
fn write(slot: &Slot, due: u64) {
    let (ready, threads) = scheduler::with(|scheduler: &mut Scheduler| scheduler.load());
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let now = now();
    slot.loop_lag.store(now.saturating_sub(due), Relaxed);
    slot.run_queue.store(count(ready), Relaxed);
    slot.green_threads.store(count(threads), Relaxed);
    slot.heartbeat.store(now, Relaxed);
}

/// After how much silence a worker is taken to be what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) stall: Duration,
    pub(crate) hang: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            stall: Duration::from_millis(500),
            hang: Duration::from_secs(30),
        }
    }
}

/// What the launcher thinks of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Its loop turns.
    Fresh,
    /// It has not, for a moment: others see to its queue.
    Stalled,
    /// It has not for so long that it will not.
    Hung,
}

/// Judges one worker by its heartbeat. It has no clock: `now` is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    limits: Limits,
    heartbeat: u64,
    looked: u64,
    /// Nanoseconds without a new heartbeat, as far as they were witnessed.
    silence: u64,
    verdict: Verdict,
}

impl Watch {
    /// From `now` on; the silence before is not counted.
    pub(crate) fn new(limits: Limits, now: u64) -> Watch {
        Watch {
            limits,
            heartbeat: 0,
            looked: now,
            silence: 0,
            verdict: Verdict::Fresh,
        }
    }

    /// Looks at the heartbeat, which is any number that changes; the verdict, if it has changed.
    pub(crate) fn look(&mut self, now: u64, heartbeat: u64) -> Option<Verdict> {
        let passed = now.saturating_sub(self.looked).min(MOST_PER_LOOK);
        self.looked = now;
        if heartbeat == self.heartbeat {
            self.silence = self.silence.saturating_add(passed);
        } else {
            self.heartbeat = heartbeat;
            self.silence = 0;
        }
        let verdict = match self.silence() {
            silence if silence >= self.limits.hang => Verdict::Hung,
            silence if silence >= self.limits.stall => Verdict::Stalled,
            _ => Verdict::Fresh,
        };
        let changed = verdict != self.verdict;
        self.verdict = verdict;
        changed.then_some(verdict)
    }

    /// For how long it has not turned, as far as that was witnessed.
    pub(crate) fn silence(&self) -> Duration {
        Duration::from_nanos(self.silence)
    }

    #[cfg(test)]
    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict
    }
}

#[cfg(test)]
mod tests;
