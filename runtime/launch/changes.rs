//! The one condition that everybody in the launcher waits for: something has changed.
//!
//! A launcher's green threads wait for facts about each other: a worker has become ready, or has
//! ended, or is to end. Each fact is a cell; who changes one calls [`Changes::tell`], and all who
//! wait look again. There are a few waiters for each worker and a few changes in each one's life,
//! so nothing finer is needed, and no change can be missed.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::scheduler::{self, Nanos};
use crate::stats::Reason;
use crate::wait_queue::WaitQueue;

/// A condition variable without a lock: there is one OS thread.
#[derive(Clone)]
pub(super) struct Changes(Rc<WaitQueue>);

impl Changes {
    pub(super) fn new() -> Changes {
        Changes(Rc::new(WaitQueue::new()))
    }

    /// Something has changed.
    pub(super) fn tell(&self) {
        self.0.grant_all();
    }

    /// Waits until `done`, for at most `limit`; says whether it is.
    pub(super) fn wait(&self, limit: Duration, done: impl Fn() -> bool) -> bool {
        let deadline = scheduler::with(|scheduler| scheduler.after(limit));
        self.wait_deadline(Some(deadline), done)
    }

    /// Waits until `done`.
    pub(super) fn wait_until(&self, done: impl Fn() -> bool) {
        self.wait_deadline(None, done);
    }

    fn wait_deadline(&self, deadline: Option<Nanos>, done: impl Fn() -> bool) -> bool {
        while !done() {
            if self.0.wait(Reason::Event, deadline, ()).is_err() {
                return done();
            }
        }
        true
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}
