//! The pool of OS threads.
//!
//! The books are one mutex: the queue, how many OS threads there are, and how many of them are
//! idle. An OS thread is started when a job comes and none is idle. A job is queued under a ticket,
//! by which a cancellation takes it out again.

mod home;
mod verbs;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZero;
use std::panic::Location;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use self::home::Post;
use super::future::{Core, Duty, Stop};
use super::{Future, Shutdown};
use crate::coroutine;
use crate::scheduler;
use crate::stats::Reason;
use crate::thread::{self, Payload, Wake, catch, contain, spawn_link};

type Job = Box<dyn FnOnce() + Send>;

/// Jobs on OS threads, for computations and for calls that block: gevent's `ThreadPool`, Python's
/// `ThreadPoolExecutor`.
///
/// The verbs are those of [`Pool`](super::Pool), but jobs and their results must be `Send`. They
/// run outside of [`run`](crate::run), so green operations panic there, unless a job has a `run` of
/// its own. The [`Future`] belongs to the green thread that submits, and callbacks run on green
/// threads of its scheduler; `run` returns when all its jobs have come home. Several schedulers may
/// share one pool, in an [`Arc`] or a `static`.
///
/// [`spawn`](ThreadPool::spawn) never waits: jobs queue up. `map` and the iterators hand out no
/// more than twice as many as there are OS threads at a time. A job that gives work to its own pool
/// does it in place.
///
/// An OS thread cannot be unwound from outside, so a job that has begun runs to its end, cancelled
/// or not. A panic of a job is printed there, is in its future, and does not end the OS thread;
/// [`Config::on_panic`](crate::Config::on_panic), which is for green threads, does not see it.
///
/// **Dropping** the pool waits for its jobs, as leaving Python's `with` does, while other green
/// threads run. If the one that drops it is unwinding, the queue is cancelled and nothing waited
/// for.
///
/// ```
/// use sedge::pool::ThreadPool;
///
/// sedge::run(|| {
///     let pool = ThreadPool::default(); // an OS thread for each core
///     let sums = pool.map(|n: u64| (1..=n).sum::<u64>(), [10, 100, 1000]);
///     assert_eq!(sums, [55, 5050, 500_500]);
/// });
/// ```
pub struct ThreadPool {
    shared: Arc<Shared>,
    name: String,
    /// The process that made it, told by how many forks it is from the first.
    generation: u32,
}

struct Shared {
    size: usize,
    books: Mutex<Books>,
    /// There is a job, or there will be no more.
    work: Condvar,
    /// The last OS thread has ended.
    ended: Condvar,
}

#[derive(Default)]
struct Books {
    queue: BTreeMap<u64, Job>,
    last_ticket: u64,
    threads: usize,
    idle: usize,
    closed: bool,
    /// Green threads that wait until all OS threads have ended.
    waiting: Vec<Wake>,
}

thread_local! {
    /// The pool that this OS thread belongs to.
    static MINE: Cell<*const Shared> = const { Cell::new(std::ptr::null()) };
}

impl ThreadPool {
    /// A pool of `size` OS threads, which are started as jobs come.
    ///
    /// # Panics
    ///
    /// If `size` is zero.
    #[must_use]
    #[track_caller]
    pub fn new(size: usize) -> ThreadPool {
        assert!(size > 0, "a pool of no OS threads would never run a job");
        ThreadPool {
            shared: Arc::new(Shared {
                size,
                books: Mutex::default(),
                work: Condvar::new(),
                ended: Condvar::new(),
            }),
            name: "sedge-pool".to_owned(),
            generation: scheduler::fork_generation(),
        }
    }

    /// The name of its OS threads. The kernel shows the first 15 bytes of it.
    #[must_use]
    pub fn name(mut self, name: &str) -> ThreadPool {
        name.clone_into(&mut self.name);
        self
    }

    /// How many OS threads it has at most.
    #[must_use]
    pub fn size(&self) -> usize {
        self.shared.size
    }

    /// Jobs that no OS thread has begun.
    #[must_use]
    pub fn queued(&self) -> usize {
        lock(&self.shared.books).queue.len()
    }

    /// Runs `f` on an OS thread when one is free; in place, if this is one of them.
    ///
    /// ```
    /// use sedge::pool::ThreadPool;
    ///
    /// sedge::run(|| {
    ///     let pool = ThreadPool::new(2).name("crunch");
    ///     let name = pool.spawn(|| std::thread::current().name().map(str::to_owned));
    ///     assert_eq!(name.result().unwrap().as_deref(), Some("crunch"));
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run), except on its own OS threads; after
    /// [`shutdown`](ThreadPool::shutdown); in a forked child; if it has no OS thread and the system
    /// gives none.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> Future<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.handle().spawn(Location::caller(), f)
    }

    /// What `imap` keeps: it must not keep the pool from being dropped.
    fn handle(&self) -> Handle {
        Handle {
            shared: Arc::clone(&self.shared),
            name: self.name.clone(),
            generation: self.generation,
        }
    }

    /// Takes no more jobs. With [`Shutdown::Cancel`], those that have not begun are taken out of
    /// the queue, and those that have are waited for: their values are in their futures.
    ///
    /// # Panics
    ///
    /// If it would wait on one of its own OS threads.
    #[track_caller]
    pub fn shutdown(&self, how: Shutdown) {
        if how == Shutdown::Cancel {
            self.cancel();
        }
        self.shared.close();
        if how != Shutdown::Detach {
            assert!(
                !self.shared.is_mine(),
                "a job that waits for the end of its own thread pool would wait for itself"
            );
            self.shared.wait();
        }
    }

    /// Takes all jobs out of the queue that have not begun; their futures are done, as cancelled.
    pub fn cancel(&self) {
        let queue = std::mem::take(&mut lock(&self.shared.books).queue);
        for job in queue.into_values() {
            contain(|| drop(job));
        }
        home::collect();
    }
}

/// One OS thread for each core that the process may use.
impl Default for ThreadPool {
    fn default() -> ThreadPool {
        ThreadPool::new(thread::available_parallelism().map_or(1, NonZero::get))
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        if self.generation != scheduler::fork_generation() {
            // The OS threads did not come along, and somebody may have held the books.
            return;
        }
        if scheduler::is_unwinding() {
            self.cancel();
            self.shared.close();
        } else if self.shared.is_mine() {
            self.shared.close();
        } else {
            self.shutdown(Shutdown::Wait);
        }
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPool")
            .field("name", &self.name)
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Handle {
    shared: Arc<Shared>,
    name: String,
    generation: u32,
}

impl Handle {
    #[track_caller]
    fn spawn<F, T>(&self, at: &'static Location<'static>, f: F) -> Future<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        assert_eq!(
            self.generation,
            scheduler::fork_generation(),
            "the OS threads of a sedge thread pool did not come along into this forked child; make \
             a new pool here, or exec after fork"
        );
        let core = Core::new(at);
        if self.shared.is_mine() {
            Duty::new(&core).fulfil(f);
            return Future::new(core);
        }
        let delivery = Arc::new(Delivery::default());
        let (duty, brought) = (Duty::new(&core), Arc::clone(&delivery));
        let post = home::expect(move || brought.finish(duty));
        let work = Work {
            f: Some(f),
            delivery: Arc::clone(&delivery),
            _post: post,
        };
        let ticket = self.submit(Box::new(move || work.run()));
        let shared = Arc::clone(&self.shared);
        let disown = move || {
            delivery.unwanted.store(true, Ordering::SeqCst);
            let job = lock(&shared.books).queue.remove(&ticket);
            contain(|| drop(job));
        };
        core.stop_by(Stop::Disown(Rc::new(disown)));
        Future::new(core)
    }

    /// Queues a job under a ticket.
    #[track_caller]
    fn submit(&self, job: Job) -> u64 {
        let mut books = lock(&self.shared.books);
        if books.closed {
            drop(books);
            panic!("the pool was shut down and takes no more jobs");
        }
        books.last_ticket += 1;
        let ticket = books.last_ticket;
        books.queue.insert(ticket, job);
        if books.idle >= books.queue.len() {
            self.shared.work.notify_one();
        } else if books.threads < self.shared.size {
            books.threads += 1;
            drop(books);
            self.grow(ticket);
        }
        ticket
    }

    /// Starts an OS thread that was counted already.
    #[track_caller]
    fn grow(&self, ticket: u64) {
        let shared = Arc::clone(&self.shared);
        let builder = std::thread::Builder::new().name(self.name.clone());
        let Err(error) = builder.spawn(move || shared.work()) else {
            return;
        };
        let mut books = lock(&self.shared.books);
        books.threads -= 1;
        if books.threads == 0 {
            let job = books.queue.remove(&ticket);
            drop(books);
            drop(job);
            panic!("the thread pool has no OS thread and the system gives none: {error}");
        }
    }
}

impl Shared {
    /// Whether the caller is one of its OS threads.
    fn is_mine(&self) -> bool {
        MINE.get() == std::ptr::from_ref(self)
    }

    /// The life of an OS thread.
    fn work(&self) {
        MINE.set(std::ptr::from_ref(self));
        let mut books = lock(&self.books);
        loop {
            if let Some((_, job)) = books.queue.pop_first() {
                drop(books);
                // A value that nobody wants any more may panic when it is dropped.
                contain(job);
                books = lock(&self.books);
            } else if books.closed {
                break;
            } else {
                books.idle += 1;
                let woken = self.work.wait(books);
                books = woken.unwrap_or_else(PoisonError::into_inner);
                books.idle -= 1;
            }
        }
        books.threads -= 1;
        if books.threads == 0 {
            self.ended.notify_all();
            let waiting = std::mem::take(&mut books.waiting);
            drop(books);
            waiting.into_iter().for_each(|wake| _ = wake.wake());
        }
    }

    fn close(&self) {
        lock(&self.books).closed = true;
        self.work.notify_all();
    }

    /// Waits until its OS threads have ended; green threads run meanwhile, if there are any.
    fn wait(&self) {
        if coroutine::is_running() && scheduler::try_with(|_| ()).is_some() {
            let has_ended = || {
                let mut books = lock(&self.books);
                if books.threads > 0 {
                    books.waiting.push(Wake::current());
                }
                books.threads == 0
            };
            thread::park_until(Reason::Pool, None, has_ended);
            home::collect();
        } else {
            let books = lock(&self.books);
            let running = |books: &mut Books| books.threads > 0;
            drop(self.ended.wait_while(books, running));
        }
    }
}

/// A job on its way to an OS thread. Its fields are dropped in this order.
struct Work<F, T> {
    f: Option<F>,
    delivery: Arc<Delivery<T>>,
    _post: Post,
}

impl<F: FnOnce() -> T, T> Work<F, T> {
    fn run(mut self) {
        let Some(f) = self.f.take() else { return };
        let result = catch(f);
        // If nobody wants it, it is dropped here, where that holds up nobody else.
        if !self.delivery.unwanted.load(Ordering::SeqCst) {
            *lock(&self.delivery.result) = Some(result);
        }
    }
}

/// A result on its way home.
struct Delivery<T> {
    result: Mutex<Option<Result<T, Payload>>>,
    unwanted: AtomicBool,
}

impl<T> Default for Delivery<T> {
    fn default() -> Delivery<T> {
        Delivery {
            result: Mutex::new(None),
            unwanted: AtomicBool::new(false),
        }
    }
}

impl<T: Send + 'static> Delivery<T> {
    /// Completes the future, at home.
    fn finish(&self, duty: Duty<T>) {
        let result = lock(&self.result).take();
        let result = result.map_or(Err(None), |result| result.map_err(Some));
        match duty.complete(result) {
            None => {}
            Some(Ok(_)) if !std::mem::needs_drop::<T>() => {}
            Some(Err(error)) if error.is_cancelled() => {}
            // The destructor may wait, and has a green thread for that.
            Some(unwanted) => spawn_link(Box::new(move || drop(unwanted))),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
