//! The pool of green threads.

mod verbs;

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use super::future::{Core, Duty, Stop};
use super::group::{Members, Membership};
use super::{Future, Shutdown};
use crate::scheduler::{self, Nanos};
use crate::stats::Reason;
use crate::thread::{self, Thread};
use crate::wait_queue::WaitQueue;

/// At most so many green threads at once: gevent's `Pool`, eventlet's `GreenPool`.
///
/// Each job gets a green thread of its own when there is a place for it, so what waits costs the
/// pool nothing else. [`spawn`](Pool::spawn) parks while the pool is full, which is how work from
/// outside is held back; who has waited longest is next.
///
/// **A job may give work to its own pool.** If that is full, the new job runs in place, on the
/// caller's green thread, before `spawn` returns: waiting for a place that only the caller himself
/// can free would last for ever. That holds for the job's own green thread, not for others that it
/// has spawned outside the pool.
///
/// Clones are the same pool. Dropping the last one leaves the jobs alone; they are detached.
///
/// ```
/// use sedge::pool::Pool;
///
/// sedge::run(|| {
///     let pool = Pool::new(10);
///     let lengths = pool.map(|word: &str| word.len(), ["green", "thread", "pool"]);
///     assert_eq!(lengths, [5, 6, 4]);
///
///     pool.spawn(|| println!("on a green thread")).add_done_callback(|_| println!("done"));
///     pool.join();
/// });
/// ```
#[derive(Clone)]
pub struct Pool {
    inner: Rc<Inner>,
}

struct Inner {
    size: usize,
    /// Places that are taken, or have been granted to one who will take it.
    taken: Cell<usize>,
    members: Rc<Members>,
    waiting: WaitQueue,
    idle: WaitQueue,
    state: Cell<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Was shut down; those who waited for a place still get one.
    Closed,
    /// Was shut down, and those who waited get a future that is cancelled.
    Cancelled,
}

impl Pool {
    /// A pool of `size` green threads.
    ///
    /// # Panics
    ///
    /// If `size` is zero.
    #[must_use]
    #[track_caller]
    pub fn new(size: usize) -> Pool {
        assert!(size > 0, "a pool of no green threads would never run a job");
        Pool {
            inner: Rc::new(Inner {
                size,
                taken: Cell::new(0),
                members: Members::new(),
                waiting: WaitQueue::new(),
                idle: WaitQueue::new(),
                state: Cell::new(State::Open),
            }),
        }
    }

    /// Runs `f` on a green thread of the pool. Waits for a place while the pool is full; called by
    /// one of its jobs then, it runs `f` in place.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run), after [`shutdown`](Pool::shutdown), and if there is no memory
    /// for a stack.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> Future<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        self.spawn_from(false, Location::caller(), f)
    }

    /// As [`spawn`](Pool::spawn); one who works for a job of this pool is like that job.
    #[track_caller]
    fn spawn_from<F, T>(&self, by_job: bool, at: &'static Location<'static>, f: F) -> Future<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        self.refuse_closed();
        let core = Core::new(at);
        if let Some(place) = self.inner.try_take() {
            self.start(&core, place, f);
        } else if by_job || self.inner.members.contains_caller() {
            let duty = Duty::new(&core);
            self.inner.members.with_caller(|| duty.fulfil(f));
        } else if let Some(place) = self.inner.take() {
            self.start(&core, place, f);
        } else {
            // Shut down meanwhile. The job is dropped first, as when it is cancelled in a queue.
            let duty = Duty::new(&core);
            drop(f);
            drop(duty);
        }
        Future::new(core)
    }

    /// As [`spawn`](Pool::spawn) if there is a place; else gives `f` back.
    ///
    /// ```
    /// use sedge::pool::Pool;
    ///
    /// sedge::run(|| {
    ///     let pool = Pool::new(1);
    ///     let first = pool.try_spawn(|| 1).ok().unwrap();
    ///     assert!(pool.try_spawn(|| 2).is_err());
    ///     assert_eq!(first.result().unwrap(), 1);
    /// });
    /// ```
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
        self.refuse_closed();
        let Some(place) = self.inner.try_take() else {
            return Err(f);
        };
        let core = Core::new(Location::caller());
        self.start(&core, place, f);
        Ok(Future::new(core))
    }

    #[track_caller]
    fn start<F, T>(&self, core: &Rc<Core<T>>, place: Place, f: F)
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let membership = Membership::new(&self.inner.members);
        let duty = Duty::new(core);
        let job = move || {
            let _place = place;
            let _membership = membership;
            duty.fulfil(f);
        };
        let handle = thread::spawn(job);
        core.stop_by(Stop::Thread(handle.thread().clone()));
        self.inner.members.add(handle.thread());
    }

    /// How many jobs may run at once.
    #[must_use]
    pub fn size(&self) -> usize {
        self.inner.size
    }

    /// Places that nobody has taken.
    #[must_use]
    pub fn free_count(&self) -> usize {
        self.inner.size - self.inner.taken.get()
    }

    /// Whether [`spawn`](Pool::spawn) would wait.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.free_count() == 0
    }

    /// The green threads of its jobs, in the order in which they were spawned.
    #[must_use]
    pub fn threads(&self) -> Vec<Thread> {
        self.inner.members.threads()
    }

    /// Waits until the pool has no job, and nobody waits to give it one. It takes jobs as before.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run), or is called by one of the jobs.
    #[track_caller]
    pub fn join(&self) {
        self.join_until(None);
    }

    /// As [`join`](Pool::join), for at most `limit`; says whether the pool has no job.
    ///
    /// # Panics
    ///
    /// As [`join`](Pool::join).
    #[track_caller]
    pub fn join_timeout(&self, limit: Duration) -> bool {
        let is_idle = self.inner.taken.get() == 0;
        is_idle || self.join_until(Some(scheduler::with(|s| s.after(limit))))
    }

    #[track_caller]
    fn join_until(&self, deadline: Option<Nanos>) -> bool {
        self.inner.members.refuse_member();
        while self.inner.taken.get() > 0 {
            if self.inner.idle.wait(Reason::Pool, deadline, ()).is_err() {
                return false;
            }
        }
        true
    }

    /// Cancels the jobs that have a green thread, without waiting; those who wait for a place go on
    /// to get one. gevent's `kill(block=False)`.
    ///
    /// # Panics
    ///
    /// If there are jobs, in a program built with `panic = "abort"`.
    pub fn cancel(&self) {
        self.inner.members.cancel();
    }

    /// Takes no more jobs.
    ///
    /// # Panics
    ///
    /// As [`join`](Pool::join) and [`cancel`](Pool::cancel), where `how` asks for them.
    #[track_caller]
    pub fn shutdown(&self, how: Shutdown) {
        let state = match how {
            Shutdown::Cancel => State::Cancelled,
            _ if self.inner.state.get() == State::Cancelled => State::Cancelled,
            _ => State::Closed,
        };
        self.inner.state.set(state);
        if how == Shutdown::Cancel {
            self.cancel();
        }
        if how != Shutdown::Detach {
            self.join();
        }
    }

    #[track_caller]
    fn refuse_closed(&self) {
        assert!(
            self.inner.state.get() == State::Open,
            "the pool was shut down and takes no more jobs"
        );
    }
}

impl Inner {
    fn try_take(self: &Rc<Self>) -> Option<Place> {
        if self.taken.get() == self.size {
            return None;
        }
        self.taken.set(self.taken.get() + 1);
        Some(Place(Rc::clone(self)))
    }

    /// Waits for a place; none if the pool was shut down with all its jobs meanwhile.
    #[track_caller]
    fn take(self: &Rc<Self>) -> Option<Place> {
        // Without a deadline, it comes back with a place or not at all.
        let _ = self.waiting.wait(Reason::Pool, None, ());
        let place = Place(Rc::clone(self));
        (self.state.get() != State::Cancelled).then_some(place)
    }
}

/// A place in the pool, that goes to the next one when it is dropped.
struct Place(Rc<Inner>);

impl Drop for Place {
    fn drop(&mut self) {
        let Inner {
            taken,
            waiting,
            idle,
            ..
        } = &*self.0;
        if waiting.grant(|()| ()).is_some() {
            return;
        }
        taken.set(taken.get() - 1);
        if taken.get() == 0 {
            idle.grant_all();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("size", &self.size())
            .field("free_count", &self.free_count())
            .finish_non_exhaustive()
    }
}
