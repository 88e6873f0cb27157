//! Mutual exclusion that parks.

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};
use std::time::Duration;

use super::owner::Owner;
use crate::scheduler::{self, Nanos};
use crate::wait_queue::WaitQueue;

/// A lock whose waiters park, with the methods and the poisoning of [`std::sync::Mutex`].
///
/// It is handed over to the one that has waited for longest. Locking costs no memory; only code
/// that holds it across a wait (I/O, sleep, another lock) makes others wait at all.
///
/// A lock is poisoned by a panic of the *green thread* that holds it, and by a cancellation or a
/// [`timeout`](crate::timeout) that unwinds it: either way the data may be half changed.
///
/// Green threads that lock in a circle, or one that locks what it has, are told: see
/// [`Deadlock`](crate::Deadlock). While a green thread unwinds, its destructors may lock: they wait
/// like everybody else, and cannot be cancelled meanwhile.
///
/// ```
/// use sedge::sync::Mutex;
/// use std::{rc::Rc, time::Duration};
///
/// sedge::run(|| {
///     let total = Rc::new(Mutex::new(0));
///     let threads = (1..=4).map(|i| {
///         let total = total.clone();
///         sedge::spawn(move || {
///             let mut total = total.lock().unwrap();
///             let seen = *total;
///             sedge::sleep(Duration::from_millis(1)); // the others wait
///             *total = seen + i;
///         })
///     });
///     sedge::wait_all(&threads.collect::<Vec<_>>());
///     assert_eq!(*total.lock().unwrap(), 10);
/// });
/// ```
pub struct Mutex<T: ?Sized> {
    /// Each with where it waits, and so will have taken the lock.
    waiters: WaitQueue<&'static Location<'static>>,
    owner: Owner,
    poisoned: Cell<bool>,
    /// Whoever holds the lock has a guard, and nobody else.
    value: UnsafeCell<T>,
}

/// The right to a [`Mutex`]'s value; dropping it unlocks.
///
/// It is the green thread's that has locked, as std's is the OS thread's. The compiler does not
/// keep it from being given to another one of the same OS thread; the lock works then as ever, but
/// a [report](crate::Deadlock) of a deadlock looks for it with the first, and may be wrong.
#[must_use = "if unused the Mutex will immediately unlock"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// The owner was unwinding when it locked, so that its unwinding says nothing about the value.
    unwinding: bool,
}

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex {
            waiters: WaitQueue::new(),
            owner: Owner::new("a Mutex"),
            poisoned: Cell::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// The value.
    ///
    /// # Errors
    ///
    /// If the mutex is poisoned; the value is in the error.
    pub fn into_inner(self) -> LockResult<T> {
        let poisoned = self.poisoned.get();
        let value = self.value.into_inner();
        if poisoned {
            Err(PoisonError::new(value))
        } else {
            Ok(value)
        }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until the lock is free and takes it. As std's.
    ///
    /// # Errors
    ///
    /// If the mutex is poisoned; the guard is in the error.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run); and with a [report](crate::Deadlock) if it
    /// would wait for ever, because this green thread has the lock already, or whoever has it waits
    /// for this one.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        if self.owner.is_taken() {
            self.wait(None);
        } else {
            self.owner.take();
        }
        self.guard()
    }

    /// Takes the lock if it is free.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] if it is not, [`TryLockError::Poisoned`] if it is poisoned.
    #[inline]
    #[track_caller]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        if self.owner.is_taken() {
            return Err(TryLockError::WouldBlock);
        }
        self.owner.take();
        Ok(self.guard()?)
    }

    /// As [`lock`](Mutex::lock), for at most `limit`. parking_lot's word; std has none.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] if the limit passed, [`TryLockError::Poisoned`] if the mutex is
    /// poisoned.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn try_lock_for(&self, limit: Duration) -> TryLockResult<MutexGuard<'_, T>> {
        if self.owner.is_taken() {
            let deadline = scheduler::with(|scheduler| scheduler.after(limit));
            if !self.wait(Some(deadline)) {
                return Err(TryLockError::WouldBlock);
            }
        } else {
            self.owner.take();
        }
        Ok(self.guard()?)
    }

    /// Waits for the lock; whether it came.
    #[cold]
    #[track_caller]
    fn wait(&self, deadline: Option<Nanos>) -> bool {
        let at = Location::caller();
        let granted = self.waiters.wait_for_lock(&self.owner, at, deadline, at);
        granted.is_ok()
    }

    /// Whether a panic or a cancellation has unwound a holder.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.get()
    }

    /// Declares the value sound again.
    pub fn clear_poison(&self) {
        self.poisoned.set(false);
    }

    /// The value; no lock is needed, for nobody else can have one.
    ///
    /// # Errors
    ///
    /// If the mutex is poisoned; the reference is in the error.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        let poisoned = self.poisoned.get();
        let value = self.value.get_mut();
        if poisoned {
            Err(PoisonError::new(value))
        } else {
            Ok(value)
        }
    }

    /// A guard for the caller, who holds the lock.
    #[inline]
    fn guard(&self) -> LockResult<MutexGuard<'_, T>> {
        let guard = MutexGuard {
            mutex: self,
            unwinding: scheduler::is_unwinding(),
        };
        if self.poisoned.get() {
            Err(PoisonError::new(guard))
        } else {
            Ok(guard)
        }
    }

    /// Frees the lock, or hands it to the next.
    #[inline]
    fn unlock(&self) {
        if self.waiters.is_empty() {
            self.owner.free();
        } else {
            self.hand_over();
        }
    }

    #[cold]
    fn hand_over(&self) {
        let next = |thread, at: &mut &'static _| self.owner.give(Some(thread), at);
        let granted = self.waiters.grant_lock(next);
        debug_assert!(granted.is_some(), "somebody waits");
    }
}

/// The mutex that a guard is of.
pub(super) fn of<'a, T: ?Sized>(guard: &MutexGuard<'a, T>) -> &'a Mutex<T> {
    guard.mutex
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if !self.unwinding && scheduler::is_unwinding() {
            self.mutex.poisoned.set(true);
        }
        self.mutex.unlock();
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard's green thread holds the lock, so there is no other guard, and
        // `get_mut` needs a mutex that nobody has borrowed. What is given out ends before the guard
        // does.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and this guard is borrowed mutably.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> UnwindSafe for Mutex<T> {}
impl<T: ?Sized> RefUnwindSafe for Mutex<T> {}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Mutex<T> {
        Mutex::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    /// Holds the lock while it formats the value, which may wait.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => out.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => out.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => out.field("data", &format_args!("<locked>")),
        };
        out.field("poisoned", &self.poisoned.get())
            .finish_non_exhaustive()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
