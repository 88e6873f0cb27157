//! When a pool has to do something by itself: time limits of tasks and of those who are asked to
//! end, ages of workers, tasks that wait behind a long one.
//!
//! One green thread for all of them. It is woken when something is due earlier than what it waits
//! for; what is no longer due is found out then.

use std::cell::Cell;
use std::rc::Rc;

use super::hub::Hub;
use crate::scheduler::Nanos;
use crate::stats::Reason;
use crate::wait_queue::WaitQueue;

pub(super) struct Clock {
    next: Cell<Option<Nanos>>,
    alarm: WaitQueue,
}

impl Clock {
    pub(super) fn new() -> Clock {
        Clock {
            next: Cell::new(None),
            alarm: WaitQueue::new(),
        }
    }

    /// Something is due then.
    pub(super) fn arm(&self, at: Nanos) {
        if self.next.get().is_none_or(|next| at < next) {
            self.next.set(Some(at));
            self.alarm.grant_all();
        }
    }

    /// Ends the green thread.
    pub(super) fn stop(&self) {
        self.alarm.grant_all();
    }
}

/// The life of the green thread: as long as the pool has workers, or may have.
pub(super) fn run(hub: &Rc<Hub>) {
    while !hub.is_over() {
        let clock = &hub.clock;
        if clock
            .alarm
            .wait(Reason::Pool, clock.next.get(), ())
            .is_err()
        {
            clock.next.set(None);
            if let Some(next) = hub.tick() {
                clock.arm(next);
            }
        }
    }
}
