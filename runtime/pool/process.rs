//! The pool of processes.
//!
//! A scheduler has one OS thread, so what computes on a green thread keeps all others waiting. A
//! [`ProcessPool`] does it elsewhere: in worker processes, each of which has a scheduler, and a
//! core if there is one. It is Python's `multiprocessing.Pool`, in the words of the other pools.
//!
//! ```
//! use sedge::pool::{ProcessPool, process};
//!
//! fn main() {
//!     process::init(); // in a worker, this does not return
//!     sedge::run(|| {
//!         let pool = ProcessPool::new(2).unwrap();
//!         let job = pool.submit(|n: u64| (1..=n).sum::<u64>(), 1_000_000);
//!         // Other green threads run meanwhile.
//!         assert_eq!(job.result().unwrap(), 500_000_500_000);
//!     });
//! }
//! ```
//!
//! # What can be sent
//!
//! A worker is this program, executed once more; it shares no memory with its parent. What goes
//! there and comes back is encoded: any type that serde can write and read. The function itself is
//! sent as its place in the program. It captures nothing, which the compiler sees to; what it needs
//! is its argument.
//!
//! # `main` runs in every worker
//!
//! up to [`init`], which should be its first line. A pool refuses to start in a program that has
//! not called it, for its workers would be copies of that program, with pools of their own. Unit
//! tests have a `main` that is not theirs: test what uses a pool by a test with `harness = false`.
//!
//! # Nothing disappears
//!
//! | what happens | what the [`Future`](crate::pool::Future) says |
//! |---|---|
//! | the function returns an `Err` | that is a value, as any other |
//! | it panics | [`TaskError::Panicked`]: message, place, worker |
//! | its worker ends: exit, signal, out of memory | [`TaskError::WorkerLost`], at once |
//! | the argument cannot be sent, or is too large | [`TaskError::Argument`] |
//! | likewise the value | [`TaskError::Value`] |
//! | it takes too long | [`TaskError::TimedOut`] |
//! | workers do not start | [`TaskError::Broken`] |
//! | it, or its pool, is cancelled | [`JobError::is_cancelled`](crate::pool::JobError) |
//!
//! A task is begun at most once, unless it is said to be
//! [idempotent](Builder::idempotent). One that ends its worker takes no other with it: what the
//! worker was sent and had not begun is taken back and given to another. The items of `map`, `imap`
//! and `imap_unordered` go in batches, which are one task each in this respect; those of
//! [`try_map`](ProcessPool::try_map) go alone.
//!
//! An error that nobody looks at is printed when its future is dropped; a panic is printed when it
//! happens, by the worker.
//!
//! # Workers
//!
//! do one task at a time, on a green thread: it may use sockets and timers of sedge, and
//! [cancelling](crate::pool::Future::cancel) it unwinds it where it waits. One that does not wait
//! is killed, with its worker, after a second. What a task leaves behind in a `static` or a
//! `thread_local!` is there for the next one.
//!
//! A worker that ends is replaced. All end when the pool is dropped, and when the parent dies, of
//! whatever. They ignore `SIGINT`: a Ctrl-C is the parent's to deal with.
//!
//! # What there is not
//!
//! No `fork`. One that runs a closure, with all it captures, in a copy of this process would be
//! honest only where there is one OS thread and no scheduler: elsewhere, locks that others hold
//! stay locked in the child, and it takes events from its parent. Who has neither can call the
//! closure at once; and inside [`run`](crate::run), where it would be of use, it could not be had.

mod batch;
mod builder;
mod clock;
mod codec;
mod error;
mod hub;
mod message;
mod panics;
mod serve;
#[expect(unsafe_code, reason = "calls functions by their distance from another")]
mod ship;
mod verbs;
mod worker;

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

pub use self::batch::ProcessImap;
pub use self::builder::Builder;
pub use self::error::TaskError;
pub use self::serve::init;
pub use self::ship::Parts;

use self::builder::Settings;
use self::hub::Hub;
use crate::coroutine;
use crate::launch::spawn::Origin;
use crate::pool::Shutdown;
use crate::scheduler;
use crate::thread::{self, shield};

/// How long dropping a pool may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Jobs in other processes, for what computes: Python's `multiprocessing.Pool` and
/// `ProcessPoolExecutor`. [The module](self) tells more.
///
/// It belongs to the scheduler that made it, and is not `Send`.
///
/// **Dropping** it terminates it, as leaving Python's `with` does: its tasks are cancelled, its
/// processes killed and waited for, which takes milliseconds, and never more than two seconds. To
/// have the tasks done first, [`join`](ProcessPool::join).
///
/// ```
/// use sedge::pool::{ProcessPool, process};
///
/// process::init();
/// sedge::run(|| {
///     let pool = ProcessPool::new(2)?;
///     let sums = pool.map(|n: u64| (1..=n).sum::<u64>(), [10, 100, 1000]);
///     assert_eq!(sums, [55, 5050, 500_500]);
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub struct ProcessPool {
    hub: Rc<Hub>,
    /// The process that made it, told by how many forks it is from the first.
    generation: u32,
}

impl ProcessPool {
    /// A pool of so many processes. [`Builder`] makes others.
    ///
    /// # Errors
    ///
    /// As [`Builder::start`].
    ///
    /// # Panics
    ///
    /// If `workers` is zero, and as [`Builder::start`].
    #[track_caller]
    pub fn new(workers: usize) -> io::Result<ProcessPool> {
        Builder::new(workers).start()
    }

    #[track_caller]
    fn start(settings: Settings) -> io::Result<ProcessPool> {
        assert!(
            serve::was_called(),
            "a pool's workers are this program, executed again: call \
             `sedge::pool::process::init()` as the first thing in `main`, where they turn off"
        );
        let pool = ProcessPool {
            hub: Hub::new(settings, Origin::find()?),
            generation: scheduler::fork_generation(),
        };
        // If it fails half-way, those that were started end with the pool.
        pool.hub.fill()?;
        let hub = Rc::clone(&pool.hub);
        let builder = thread::Builder::new().name("process pool".to_owned());
        builder.daemon(true).spawn(move || clock::run(&hub))?;
        Ok(pool)
    }

    /// How many processes it has, those aside that are about to end.
    #[must_use]
    pub fn size(&self) -> usize {
        self.hub.settings.workers
    }

    /// Tasks that no worker has been sent.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.hub.queued()
    }

    /// The process ids of its workers, in the order in which they were started.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let workers = self.hub.workers();
        workers.iter().map(|worker| worker.pid).collect()
    }

    /// Takes no more tasks. Those it has are done, and then its processes end. Python's `close`.
    pub fn close(&self) {
        self.hub.close();
    }

    /// Waits until it has no tasks; if it was [closed](ProcessPool::close), until its processes
    /// have ended too.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn join(&self) {
        self.hub.join(None);
    }

    /// As [`join`](ProcessPool::join), for at most `limit`; says whether it has come to that.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn join_timeout(&self, limit: Duration) -> bool {
        let deadline = scheduler::with(|scheduler| scheduler.after(limit));
        self.hub.join(Some(deadline))
    }

    /// Cancels every task, as [`Future::cancel`](crate::pool::Future::cancel) does one.
    pub fn cancel(&self) {
        self.hub.cancel_all();
    }

    /// Ends it at once: its tasks are cancelled, its processes killed, without destructors.
    /// [`join`](ProcessPool::join) waits until they are gone. Python's `terminate`.
    pub fn terminate(&self) {
        self.hub.terminate();
    }

    /// Takes no more tasks. With [`Shutdown::Cancel`], those it has are cancelled, so that their
    /// destructors run.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn shutdown(&self, how: Shutdown) {
        self.close();
        if how == Shutdown::Cancel {
            self.cancel();
        }
        if how != Shutdown::Detach {
            self.join();
        }
    }
}

impl Drop for ProcessPool {
    fn drop(&mut self) {
        if self.generation != scheduler::fork_generation() {
            // The workers are the parent's.
            return;
        }
        self.hub.terminate();
        // Who unwinds must not wait. The green threads that wait for the workers reap them.
        let is_inside = coroutine::is_running() && scheduler::try_with(|_| ()).is_some();
        if is_inside && !scheduler::is_unwinding() {
            shield(|| self.join_timeout(PATIENCE));
        }
    }
}

impl fmt::Debug for ProcessPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessPool")
            .field("pids", &self.pids())
            .field("queued", &self.queued())
            .finish_non_exhaustive()
    }
}
