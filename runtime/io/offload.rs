//! Calls that block, on the OS threads of [`blocking`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::blocking::blocking;
use crate::coroutine;
use crate::scheduler;

/// Whether a green thread runs that may be suspended. What may not wait blocks the OS thread.
pub(crate) fn may_wait() -> bool {
    coroutine::is_running() && !scheduler::is_unwinding()
}

/// Makes a system call on another OS thread; in place if this one [may not wait](may_wait).
///
/// If the green thread is unwound while the call stands in the queue, it is not made. One that has
/// begun goes on to its end.
#[track_caller]
pub(crate) fn offload<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    if !may_wait() {
        return call();
    }
    let caller = Caller(Arc::default());
    let gone = Arc::clone(&caller.0);
    blocking(move || (!gone.load(Ordering::Relaxed)).then(call))
        .expect("who waits for the result is not gone")
}

/// Notes that nobody waits any more.
struct Caller(Arc<AtomicBool>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
