//! Waiting for several green threads.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use super::JoinHandle;
use super::handle::Observer;
use super::unwind;
use crate::scheduler::{self, Scheduler, ThreadId};
use crate::stats::Reason;

/// Numbers of green threads in the order in which they ended, and who waits for the next.
#[derive(Default)]
pub(super) struct Completions {
    ended: RefCell<VecDeque<usize>>,
    waiter: Cell<Option<ThreadId>>,
}

impl Completions {
    pub(super) fn add(&self, number: usize) {
        self.ended.borrow_mut().push_back(number);
        if let Some(waiter) = self.waiter.get() {
            scheduler::with(|scheduler| scheduler.wake(waiter));
        }
    }

    fn next(&self) -> usize {
        loop {
            if let Some(number) = self.ended.borrow_mut().pop_front() {
                return number;
            }
            self.waiter.set(Some(scheduler::with(Scheduler::current)));
            unwind::park_always(Reason::Join, None);
            self.waiter.set(None);
        }
    }
}

/// Waits until all of them have ended, with a value or without. gevent's `joinall`.
///
/// For a time limit, put it into a [`timeout`](crate::timeout). When that passes, the green threads
/// run on and their handles are still the caller's; a [`scope`](crate::scope) cancels them.
///
/// ```
/// sedge::run(|| {
///     let threads: Vec<_> = (0..10).map(|i| sedge::spawn(move || i * i)).collect();
///     sedge::wait_all(&threads);
///     assert!(threads.iter().all(|thread| thread.is_finished()));
/// });
/// ```
///
/// # Panics
///
/// Outside [`run`](crate::run), and with a [report](crate::Deadlock) if one of them waits for this
/// green thread.
#[track_caller]
pub fn wait_all<'a, T: 'a>(threads: impl IntoIterator<Item = &'a JoinHandle<T>>) {
    for thread in threads {
        thread.packet().wait(thread.thread().id(), None);
    }
}

/// Waits until one of them has ended and returns its position: of those that have ended already,
/// the first. gevent's `wait(count=1)`.
///
/// ```
/// use std::time::Duration;
///
/// sedge::run(|| {
///     let slow = sedge::spawn(|| sedge::sleep(Duration::from_millis(50)));
///     let fast = sedge::spawn(|| ());
///     assert_eq!(sedge::wait_any(&[slow, fast]), 1);
/// });
/// ```
///
/// # Panics
///
/// Outside [`run`](crate::run), and if there are none, since then it would wait for ever.
#[must_use]
#[track_caller]
pub fn wait_any<T>(threads: &[JoinHandle<T>]) -> usize {
    assert!(
        !threads.is_empty(),
        "wait_any of no green threads would wait for ever"
    );
    if let Some(ended) = threads.iter().position(JoinHandle::is_finished) {
        return ended;
    }
    let completions = Rc::new(Completions::default());
    for (number, thread) in threads.iter().enumerate() {
        thread
            .packet()
            .observe(Observer::Collect(Rc::clone(&completions), number));
    }
    let _watch = Watch(threads, &completions);
    completions.next()
}

/// Takes the observers of one `wait_any` back, so that many waits on few threads leave nothing.
struct Watch<'a, T>(&'a [JoinHandle<T>], &'a Rc<Completions>);

impl<T> Drop for Watch<'_, T> {
    fn drop(&mut self) {
        self.0
            .iter()
            .for_each(|thread| thread.packet().forget(self.1));
    }
}

/// Gives the green threads back in the order in which they end. Python's `as_completed`.
///
/// If a [`timeout`](crate::timeout) around it passes, or its owner is cancelled, those that were
/// not given back yet are detached and run on. A [`scope`](crate::scope) cancels its own.
///
/// ```
/// use std::time::Duration;
///
/// sedge::run(|| {
///     let sleep = |ms| sedge::spawn(move || { sedge::sleep(Duration::from_millis(ms)); ms });
///     let order = sedge::as_completed([sleep(20), sleep(1)]).map(|thread| thread.join().unwrap());
///     assert_eq!(order.collect::<Vec<_>>(), [1, 20]);
/// });
/// ```
pub fn as_completed<T>(threads: impl IntoIterator<Item = JoinHandle<T>>) -> AsCompleted<T> {
    let completions = Rc::new(Completions::default());
    let threads: Vec<_> = threads.into_iter().map(Some).collect();
    for (number, thread) in threads.iter().flatten().enumerate() {
        thread
            .packet()
            .observe(Observer::Collect(Rc::clone(&completions), number));
    }
    AsCompleted {
        left: threads.len(),
        threads,
        completions,
    }
}

/// Iterator of [`as_completed`]. It waits for the next one to end; dropping it detaches the rest.
#[must_use = "it waits only when it is asked for the next"]
pub struct AsCompleted<T> {
    threads: Vec<Option<JoinHandle<T>>>,
    left: usize,
    completions: Rc<Completions>,
}

impl<T> Iterator for AsCompleted<T> {
    type Item = JoinHandle<T>;

    fn next(&mut self) -> Option<JoinHandle<T>> {
        if self.left == 0 {
            return None;
        }
        let number = self.completions.next();
        self.left -= 1;
        self.threads[number].take()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for AsCompleted<T> {}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
