//! A number of permits.

use std::cell::Cell;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use super::wait_queue::WaitQueue;
use crate::scheduler::{self, Nanos};
use crate::stats::Reason;
use crate::time::Elapsed;

/// A number of permits that are taken and given back: how many may do something at once. std has
/// none; gevent and Python have it under this name, and tokio's has most of these methods.
///
/// Who asks first is served first: a large request at the head is not overtaken by small ones, even
/// if there are enough permits for those.
///
/// ```
/// use sedge::sync::Semaphore;
/// use std::rc::Rc;
///
/// sedge::run(|| {
///     let seats = Rc::new(Semaphore::new(3));
///     for _ in 0..10 {
///         let seats = seats.clone();
///         sedge::spawn(move || {
///             let _seat = seats.acquire(); // given back when it is dropped
///             sedge::yield_now();
///         });
///     }
///     sedge::yield_now();
///     assert_eq!(seats.available(), 0);
/// });
/// ```
pub struct Semaphore {
    /// Each brings how many permits it wants.
    waiters: WaitQueue<usize>,
    available: Cell<usize>,
    /// Permits that guards will give back.
    held: Cell<usize>,
    bound: usize,
}

/// Permits of a [`Semaphore`]; dropping it gives them back.
#[must_use = "if unused the permits are given back at once"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

impl Semaphore {
    /// A semaphore with `permits` permits to begin with.
    #[must_use]
    pub const fn new(permits: usize) -> Semaphore {
        Semaphore {
            waiters: WaitQueue::new(),
            available: Cell::new(permits),
            held: Cell::new(0),
            bound: usize::MAX,
        }
    }

    /// One that will never have more permits than now. Python's `BoundedSemaphore`.
    #[must_use]
    pub const fn bounded(permits: usize) -> Semaphore {
        let mut semaphore = Semaphore::new(permits);
        semaphore.bound = permits;
        semaphore
    }

    /// Waits for a permit and takes it.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run), or for what a
    /// [bounded](Semaphore::bounded) semaphore can never have.
    #[track_caller]
    pub fn acquire(&self) -> Permit<'_> {
        self.acquire_many(1)
    }

    /// Waits until there are `count` permits for it and takes them all at once.
    ///
    /// # Panics
    ///
    /// As [`acquire`](Semaphore::acquire).
    #[track_caller]
    pub fn acquire_many(&self, count: usize) -> Permit<'_> {
        if !self.take(count) {
            // Without a deadline, it comes back with the permits or not at all.
            self.wait(count, None);
        }
        self.permit(count)
    }

    /// As [`acquire`](Semaphore::acquire), for at most `limit`.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if there was no permit for it within `limit`.
    ///
    /// # Panics
    ///
    /// As [`acquire`](Semaphore::acquire).
    #[track_caller]
    pub fn acquire_timeout(&self, limit: Duration) -> Result<Permit<'_>, Elapsed> {
        self.acquire_many_timeout(1, limit)
    }

    /// As [`acquire_many`](Semaphore::acquire_many), for at most `limit`.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if there were not so many permits for it within `limit`.
    ///
    /// # Panics
    ///
    /// As [`acquire`](Semaphore::acquire).
    #[track_caller]
    pub fn acquire_many_timeout(
        &self,
        count: usize,
        limit: Duration,
    ) -> Result<Permit<'_>, Elapsed> {
        let taken = self.take(count) || {
            let deadline = scheduler::with(|scheduler| scheduler.after(limit));
            self.wait(count, Some(deadline))
        };
        if taken {
            Ok(self.permit(count))
        } else {
            Err(Elapsed { limit })
        }
    }

    /// Takes a permit if there is one and nobody waits for it.
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.try_acquire_many(1)
    }

    /// Takes `count` permits if there are so many and nobody waits for them.
    pub fn try_acquire_many(&self, count: usize) -> Option<Permit<'_>> {
        self.take(count).then(|| self.permit(count))
    }

    /// Adds permits, or gives back those of [forgotten](Permit::forget) guards. gevent's `release`,
    /// tokio's `add_permits`.
    ///
    /// # Panics
    ///
    /// If there were more permits than a [bounded](Semaphore::bounded) semaphore can have, counting
    /// those that guards hold; or more than `usize` can count.
    #[track_caller]
    pub fn release(&self, count: usize) {
        let most = self.bound - self.held.get() - self.available.get();
        assert!(
            count <= most,
            "a semaphore with at most {} permits was given more",
            self.bound
        );
        self.available.set(self.available.get() + count);
        self.serve();
    }

    /// Permits that nobody has.
    #[must_use]
    pub fn available(&self) -> usize {
        self.available.get()
    }

    fn take(&self, count: usize) -> bool {
        let free = self.available.get() >= count && self.waiters.is_empty();
        if free {
            self.hold(count);
        }
        free
    }

    /// Waits for permits, and says whether it has got them.
    #[track_caller]
    fn wait(&self, count: usize, deadline: Option<Nanos>) -> bool {
        assert!(
            count <= self.bound,
            "{count} permits of a semaphore with at most {} would be waited for for ever",
            self.bound
        );
        // Who goes away may leave enough for those behind.
        let leaving = Serve(self);
        let granted = self.waiters.wait(Reason::Semaphore, deadline, count);
        if granted.is_ok() {
            std::mem::forget(leaving);
        }
        granted.is_ok()
    }

    /// Hands out permits as long as there are enough for who is first.
    fn serve(&self) {
        while let Some(wanted) = self.waiters.peek(|&wanted| wanted) {
            if wanted > self.available.get() {
                return;
            }
            self.hold(wanted);
            self.waiters.grant(|_| ());
        }
    }

    fn hold(&self, count: usize) {
        self.available.set(self.available.get() - count);
        self.held.set(self.held.get() + count);
    }

    /// A guard for permits that are held already.
    fn permit(&self, count: usize) -> Permit<'_> {
        Permit {
            semaphore: self,
            count,
        }
    }
}

struct Serve<'a>(&'a Semaphore);

impl Drop for Serve<'_> {
    fn drop(&mut self) {
        self.0.serve();
    }
}

impl Permit<'_> {
    /// Keeps the permits for good; [`Semaphore::release`] gives them back.
    pub fn forget(mut self) {
        let held = &self.semaphore.held;
        held.set(held.get() - self.count);
        self.count = 0;
    }

    /// How many permits it holds.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let Semaphore {
            available, held, ..
        } = self.semaphore;
        held.set(held.get() - self.count);
        available.set(available.get() + self.count);
        self.semaphore.serve();
    }
}

impl UnwindSafe for Semaphore {}
impl RefUnwindSafe for Semaphore {}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available", &self.available())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}
