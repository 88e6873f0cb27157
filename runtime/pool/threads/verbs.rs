//! What a pool of OS threads does with functions: the verbs of the pool of green threads, for jobs
//! that are `Send`.

use std::convert::Infallible;
use std::panic::Location;
use std::sync::Arc;

use super::{Handle, ThreadPool};
use crate::pool::imap::{self, Imap};
use crate::pool::{Future, JobError, Spread};

impl ThreadPool {
    /// Runs `f` in the pool and waits for its value. A panic of `f` comes out here. If the caller
    /// unwinds while it waits, `f` is cancelled. gevent's `apply`.
    ///
    /// # Panics
    ///
    /// With `f`'s panic; if `f` was cancelled; and as [`spawn`](ThreadPool::spawn).
    #[track_caller]
    pub fn apply<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn(f).into_value()
    }

    /// As [`spawn`](ThreadPool::spawn), and calls `on_value` or `on_error` with what comes out, as
    /// [`Future::add_done_callback`] does. gevent's `apply_async`.
    ///
    /// ```
    /// use sedge::pool::ThreadPool;
    ///
    /// sedge::run(|| {
    ///     let print = |value: &u32| println!("{value}");
    ///     ThreadPool::new(2).apply_async(|| 6 * 7, print, |error| eprintln!("{error}")).wait();
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// As [`spawn`](ThreadPool::spawn).
    #[track_caller]
    pub fn apply_async<F, T>(
        &self,
        f: F,
        on_value: impl FnOnce(&T) + 'static,
        on_error: impl FnOnce(&JobError) + 'static,
    ) -> Future<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let job = self.spawn(f);
        job.add_done_callback(|result| match result {
            Ok(value) => on_value(value),
            Err(error) => on_error(error),
        });
        job
    }

    /// Calls `f` with each item, in jobs of their own, and returns the values in the order of the
    /// items. Items are pulled as jobs end. gevent's `map`.
    ///
    /// The first panic of a job comes out here, and the other jobs are cancelled; likewise if the
    /// caller unwinds meanwhile, or `items` panics. Tuples are taken apart by the closure, or by
    /// [`starmap`](ThreadPool::starmap).
    ///
    /// ```
    /// use sedge::pool::ThreadPool;
    ///
    /// sedge::run(|| {
    ///     let products = ThreadPool::new(4).map(|(a, b)| a * b, [(1, 2), (3, 4), (5, 6)]);
    ///     assert_eq!(products, [2, 12, 30]);
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// With the panic of `f` or `items`, and as [`spawn`](ThreadPool::spawn).
    #[track_caller]
    pub fn map<F, I, R>(&self, f: F, items: I) -> Vec<R>
    where
        F: Fn(I::Item) -> R + Send + Sync + 'static,
        I: IntoIterator<Item: Send + 'static>,
        R: Send + 'static,
    {
        let values = imap::map(
            items,
            self.ahead(),
            self.handle().each(f),
            Ok::<R, Infallible>,
        );
        values.unwrap_or_else(|never| match never {})
    }

    /// As [`map`](ThreadPool::map), for an `f` that may fail.
    ///
    /// ```
    /// use sedge::pool::ThreadPool;
    ///
    /// sedge::run(|| {
    ///     let parse = |text: &str| text.parse::<u32>();
    ///     assert_eq!(ThreadPool::new(2).try_map(parse, ["1", "2"]), Ok(vec![1, 2]));
    ///     assert!(ThreadPool::new(2).try_map(parse, ["1", "two"]).is_err());
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// The first that comes about; the other jobs are then cancelled.
    ///
    /// # Panics
    ///
    /// As [`map`](ThreadPool::map).
    #[track_caller]
    pub fn try_map<F, I, R, E>(&self, f: F, items: I) -> Result<Vec<R>, E>
    where
        F: Fn(I::Item) -> Result<R, E> + Send + Sync + 'static,
        I: IntoIterator<Item: Send + 'static>,
        R: Send + 'static,
        E: Send + 'static,
    {
        imap::map(items, self.ahead(), self.handle().each(f), |result| result)
    }

    /// As [`map`](ThreadPool::map), for an `f` that takes the parts of each tuple. Python's
    /// `starmap`.
    ///
    /// ```
    /// use sedge::pool::ThreadPool;
    ///
    /// sedge::run(|| {
    ///     let powers = ThreadPool::new(2).starmap(u32::pow, [(2, 5), (3, 2)]);
    ///     assert_eq!(powers, [32, 9]);
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// As [`map`](ThreadPool::map).
    #[track_caller]
    pub fn starmap<F, I, R>(&self, f: F, items: I) -> Vec<R>
    where
        F: Send + Sync + 'static,
        I: IntoIterator<Item: Spread<F, Output = R> + Send + 'static>,
        R: Send + 'static,
    {
        self.map(move |item: I::Item| item.spread(&f), items)
    }

    /// The values of `f` for each item, in the order of the items; see [`Imap`]. gevent's `imap`.
    /// Once the pool is dropped, or shut down, the iterator panics where it would submit another.
    ///
    /// ```
    /// use sedge::pool::ThreadPool;
    ///
    /// sedge::run(|| {
    ///     let pool = ThreadPool::new(8); // which the iterator must not outlive
    ///     let squares = pool.imap(|n: u64| n * n, 1..); // no end of them
    ///     assert_eq!(squares.take(3).collect::<Vec<_>>(), [1, 4, 9]);
    /// });
    /// ```
    #[track_caller]
    pub fn imap<F, I, R>(&self, f: F, items: I) -> Imap<I::IntoIter, R>
    where
        F: Fn(I::Item) -> R + Send + Sync + 'static,
        I: IntoIterator<Item: Send + 'static, IntoIter: 'static>,
        R: Send + 'static,
    {
        self.imap_in(true, f, items)
    }

    /// As [`imap`](ThreadPool::imap), in the order in which the jobs end. gevent's
    /// `imap_unordered`.
    ///
    /// ```
    /// use sedge::pool::ThreadPool;
    /// use std::time::Duration;
    ///
    /// sedge::run(|| {
    ///     let sleep = |ms| {
    ///         std::thread::sleep(Duration::from_millis(ms));
    ///         ms
    ///     };
    ///     let pool = ThreadPool::new(2);
    ///     assert_eq!(pool.imap_unordered(sleep, [30, 1, 2]).max(), Some(30));
    /// });
    /// ```
    #[track_caller]
    pub fn imap_unordered<F, I, R>(&self, f: F, items: I) -> Imap<I::IntoIter, R>
    where
        F: Fn(I::Item) -> R + Send + Sync + 'static,
        I: IntoIterator<Item: Send + 'static, IntoIter: 'static>,
        R: Send + 'static,
    {
        self.imap_in(false, f, items)
    }

    #[track_caller]
    fn imap_in<F, I, R>(&self, ordered: bool, f: F, items: I) -> Imap<I::IntoIter, R>
    where
        F: Fn(I::Item) -> R + Send + Sync + 'static,
        I: IntoIterator<Item: Send + 'static, IntoIter: 'static>,
        R: Send + 'static,
    {
        let mut submit = self.handle().each(f);
        // Its own OS threads do everything in place, whoever submits there.
        let submit = move |_, item| submit(item);
        Imap::new(items.into_iter(), self.ahead(), ordered, || false, submit)
    }

    /// How many jobs are handed out at once: as many again as can run, so that no OS thread waits
    /// for the next until the scheduler gets to it.
    fn ahead(&self) -> usize {
        2 * self.size()
    }
}

impl Handle {
    /// Submits a job for each item.
    #[track_caller]
    fn each<F, A, R>(self, f: F) -> impl FnMut(A) -> Future<R>
    where
        F: Fn(A) -> R + Send + Sync + 'static,
        A: Send + 'static,
        R: Send + 'static,
    {
        let (f, at) = (Arc::new(f), Location::caller());
        move |item| {
            let f = Arc::clone(&f);
            self.spawn(at, move || f(item))
        }
    }
}
