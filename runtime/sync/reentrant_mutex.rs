//! Mutual exclusion between green threads, not within one.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use super::owner::Owner;
use crate::scheduler::{self, Nanos};
use crate::wait_queue::WaitQueue;

/// A lock that its holder may take again. It is free when it was given up as often.
///
/// As std's `ReentrantLock`, which is not stable yet, under parking_lot's name; gevent's and
/// Python's `RLock`. It gives shared access only (put a `Cell` or `RefCell` inside), and so is not
/// poisoned. It is handed over to the one that has waited for longest.
///
/// ```
/// use sedge::sync::ReentrantMutex;
/// use std::cell::Cell;
///
/// fn add(total: &ReentrantMutex<Cell<u32>>, count: u32) {
///     let total_now = total.lock();
///     total_now.set(total_now.get() + 1);
///     if count > 1 {
///         add(total, count - 1); // locks it again
///     }
/// }
///
/// let total = ReentrantMutex::new(Cell::new(0));
/// sedge::run(|| add(&total, 3));
/// assert_eq!(total.into_inner().get(), 3);
/// ```
pub struct ReentrantMutex<T: ?Sized> {
    /// Each with where it waits, and so will have taken the lock.
    waiters: WaitQueue<&'static Location<'static>>,
    owner: Owner,
    /// How often the owner has it.
    count: Cell<usize>,
    value: T,
}

/// The right to look at a [`ReentrantMutex`]'s value; dropping it gives it up.
#[must_use = "if unused the ReentrantMutex will immediately unlock"]
pub struct ReentrantMutexGuard<'a, T: ?Sized> {
    mutex: &'a ReentrantMutex<T>,
}

impl<T> ReentrantMutex<T> {
    /// An unlocked mutex.
    pub const fn new(value: T) -> ReentrantMutex<T> {
        ReentrantMutex {
            waiters: WaitQueue::new(),
            owner: Owner::new("a ReentrantMutex"),
            count: Cell::new(0),
            value,
        }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T: ?Sized> ReentrantMutex<T> {
    /// Waits until the lock is free or this green thread's, and takes it once more.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run); and with a [report](crate::Deadlock) if it
    /// would wait for ever, because whoever has the lock waits for this green thread.
    #[track_caller]
    pub fn lock(&self) -> ReentrantMutexGuard<'_, T> {
        self.acquire(None)
            .expect("without a deadline, the lock is waited for")
    }

    /// Takes the lock if it is free or this green thread's.
    #[track_caller]
    pub fn try_lock(&self) -> Option<ReentrantMutexGuard<'_, T>> {
        if !self.owner.is_taken() {
            self.owner.take();
        } else if !self.owner.is_taken_by(scheduler::running_id()) {
            return None;
        }
        Some(self.guard())
    }

    /// As [`lock`](ReentrantMutex::lock), for at most `limit`; `None` if that has passed.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn try_lock_for(&self, limit: Duration) -> Option<ReentrantMutexGuard<'_, T>> {
        self.acquire(Some(limit))
    }

    /// The value; no lock is needed, for nobody else can have one.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.value
    }

    #[track_caller]
    fn acquire(&self, limit: Option<Duration>) -> Option<ReentrantMutexGuard<'_, T>> {
        self.try_lock().or_else(|| {
            let deadline = limit.map(|limit| scheduler::with(|scheduler| scheduler.after(limit)));
            self.wait(deadline, Location::caller())
                .then(|| self.guard())
        })
    }

    #[cold]
    #[track_caller]
    fn wait(&self, deadline: Option<Nanos>, at: &'static Location<'static>) -> bool {
        let granted = self.waiters.wait_for_lock(&self.owner, at, deadline, at);
        granted.is_ok()
    }

    /// A guard for the caller, who has the lock.
    fn guard(&self) -> ReentrantMutexGuard<'_, T> {
        self.count.set(self.count.get() + 1);
        ReentrantMutexGuard { mutex: self }
    }
}

impl<T: ?Sized> Drop for ReentrantMutexGuard<'_, T> {
    fn drop(&mut self) {
        let mutex = self.mutex;
        mutex.count.set(mutex.count.get() - 1);
        if mutex.count.get() > 0 {
            return;
        }
        let next = |thread, at: &mut &'static _| mutex.owner.give(Some(thread), at);
        if mutex.waiters.grant_lock(next).is_none() {
            mutex.owner.free();
        }
    }
}

impl<T: ?Sized> Deref for ReentrantMutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.mutex.value
    }
}

impl<T: UnwindSafe + ?Sized> UnwindSafe for ReentrantMutex<T> {}
impl<T: RefUnwindSafe + ?Sized> RefUnwindSafe for ReentrantMutex<T> {}

impl<T: Default> Default for ReentrantMutex<T> {
    fn default() -> ReentrantMutex<T> {
        ReentrantMutex::new(T::default())
    }
}

impl<T> From<T> for ReentrantMutex<T> {
    fn from(value: T) -> ReentrantMutex<T> {
        ReentrantMutex::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ReentrantMutex<T> {
    /// Has the lock while it formats the value, which may wait.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("ReentrantMutex");
        match self.try_lock() {
            Some(guard) => out.field("data", &&*guard),
            None => out.field("data", &format_args!("<locked>")),
        };
        out.finish_non_exhaustive()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ReentrantMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for ReentrantMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
