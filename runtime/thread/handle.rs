//! A body's result, and the handle that waits for it.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use super::future::LocalWaker;
use super::shared::Shared;
use super::unwind::{self, Payload, contain};
use super::wait::Completions;
use super::{JoinError, Result, Thread, spawn};
use crate::scheduler::{self, Nanos, ThreadId};

/// Where a body leaves its result, shared with whoever may want it.
pub(super) struct Packet<T> {
    result: Cell<Option<std::result::Result<T, Payload>>>,
    finished: Cell<bool>,
    /// Who waits for the end. Nearly always there is one at most, so that one needs no memory.
    waiter: Cell<Option<ThreadId>>,
    observers: Cell<Option<Box<Observers>>>,
}

/// Those beyond the one waiter, in the order in which they came.
#[derive(Default)]
struct Observers(Vec<Observer>);

impl Observers {
    #[cold]
    fn notify(self) {
        self.0.into_iter().for_each(Observer::notify);
    }
}

/// Somebody else who wants to know that a green thread has ended.
pub(super) enum Observer {
    /// Waits for it.
    Wake(ThreadId),
    /// Collects the ends of several, of which this is the one with that number.
    Collect(Rc<Completions>, usize),
    /// Polls the handle. There is one at most.
    Waker(LocalWaker),
    /// Wants this to run on a green thread of its own.
    Link(Box<dyn FnOnce()>),
}

impl<T> Packet<T> {
    pub(super) fn new() -> Shared<Packet<T>> {
        Shared::new(|| Packet {
            result: Cell::new(None),
            finished: Cell::new(false),
            waiter: Cell::new(None),
            observers: Cell::new(None),
        })
    }

    /// Stores the result and tells everybody. Called once, as the last thing a body does.
    #[inline(always)]
    pub(super) fn finish(&self, result: std::result::Result<T, Payload>) {
        self.result.set(Some(result));
        self.finished.set(true);
        if let Some(waiter) = self.waiter.take() {
            scheduler::with(|scheduler| scheduler.wake(waiter));
        }
        if let Some(observers) = self.observers.take() {
            observers.notify();
        }
    }

    /// The result, once; later there is none.
    pub(super) fn take(&self) -> Option<std::result::Result<T, Payload>> {
        self.result.take()
    }

    /// Waits for the end of `thread`, whose packet this is, and takes the result.
    #[inline(always)]
    #[track_caller]
    pub(super) fn join(&self, thread: &Thread) -> Result<T> {
        self.wait(thread.id(), None);
        let result = self.take();
        result
            .expect("a finished packet holds its result until it is joined")
            .map_err(|payload| JoinError::new(thread, payload))
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished.get()
    }

    /// Whether it ended by a panic that nobody has taken.
    pub(super) fn holds_panic(&self) -> bool {
        let result = self.result.take();
        let panicked = matches!(&result, Some(Err(payload)) if !unwind::is_interrupt(payload));
        self.result.set(result);
        panicked
    }

    /// Tells `observer` when it ends, which may be now.
    pub(super) fn observe(&self, observer: Observer) {
        if self.finished.get() {
            return observer.notify();
        }
        let mut observers = self.observers.take().unwrap_or_default();
        observers.0.push(observer);
        self.observers.set(Some(observers));
    }

    /// Takes back what [`Packet::observe`] was told for `completions`.
    pub(super) fn forget(&self, completions: &Rc<Completions>) {
        self.retain(|o| !matches!(o, Observer::Collect(c, _) if Rc::ptr_eq(c, completions)));
    }

    /// Whether somebody beyond the one waiter wants to know.
    #[inline]
    pub(super) fn is_observed(&self) -> bool {
        let observers = self.observers.take();
        let is_observed = observers.is_some();
        self.observers.set(observers);
        is_observed
    }

    /// Whom to wake when it ends, instead of whom it was before. The caller drops that one, for it
    /// may run code of the user's.
    pub(super) fn set_waker(&self, waker: Option<LocalWaker>) -> Option<LocalWaker> {
        let mut observers = self.observers.take().unwrap_or_default();
        let is_waker = |observer: &Observer| matches!(observer, Observer::Waker(_));
        let place = observers.0.iter().position(is_waker);
        let before = place.map(|place| observers.0.remove(place));
        observers.0.extend(waker.map(Observer::Waker));
        self.observers.set(Some(observers));
        match before {
            Some(Observer::Waker(waker)) => Some(waker),
            _ => None,
        }
    }

    fn retain(&self, keep: impl Fn(&Observer) -> bool) {
        if let Some(mut observers) = self.observers.take() {
            observers.0.retain(keep);
            self.observers.set(Some(observers));
        }
    }

    /// Waits for the end of `thread`, or for `deadline`; says whether it has ended.
    #[inline(always)]
    #[track_caller]
    pub(super) fn wait(&self, thread: ThreadId, deadline: Option<Nanos>) -> bool {
        if self.is_finished() {
            return true;
        }
        let waiting = Waiting::new(self);
        let (at, has_ended) = (Location::caller(), || self.is_finished());
        match unwind::park_until_free(&thread, at, deadline, has_ended) {
            Ok(finished) => {
                if finished {
                    // The one that ended has told everybody and forgotten them.
                    std::mem::forget(waiting);
                }
                finished
            }
            Err(deadlock) => panic!("{deadlock}"),
        }
    }
}

impl Observer {
    fn notify(self) {
        match self {
            Observer::Wake(id) => scheduler::with(|scheduler| scheduler.wake(id)),
            Observer::Collect(completions, number) => completions.add(number),
            // A panic in a foreign waker was printed, and must not keep it from the others.
            Observer::Waker(waker) => {
                contain(|| waker.wake());
            }
            Observer::Link(f) => spawn::spawn_link(f),
        }
    }
}

/// Keeps the running green thread among those who wait, until it has been told or goes away.
struct Waiting<'a, T> {
    packet: &'a Packet<T>,
    id: ThreadId,
}

impl<T> Waiting<'_, T> {
    #[inline]
    fn new(packet: &Packet<T>) -> Waiting<'_, T> {
        let id = scheduler::with(scheduler::Scheduler::current);
        match packet.waiter.get() {
            None => packet.waiter.set(Some(id)),
            Some(_) => packet.observe(Observer::Wake(id)),
        }
        Waiting { packet, id }
    }
}

impl<T> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        if self.packet.waiter.get() == Some(self.id) {
            self.packet.waiter.set(None);
        } else {
            self.packet
                .retain(|o| !matches!(o, Observer::Wake(id) if *id == self.id));
        }
    }
}

/// Owns the result of a green thread. Dropping it detaches the green thread, as in std.
///
/// ```
/// sedge::run(|| {
///     let answer = sedge::spawn(|| 6 * 7);
///     assert_eq!(answer.join().unwrap(), 42);
/// });
/// ```
pub struct JoinHandle<T> {
    thread: Thread,
    packet: Shared<Packet<T>>,
}

impl<T> JoinHandle<T> {
    pub(super) fn new(thread: Thread, packet: Shared<Packet<T>>) -> JoinHandle<T> {
        JoinHandle { thread, packet }
    }

    pub(super) fn packet(&self) -> &Packet<T> {
        &self.packet
    }

    /// The green thread.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Waits for the green thread to end and returns its value. As std's; gevent's `get`.
    ///
    /// If it is called while this green thread unwinds (from a destructor), it waits all the same;
    /// `docs/caveats.md` in the repository says what the others notice of that.
    ///
    /// # Errors
    ///
    /// If it panicked or was cancelled.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run), unless the green thread has ended; and with a
    /// [report](crate::Deadlock) if that one waits for this one.
    #[inline(always)]
    #[track_caller]
    pub fn join(self) -> Result<T> {
        self.packet.join(&self.thread)
    }

    /// As [`join`](JoinHandle::join), for at most `limit`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// sedge::run(|| {
    ///     let slow = sedge::spawn(|| sedge::sleep(Duration::from_millis(20)));
    ///     let slow = slow.join_timeout(Duration::from_millis(1)).unwrap_err(); // not yet
    ///     assert!(slow.join_timeout(Duration::from_secs(10)).unwrap().is_ok());
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// Gives the handle back if the green thread has not ended by then.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    pub fn join_timeout(self, limit: Duration) -> std::result::Result<Result<T>, JoinHandle<T>> {
        let deadline = scheduler::with(|scheduler| scheduler.after(limit));
        if self.packet.wait(self.thread.id(), Some(deadline)) {
            Ok(self.join())
        } else {
            Err(self)
        }
    }

    /// Whether the green thread has ended, so that `join` returns at once.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.packet.is_finished()
    }

    /// Asks the green thread to end: it unwinds from where it waits, or from the next place where
    /// it would wait or yield, and its destructors run. No panic message is printed. One that has
    /// not started drops its closure and runs nothing else. Cancelling twice, or one that has
    /// ended, does nothing. gevent's `kill(block=False)`.
    ///
    /// [`shield`](crate::shield) puts it off. Code that catches the unwinding with `catch_unwind`
    /// meets it again where it waits next, so a loop that catches and goes on must look and leave;
    /// if the body returns a value in spite of it, that is the result.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// sedge::run(|| {
    ///     let sleeper = sedge::spawn(|| sedge::sleep(Duration::from_secs(3600)));
    ///     sleeper.cancel();
    ///     assert!(sleeper.join().unwrap_err().is_cancelled());
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run), and in a program built with `panic = "abort"`.
    pub fn cancel(&self) {
        self.thread.cancel();
    }

    /// Runs `f` on a new green thread when this one has ended, now if it has already. As gevent's
    /// `link`.
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    ///
    /// let ended = Rc::new(Cell::new(false));
    /// let seen = ended.clone();
    /// sedge::run(move || {
    ///     sedge::spawn(|| ()).link(move || seen.set(true));
    /// });
    /// assert!(ended.get());
    /// ```
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    pub fn link<F: FnOnce() + 'static>(&self, f: F) {
        self.packet.observe(Observer::Link(Box::new(f)));
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("thread", &self.thread)
            .finish_non_exhaustive()
    }
}
