//! Where the scheduler of this OS thread is.
//!
//! A thread-local that needs no destructor is one addition to the thread's base register; one that
//! does is a check at every access, and `LocalKey::with` hands a large closure through memory.
//! Every switch comes by here. So the place is a bare cell, and [`Scheduler`]s are put in and taken
//! out by `start` and `stop`; nothing is left in it when its OS thread ends.

use std::cell::RefCell;
use std::mem::ManuallyDrop;

use super::Scheduler;
use crate::coroutine;

type Place = RefCell<Option<Box<Scheduler>>>;

thread_local! {
    static PLACE: ManuallyDrop<Place> = const { ManuallyDrop::new(RefCell::new(None)) };
}

/// The place of this OS thread. The reference must not be kept: this module's callers use it at
/// once.
#[inline(always)]
pub(super) fn place() -> &'static Place {
    let place = PLACE.with(|place| &raw const **place);
    // SAFETY: the thread-local has no destructor, so it is valid as long as its OS thread runs.
    // `Place` is not `Sync`, so the reference cannot leave that OS thread, and no green thread ever
    // does.
    unsafe { &*place }
}

/// Borrows the scheduler. Never across a switch, and no user code inside.
///
/// # Panics
///
/// Outside [`run`](crate::run).
#[inline(always)]
#[track_caller]
pub(crate) fn with<R>(f: impl FnOnce(&mut Scheduler) -> R) -> R {
    if let Some(scheduler) = place().borrow_mut().as_deref_mut() {
        return f(scheduler);
    }
    // Not under the borrow: a panic hook may look for the green thread that runs.
    outside()
}

/// As [`with`], or `None` if there is no scheduler, or it is at work itself.
#[inline(always)]
pub(crate) fn try_with<R>(f: impl FnOnce(&mut Scheduler) -> R) -> Option<R> {
    place().try_borrow_mut().ok()?.as_deref_mut().map(f)
}

#[cold]
#[track_caller]
pub(super) fn outside() -> ! {
    panic!("{}", coroutine::OUTSIDE)
}
