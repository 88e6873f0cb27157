//! The result of a job, to come.
//!
//! ```text
//!    pending ── complete ──> settled ── callbacks have run ──> done ── result ──> (taken)
//!                               ^                               │
//!                               └─── one more callback comes ───┘
//! ```
//!
//! While callbacks look at the outcome, it is on the stack of the green thread that runs them, so
//! they may do what they like. Only a done future gives it away, and by value: whoever has one
//! finds the outcome there.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::JobError;
use super::wait::Completions;
use crate::scheduler::{self, Nanos};
use crate::stats::Reason;
use crate::thread::{
    self, Payload, Thread, catch, contain, is_interrupt, report_panic, spawn_link,
};
use crate::wait_queue::WaitQueue;

/// What a job ends with.
pub(super) type Outcome<T> = Result<T, JobError>;

type Callback<T> = Box<dyn FnOnce(&Outcome<T>)>;

/// What a job and its [`Future`] share. The job has the [`Duty`] to complete it.
pub(super) struct Core<T> {
    state: Cell<State>,
    failed: Cell<bool>,
    outcome: Cell<Option<Outcome<T>>>,
    submitted_at: &'static Location<'static>,
    stop: RefCell<Stop>,
    callbacks: RefCell<VecDeque<Callback<T>>>,
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
    /// It is this green thread's, which then completes it.
    Thread(Thread),
    /// Says that nobody wants the value, and the future is done at once.
    Disown(Rc<dyn Fn()>),
    /// Asks somebody else to end it, who then completes it.
    #[cfg(feature = "ipc")]
    Ask(Rc<dyn Fn()>),
}

/// Somebody who waits for several futures: number so-and-so of those is this one.
struct Observer(Rc<Completions>, usize);

impl<T: 'static> Core<T> {
    pub(super) fn new(submitted_at: &'static Location<'static>) -> Rc<Core<T>> {
        Rc::new(Core {
            state: Cell::new(State::Pending),
            failed: Cell::new(false),
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
        *self.stop.borrow_mut() = stop;
    }

    /// Ends the job; without a value or a payload it was cancelled. Gives back what nobody wants:
    /// what comes after the first time, or when the job is detached.
    pub(super) fn complete(
        self: Rc<Self>,
        result: Result<T, Option<Payload>>,
    ) -> Option<Outcome<T>> {
        let outcome = result.map_err(|payload| match payload {
            Some(payload) => JobError::panicked(self.submitted_at, payload),
            None => JobError::cancelled(self.submitted_at),
        });
        self.settle(outcome)
    }

    /// As [`complete`](Core::complete), with what somebody has made of it already.
    fn settle(self: Rc<Self>, outcome: Outcome<T>) -> Option<Outcome<T>> {
        let has_callbacks = !self.callbacks.borrow().is_empty();
        if self.state.get() != State::Pending || (Rc::strong_count(&self) == 1 && !has_callbacks) {
            return Some(outcome);
        }
        let stop = self.stop.replace(Stop::Never);
        drop(stop);
        self.state.set(State::Settled);
        self.failed.set(outcome.is_err());
        let announcement = Announcement {
            core: self,
            outcome: Some(outcome),
        };
        if has_callbacks {
            spawn_link(Box::new(move || announcement.call()));
        }
        None
    }

    /// For somebody who looks at it.
    fn take_outcome(&self) -> Option<Outcome<T>> {
        let outcome = self.outcome.take();
        if let Some(Err(error)) = &outcome {
            error.seen();
        }
        outcome
    }

    fn publish(&self, outcome: Outcome<T>) {
        self.outcome.set(Some(outcome));
        self.state.set(State::Done);
        self.waiters.grant_all();
        for Observer(completions, number) in self.observers.take() {
            completions.add(number);
        }
        if let Some(waker) = self.waker.take() {
            contain(|| waker.wake());
        }
    }
}

/// An outcome on its way through the callbacks; however they end, it is then published.
struct Announcement<T: 'static> {
    core: Rc<Core<T>>,
    outcome: Option<Outcome<T>>,
}

impl<T> Announcement<T> {
    fn call(self) {
        if let Some(Err(error)) = &self.outcome {
            error.seen();
        }
        let next = || self.core.callbacks.borrow_mut().pop_front();
        while let (Some(outcome), Some(callback)) = (&self.outcome, next()) {
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

impl<T> Drop for Announcement<T> {
    fn drop(&mut self) {
        let Some(outcome) = self.outcome.take() else {
            return;
        };
        if self.core.callbacks.borrow().is_empty() {
            return self.core.publish(outcome);
        }
        // The green thread that ran them was cancelled; the rest is another's.
        let rest = Announcement {
            core: Rc::clone(&self.core),
            outcome: Some(outcome),
        };
        spawn_link(Box::new(move || rest.call()));
    }
}

/// Completes a job's future, as cancelled if nothing else comes.
pub(super) struct Duty<T: 'static>(Option<Rc<Core<T>>>);

impl<T> Duty<T> {
    pub(super) fn new(core: &Rc<Core<T>>) -> Duty<T> {
        Duty(Some(Rc::clone(core)))
    }

    /// Runs the job here. Its panic becomes the outcome, an interrupt goes on.
    pub(super) fn fulfil(self, job: impl FnOnce() -> T) {
        match catch(job) {
            // What nobody wants is dropped here, on the job's green thread.
            Ok(value) => drop(self.complete(Ok(value))),
            Err(payload) if is_interrupt(&payload) => {
                drop(self);
                thread::resume(payload);
            }
            Err(payload) => {
                report_panic(&payload);
                drop(self.complete(Err(Some(payload))));
            }
        }
    }

    /// As [`Core::complete`].
    pub(super) fn complete(mut self, result: Result<T, Option<Payload>>) -> Option<Outcome<T>> {
        self.0.take()?.complete(result)
    }

    /// As [`Core::settle`].
    #[cfg(feature = "ipc")]
    pub(super) fn settle(mut self, outcome: Outcome<T>) -> Option<Outcome<T>> {
        self.0.take()?.settle(outcome)
    }
}

impl<T> Drop for Duty<T> {
    fn drop(&mut self) {
        if let Some(core) = self.0.take() {
            core.complete(Err(None));
        }
    }
}

/// The result of a job that a pool was given: Python's `concurrent.futures.Future`, and gevent's
/// `AsyncResult`.
///
/// It is a handle, as a [`JoinHandle`](crate::JoinHandle) is: one waits for it by blocking, and the
/// job runs whether anybody waits or not. Dropping it detaches the job. It also *is* a
/// [`std::future::Future`], for who has an executor of those; on a green thread,
/// [`result`](Future::result) is all that is needed. It stays on its OS thread, wherever the job
/// runs.
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
#[must_use = "dropping it detaches the job; wait for the result, or say `let _ =` to mean it"]
pub struct Future<T: 'static> {
    core: Rc<Core<T>>,
}

impl<T: 'static> Future<T> {
    pub(super) fn new(core: Rc<Core<T>>) -> Future<T> {
        Future { core }
    }

    /// Waits for the job, and for its callbacks, and gives its value. A time limit or a
    /// cancellation while it waits drops the future, and so detaches the job; where it must be
    /// kept, [`wait`](Future::wait) first.
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

    /// Waits until the job has ended and its callbacks have run; [`result`](Future::result) then
    /// returns at once.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn wait(&self) {
        self.wait_until(None);
    }

    /// As [`wait`](Future::wait), for at most `limit`; says whether it has come to that.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn wait_timeout(&self, limit: Duration) -> bool {
        self.is_ready() || self.wait_until(Some(scheduler::with(|s| s.after(limit))))
    }

    #[track_caller]
    pub(super) fn wait_until(&self, deadline: Option<Nanos>) -> bool {
        while !self.is_ready() {
            if self.core.waiters.wait(Reason::Pool, deadline, ()).is_err() {
                return false;
            }
        }
        true
    }

    pub(super) fn is_ready(&self) -> bool {
        self.core.state.get() == State::Done
    }

    /// Whether the job has ended, one way or another; callbacks may still be at work.
    #[must_use]
    pub fn done(&self) -> bool {
        self.core.state.get() != State::Pending
    }

    /// Whether the job has ended without a value: it panicked or was cancelled.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.core.failed.get()
    }

    /// Stops the job if it can be stopped, and says whether it had not ended yet. It does not wait.
    ///
    /// * A job on a green thread unwinds from where it waits, as with
    ///   [`JoinHandle::cancel`](crate::JoinHandle::cancel), and has ended when it has unwound; one
    ///   that has not begun never does. If it returns a value in spite of that, the value is the
    ///   result.
    /// * A job that waits for an OS thread is taken out of the queue.
    /// * A job that runs on an OS thread cannot be stopped. The future is done, as cancelled; the
    ///   job runs on to its end, and its value is dropped.
    /// * A job in another process unwinds there from where it waits; if it has not ended after a
    ///   second, the process is killed, and replaced. One that has not begun never does.
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
            #[cfg(feature = "ipc")]
            Stop::Ask(ask) => ask(),
            Stop::Disown(disown) => {
                disown();
                Rc::clone(&self.core).complete(Err(None));
            }
        }
        true
    }

    /// As [`cancel`](Future::cancel), for destructors: it does nothing where that would panic.
    pub(super) fn abandon(&self) {
        let is_inside = || scheduler::try_with(|_| ()).is_some();
        if cfg!(panic = "unwind") && is_inside() {
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
        self.core.callbacks.borrow_mut().push_back(Box::new(f));
        if self.is_ready() {
            self.core.state.set(State::Settled);
            let announcement = Announcement {
                core: Rc::clone(&self.core),
                outcome: self.core.outcome.take(),
            };
            announcement.call();
        }
    }

    /// Waits for the value, and goes on unwinding with the job's panic if there is none. If this
    /// one unwinds first, the job is cancelled.
    #[track_caller]
    pub(super) fn into_value(self) -> T {
        struct Abandon<'a, T: 'static>(&'a Future<T>);

        impl<T> Drop for Abandon<'_, T> {
            fn drop(&mut self) {
                self.0.abandon();
            }
        }

        let job = Abandon(&self);
        job.0.wait_until(None);
        drop(job);
        self.take().unwrap_or_else(|error| error.resume())
    }

    pub(super) fn take(self) -> Outcome<T> {
        let outcome = self.core.take_outcome();
        outcome.expect("a future that is done holds its outcome until it is taken")
    }

    /// Adds `number` to `completions` when the result can be taken, which may be now.
    pub(super) fn observe(&self, completions: &Rc<Completions>, number: usize) {
        if self.is_ready() {
            return completions.add(number);
        }
        let observer = Observer(Rc::clone(completions), number);
        self.core.observers.borrow_mut().push(observer);
    }

    /// Takes back what [`Future::observe`] was told for `completions`.
    pub(super) fn forget(&self, completions: &Rc<Completions>) {
        let mut observers = self.core.observers.borrow_mut();
        observers.retain(|Observer(other, _)| !Rc::ptr_eq(other, completions));
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
        if self.is_ready() {
            let outcome = self.core.take_outcome();
            return Poll::Ready(outcome.expect("a future must not be polled after it was ready"));
        }
        let before = self.core.waker.replace(Some(context.waker().clone()));
        drop(before);
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
