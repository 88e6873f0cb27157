//! What all pools can do.

use super::{Future, Pool, ThreadPool};

/// What becomes of the jobs of a pool that takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// They are done, and waited for. Python's `shutdown()`.
    Wait,
    /// They are done, and not waited for. Python's `shutdown(wait=False)`.
    Detach,
    /// They are cancelled, and waited for. Python's `shutdown(cancel_futures=True)`, which lets
    /// those run on that have begun.
    Cancel,
}

/// A pool that runs plain functions: what is common to green threads, OS threads and processes.
/// Python's `concurrent.futures.Executor`.
///
/// Each kind of pool asks something else of its jobs: green threads nothing, OS threads that they
/// be `Send`, processes that they can be written down and read. A function that captures nothing,
/// called with an argument, suits all three, and each pool implements this trait for the arguments
/// `A` and results `R` that it can take. A closure will do as the function if it captures nothing.
/// For jobs that capture, there are the methods of the pools themselves.
///
/// ```
/// use sedge::pool::{Executor, Pool, ThreadPool};
///
/// fn squares(pool: &impl Executor<u64, u64>) -> Vec<u64> {
///     pool.map(|n| n * n, 1..=3)
/// }
///
/// sedge::run(|| {
///     assert_eq!(squares(&Pool::new(2)), [1, 4, 9]);
///     assert_eq!(squares(&ThreadPool::new(2)), [1, 4, 9]);
/// });
/// ```
///
/// Where the kind of pool is chosen while the program runs, it may be a `dyn Executor`:
///
/// ```
/// use sedge::pool::{Executor, Pool, Shutdown, ThreadPool};
///
/// sedge::run(|| {
///     let pools: [Box<dyn Executor<&str, usize>>; 2] =
///         [Box::new(Pool::new(2)), Box::new(ThreadPool::new(2))];
///     for pool in pools {
///         assert_eq!(pool.submit(str::len, "green").result().unwrap(), 5);
///         pool.shutdown(Shutdown::Wait);
///     }
/// });
/// ```
pub trait Executor<A, R: 'static> {
    /// Calls `f` with `argument` in a job. `spawn` of the pool.
    ///
    /// # Panics
    ///
    /// As `spawn` of the pool.
    #[track_caller]
    fn submit(&self, f: fn(A) -> R, argument: A) -> Future<R>;

    /// Calls `f` with each item, and returns the values in the order of the items. `map` of the
    /// pool.
    ///
    /// # Panics
    ///
    /// As `map` of the pool: with the first panic of a job, and the others are cancelled.
    #[track_caller]
    fn map<I>(&self, f: fn(A) -> R, items: I) -> Vec<R>
    where
        Self: Sized,
        I: IntoIterator<Item = A>;

    /// Takes no more jobs. `shutdown` of the pool.
    ///
    /// # Panics
    ///
    /// As `shutdown` of the pool.
    #[track_caller]
    fn shutdown(&self, how: Shutdown);
}

impl<A: 'static, R: 'static> Executor<A, R> for Pool {
    #[track_caller]
    fn submit(&self, f: fn(A) -> R, argument: A) -> Future<R> {
        self.spawn(move || f(argument))
    }

    #[track_caller]
    fn map<I>(&self, f: fn(A) -> R, items: I) -> Vec<R>
    where
        I: IntoIterator<Item = A>,
    {
        self.map(f, items)
    }

    #[track_caller]
    fn shutdown(&self, how: Shutdown) {
        self.shutdown(how);
    }
}

impl<A: Send + 'static, R: Send + 'static> Executor<A, R> for ThreadPool {
    #[track_caller]
    fn submit(&self, f: fn(A) -> R, argument: A) -> Future<R> {
        self.spawn(move || f(argument))
    }

    #[track_caller]
    fn map<I>(&self, f: fn(A) -> R, items: I) -> Vec<R>
    where
        I: IntoIterator<Item = A>,
    {
        self.map(f, items)
    }

    #[track_caller]
    fn shutdown(&self, how: Shutdown) {
        self.shutdown(how);
    }
}
