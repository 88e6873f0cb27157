//! Where the scheduler of this OS thread is.
//!
//! A thread-local that needs no destructor is one addition to the thread's base register; one that
//! does is a check at every access, and `LocalKey::with` hands a large closure through memory.
//! Every switch comes by here. So the place is a bare cell, and [`Scheduler`]s are put in and taken
//! out by `start` and `stop`; nothing is left in it when its OS thread ends.
//!
//! Whoever borrows the scheduler takes it out and puts it back. One look then tells that there is
//! one and that nobody else is at work on it; with a `RefCell` it is two, and a switch takes a
//! tenth longer.

use std::cell::Cell;
use std::mem::{self, ManuallyDrop};

use super::Scheduler;
use crate::coroutine;

type Place = Cell<Option<Box<Scheduler>>>;

thread_local! {
    static PLACE: ManuallyDrop<Place> = const { ManuallyDrop::new(Cell::new(None)) };
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

/// The scheduler, out of its place until this is dropped.
struct Borrowed(Option<Box<Scheduler>>);

impl Borrowed {
    #[inline(always)]
    fn take() -> Option<Borrowed> {
        place().take().map(|scheduler| Borrowed(Some(scheduler)))
    }

    #[inline(always)]
    fn scheduler(&mut self) -> &mut Scheduler {
        self.0.as_deref_mut().expect("it is put back by the drop")
    }
}

impl Drop for Borrowed {
    #[inline(always)]
    fn drop(&mut self) {
        // The place is empty: there is nothing that would have to be dropped.
        mem::forget(place().replace(self.0.take()));
    }
}

/// Borrows the scheduler. Never across a switch, and no user code inside.
///
/// # Panics
///
/// Outside [`run`](crate::run).
#[inline(always)]
#[track_caller]
pub(crate) fn with<R>(f: impl FnOnce(&mut Scheduler) -> R) -> R {
    match Borrowed::take() {
        Some(mut borrowed) => f(borrowed.scheduler()),
        None => missing(),
    }
}

/// As [`with`], or `None` if there is no scheduler, or it is at work itself.
#[inline(always)]
pub(crate) fn try_with<R>(f: impl FnOnce(&mut Scheduler) -> R) -> Option<R> {
    Some(f(Borrowed::take()?.scheduler()))
}

/// There is no scheduler in its place.
#[cold]
#[track_caller]
fn missing() -> ! {
    assert!(
        !coroutine::is_running(),
        "the scheduler is borrowed already; this is a bug in sedge"
    );
    outside()
}

#[cold]
#[track_caller]
pub(super) fn outside() -> ! {
    panic!("{}", coroutine::OUTSIDE)
}
