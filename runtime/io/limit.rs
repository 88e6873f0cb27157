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
    /// The call has begun to wait without knowing that.
    begun: bool,
}

impl Limit {
    #[inline]
    pub(super) fn new(duration: Option<Duration>) -> Limit {
        Limit {
            duration,
            deadline: None,
            begun: false,
        }
    }

    /// Whether the call has waited for that long. To be asked after a wait in vain, before the
    /// next: then the limit counts from the first.
    #[inline]
    pub(super) fn has_passed(&mut self) -> bool {
        if self.begun && self.deadline.is_none() {
            self.find_deadline();
        }
        self.deadline
            .is_some_and(|deadline| scheduler::with(|s| s.has_passed(deadline)))
    }

    #[cold]
    fn find_deadline(&mut self) {
        let after_park = |duration| scheduler::with(|s| s.after_park(duration));
        self.deadline = self.duration.map(after_park);
    }
}

/// The timer of a descriptor, which one at a time may wait with. It belongs to the scheduler with
/// which the descriptor is registered.
#[derive(Default)]
pub(super) struct Alarm {
    armed: Cell<Option<Armed>>,
    in_use: Cell<bool>,
}

/// A timer that is armed, or has fired.
#[derive(Clone, Copy)]
struct Armed {
    timer: TimerId,
    at: Nanos,
    wakes: ThreadId,
}

/// What wakes one who waits when the limit has passed, or before.
#[derive(Clone, Copy)]
pub(super) enum Waker {
    /// Nothing: there is no limit.
    None,
    /// The descriptor's timer.
    Shared,
    /// One of its own, for somebody else waits with the descriptor's.
    Own(TimerId),
}

impl Alarm {
    /// What wakes the running green thread, which is about to park.
    #[inline(always)]
    pub(super) fn begin(
        &self,
        scheduler: &mut Scheduler,
        owner: ThreadId,
        limit: &mut Limit,
    ) -> Waker {
        let Some(duration) = limit.duration else {
            return Waker::None;
        };
        let (now, deadline) = scheduler.at_least(duration);
        let deadline = limit.deadline.unwrap_or(deadline);
        // A timer whose time has not come by the cached clock has not fired.
        let serves = |armed: Armed| armed.wakes == owner && now < armed.at && armed.at <= deadline;
        if !self.in_use.get() && self.armed.get().is_some_and(serves) {
            // There is no need to look at the clock: if the timer fires, the green thread can still
            // ask when it parked.
            scheduler.note_park();
            limit.begun = true;
            self.in_use.set(true);
            return Waker::Shared;
        }
        self.arm(scheduler, duration, limit)
    }

    #[cold]
    fn arm(&self, scheduler: &mut Scheduler, duration: Duration, limit: &mut Limit) -> Waker {
        let at = *limit
            .deadline
            .get_or_insert_with(|| scheduler.after(duration));
        if !self.in_use.get() {
            self.cancel(scheduler);
        }
        let Some(timer) = scheduler.arm_limit(at) else {
            return Waker::None;
        };
        if self.in_use.replace(true) {
            return Waker::Own(timer);
        }
        let wakes = scheduler.current();
        self.armed.set(Some(Armed { timer, at, wakes }));
        Waker::Shared
    }

    /// Ends what [`begin`](Alarm::begin) began.
    #[inline(always)]
    pub(super) fn end(&self, scheduler: &mut Scheduler, waker: Waker) {
        match waker {
            Waker::None => {}
            Waker::Shared => self.in_use.set(false),
            Waker::Own(timer) => scheduler.cancel_limit(timer),
        }
    }

    pub(super) fn cancel(&self, scheduler: &mut Scheduler) {
        if let Some(armed) = self.armed.take() {
            scheduler.cancel_limit(armed.timer);
        }
    }

    /// Forgets the timer of an earlier scheduler.
    pub(super) fn forget(&self) {
        self.armed.set(None);
        self.in_use.set(false);
    }
}
