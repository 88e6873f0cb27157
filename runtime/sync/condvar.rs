//! Waiting for a condition under a [`Mutex`](super::Mutex).

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, PoisonError};
use std::time::Duration;

use super::mutex::{self, MutexGuard};
use crate::scheduler::{self, Nanos};
use crate::stats::Reason;
use crate::wait_queue::WaitQueue;

/// A condition to wait for, with the methods of [`std::sync::Condvar`]. First come, first notified.
///
/// As with std's, only a loop that looks at the condition again is right, and
/// [`wait_while`](Condvar::wait_while) is that loop.
///
/// What differs from std is what an interrupt does, a cancellation or a
/// [`timeout`](crate::timeout):
///
/// * It unwinds the wait *without* the lock. Nobody could use it, for `wait` has consumed the
///   guard, and to take it may mean to wait. For the same reason the mutex is not poisoned: what it
///   guards was whole when it was given up.
/// * No notification is lost. One that has reached its green thread before the interrupt ends the
///   wait as ever, if the lock is free; if not, it goes to the next who waits.
///
/// ```
/// use sedge::sync::{Condvar, Mutex};
/// use std::rc::Rc;
///
/// sedge::run(|| {
///     let pair = Rc::new((Mutex::new(false), Condvar::new()));
///     let inner = Rc::clone(&pair);
///     sedge::spawn(move || {
///         *inner.0.lock().unwrap() = true;
///         inner.1.notify_one();
///     });
///     let ready = pair.1.wait_while(pair.0.lock().unwrap(), |ready| !*ready);
///     assert!(*ready.unwrap());
/// });
/// ```
pub struct Condvar {
    waiters: WaitQueue<Notice>,
}

/// How a waiter was notified.
#[derive(Clone, Copy, Default)]
enum Notice {
    /// Not yet, or with everybody else.
    #[default]
    None,
    /// It alone, on behalf of all that wait.
    Alone,
}

/// Whether a wait ended because its time was up. As [`std::sync::WaitTimeoutResult`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time was up.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    /// A condition that nobody waits for.
    #[must_use]
    pub const fn new() -> Condvar {
        Condvar {
            waiters: WaitQueue::new(),
        }
    }

    /// Unlocks, waits for a notification, and locks again. As std's.
    ///
    /// # Errors
    ///
    /// If the mutex is poisoned when it is locked again; the guard is in the error.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    #[track_caller]
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.wait_until(guard, None).0
    }

    /// Waits as long as `condition` holds. As std's.
    ///
    /// # Errors
    ///
    /// If the mutex is poisoned when it is locked again; the guard is in the error.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn wait_while<'a, T, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: F,
    ) -> LockResult<MutexGuard<'a, T>>
    where
        F: FnMut(&mut T) -> bool,
    {
        while condition(&mut *guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// As [`wait`](Condvar::wait), for at most `limit`, not counting what it takes to lock again.
    /// As std's.
    ///
    /// # Errors
    ///
    /// If the mutex is poisoned when it is locked again; guard and result are in the error.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    #[track_caller]
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let deadline = scheduler::with(|scheduler| scheduler.after(limit));
        with_result(self.wait_until(guard, Some(deadline)))
    }

    /// Waits as long as `condition` holds, for at most `limit`. As std's: the result says that the
    /// time was up only if the condition holds still.
    ///
    /// # Errors
    ///
    /// If the mutex is poisoned when it is locked again; guard and result are in the error.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    #[track_caller]
    pub fn wait_timeout_while<'a, T, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        limit: Duration,
        mut condition: F,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)>
    where
        F: FnMut(&mut T) -> bool,
    {
        let deadline = scheduler::with(|scheduler| scheduler.after(limit));
        loop {
            if !condition(&mut *guard) {
                return Ok((guard, WaitTimeoutResult(false)));
            }
            if scheduler::with(|scheduler| scheduler.has_passed(deadline)) {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            guard = with_result(self.wait_until(guard, Some(deadline)))?.0;
        }
    }

    /// Ends the wait of the one that has waited for longest.
    pub fn notify_one(&self) {
        self.waiters.grant(|notice| *notice = Notice::Alone);
    }

    /// Ends the wait of all that wait now.
    pub fn notify_all(&self) {
        self.waiters.grant_all();
    }

    #[track_caller]
    fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Option<Nanos>,
    ) -> (LockResult<MutexGuard<'a, T>>, WaitTimeoutResult) {
        let mutex = mutex::of(&guard);
        // Nobody runs between this and the wait, so no notification can slip in.
        drop(guard);
        let granted = self.waiters.wait(Reason::Condvar, deadline, Notice::None);
        let pass_on = matches!(granted, Ok(Notice::Alone)).then_some(PassOn(self));
        let lock = mutex.lock();
        std::mem::forget(pass_on);
        (lock, WaitTimeoutResult(granted.is_err()))
    }
}

/// Gives the notification of a waiter that is unwound before it has the lock to the next.
struct PassOn<'a>(&'a Condvar);

impl Drop for PassOn<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

fn with_result<T>(
    (lock, result): (LockResult<T>, WaitTimeoutResult),
) -> LockResult<(T, WaitTimeoutResult)> {
    match lock {
        Ok(guard) => Ok((guard, result)),
        Err(error) => Err(PoisonError::new((error.into_inner(), result))),
    }
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl UnwindSafe for Condvar {}
impl RefUnwindSafe for Condvar {}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}
