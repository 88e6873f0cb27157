//! Waiting until everybody is done.

use std::cell::Cell;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

use crate::stats::Reason;
use crate::wait_queue::WaitQueue;

/// Waits until all its clones are gone: crossbeam's `WaitGroup`. std has none.
///
/// A clone is dropped however its owner ends, by a panic or a cancellation too.
///
/// ```
/// use sedge::sync::WaitGroup;
///
/// sedge::run(|| {
///     let group = WaitGroup::new();
///     for _ in 0..4 {
///         let group = group.clone();
///         sedge::spawn(move || {
///             sedge::yield_now(); // some work
///             drop(group);
///         });
///     }
///     group.wait();
/// });
/// ```
pub struct WaitGroup {
    group: Rc<Group>,
}

struct Group {
    members: Cell<usize>,
    waiters: WaitQueue,
}

impl WaitGroup {
    /// A group of one.
    #[must_use]
    pub fn new() -> WaitGroup {
        let group = Group {
            members: Cell::new(1),
            waiters: WaitQueue::new(),
        };
        WaitGroup {
            group: Rc::new(group),
        }
    }

    /// Drops this member and waits until all others are dropped, or wait too.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn wait(self) {
        let group = Rc::clone(&self.group);
        drop(self);
        if group.members.get() > 0 {
            // Without a deadline, it comes back with the grant or not at all.
            let _ = group.waiters.wait(Reason::Event, None, ());
        }
    }
}

impl Clone for WaitGroup {
    /// One more member.
    fn clone(&self) -> WaitGroup {
        self.group.members.set(self.group.members.get() + 1);
        WaitGroup {
            group: Rc::clone(&self.group),
        }
    }
}

impl Drop for WaitGroup {
    fn drop(&mut self) {
        let members = self.group.members.get() - 1;
        self.group.members.set(members);
        if members == 0 {
            self.group.waiters.grant_all();
        }
    }
}

impl Default for WaitGroup {
    fn default() -> WaitGroup {
        WaitGroup::new()
    }
}

impl UnwindSafe for WaitGroup {}
impl RefUnwindSafe for WaitGroup {}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup")
            .field("members", &self.group.members.get())
            .finish()
    }
}
