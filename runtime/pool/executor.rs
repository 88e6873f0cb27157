//! What every pool that runs jobs can do.

use std::collections::VecDeque;

use super::Future;

/// Runs jobs and gives their results: Python's `concurrent.futures.Executor`.
///
/// A job is a function and its argument, for that is what all executors can take. What they ask of
/// the argument `A` and the value `T` differs, so both stand in the trait: a [`Pool`](super::Pool)
/// of green threads asks nothing, one of OS threads would that both are `Send`, and one of
/// processes that they can be sent as bytes. A closure that captures nothing is such a function.
/// For one that captures, each pool has verbs of its own, which ask for what that pool needs.
///
/// ```
/// use sedge::pool::{Executor, Pool};
///
/// fn squares(executor: &impl Executor<u64, u64>) -> Vec<u64> {
///     executor.map(1..=3, |n| n * n)
/// }
///
/// sedge::run(|| {
///     assert_eq!(squares(&Pool::new(2)), [1, 4, 9]);
/// });
/// ```
pub trait Executor<A, T: 'static> {
    /// Has `f(argument)` run. It may wait until there is room for another job.
    fn submit(&self, argument: A, f: fn(A) -> T) -> Future<T>;

    /// Takes no more jobs, and waits until those that it has taken have ended.
    fn shutdown(&self);

    /// Has `f` run on all of `arguments`, and gives the values in their order.
    ///
    /// # Panics
    ///
    /// With the panic of the first job, in order, that has panicked; the others are cancelled.
    fn map<I>(&self, arguments: I, f: fn(A) -> T) -> Vec<T>
    where
        I: IntoIterator<Item = A>,
        Self: Sized,
    {
        let mut jobs = Abandoning(VecDeque::new());
        for argument in arguments {
            jobs.0.push_back(self.submit(argument, f));
        }
        let mut values = Vec::with_capacity(jobs.0.len());
        while let Some(job) = jobs.0.pop_front() {
            values.push(job.result().unwrap_or_else(|error| error.resume()));
        }
        values
    }
}

/// Cancels the jobs that are left when it is dropped.
pub(super) struct Abandoning<T: 'static>(pub(super) VecDeque<Future<T>>);

impl<T> Drop for Abandoning<T> {
    fn drop(&mut self) {
        self.0.iter().for_each(Future::abandon);
    }
}
