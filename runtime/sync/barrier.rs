//! A point that several green threads pass together.

use std::cell::Cell;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::stats::Reason;
use crate::wait_queue::WaitQueue;

/// Lets green threads wait until `n` of them have come, as [`std::sync::Barrier`]. Then it is as
/// new, for the next `n`.
///
/// One that is cancelled while it waits has not come: it counts no more, and another must come in
/// its place.
///
/// ```
/// use sedge::sync::Barrier;
/// use std::rc::Rc;
///
/// sedge::run(|| {
///     let barrier = Rc::new(Barrier::new(3));
///     let threads: Vec<_> = (0..3)
///         .map(|_| {
///             let barrier = barrier.clone();
///             sedge::spawn(move || barrier.wait().is_leader())
///         })
///         .collect();
///     let leaders = threads.into_iter().map(|thread| thread.join().unwrap());
///     assert_eq!(leaders.filter(|&leader| leader).count(), 1);
/// });
/// ```
pub struct Barrier {
    waiters: WaitQueue,
    /// Of those that wait, how many have come for the next passage.
    count: Cell<usize>,
    size: usize,
}

/// What [`Barrier::wait`] returns. As [`std::sync::BarrierWaitResult`].
pub struct BarrierWaitResult(bool);

impl Barrier {
    /// A barrier that lets `n` green threads through at a time. With 0 it is as with 1: nobody
    /// waits.
    #[must_use]
    pub const fn new(n: usize) -> Barrier {
        Barrier {
            waiters: WaitQueue::new(),
            count: Cell::new(0),
            size: n,
        }
    }

    /// Waits until all have come. The last to come is the leader, and does not wait.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn wait(&self) -> BarrierWaitResult {
        let count = self.count.get() + 1;
        if count >= self.size {
            self.count.set(0);
            self.waiters.grant_all();
            return BarrierWaitResult(true);
        }
        self.count.set(count);
        let arrival = Arrival(self);
        // Without a deadline, it comes back with the grant or not at all.
        let _ = self.waiters.wait(Reason::Barrier, None, ());
        std::mem::forget(arrival);
        BarrierWaitResult(false)
    }
}

/// Takes back the arrival of one that is unwound.
struct Arrival<'a>(&'a Barrier);

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
    }
}

impl BarrierWaitResult {
    /// Whether this green thread was the last to come; it is so for one of all.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl UnwindSafe for Barrier {}
impl RefUnwindSafe for Barrier {}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}

impl fmt::Debug for BarrierWaitResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWaitResult")
            .field("is_leader", &self.is_leader())
            .finish()
    }
}
