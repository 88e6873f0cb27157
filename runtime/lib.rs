//! Green threads with std's words: ordinary blocking code, one scheduler per OS thread, no `Send`.

#![warn(clippy::print_stdout, clippy::print_stderr)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("sedge runs on 64-bit Linux: it stands on epoll and MADV_GUARD_INSTALL");

// Floor 0, data: nothing here switches, waits or knows a green thread.
#[expect(
    unsafe_code,
    reason = "maps memory, and handles the fault of an overflow"
)]
mod stack;
mod stats;
mod timer;

// Floor 1, engines: one suspended stack; readiness to waiters.
#[expect(
    unsafe_code,
    reason = "follows the pointer to the running coroutine's yielder"
)]
mod coroutine;
mod reactor;

// Floor 2, the loop.
mod scheduler;

// Floor 3, threads.
pub mod local;
pub mod thread;
pub mod time;

// Floor 4, waiting for each other, and for what cannot yield.
pub mod sync;

mod blocking;

// Floor 5, I/O.
pub mod io;
pub mod net;
pub mod os;

pub use blocking::blocking;
pub use scheduler::{Deadlock, Policy, State, Stuck};
pub use stack::StackGuard;
pub use stats::{Parks, Reason, Stats};
pub use thread::{
    AsCompleted, Config, JoinError, JoinHandle, Remote, as_completed, run, scope, shield, sleep,
    sleep_until, spawn, spawn_after, wait_all, wait_any, yield_now,
};
pub use time::{Elapsed, timeout};

/// What this OS thread's scheduler has done since its [`run`] began.
///
/// ```
/// sedge::run(|| {
///     sedge::yield_now();
///     assert_eq!(sedge::stats().yields, 1);
/// });
/// ```
///
/// # Panics
///
/// Outside [`run`].
#[must_use]
#[track_caller]
pub fn stats() -> Stats {
    scheduler::with(scheduler::Scheduler::stats)
}
