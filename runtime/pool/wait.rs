//! Waiting for several futures.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::Future;
use crate::scheduler::{self, Nanos};
use crate::stats::Reason;
use crate::wait_queue::WaitQueue;

/// Numbers of jobs in the order in which they ended, and who waits for the next.
pub(super) struct Completions {
    ended: RefCell<VecDeque<usize>>,
    waiters: WaitQueue<Option<usize>>,
}

impl Completions {
    pub(super) fn new() -> Rc<Completions> {
        Rc::new(Completions {
            ended: RefCell::default(),
            waiters: WaitQueue::new(),
        })
    }

    pub(super) fn add(&self, number: usize) {
        if self.waiters.grant(|next| *next = Some(number)).is_none() {
            self.ended.borrow_mut().push_back(number);
        }
    }

    #[track_caller]
    pub(super) fn next(&self, deadline: Option<Nanos>) -> Option<usize> {
        let ended = self.ended.borrow_mut().pop_front();
        ended.or_else(|| {
            let next = self.waiters.wait(Reason::Pool, deadline, None);
            next.unwrap_or_else(|none| none)
        })
    }
}

/// What [`wait`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// All of them are done.
    All,
    /// One of them is done.
    Any,
    /// One of them has panicked or was cancelled, or else all are done.
    AnyFailed,
}

/// Waits for several futures, for at most `limit`, and says whether what it waited for has come
/// about. Python's `wait`; which of them are done, they say themselves.
///
/// ```
/// use sedge::pool::{self, Pool, Until};
/// use std::time::Duration;
///
/// sedge::run(|| {
///     let pool = Pool::new(2);
///     let jobs = [1, 3_600_000].map(|ms| {
///         pool.spawn(move || sedge::sleep(Duration::from_millis(ms)))
///     });
///     assert!(pool::wait(&jobs, Until::Any, None));
///     assert!(jobs[0].done() && !jobs[1].done());
///     assert!(!pool::wait(&jobs, Until::All, Some(Duration::from_millis(1))));
///     pool.cancel();
///     assert!(pool::wait(&jobs, Until::AnyFailed, None));
/// });
/// ```
///
/// # Panics
///
/// If it must wait outside [`run`](crate::run); if there are none to wait for any of.
#[track_caller]
pub fn wait<T: 'static>(futures: &[Future<T>], until: Until, limit: Option<Duration>) -> bool {
    let pending = futures.iter().any(|future| !future.is_ready());
    let limit = limit.filter(|_| pending);
    let deadline = limit.map(|limit| scheduler::with(|scheduler| scheduler.after(limit)));
    if until == Until::All {
        return futures.iter().all(|future| future.wait_until(deadline));
    }
    assert!(
        until == Until::AnyFailed || !futures.is_empty(),
        "waiting for any of no futures would last for ever"
    );
    let watch = Watch(futures, Completions::new());
    for (number, future) in futures.iter().enumerate() {
        future.observe(&watch.1, number);
    }
    for _ in futures {
        match watch.1.next(deadline) {
            None => return false,
            Some(number) if until == Until::Any || futures[number].failed() => return true,
            Some(_) => {}
        }
    }
    true
}

/// Takes the observers of one `wait` back, so that many waits on few futures leave nothing.
struct Watch<'a, T: 'static>(&'a [Future<T>], Rc<Completions>);

impl<T> Drop for Watch<'_, T> {
    fn drop(&mut self) {
        self.0.iter().for_each(|future| future.forget(&self.1));
    }
}

/// Gives the futures back in the order in which their jobs end. Python's `as_completed`.
///
/// Dropping the iterator detaches the jobs that were not given back.
///
/// ```
/// use sedge::pool::{self, Pool};
/// use std::time::Duration;
///
/// sedge::run(|| {
///     let pool = Pool::new(2);
///     let sleep = |ms| pool.spawn(move || { sedge::sleep(Duration::from_millis(ms)); ms });
///     let order = pool::as_completed([sleep(20), sleep(1)]).map(|job| job.result().unwrap());
///     assert_eq!(order.collect::<Vec<_>>(), [1, 20]);
/// });
/// ```
pub fn as_completed<T>(futures: impl IntoIterator<Item = Future<T>>) -> AsCompleted<T> {
    let completions = Completions::new();
    let futures: Vec<_> = futures.into_iter().map(Some).collect();
    for (number, future) in futures.iter().flatten().enumerate() {
        future.observe(&completions, number);
    }
    AsCompleted {
        left: futures.len(),
        futures,
        completions,
    }
}

/// Iterator of [`as_completed`]; it waits for the next one to be done.
#[must_use = "it waits only when it is asked for the next"]
pub struct AsCompleted<T: 'static> {
    futures: Vec<Option<Future<T>>>,
    left: usize,
    completions: Rc<Completions>,
}

impl<T> Iterator for AsCompleted<T> {
    type Item = Future<T>;

    fn next(&mut self) -> Option<Future<T>> {
        if self.left == 0 {
            return None;
        }
        let number = self.completions.next(None)?;
        self.left -= 1;
        self.futures[number].take()
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
