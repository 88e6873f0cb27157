//! A flag to wait for.

use std::cell::Cell;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use crate::scheduler;
use crate::stats::Reason;
use crate::wait_queue::WaitQueue;

/// A flag that green threads wait for: gevent's `Event`, Python's `threading.Event`. std has none.
///
/// Setting it wakes all who wait, in the order in which they came, and they do go on even if the
/// flag is cleared before they run.
///
/// ```
/// use sedge::sync::Event;
/// use std::rc::Rc;
///
/// sedge::run(|| {
///     let open = Rc::new(Event::new());
///     let inner = open.clone();
///     let guest = sedge::spawn(move || inner.wait());
///     sedge::yield_now();
///     assert!(!guest.is_finished());
///     open.set();
///     guest.join().unwrap();
/// });
/// ```
pub struct Event {
    waiters: WaitQueue,
    set: Cell<bool>,
}

impl Event {
    /// An event that is not set.
    #[must_use]
    pub const fn new() -> Event {
        Event {
            waiters: WaitQueue::new(),
            set: Cell::new(false),
        }
    }

    /// Sets the flag and wakes all who wait.
    pub fn set(&self) {
        self.set.set(true);
        self.waiters.grant_all();
    }

    /// Takes the flag back, for those who come from now on.
    pub fn clear(&self) {
        self.set.set(false);
    }

    /// Whether the flag is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Waits until the flag is set; goes on at once if it is.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn wait(&self) {
        if !self.set.get() {
            // Without a deadline, it comes back with the grant or not at all.
            let _ = self.waiters.wait(Reason::Event, None, ());
        }
    }

    /// As [`wait`](Event::wait), for at most `limit`; says whether the flag was set.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn wait_timeout(&self, limit: Duration) -> bool {
        self.set.get() || {
            let deadline = scheduler::with(|scheduler| scheduler.after(limit));
            let set = self.waiters.wait(Reason::Event, Some(deadline), ());
            set.is_ok()
        }
    }
}

impl Default for Event {
    fn default() -> Event {
        Event::new()
    }
}

impl UnwindSafe for Event {}
impl RefUnwindSafe for Event {}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("is_set", &self.is_set())
            .finish_non_exhaustive()
    }
}
