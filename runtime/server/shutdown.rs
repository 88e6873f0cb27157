//! A word that is given once to all who want to hear it: come to an end.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use slab::Slab;

use crate::scheduler::{self, Level, Nanos, ThreadId};
use crate::stats::Reason;
use crate::thread::{catch, is_timeout, resume};
use crate::wait_queue::WaitQueue;

/// The word that it is time to stop: set once, for good, and heard by all who hold a clone.
///
/// A [`Server`](super::Server) sets one when it is stopped, and its handlers find it in their
/// [`Connection`](super::Connection). It asks; nothing happens to who does not look. There are
/// three ways to look: [`is_set`](Shutdown::is_set) between two pieces of work,
/// [`wait`](Shutdown::wait) on a green thread that does nothing else, and
/// [`run_until_set`](Shutdown::run_until_set) around a call that may take long and may be given up,
/// such as the wait for a next request.
///
/// It need not come from a server: [`Shutdown::new`] makes one for whatever else a program stops.
/// As tokio-util's `CancellationToken`; gevent has no twin.
///
/// ```
/// use sedge::server::Shutdown;
/// use std::time::Duration;
///
/// sedge::run(|| {
///     let shutdown = Shutdown::new();
///     let worker = sedge::spawn({
///         let shutdown = shutdown.clone();
///         move || {
///             let mut rounds = 0;
///             while shutdown.run_until_set(|| sedge::sleep(Duration::from_millis(1))).is_some() {
///                 rounds += 1;
///             }
///             rounds
///         }
///     });
///     sedge::sleep(Duration::from_millis(20));
///     shutdown.set();
///     assert!(worker.join().unwrap() > 0);
/// });
/// ```
#[derive(Clone)]
pub struct Shutdown(Rc<Word>);

struct Word {
    is_set: Cell<bool>,
    waiters: WaitQueue,
    /// The calls that end when it is set.
    calls: RefCell<Slab<(ThreadId, Level)>>,
}

impl Shutdown {
    /// One that is not set.
    #[must_use]
    pub fn new() -> Shutdown {
        Shutdown(Rc::new(Word {
            is_set: Cell::new(false),
            waiters: WaitQueue::new(),
            calls: RefCell::default(),
        }))
    }

    /// Gives the word. A second time does nothing.
    pub fn set(&self) {
        if self.0.is_set.replace(true) {
            return;
        }
        self.0.waiters.grant_all();
        for (_, &(id, level)) in self.0.calls.borrow().iter() {
            scheduler::try_with(|scheduler| scheduler.expire(id, level));
        }
    }

    /// Whether the word was given.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.is_set.get()
    }

    /// Waits until it is set.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run), unless it is set.
    #[track_caller]
    pub fn wait(&self) {
        self.wait_deadline(None);
    }

    /// As [`wait`](Shutdown::wait), for at most `limit`; says whether it is set.
    ///
    /// ```
    /// use sedge::server::Shutdown;
    /// use std::time::Duration;
    ///
    /// sedge::run(|| {
    ///     let shutdown = Shutdown::new();
    ///     assert!(!shutdown.wait_timeout(Duration::from_millis(1)));
    ///     shutdown.set();
    ///     assert!(shutdown.wait_timeout(Duration::from_secs(3600)));
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run), unless it is set.
    #[track_caller]
    pub fn wait_timeout(&self, limit: Duration) -> bool {
        self.is_set() || {
            let deadline = scheduler::with(|scheduler| scheduler.after(limit));
            self.wait_deadline(Some(deadline))
        }
    }

    #[track_caller]
    fn wait_deadline(&self, deadline: Option<Nanos>) -> bool {
        self.is_set() || self.0.waiters.wait(Reason::Event, deadline, ()).is_ok()
    }

    /// Runs `f`, and unwinds it when the word is given: from where it waits, or from where it would
    /// wait next. As [`timeout`](crate::timeout), with an event in place of a time. If it is set
    /// already, `f` runs until it would wait for the first time, so bytes that are there are read.
    /// A value that `f` returns is never given up.
    ///
    /// With `panic = "abort"` nothing can be unwound: then `f` runs to its end, and not at all if
    /// the word was given before.
    ///
    /// ```
    /// use sedge::net::TcpStream;
    /// use sedge::server::Shutdown;
    /// use std::io::{self, Read, Write};
    ///
    /// /// Answers until the client has no more to ask, or the server stops: a request that has
    /// /// come is answered even then.
    /// fn serve(mut stream: TcpStream, stopping: &Shutdown) -> io::Result<()> {
    ///     let mut request = [0; 512];
    ///     while let Some(count) = stopping.run_until_set(|| stream.read(&mut request)) {
    ///         match count? {
    ///             0 => break,
    ///             count => stream.write_all(&request[..count])?,
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// With `f`'s panic; outside [`run`](crate::run).
    #[track_caller]
    pub fn run_until_set<T>(&self, f: impl FnOnce() -> T) -> Option<T> {
        if cfg!(panic = "abort") {
            return (!self.is_set()).then(f);
        }
        let (id, level) =
            scheduler::with(|scheduler| (scheduler.current(), scheduler.enter_limit()));
        if self.is_set() {
            scheduler::with(|scheduler| scheduler.expire(id, level));
        }
        let key = self.0.calls.borrow_mut().insert((id, level));
        let result = catch(f);
        self.0.calls.borrow_mut().remove(key);
        scheduler::with(|scheduler| scheduler.leave_limit(level));
        match result {
            Ok(value) => Some(value),
            Err(payload) if is_timeout(&payload, level) => None,
            Err(payload) => resume(payload),
        }
    }
}

impl Default for Shutdown {
    fn default() -> Shutdown {
        Shutdown::new()
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown")
            .field("is_set", &self.is_set())
            .finish_non_exhaustive()
    }
}
