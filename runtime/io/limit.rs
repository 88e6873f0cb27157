//! How long a call may wait, and the timer that ends the wait.
//!
//! A server limits every connection, and hardly a call meets its limit. So the timer is not the
//! call's but the descriptor's: who has to wait arms it, and when the wait is over it stays armed.
//! The next call has a later deadline, and finds a timer that will wake it in time to see to that.
//!
//! ```text
//!   call 1   |--- waits ---| event
//!   call 2                       |--- waits ------------------------------> deadline 2
//!   timer    |..................................|.........................|
//!        armed for deadline 1         too early: armed for deadline 2
//! ```
//!
//! So a limit costs a timer each time that long has passed, not with each call. A timer that nobody
//! waits with any more wakes nobody, and the scheduler does not count it as something to wait for.

use std::cell::Cell;
use std::time::Duration;

use crate::scheduler::{self, Nanos, Scheduler, ThreadId};
use crate::timer::TimerId;

/// How long one call may wait.
pub(super) struct Limit {
    duration: Option<Duration>,
    /// When that will have passed. Not known before the call has to wait, and not yet then if a
    /// timer is armed already.
    deadline: Option<Nanos>,
}

impl Limit {
    #[inline]
    pub(super) fn new(duration: Option<Duration>) -> Limit {
        Limit {
            duration,
            deadline: None,
        }
    }

    /// Whether the call has waited for that long.
    #[inline]
    pub(super) fn has_passed(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| scheduler::with(|s| s.has_passed(deadline)))
    }

    /// As [`Limit::has_passed`], after a wait that no event has ended.
    #[cold]
    pub(super) fn has_passed_meanwhile(&mut self) -> bool {
        if let (Some(duration), None) = (self.duration, self.deadline) {
            self.deadline = Some(scheduler::with(|s| s.after_park(duration)));
        }
        self.has_passed()
    }
}

/// The timer of a descriptor while nobody waits with it; who does takes it out. It belongs to the
/// scheduler with which the descriptor is registered.
#[derive(Default)]
pub(super) struct Alarm(Cell<Option<Armed>>);

/// A timer that is armed, or has fired.
#[derive(Clone, Copy)]
pub(super) struct Armed {
    timer: TimerId,
    at: Nanos,
    wakes: ThreadId,
}

impl Alarm {
    /// A timer that wakes the running green thread, which is about to park, when the limit has
    /// passed, or before.
    #[inline(always)]
    pub(super) fn take(
        &self,
        scheduler: &mut Scheduler,
        owner: ThreadId,
        limit: &mut Limit,
    ) -> Option<Armed> {
        let duration = limit.duration?;
        let (now, deadline) = scheduler.at_least(duration);
        let deadline = limit.deadline.unwrap_or(deadline);
        match self.0.take() {
            // One whose time has not come by the cached clock has not fired. So there is no need to
            // look at the real one: if this fires, the green thread can still ask when it parked.
            Some(armed) if armed.wakes == owner && now < armed.at && armed.at <= deadline => {
                scheduler.note_park();
                Some(armed)
            }
            other => arm(scheduler, duration, limit, other),
        }
    }

    /// Puts it back. If somebody else has put one there meanwhile, this one is the better.
    #[inline(always)]
    pub(super) fn put_back(&self, scheduler: &mut Scheduler, armed: Option<Armed>) {
        if let Some(other) = self.0.replace(armed) {
            scheduler.cancel_limit(other.timer);
        }
    }

    /// Forgets one that belongs to an earlier scheduler.
    pub(super) fn forget(&self) {
        self.0.set(None);
    }
}

#[cold]
fn arm(
    scheduler: &mut Scheduler,
    duration: Duration,
    limit: &mut Limit,
    old: Option<Armed>,
) -> Option<Armed> {
    if let Some(old) = old {
        scheduler.cancel_limit(old.timer);
    }
    let at = *limit
        .deadline
        .get_or_insert_with(|| scheduler.after(duration));
    Some(Armed {
        timer: scheduler.arm_limit(at)?,
        at,
        wakes: scheduler.current(),
    })
}
