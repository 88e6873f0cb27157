//! Whether a call may park: on a green thread, of a family that was switched on.
//!
//! Everything that keeps the patch away from those it must not touch is here. The loop of a
//! scheduler, mio in it, the OS threads of [`blocking`](crate::blocking()) and everybody else's OS
//! threads are not on a green thread. sedge's own calls, on a green thread, are on descriptors in
//! non-blocking mode, or raw system calls.

use std::cell::Cell;
use std::sync::Once;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::{coroutine, scheduler};

/// Families of symbols that are switched on together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Family(pub(super) u8);

impl Family {
    pub(super) const SOCKETS: Family = Family(1);
    pub(super) const SLEEP: Family = Family(2);
    pub(super) const DNS: Family = Family(4);
    pub(super) const PROCESS: Family = Family(8);
    pub(super) const PIPES: Family = Family(16);
    pub(super) const ALL: Family = Family(1 | 2 | 4 | 8 | 16);
    /// Calls that wait for descriptors of any kind.
    pub(super) const READINESS: Family = Family(1 | 16);
}

static ACTIVE: AtomicU8 = AtomicU8::new(0);

/// Switches families on, for all OS threads.
pub(super) fn open(families: u8) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        extern "C" fn in_child() {
            ACTIVE.store(0, Ordering::Relaxed);
        }
        // SAFETY: the handler is one store, as safe in the child of a multi-threaded process as
        // anything, and it is never unloaded.
        let done = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        assert_eq!(done, 0, "pthread_atfork: out of memory");
    });
    ACTIVE.fetch_or(families, Ordering::Relaxed);
}

/// The families that are switched on.
#[inline(always)]
pub(super) fn active() -> u8 {
    ACTIVE.load(Ordering::Relaxed)
}

/// Whether the caller is a green thread that may park in a call of this family.
#[inline(always)]
pub(super) fn may_park(family: Family) -> bool {
    active() & family.0 != 0 && coroutine::is_running() && !scheduler::is_unwinding()
}

/// Whether the scheduler is not at work just now, further up the stack.
pub(super) fn is_at_rest() -> bool {
    scheduler::try_with(|_| ()).is_some()
}

/// Calls in a row that a green thread makes without having to wait, before others run.
const BUDGET: u32 = 64;

thread_local! {
    static LEFT: Cell<u32> = const { Cell::new(BUDGET) };
}

/// Counts a call that did not have to wait. True when it is time to let others run.
#[inline(always)]
pub(super) fn is_spent() -> bool {
    let left = LEFT.get();
    if left == 0 {
        refill();
        return true;
    }
    LEFT.set(left - 1);
    false
}

/// Somebody has parked: the next green thread has a budget of its own.
pub(super) fn refill() {
    LEFT.set(BUDGET);
}
