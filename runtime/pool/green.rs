//! A pool of green threads: at most so many jobs at once.
//!
//! ```text
//!    spawn ── a place is free ──────────────────────────────> its own green thread ─┐
//!      ├───── full: waits in line <── the place goes to the first ── job ends ──────┘
//!      └───── full, and called by a job of this pool: runs in place
//! ```
//!
//! A job has a green thread of its own, which costs less than a worker that is handed jobs through
//! a channel, and its stack is the one that the job before has left, still in the cache.

mod job;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use self::job::{Mapper, in_place, spawn_job};
use super::imap::{Imap, ImapUnordered};
use super::{Executor, Future, JobError};
use crate::scheduler::{self, Nanos};
use crate::stats::Reason;
use crate::thread::{Thread, ThreadId};
use crate::wait_queue::WaitQueue;

/// Runs at most `size` jobs at once, each on a green thread; who brings more waits in line.
/// gevent's `Pool`.
///
/// Clones are handles to the same pool; dropping the last one lets its jobs run on.
///
/// **A job may use the pool it runs in.** If that is full, what the job spawns runs in place, on
/// the job's own green thread, before `spawn` returns: waiting for a place could be for ever. Its
/// value or panic is in the future as ever, but it shares the job's stack, locals and
/// cancellation. That goes by who calls: a green thread that a job has spawned outside of the pool
/// is no job, and waits in line.
///
/// ```
/// use sedge::pool::Pool;
/// use std::time::Duration;
///
/// sedge::run(|| {
///     let pool = Pool::new(2);
///     for _ in 0..4 {
///         pool.spawn(|| sedge::sleep(Duration::from_millis(1))); // two at a time
///     }
///     pool.join();
///     assert_eq!(pool.free_count(), 2);
/// });
/// ```
#[derive(Clone)]
pub struct Pool {
    places: Rc<Places>,
}

struct Places {
    size: usize,
    free: Cell<usize>,
    closed: Cell<bool>,
    /// The green threads of the jobs.
    jobs: RefCell<HashMap<ThreadId, Thread>>,
    line: WaitQueue<Want>,
    /// Wait until all places are free.
    joiners: WaitQueue,
}

/// What one who stands in line wants.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    Place,
    /// To know that there was one.
    News,
}

impl Pool {
    /// A pool for `size` jobs at once.
    ///
    /// # Panics
    ///
    /// If `size` is 0: no job would ever run.
    #[must_use]
    #[track_caller]
    pub fn new(size: usize) -> Pool {
        assert!(size > 0, "a pool of no places would never run a job");
        Pool {
            places: Rc::new(Places {
                size,
                free: Cell::new(size),
                closed: Cell::new(false),
                jobs: RefCell::default(),
                line: WaitQueue::new(),
                joiners: WaitQueue::new(),
            }),
        }
    }

    /// Runs `f` on a green thread of the pool; while the pool is full, it waits in line for a
    /// place, first come, first served. If it is interrupted there, `f` is dropped.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run); if the pool was [closed](Pool::close); if there is no memory
    /// for a stack.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> Future<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        self.check_open();
        if self.is_full() && self.runs_here() {
            return in_place(f);
        }
        self.places.take(None);
        self.start(f)
    }

    /// As [`spawn`](Pool::spawn), if there is a place.
    ///
    /// # Errors
    ///
    /// Gives `f` back if the pool is full.
    ///
    /// # Panics
    ///
    /// As [`spawn`](Pool::spawn).
    #[track_caller]
    pub fn try_spawn<F, T>(&self, f: F) -> Result<Future<T>, F>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        self.check_open();
        if self.is_full() {
            return Err(f);
        }
        self.places.take(None);
        Ok(self.start(f))
    }

    /// Runs `f` in the pool and waits for it. Its panic comes out here. If this green thread is
    /// interrupted meanwhile, the job is cancelled.
    ///
    /// # Panics
    ///
    /// With `f`'s panic; as [`spawn`](Pool::spawn).
    #[track_caller]
    pub fn apply<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let job = self.spawn(f);
        super::future::finish(job)
    }

    /// As [`spawn`](Pool::spawn); when the job has ended, one of the two runs, as with
    /// [`add_done_callback`](Future::add_done_callback).
    ///
    /// ```
    /// use sedge::pool::Pool;
    ///
    /// sedge::run(|| {
    ///     let pool = Pool::new(1);
    ///     let job = pool.apply_async(|| 42, |value| println!("{value}"), |e| eprintln!("{e}"));
    ///     job.wait();
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// As [`spawn`](Pool::spawn).
    #[track_caller]
    pub fn apply_async<F, T, C, E>(&self, f: F, callback: C, error_callback: E) -> Future<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
        C: FnOnce(&T) + 'static,
        E: FnOnce(&JobError) + 'static,
    {
        let job = self.spawn(f);
        job.add_done_callback(|result| match result {
            Ok(value) => callback(value),
            Err(error) => error_callback(error),
        });
        job
    }

    /// Runs `f` on all items, and gives the values in their order.
    ///
    /// # Panics
    ///
    /// With the panic of the first job, in order, that has panicked, or the input's; the jobs that
    /// run are cancelled then, and no more items are pulled. As [`spawn`](Pool::spawn).
    #[track_caller]
    pub fn map<I, F, T>(&self, items: I, f: F) -> Vec<T>
    where
        I: IntoIterator,
        I::Item: 'static,
        F: Fn(I::Item) -> T + 'static,
        T: 'static,
    {
        self.imap(items, f).look_ahead(usize::MAX).collect()
    }

    /// As [`map`](Pool::map), for functions that can fail.
    ///
    /// # Errors
    ///
    /// The first error, in order; the jobs that run are cancelled then.
    ///
    /// # Panics
    ///
    /// As [`map`](Pool::map).
    #[track_caller]
    pub fn try_map<I, F, T, E>(&self, items: I, f: F) -> Result<Vec<T>, E>
    where
        I: IntoIterator,
        I::Item: 'static,
        F: Fn(I::Item) -> Result<T, E> + 'static,
        T: 'static,
        E: 'static,
    {
        self.imap(items, f).look_ahead(usize::MAX).collect()
    }

    /// As [`map`](Pool::map), without waiting: the future has the values. The items are pulled on a
    /// green thread that takes no place of the pool.
    ///
    /// # Panics
    ///
    /// As [`spawn`](crate::spawn).
    #[track_caller]
    pub fn map_async<I, F, T>(&self, items: I, f: F) -> Future<Vec<T>>
    where
        I: IntoIterator + 'static,
        I::Item: 'static,
        F: Fn(I::Item) -> T + 'static,
        T: 'static,
    {
        let pool = self.clone();
        spawn_job(None, move || pool.map(items, f))
    }

    /// An iterator of `f`'s values in the order of the items, which may be without end: only so
    /// many are pulled [ahead](Imap::look_ahead). Nothing runs before the first `next`.
    ///
    /// ```
    /// use sedge::pool::Pool;
    ///
    /// sedge::run(|| {
    ///     let squares = Pool::new(4).imap(1_u64.., |n| n * n);
    ///     assert_eq!(squares.take(3).collect::<Vec<_>>(), [1, 4, 9]);
    /// });
    /// ```
    pub fn imap<I, F, T>(&self, items: I, f: F) -> Imap<I::IntoIter, T>
    where
        I: IntoIterator,
        I::Item: 'static,
        F: Fn(I::Item) -> T + 'static,
        T: 'static,
    {
        let runner = Mapper::new(self.clone(), f);
        let look_ahead = self.size().saturating_mul(2);
        Imap::new(items.into_iter(), look_ahead, Box::new(runner))
    }

    /// As [`imap`](Pool::imap), in the order in which the jobs end.
    pub fn imap_unordered<I, F, T>(&self, items: I, f: F) -> ImapUnordered<I::IntoIter, T>
    where
        I: IntoIterator,
        I::Item: 'static,
        F: Fn(I::Item) -> T + 'static,
        T: 'static,
    {
        ImapUnordered::new(self.imap(items, f))
    }

    /// How many jobs run at once at most.
    #[must_use]
    pub fn size(&self) -> usize {
        self.places.size
    }

    /// How many more jobs would not have to wait.
    #[must_use]
    pub fn free_count(&self) -> usize {
        self.places.free.get()
    }

    /// How many places are taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.size() - self.free_count()
    }

    /// Whether no job runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether another job would have to wait.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.free_count() == 0
    }

    /// Waits until there is a place, for at most `limit`, and says whether there was; others may
    /// have taken it by the time it returns.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn wait_available(&self, limit: Option<Duration>) -> bool {
        let deadline = || limit.map(|limit| scheduler::with(|s| s.after(limit)));
        !self.is_full()
            || self
                .places
                .line
                .wait(Reason::Pool, deadline(), Want::News)
                .is_ok()
    }

    /// Waits until no job runs and nobody waits for a place. A job that calls it waits for itself,
    /// for ever.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn join(&self) {
        self.join_until(None);
    }

    /// As [`join`](Pool::join), for at most `limit`; says whether no job runs.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[must_use]
    #[track_caller]
    pub fn join_timeout(&self, limit: Duration) -> bool {
        self.is_empty() || self.join_until(Some(scheduler::with(|s| s.after(limit))))
    }

    #[track_caller]
    fn join_until(&self, deadline: Option<Nanos>) -> bool {
        self.is_empty() || self.places.joiners.wait(Reason::Pool, deadline, ()).is_ok()
    }

    /// Cancels the jobs that run. Those who wait for a place then get theirs. gevent's `kill`.
    ///
    /// # Panics
    ///
    /// If any run, outside [`run`](crate::run) and in a program built with `panic = "abort"`.
    #[track_caller]
    pub fn cancel(&self) {
        let threads: Vec<_> = self.places.jobs.borrow().values().cloned().collect();
        threads.iter().for_each(Thread::cancel);
    }

    /// Takes no more jobs: `spawn` and what stands on it panic. Those who wait for a place already
    /// still get theirs.
    pub fn close(&self) {
        self.places.closed.set(true);
    }

    #[track_caller]
    fn check_open(&self) {
        assert!(
            !self.places.closed.get(),
            "this pool was closed and takes no more jobs; close it after the last spawn"
        );
    }

    /// Whether the caller is a job of this pool.
    #[track_caller]
    fn runs_here(&self) -> bool {
        let current = scheduler::with(scheduler::Scheduler::current);
        self.places.jobs.borrow().contains_key(&current)
    }

    /// Starts a job in a place that was taken for it.
    #[track_caller]
    fn start<F, T>(&self, f: F) -> Future<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        spawn_job(Some(Rc::clone(&self.places)), f)
    }
}

impl Places {
    /// Takes a place, or returns with none when `deadline` has passed.
    #[track_caller]
    fn take(&self, deadline: Option<Nanos>) {
        match self.free.get() {
            0 => drop(self.line.wait(Reason::Pool, deadline, Want::Place)),
            free => self.free.set(free - 1),
        }
    }

    /// The job on `thread`, if it got that far, has ended.
    fn leave(&self, thread: Option<Thread>) {
        if let Some(thread) = thread {
            self.jobs.borrow_mut().remove(&thread.id());
        }
        self.give_back();
    }

    /// Passes a place on to the first who wants it.
    fn give_back(&self) {
        while let Some(want) = self.line.grant(|want| *want) {
            if want == Want::Place {
                return;
            }
        }
        self.free.set(self.free.get() + 1);
        if self.free.get() == self.size {
            self.joiners.grant_all();
        }
    }
}

impl<A: 'static, T: 'static> Executor<A, T> for Pool {
    #[track_caller]
    fn submit(&self, argument: A, f: fn(A) -> T) -> Future<T> {
        self.spawn(move || f(argument))
    }

    /// [Closes](Pool::close) the pool and [joins](Pool::join) it.
    fn shutdown(&self) {
        self.close();
        self.join();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("size", &self.size())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
