//! Mutual exclusion that parks.

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};

use super::wait_queue::WaitQueue;
use crate::scheduler;
use crate::stats::Reason;

/// A lock whose waiters park, with the methods and the poisoning of [`std::sync::Mutex`].
///
/// It is handed over to the one that has waited for longest. Locking costs no memory; only code
/// that holds it across a wait (I/O, sleep, another lock) makes others wait at all.
///
/// A lock is poisoned by a panic of the *green thread* that holds it, and by a cancellation or a
/// [`timeout`](crate::timeout) that unwinds it: either way the data may be half changed.
///
/// If the holder never gives it up, [`run`](crate::run) reports a deadlock instead of hanging, as
/// long as nothing else goes on. While a green thread unwinds, its destructors may lock: they wait
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
    waiters: WaitQueue,
    locked: Cell<bool>,
    poisoned: Cell<bool>,
    value: RefCell<T>,
}

/// The right to a [`Mutex`]'s value; dropping it unlocks.
#[must_use = "if unused the Mutex will immediately unlock"]
pub struct MutexGuard<'a, T: ?Sized> {
    /// `None` only while it is dropped.
    value: Option<RefMut<'a, T>>,
    mutex: &'a Mutex<T>,
    /// The owner was unwinding when it locked, so that its unwinding says nothing about the value.
    unwinding: bool,
}

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex {
            waiters: WaitQueue::new(),
            locked: Cell::new(false),
            poisoned: Cell::new(false),
            value: RefCell::new(value),
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
    /// If it must wait outside [`run`](crate::run).
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        if self.locked.replace(true) {
            // Without a deadline, it comes back with the lock or not at all.
            let _ = self.waiters.wait(Reason::Lock, None, ());
        }
        self.guard()
    }

    /// Takes the lock if it is free.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] if it is not, [`TryLockError::Poisoned`] if it is poisoned.
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        if self.locked.replace(true) {
            return Err(TryLockError::WouldBlock);
        }
        Ok(self.guard()?)
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
    fn guard(&self) -> LockResult<MutexGuard<'_, T>> {
        let guard = MutexGuard {
            value: Some(self.value.borrow_mut()),
            mutex: self,
            unwinding: scheduler::is_unwinding(),
        };
        if self.poisoned.get() {
            Err(PoisonError::new(guard))
        } else {
            Ok(guard)
        }
    }

    /// Hands the lock to the next, or frees it.
    fn unlock(&self) {
        if self.waiters.grant(|()| ()).is_none() {
            self.locked.set(false);
        }
    }
}

/// The mutex that a guard is of.
pub(super) fn of<'a, T: ?Sized>(guard: &MutexGuard<'a, T>) -> &'a Mutex<T> {
    guard.mutex
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        if !self.unwinding && scheduler::is_unwinding() {
            self.mutex.poisoned.set(true);
        }
        self.mutex.unlock();
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
            .as_ref()
            .expect("a guard holds its value until it is dropped")
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value
            .as_mut()
            .expect("a guard holds its value until it is dropped")
    }
}

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
