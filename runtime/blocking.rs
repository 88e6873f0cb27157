//! OS threads for what cannot yield: name lookups, regular files, calls into C, long computations.
//!
//! The pool is the process's, shared by its schedulers. It grows by a thread whenever a job comes
//! and none is idle, up to [`MOST_THREADS`], and a thread that finds nothing to do for
//! [`IDLE_LIMIT`] ends. The queue holds [`MOST_QUEUED`] jobs; a green thread that finds it full
//! parks until a job was taken out. Room that was announced to a green thread which has been
//! cancelled meanwhile is announced to the next, so none is lost.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::scheduler;
use crate::stats::Reason;
use crate::thread::{self, Payload, Wake, catch, contain};

/// OS threads at most. Most jobs wait (for a disk, for a name server), so there are more than
/// cores.
const MOST_THREADS: usize = 64;
/// An idle OS thread stays for this long. gevent's default.
const IDLE_LIMIT: Duration = Duration::from_secs(5);
/// Jobs that no OS thread has begun.
const MOST_QUEUED: usize = 256;

type Job = Box<dyn FnOnce() + Send>;

/// Runs `f` on a pool of OS threads and waits for it; the other green threads run meanwhile. Its
/// panic comes out here. gevent's `threadpool.apply`.
///
/// The pool has up to 64 OS threads, made when needed; they end when idle for 5 s. When 256 jobs
/// wait for one of them, further callers park until there is room.
///
/// An OS thread cannot be unwound from outside. If the waiting green thread is cancelled or its
/// [`timeout`](crate::timeout) passes, it unwinds at once; `f` runs on to its end, and its value is
/// dropped there. While a green thread unwinds, `f` runs in place.
///
/// ```
/// let text = sedge::run(|| sedge::blocking(|| std::fs::read_to_string("Cargo.toml")));
/// assert!(text.unwrap().contains("[package]"));
/// ```
///
/// # Panics
///
/// With `f`'s panic; outside [`run`](crate::run); in a forked child of a process that has used the
/// pool.
#[track_caller]
pub fn blocking<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    if scheduler::is_unwinding() {
        return f();
    }
    check_fork();
    let slot: Arc<Mutex<Option<Result<T, Payload>>>> = Arc::default();
    let wake = Wake::current();
    let result = Arc::clone(&slot);
    POOL.submit(Box::new(move || {
        *lock(&result) = Some(catch(f));
        // If nobody waits any more, the value is dropped here.
        drop(result);
        wake.wake();
    }));
    loop {
        if let Some(result) = lock(&slot).take() {
            return result.unwrap_or_else(|payload| thread::resume(payload));
        }
        park();
    }
}

/// Panics in a forked child: it has the pool's books, but not its OS threads, and perhaps its lock.
fn check_fork() {
    /// One more than the generation of the process that began the pool.
    static HOME: AtomicU32 = AtomicU32::new(0);
    let here = scheduler::fork_generation() + 1;
    let home = match HOME.compare_exchange(0, here, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => here,
        Err(home) => home,
    };
    assert_eq!(
        home, here,
        "the OS threads of sedge::blocking, which also looks up names, did not come along into \
         this forked child; after fork, exec at once, or start programs with std::process::Command"
    );
}

fn park() {
    // `blocking` has made sure that the green thread is not unwinding.
    let _ = thread::park_for(Reason::Blocking, None);
}

static POOL: Pool = Pool {
    state: Mutex::new(State::new()),
    work: Condvar::new(),
};

struct Pool {
    state: Mutex<State>,
    /// There is a job for an idle OS thread.
    work: Condvar,
}

struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    /// Green threads that wait for room in `jobs`.
    waiting: VecDeque<(u64, Wake)>,
    next_ticket: u64,
}

impl State {
    const fn new() -> State {
        State {
            jobs: VecDeque::new(),
            threads: 0,
            idle: 0,
            waiting: VecDeque::new(),
            next_ticket: 0,
        }
    }

    fn has_room(&self) -> bool {
        self.jobs.len() < MOST_QUEUED
    }

    /// Lets one of those who wait try again to queue a job: the first whose scheduler still runs.
    fn announce_room(&mut self) {
        while self.has_room() {
            let Some((_, wake)) = self.waiting.pop_front() else {
                return;
            };
            if wake.wake() {
                return;
            }
        }
    }
}

impl Pool {
    /// Queues a job; parks while there is no room.
    fn submit(&'static self, job: Job) {
        while !lock(&self.state).has_room() {
            self.wait_for_room();
        }
        // Another scheduler may have filled it since; a job too many does no harm.
        let mut state = lock(&self.state);
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() {
            self.work.notify_one();
        } else if state.threads < MOST_THREADS {
            state.threads += 1;
            drop(state);
            self.grow();
        }
    }

    fn wait_for_room(&self) {
        let ticket = {
            let mut state = lock(&self.state);
            if state.has_room() {
                // Made since the caller looked, so nobody would announce it again.
                return;
            }
            let ticket = state.next_ticket;
            state.next_ticket += 1;
            state.waiting.push_back((ticket, Wake::current()));
            ticket
        };
        let _place = Place { pool: self, ticket };
        park();
    }

    /// Starts an OS thread that was counted already.
    fn grow(&'static self) {
        let builder = std::thread::Builder::new().name("sedge-blocking".to_owned());
        if builder.spawn(|| self.work()).is_err() {
            let mut state = lock(&self.state);
            state.threads -= 1;
            if state.threads == 0 {
                // Not one: then the jobs are done here, which holds everybody up but loses nothing.
                let jobs = std::mem::take(&mut state.jobs);
                drop(state);
                for job in jobs {
                    contain(job);
                }
            }
        }
    }

    /// The life of an OS thread.
    fn work(&self) {
        let mut state = lock(&self.state);
        loop {
            while let Some(job) = state.jobs.pop_front() {
                state.announce_room();
                drop(state);
                // A value that nobody waits for any more may panic when it is dropped.
                contain(job);
                state = lock(&self.state);
            }
            state.idle += 1;
            let idle = |state: &mut State| state.jobs.is_empty();
            let (woken, _) = self
                .work
                .wait_timeout_while(state, IDLE_LIMIT, idle)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

/// A place among those who wait for room, given up however the wait ends.
struct Place<'a> {
    pool: &'a Pool,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.pool.state);
        match state
            .waiting
            .iter()
            .position(|(ticket, _)| *ticket == self.ticket)
        {
            Some(place) => drop(state.waiting.remove(place)),
            // It was told of room and may not use it: it is unwinding.
            None if std::thread::panicking() => state.announce_room(),
            None => {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
