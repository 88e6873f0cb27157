//! Knows whether this process is a forked child.
//!
//! A child of `fork` has a copy of every green thread and shares the parent's epoll: it would steal
//! the parent's events and run everybody's code twice. So a scheduler remembers the generation it
//! was made in and refuses to go on in another. The child makes its copy look at that before
//! anybody else runs; asking `getpid` at every switch would cost 107 ns.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

static GENERATION: AtomicU32 = AtomicU32::new(0);

/// How many forks lie between the process that first asked and this one.
#[inline]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Starts counting. Must come before the first scheduler.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        extern "C" fn in_child() {
            GENERATION.fetch_add(1, Ordering::Relaxed);
            super::try_with(|scheduler| scheduler.next_turn = 0);
        }
        // SAFETY: the handler takes no lock and allocates nothing, as a handler that runs in the
        // child of a multi-threaded process must not, and it is never unloaded.
        let done = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        assert_eq!(done, 0, "pthread_atfork: out of memory");
    });
}
