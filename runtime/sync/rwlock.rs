//! Many readers or one writer, in the order in which they came.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};
use std::time::Duration;

use super::owner::{OwnerKey, Owners};
use crate::scheduler::{self, Held, Holder, Nanos, Role, ThreadId};
use crate::stats::Reason;
use crate::wait_queue::WaitQueue;

/// A lock for many readers or one writer, with the methods and the poisoning of
/// [`std::sync::RwLock`].
///
/// Nobody overtakes: a reader that comes while a writer waits, waits behind it, so neither side can
/// starve the other. For the same reason a green thread that has a read lock must not ask for
/// another: if a writer has come between, the two would wait for each other, and it [is
/// told](crate::Deadlock).
///
/// A panic or a cancellation that unwinds a writer poisons it. A reader's does not.
///
/// ```
/// use sedge::sync::RwLock;
///
/// let lock = RwLock::new(5);
/// {
///     let (one, other) = (lock.read().unwrap(), lock.read().unwrap());
///     assert_eq!(*one + *other, 10);
/// }
/// *lock.write().unwrap() += 1;
/// assert_eq!(lock.into_inner().unwrap(), 6);
/// ```
pub struct RwLock<T: ?Sized> {
    waiters: WaitQueue<Request>,
    owners: Owners,
    writing: Cell<bool>,
    poisoned: Cell<bool>,
    value: RefCell<T>,
}

/// What a waiter wants, and then has.
struct Request {
    access: Access,
    at: &'static Location<'static>,
    /// Filled in when it is granted.
    key: Option<OwnerKey>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// The right to look at an [`RwLock`]'s value; dropping it gives it up.
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    /// `None` only while it is dropped.
    value: Option<Ref<'a, T>>,
    _hold: Hold<'a, T>,
}

/// The right to change an [`RwLock`]'s value; dropping it gives it up.
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    /// `None` only while it is dropped.
    value: Option<RefMut<'a, T>>,
    hold: Hold<'a, T>,
    /// The owner was unwinding when it locked, so that its unwinding says nothing about the value.
    unwinding: bool,
}

/// A share in the lock. Dropped after the reference to the value.
struct Hold<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    key: OwnerKey,
}

impl<T> RwLock<T> {
    /// An unlocked lock.
    pub const fn new(value: T) -> RwLock<T> {
        RwLock {
            waiters: WaitQueue::new(),
            owners: Owners::new("an RwLock"),
            writing: Cell::new(false),
            poisoned: Cell::new(false),
            value: RefCell::new(value),
        }
    }

    /// The value.
    ///
    /// # Errors
    ///
    /// If the lock is poisoned; the value is in the error.
    pub fn into_inner(self) -> LockResult<T> {
        let poisoned = self.poisoned.get();
        poisonable(self.value.into_inner(), poisoned)
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until nobody writes or has asked to, and takes a share. As std's.
    ///
    /// # Errors
    ///
    /// If the lock is poisoned; the guard is in the error.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run); and with a [report](crate::Deadlock) if it
    /// would wait for ever, because whoever it waits for waits for this green thread.
    #[track_caller]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        let key = self.acquire(Access::Read, None);
        self.reader(key.expect("without a deadline, the lock is waited for"))
    }

    /// Waits until nobody else has the lock and takes it. As std's.
    ///
    /// # Errors
    ///
    /// If the lock is poisoned; the guard is in the error.
    ///
    /// # Panics
    ///
    /// As [`read`](RwLock::read).
    #[track_caller]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        let key = self.acquire(Access::Write, None);
        self.writer(key.expect("without a deadline, the lock is waited for"))
    }

    /// Takes a share if it need not wait for it.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] if it must, [`TryLockError::Poisoned`] if the lock is poisoned.
    #[track_caller]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        let key = self.try_acquire(Access::Read, Location::caller());
        Ok(self.reader(key.ok_or(TryLockError::WouldBlock)?)?)
    }

    /// Takes the lock if it need not wait for it.
    ///
    /// # Errors
    ///
    /// As [`try_read`](RwLock::try_read).
    #[track_caller]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        let key = self.try_acquire(Access::Write, Location::caller());
        Ok(self.writer(key.ok_or(TryLockError::WouldBlock)?)?)
    }

    /// As [`read`](RwLock::read), for at most `limit`. parking_lot's word; std has none.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] if the limit passed, [`TryLockError::Poisoned`] if the lock is
    /// poisoned.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn try_read_for(&self, limit: Duration) -> TryLockResult<RwLockReadGuard<'_, T>> {
        let key = self.acquire(Access::Read, Some(limit));
        Ok(self.reader(key.ok_or(TryLockError::WouldBlock)?)?)
    }

    /// As [`write`](RwLock::write), for at most `limit`. parking_lot's word; std has none.
    ///
    /// # Errors
    ///
    /// As [`try_read_for`](RwLock::try_read_for).
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn try_write_for(&self, limit: Duration) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        let key = self.acquire(Access::Write, Some(limit));
        Ok(self.writer(key.ok_or(TryLockError::WouldBlock)?)?)
    }

    /// Whether a panic or a cancellation has unwound a writer.
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
    /// If the lock is poisoned; the reference is in the error.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        let poisoned = self.poisoned.get();
        poisonable(self.value.get_mut(), poisoned)
    }

    #[track_caller]
    fn acquire(&self, access: Access, limit: Option<Duration>) -> Option<OwnerKey> {
        let at = Location::caller();
        let at_once = self.try_acquire(access, at);
        if at_once.is_some() {
            return at_once;
        }
        let deadline = limit.map(|limit| scheduler::with(|scheduler| scheduler.after(limit)));
        self.wait(access, deadline, at)
    }

    fn try_acquire(&self, access: Access, at: &'static Location<'static>) -> Option<OwnerKey> {
        (self.waiters.is_empty() && self.is_free_for(access))
            .then(|| self.give(access, scheduler::running_id(), at))
    }

    #[cold]
    #[track_caller]
    fn wait(
        &self,
        access: Access,
        deadline: Option<Nanos>,
        at: &'static Location<'static>,
    ) -> Option<OwnerKey> {
        /// Those behind one that gives up may have waited for it alone.
        struct HandOver<'a, T: ?Sized>(&'a RwLock<T>);

        impl<T: ?Sized> Drop for HandOver<'_, T> {
            fn drop(&mut self) {
                self.0.hand_over();
            }
        }

        let hand_over = HandOver(self);
        let request = Request {
            access,
            at,
            key: None,
        };
        let waiters = &self.waiters;
        let granted = match access {
            Access::Read => waiters.wait_for_lock(&Turn(self), at, deadline, request),
            Access::Write => waiters.wait_for_lock(&self.owners, at, deadline, request),
        };
        let request = granted.ok()?;
        std::mem::forget(hand_over);
        request.key
    }

    fn is_free_for(&self, access: Access) -> bool {
        match access {
            Access::Read => !self.writing.get(),
            Access::Write => self.owners.is_empty(),
        }
    }

    fn give(
        &self,
        access: Access,
        thread: Option<ThreadId>,
        at: &'static Location<'static>,
    ) -> OwnerKey {
        self.writing.set(access == Access::Write);
        self.owners.add(thread, at)
    }

    /// Gives the lock to the first who wait, as far as it is free for them.
    fn hand_over(&self) {
        while let Some(access) = self.waiters.peek(|_, request| request.access) {
            if !self.is_free_for(access) {
                return;
            }
            self.waiters.grant_lock(|thread, request| {
                request.key = Some(self.give(access, Some(thread), request.at));
            });
        }
    }

    fn reader(&self, key: OwnerKey) -> LockResult<RwLockReadGuard<'_, T>> {
        let guard = RwLockReadGuard {
            value: Some(self.value.borrow()),
            _hold: Hold { lock: self, key },
        };
        poisonable(guard, self.poisoned.get())
    }

    fn writer(&self, key: OwnerKey) -> LockResult<RwLockWriteGuard<'_, T>> {
        let guard = RwLockWriteGuard {
            value: Some(self.value.borrow_mut()),
            hold: Hold { lock: self, key },
            unwinding: scheduler::is_unwinding(),
        };
        poisonable(guard, self.poisoned.get())
    }
}

/// What a reader waits for: the writer who has the lock, or else the one who has asked for it
/// before, for readers do not mind each other. That one may give up.
struct Turn<'a, T: ?Sized>(&'a RwLock<T>);

impl<T: ?Sized> Held for Turn<'_, T> {
    fn kind(&self) -> &'static str {
        self.0.owners.kind()
    }

    fn reason(&self) -> Reason {
        Reason::Lock
    }

    fn each_holder(&self, each: &mut dyn FnMut(Holder)) {
        if self.0.writing.get() {
            return self.0.owners.each_holder(each);
        }
        let ahead = |thread, request: &Request| {
            // If a reader comes first, it will have the lock as soon as a writer has gone who was
            // interrupted before it; it may be the one who asks.
            (request.access == Access::Write).then_some(Holder {
                thread,
                role: Role::Ahead,
                at: Some(request.at),
            })
        };
        let first = self.0.waiters.peek(ahead).flatten();
        first.into_iter().for_each(each);
    }
}

fn poisonable<G>(guard: G, poisoned: bool) -> LockResult<G> {
    if poisoned {
        Err(PoisonError::new(guard))
    } else {
        Ok(guard)
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Turns the right to change into one to look, so that nobody can write between. As std's.
    pub fn downgrade(mut guard: RwLockWriteGuard<'a, T>) -> RwLockReadGuard<'a, T> {
        let Hold { lock, key } = guard.hold;
        guard.value = None;
        lock.writing.set(false);
        // What its drop would do is done here, or must not be.
        std::mem::forget(guard);
        let guard = RwLockReadGuard {
            value: Some(lock.value.borrow()),
            _hold: Hold { lock, key },
        };
        lock.hand_over();
        guard
    }
}

impl<T: ?Sized> Drop for Hold<'_, T> {
    fn drop(&mut self) {
        self.lock.owners.remove(self.key);
        if self.lock.owners.is_empty() {
            self.lock.writing.set(false);
        }
        self.lock.hand_over();
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.value = None;
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        if !self.unwinding && scheduler::is_unwinding() {
            self.hold.lock.poisoned.set(true);
        }
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
            .as_ref()
            .expect("a guard holds its value until it is dropped")
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
            .as_ref()
            .expect("a guard holds its value until it is dropped")
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value
            .as_mut()
            .expect("a guard holds its value until it is dropped")
    }
}

impl<T: ?Sized> UnwindSafe for RwLock<T> {}
impl<T: ?Sized> RefUnwindSafe for RwLock<T> {}

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> RwLock<T> {
        RwLock::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    /// Has a share in the lock while it formats the value, which may wait.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => out.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => out.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => out.field("data", &format_args!("<locked>")),
        };
        out.field("poisoned", &self.poisoned.get())
            .finish_non_exhaustive()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
