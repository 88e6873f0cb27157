//! Green threads, in the words of [`std::thread`].
//!
//! A green thread is a coroutine with an id, a name, a state and a result. It costs a page of
//! memory. It stays on the OS thread whose [`run`](crate::run) it was spawned in, runs until it
//! waits for something, and nothing it captures need be `Send`.
//!
//! What that costs in time: a switch takes 3 to 4 times a bare corosensei switch (8 ns where that
//! takes 2.4), spawning and joining one about 60 ns there; measured as `yield_now` and as
//! `spawn(|| ()).join()` in a loop, release build, one core of an x86-64 machine.
//!
//! What differs from std:
//!
//! * [`JoinHandle::join`] fails with a [`JoinError`] that names the green thread; std's bare
//!   payload is in it.
//! * Green threads can be [cancelled](JoinHandle::cancel): they unwind from the point where they
//!   wait, so destructors run.
//! * [`run`](crate::run) returns when all have ended, not when `main` has; a
//!   [daemon](Builder::daemon) does not keep it waiting.
//! * A green thread that never waits lets nobody else run. Long computations call [`yield_now`], or
//!   run on the [`blocking`](crate::blocking) pool.
//! * `std::thread_local!` values belong to the OS thread and so to all its green threads together;
//!   [`green_local!`](crate::green_local) gives each its own.
//!
//! How it stands on the floor below: the scheduler knows coroutines, ids and reasons. The result of
//! a body lives in memory that the body's closure and the [`JoinHandle`] share, so a green thread
//! that nobody can join any more leaves nothing behind.

#[expect(unsafe_code, reason = "a payload is shared as far as it is Sync")]
mod error;
mod future;
mod handle;
mod remote;
mod run;
#[expect(
    unsafe_code,
    reason = "a scope's bodies are spawned as if they were 'static"
)]
mod scoped;
#[expect(unsafe_code, reason = "reference counting in recycled memory")]
mod shared;
mod spawn;
mod unwind;
#[cfg(feature = "patch")]
mod verdict;
mod wait;

use std::backtrace::Backtrace;
use std::fmt;
use std::panic::Location;
use std::time::{Duration, Instant};

pub use std::thread::{available_parallelism, panicking};

pub use self::error::{JoinError, Result};
pub(crate) use self::future::LocalWaker;
pub use self::future::block_on;
pub use self::handle::JoinHandle;
pub(crate) use self::remote::Wake;
pub use self::remote::{Ended, Remote, Unparker};
pub(crate) use self::run::report_panic;
pub use self::run::{Config, run};
pub use self::scoped::{Scope, ScopedJoinHandle, scope};
pub(crate) use self::spawn::spawn_link;
pub use self::spawn::{Builder, spawn, spawn_after};
pub use self::unwind::shield;
pub(crate) use self::unwind::{
    Closed, Payload, Unwinding, catch, contain, is_interrupt, is_timeout, park as park_for,
    park_for_until, park_until, park_until_free, resume, spend_budget,
};
#[cfg(feature = "patch")]
pub(crate) use self::verdict::{condemn, put_back};
pub use self::wait::{AsCompleted, as_completed, wait_all, wait_any};
pub use crate::local::{AccessError, LocalKey};
pub use crate::scheduler::{State, ThreadId};

use crate::scheduler::{self, Label, Scheduler, Snapshot};
use crate::stats::Reason;

/// A handle to a green thread: who it is, and [`unpark`](Thread::unpark). As
/// [`std::thread::Thread`].
#[derive(Clone)]
pub struct Thread {
    id: ThreadId,
    label: Label,
}

impl Thread {
    /// Its id, unique in the process.
    #[must_use]
    pub fn id(&self) -> ThreadId {
        self.id
    }

    /// Its name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.label.name.as_deref()
    }

    /// Where it was spawned.
    #[must_use]
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.label.spawned_at
    }

    /// What it is doing: [`State::Done`] once it has ended, or outside its [`run`](crate::run).
    #[must_use]
    pub fn state(&self) -> State {
        scheduler::try_with(|scheduler| scheduler.state(self.id)).unwrap_or(State::Done)
    }

    /// Gives it the token that [`park`] waits for.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run). From another OS thread use a [`Remote`].
    #[track_caller]
    pub fn unpark(&self) {
        scheduler::with(|scheduler| scheduler.unpark(self.id));
    }

    /// Cancels it; see [`JoinHandle::cancel`]. Who cancels himself goes on until he waits next.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run), and in a program built with `panic = "abort"`.
    #[track_caller]
    pub fn cancel(&self) {
        if cfg!(panic = "abort") {
            panic!(
                "a green thread is cancelled by unwinding it, which panic = \"abort\" has switched \
             off; build with panic = \"unwind\", or tell the green thread to stop by other means"
            );
        }
        scheduler::with(|scheduler| scheduler.cancel(self.id));
    }
}

impl From<Snapshot> for Thread {
    fn from(snapshot: Snapshot) -> Thread {
        Thread {
            id: snapshot.id,
            label: snapshot.label,
        }
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread")
            .field("id", &self.id)
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// The running green thread.
///
/// # Panics
///
/// Outside [`run`](crate::run).
#[must_use]
#[track_caller]
pub fn current() -> Thread {
    scheduler::with(|scheduler| {
        let id = scheduler.current();
        Thread {
            id,
            label: scheduler
                .label(id)
                .expect("the running green thread is in the table"),
        }
    })
}

/// Lets the other ready green threads run first. As [`std::thread::yield_now`], and
/// `gevent.sleep(0)`.
///
/// # Panics
///
/// Outside [`run`](crate::run).
#[inline(always)]
#[track_caller]
pub fn yield_now() {
    unwind::yield_now();
}

/// Waits until [`Thread::unpark`] gives this green thread its token, and takes it. As
/// [`std::thread::park`]: it may return early, and returns at once if the token is there already.
///
/// While the green thread unwinds it returns at once, token or not: a destructor that loops around
/// it until something has happened would never end.
///
/// # Panics
///
/// Outside [`run`](crate::run).
#[track_caller]
pub fn park() {
    park_deadline(None);
}

/// As [`park`], for at most `limit`.
///
/// # Panics
///
/// Outside [`run`](crate::run).
#[track_caller]
pub fn park_timeout(limit: Duration) {
    park_deadline(Some(scheduler::with(|scheduler| scheduler.after(limit))));
}

#[track_caller]
fn park_deadline(deadline: Option<scheduler::Nanos>) {
    if !scheduler::with(Scheduler::take_token) {
        // While unwinding this returns early, as `park` may.
        let _ = unwind::park(Reason::Park, deadline);
        scheduler::with(Scheduler::take_token);
    }
}

/// Sleeps for at least `duration`; the other green threads run meanwhile. As
/// [`std::thread::sleep`]; a zero duration lets the others run once, as in gevent.
///
/// While the green thread unwinds it returns at once: waiting would hold up everybody.
///
/// # Panics
///
/// Outside [`run`](crate::run).
#[track_caller]
pub fn sleep(duration: Duration) {
    if duration.is_zero() {
        return yield_now();
    }
    sleep_for(scheduler::with(|scheduler| scheduler.after(duration)));
}

/// Sleeps until `deadline`. As std's `sleep_until`.
///
/// # Panics
///
/// Outside [`run`](crate::run).
#[track_caller]
pub fn sleep_until(deadline: Instant) {
    sleep_for(scheduler::with(|scheduler| scheduler.at(deadline)));
}

/// Parks at least once: however short the sleep, the others run.
#[track_caller]
fn sleep_for(deadline: scheduler::Nanos) {
    while unwind::park(Reason::Sleep, Some(deadline)).is_ok() {
        if scheduler::with(|scheduler| scheduler.has_passed(deadline)) {
            return;
        }
    }
}

/// Every green thread of this scheduler that has not ended, by id. Python's `threading.enumerate`.
///
/// ```
/// use sedge::thread::{self, Builder};
///
/// sedge::run(|| {
///     let _worker = Builder::new().name("worker".into()).spawn(thread::yield_now);
///     let all = thread::all();
///     let names: Vec<_> = all.iter().map(|thread| thread.name().unwrap_or("?")).collect();
///     assert_eq!(names, ["main", "worker"]);
/// });
/// ```
///
/// # Panics
///
/// Outside [`run`](crate::run).
#[must_use]
#[track_caller]
pub fn all() -> Vec<Thread> {
    scheduler::with(|scheduler| scheduler.snapshot().into_iter().map(Thread::from).collect())
}

/// The backtrace of every green thread that is suspended somewhere, taken by itself: where it
/// waits, and who called that. For a look at a program that hangs. One takes some microseconds,
/// printing it much longer.
///
/// ```
/// use std::time::Duration;
///
/// sedge::run(|| {
///     let sleeper = sedge::spawn(|| sedge::sleep(Duration::from_millis(5)));
///     sedge::yield_now();
///     for (thread, backtrace) in sedge::thread::dump() {
///         println!("{thread:?}, {}:\n{backtrace}", thread.state());
///     }
///     sleeper.join().unwrap();
/// });
/// ```
///
/// # Panics
///
/// Outside [`run`](crate::run).
#[must_use]
#[track_caller]
pub fn dump() -> Vec<(Thread, Backtrace)> {
    if scheduler::is_unwinding() {
        return Vec::new();
    }
    let backtraces = unwind::unwind_on(scheduler::dump());
    scheduler::with(|scheduler| {
        let mut dump: Vec<(Thread, Backtrace)> = Vec::with_capacity(backtraces.len());
        for (id, backtrace) in backtraces {
            // One may have ended since.
            if let Some(label) = scheduler.label(id) {
                dump.push((Thread { id, label }, backtrace));
            }
        }
        dump.sort_by_key(|(thread, _)| thread.id.as_u64());
        dump
    })
}
