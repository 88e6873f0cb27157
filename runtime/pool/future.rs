//! The result of a job, to come.
//!
//! ```text
//!    pending ── complete ──> settled ── callbacks have run ──> done ── result ──> (taken)
//!                               └──────── there are none ───────^
//! ```
//!
//! Only [`Future`] can take the outcome, and by value, so as long as one is there the outcome is,
//! and callbacks may look at it without a borrow that others could run into.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::JobError;
use super::executor::Abandoning;
use super::wait::Completions;
use crate::scheduler::{self, Nanos};
use crate::stats::Reason;
use crate::thread::{self, Thread, catch, contain, is_interrupt, report_panic};
use crate::wait_queue::WaitQueue;

/// What a job ends with.
pub(super) type Outcome<T> = Result<T, JobError>;

type Callback<T> = Box<dyn FnOnce(&Outcome<T>)>;

/// What a job and its [`Future`] share. The job has the duty to complete it.
pub(super) struct Core<T> {
    state: Cell<State>,
    outcome: Cell<Option<Outcome<T>>>,
    submitted_at: &'static Location<'static>,
    stop: RefCell<Stop>,
    callbacks: RefCell<Vec<Callback<T>>>,
    waiters: WaitQueue,
    observers: RefCell<Vec<Observer>>,
    waker: Cell<Option<Waker>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    /// It has ended; callbacks are looking at the outcome.
    Settled,
    Done,
}

/// What is done to cancel a job.
#[derive(Clone)]
pub(super) enum Stop {
    /// Nothing stops it.
    Never,
    /// It is this green thread's.
    Thread(Thread),
}

/// Somebody who waits for several futures.
pub(super) enum Observer {
    /// Wants to look for himself.
    Notify(Rc<WaitQueue>),
    /// Collects the ends of several, of which this is the one with that number.
    Collect(Rc<Completions>, usize),
}

impl<T: 'static> Core<T> {
    pub(super) fn new(submitted_at: &'static Location<'static>) -> Rc<Core<T>> {
        Rc::new(Core {
            state: Cell::new(State::Pending),
            outcome: Cell::new(None),
            submitted_at,
            stop: RefCell::new(Stop::Never),
            callbacks: RefCell::default(),
            waiters: WaitQueue::new(),
            observers: RefCell::default(),
            waker: Cell::new(None),
        })
    }

    pub(super) fn stop_by(&self, stop: Stop) {
        self.stop.replace(stop);
    }

    /// The green thread that the job runs on, if it has one of its own.
    pub(super) fn thread(&self) -> Option<Thread> {
        match &*self.stop.borrow() {
            Stop::Thread(thread) => Some(thread.clone()),
            Stop::Never => None,
        }
    }

    /// Ends the job. Whatever comes after the first time is dropped.
    pub(super) fn complete(self: Rc<Self>, outcome: Result<T, Option<thread::Payload>>) {
        if self.state.get() != State::Pending {
            return;
        }
        let outcome = outcome.map_err(|payload| match payload {
            Some(payload) => JobError::panicked(self.submitted_at, payload),
            None => JobError::cancelled(self.submitted_at),
        });
        self.state.set(State::Settled);
        let callbacks = self.callbacks.take();
        if callbacks.is_empty() {
            return self.publish(outcome);
        }
        let announcement = Announcement {
            core: self,
            outcome: Some(outcome),
        };
        thread::spawn_link(Box::new(move || announcement.call(callbacks)));
    }

    fn publish(&self, outcome: Outcome<T>) {
        self.outcome.set(Some(outcome));
        self.state.set(State::Done);
        self.waiters.grant_all();
        let observers = self.observers.take();
        observers.into_iter().for_each(Observer::notify);
        if let Some(waker) = self.waker.take() {
            contain(|| waker.wake());
        }
    }

    fn is_done(&self) -> bool {
        self.state.get() == State::Done
    }

    fn look<R>(&self, look: impl FnOnce(&Outcome<T>) -> R) -> Option<R> {
        /// Puts the outcome back, however the look at it ends.
        struct Seen<'a, T>(&'a Core<T>, Option<Outcome<T>>);

        impl<T> Drop for Seen<'_, T> {
            fn drop(&mut self) {
                self.0.outcome.set(self.1.take());
            }
        }

        let seen = Seen(self, self.outcome.take());
        seen.1.as_ref().map(look)
    }
}

impl Observer {
    fn notify(self) {
        match self {
            Observer::Notify(queue) => drop(queue.grant(|()| ())),
            Observer::Collect(completions, number) => completions.add(number),
        }
    }
}

/// An outcome on its way through the callbacks; however they end, it is then published.
struct Announcement<T: 'static> {
    core: Rc<Core<T>>,
    outcome: Option<Outcome<T>>,
}

impl<T> Announcement<T> {
    fn call(self, callbacks: Vec<Callback<T>>) {
        if let Some(outcome) = &self.outcome {
            for callback in callbacks {
                if let Err(payload) = catch(|| callback(outcome)) {
                    if is_interrupt(&payload) {
                        thread::resume(payload);
                    }
                    report_panic(&payload);
                    contain(|| drop(payload));
                }
            }
        }
    }
}

impl<T> Drop for Announcement<T> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            self.core.publish(outcome);
        }
    }
}

/// The result of a job that a pool was given: Python's `concurrent.futures.Future`, and gevent's
/// `AsyncResult`.
///
/// It is a handle, as a [`JoinHandle`](crate::JoinHandle) is: one waits for it by blocking, and the
/// job runs whether anybody waits or not. Dropping it detaches the job. It also *is* a
/// [`std::future::Future`], for who has an executor of those; on a green thread,
/// [`result`](Future::result) is all that is needed.
///
/// Nothing is silent: a job's panic is printed by the hook when it happens, with the name of the
/// thread, even if nobody looks at the future.
///
/// ```
/// use sedge::pool::Pool;
///
/// sedge::run(|| {
///     let pool = Pool::new(4);
///     let job = pool.spawn(|| 6 * 7);
///     assert!(!job.done());
///     assert_eq!(job.result().unwrap(), 42);
/// });
/// ```
pub struct Future<T: 'static> {
    core: Rc<Core<T>>,
}

impl<T: 'static> Future<T> {
    pub(super) fn new(core: Rc<Core<T>>) -> Future<T> {
        Future { core }
    }

    /// Waits for the job, and for its callbacks, and gives its value. A time limit or a
    /// cancellation while it waits drops the future, and so detaches the job; where it must be
    /// kept, [`wait_timeout`](Future::wait_timeout) first.
    ///
    /// # Errors
    ///
    /// If the job panicked or was cancelled.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn result(self) -> Result<T, JobError> {
        self.wait_until(None);
        self.take()
    }

    /// As [`result`](Future::result), for at most `limit`.
    ///
    /// ```
    /// use sedge::pool::Pool;
    /// use std::time::Duration;
    ///
    /// sedge::run(|| {
    ///     let slow = Pool::new(1).spawn(|| sedge::sleep(Duration::from_millis(20)));
    ///     let slow = slow.result_timeout(Duration::from_millis(1)).unwrap_err(); // not yet
    ///     assert!(slow.result_timeout(Duration::from_secs(10)).unwrap().is_ok());
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// Gives the future back if the job is not done by then.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn result_timeout(self, limit: Duration) -> Result<Result<T, JobError>, Future<T>> {
        if self.wait_timeout(limit) {
            Ok(self.take())
        } else {
            Err(self)
        }
    }

    /// Waits until the job is done; [`result`](Future::result) then returns at once.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn wait(&self) {
        self.wait_until(None);
    }

    /// As [`wait`](Future::wait), for at most `limit`; says whether the job is done.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[must_use]
    #[track_caller]
    pub fn wait_timeout(&self, limit: Duration) -> bool {
        self.done() || self.wait_until(Some(scheduler::with(|s| s.after(limit))))
    }

    #[track_caller]
    pub(super) fn wait_until(&self, deadline: Option<Nanos>) -> bool {
        self.done() || self.core.waiters.wait(Reason::Pool, deadline, ()).is_ok()
    }

    /// Whether the job has ended, one way or another, and its callbacks have run.
    #[must_use]
    pub fn done(&self) -> bool {
        self.core.is_done()
    }

    /// Whether the job is done and has no value.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.core.look(Result::is_err).unwrap_or(false)
    }

    /// Stops the job, and says whether it had not ended yet. It does not wait: the job unwinds from
    /// where it waits, as with [`JoinHandle::cancel`](crate::JoinHandle::cancel), and is done when
    /// it has unwound. If it returns a value in spite of that, the value is the result.
    ///
    /// # Panics
    ///
    /// For a job on a green thread in a program built with `panic = "abort"`.
    pub fn cancel(&self) -> bool {
        if self.core.state.get() != State::Pending {
            return false;
        }
        let stop = self.core.stop.borrow().clone();
        match stop {
            Stop::Never => {}
            Stop::Thread(thread) => thread.cancel(),
        }
        true
    }

    /// As [`cancel`](Future::cancel), for destructors: it does nothing where that would panic.
    pub(super) fn abandon(&self) {
        if cfg!(panic = "unwind") {
            self.cancel();
        }
    }

    /// Runs `f` with the job's result when it has ended, on a new green thread of this scheduler,
    /// after those that were added before. If the job is done already, `f` runs here and now. As
    /// Python's.
    ///
    /// The result is handed out when the callbacks have run. A panic of `f` is printed, reaches
    /// [`Config::on_panic`](crate::Config::on_panic), and changes nothing else.
    ///
    /// ```
    /// use sedge::pool::Pool;
    /// use std::{cell::Cell, rc::Rc};
    ///
    /// sedge::run(|| {
    ///     let seen = Rc::new(Cell::new(0));
    ///     let job = Pool::new(1).spawn(|| 42);
    ///     let see = seen.clone();
    ///     job.add_done_callback(move |result| see.set(*result.as_ref().unwrap()));
    ///     job.wait();
    ///     assert_eq!(seen.get(), 42);
    /// });
    /// ```
    pub fn add_done_callback<F>(&self, f: F)
    where
        F: FnOnce(&Result<T, JobError>) + 'static,
    {
        match self.core.state.get() {
            State::Pending => self.core.callbacks.borrow_mut().push(Box::new(f)),
            State::Settled => {
                self.wait();
                self.call(f);
            }
            State::Done => self.call(f),
        }
    }

    fn call(&self, f: impl FnOnce(&Outcome<T>)) {
        if let Err(payload) = catch(|| self.core.look(f)) {
            if is_interrupt(&payload) {
                thread::resume(payload);
            }
            report_panic(&payload);
            contain(|| drop(payload));
        }
    }

    pub(super) fn take(self) -> Outcome<T> {
        let outcome = self.core.outcome.take();
        outcome.expect("a future that is done holds its outcome until it is taken")
    }

    /// Tells `observer` when the job is done, which may be now.
    pub(super) fn observe(&self, observer: Observer) {
        if self.done() {
            return observer.notify();
        }
        self.core.observers.borrow_mut().push(observer);
    }

    /// Takes back what [`Future::observe`] was told for `completions`.
    pub(super) fn forget(&self, completions: &Rc<Completions>) {
        let mut observers = self.core.observers.borrow_mut();
        observers.retain(|o| !matches!(o, Observer::Collect(c, _) if Rc::ptr_eq(c, completions)));
    }
}

/// For executors of std's futures.
///
/// # Panics
///
/// When it is polled again after it was ready.
impl<T: 'static> std::future::Future for Future<T> {
    type Output = Result<T, JobError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.done() {
            let outcome = self.core.outcome.take();
            return Poll::Ready(outcome.expect("a future must not be polled after it was ready"));
        }
        self.core.waker.set(Some(context.waker().clone()));
        Poll::Pending
    }
}

impl<T: 'static> fmt::Debug for Future<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Future")
            .field("done", &self.done())
            .field("submitted_at", &self.core.submitted_at)
            .finish_non_exhaustive()
    }
}

/// Waits for a job of one's own, and cancels it if that is interrupted; its panic comes out here.
#[track_caller]
pub(super) fn finish<T>(job: Future<T>) -> T {
    let mut job = Abandoning(VecDeque::from([job]));
    job.0[0].wait();
    let outcome = job.0.pop_front().map(Future::take);
    let outcome = outcome.expect("it was put there above");
    outcome.unwrap_or_else(|error| error.resume())
}
