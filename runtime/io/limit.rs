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
    /// When that will have passed; not known before the call has to wait.
    deadline: Option<Nanos>,
}

impl Limit {
    pub(super) fn new(duration: Option<Duration>) -> Limit {
        Limit {
            duration,
            deadline: None,
        }
    }

    /// When the call has waited for long enough, if ever. The first time it is asked, it begins to.
    #[inline]
    fn deadline(&mut self, scheduler: &mut Scheduler) -> Option<Nanos> {
        if self.deadline.is_none() {
            self.deadline = self.duration.map(|limit| scheduler.after(limit));
        }
        self.deadline
    }

    #[inline]
    pub(super) fn has_passed(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| scheduler::with(|s| s.has_passed(deadline)))
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
    /// A timer that wakes the running green thread when the limit has passed, or before.
    #[inline]
    pub(super) fn take(
        &self,
        scheduler: &mut Scheduler,
        owner: ThreadId,
        limit: &mut Limit,
    ) -> Option<Armed> {
        let deadline = limit.deadline(scheduler)?;
        match self.0.take() {
            Some(armed) if armed.serves(scheduler, owner, deadline) => Some(armed),
            other => arm(scheduler, owner, deadline, other),
        }
    }

    /// Puts it back, unless somebody else has put one there meanwhile.
    #[inline]
    pub(super) fn put_back(&self, scheduler: &mut Scheduler, armed: Option<Armed>) {
        if let Some(other) = self.0.replace(armed) {
            scheduler.cancel_limit(other.timer);
        }
    }

    /// Cancels it.
    pub(super) fn cancel(&self, scheduler: &mut Scheduler) {
        self.put_back(scheduler, None);
    }

    /// Forgets one that belongs to an earlier scheduler.
    pub(super) fn forget(&self) {
        self.0.set(None);
    }
}

impl Armed {
    /// Whether it will wake `owner` at the deadline or before. As long as its time has not come by
    /// the cached clock, it has not fired.
    #[inline]
    fn serves(&self, scheduler: &Scheduler, owner: ThreadId, deadline: Nanos) -> bool {
        self.wakes == owner && self.at <= deadline && !scheduler.is_reached(self.at)
    }
}

#[cold]
fn arm(scheduler: &mut Scheduler, wakes: ThreadId, at: Nanos, old: Option<Armed>) -> Option<Armed> {
    if let Some(old) = old {
        scheduler.cancel_limit(old.timer);
    }
    let timer = scheduler.arm_limit(at)?;
    Some(Armed { timer, at, wakes })
}
