//! What a pool of green threads does with functions.

use std::convert::Infallible;
use std::panic::Location;
use std::rc::Rc;

use super::Pool;
use crate::pool::imap::{self, Imap};
use crate::pool::{Future, JobError, Spread};

impl Pool {
    /// Runs `f` in the pool and waits for its value. A panic of `f` comes out here. If the caller
    /// unwinds while it waits, `f` is cancelled. gevent's `apply`.
    ///
    /// # Panics
    ///
    /// With `f`'s panic; if `f` was cancelled; and as [`spawn`](Pool::spawn).
    #[track_caller]
    pub fn apply<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        self.spawn(f).into_value()
    }

    /// As [`spawn`](Pool::spawn), and calls `on_value` or `on_error` with what comes out, as
    /// [`Future::add_done_callback`] does. gevent's `apply_async`.
    ///
    /// ```
    /// use sedge::pool::Pool;
    ///
    /// sedge::run(|| {
    ///     let print = |value: &u32| println!("{value}");
    ///     Pool::new(2).apply_async(|| 6 * 7, print, |error| eprintln!("{error}")).wait();
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// As [`spawn`](Pool::spawn).
    #[track_caller]
    pub fn apply_async<F, T>(
        &self,
        f: F,
        on_value: impl FnOnce(&T) + 'static,
        on_error: impl FnOnce(&JobError) + 'static,
    ) -> Future<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let job = self.spawn(f);
        job.add_done_callback(|result| match result {
            Ok(value) => on_value(value),
            Err(error) => on_error(error),
        });
        job
    }

    /// Calls `f` with each item, in jobs of their own, and returns the values in the order of the
    /// items. Items are pulled as there are places. gevent's `map`.
    ///
    /// The first panic of a job comes out here, and the other jobs are cancelled; likewise if the
    /// caller unwinds meanwhile, or `items` panics. Tuples are taken apart by the closure, or by
    /// [`starmap`](Pool::starmap).
    ///
    /// ```
    /// use sedge::pool::Pool;
    ///
    /// sedge::run(|| {
    ///     let products = Pool::new(4).map(|(a, b)| a * b, [(1, 2), (3, 4), (5, 6)]);
    ///     assert_eq!(products, [2, 12, 30]);
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// With the panic of `f` or `items`, and as [`spawn`](Pool::spawn).
    #[track_caller]
    pub fn map<F, I, R>(&self, f: F, items: I) -> Vec<R>
    where
        F: Fn(I::Item) -> R + 'static,
        I: IntoIterator<Item: 'static>,
        R: 'static,
    {
        let values = imap::map(items, self.size(), self.each(f), Ok::<R, Infallible>);
        values.unwrap_or_else(|never| match never {})
    }

    /// As [`map`](Pool::map), for an `f` that may fail.
    ///
    /// ```
    /// use sedge::pool::Pool;
    ///
    /// sedge::run(|| {
    ///     let parse = |text: &str| text.parse::<u32>();
    ///     assert_eq!(Pool::new(2).try_map(parse, ["1", "2"]), Ok(vec![1, 2]));
    ///     assert!(Pool::new(2).try_map(parse, ["1", "two"]).is_err());
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// The first that comes about; the other jobs are then cancelled.
    ///
    /// # Panics
    ///
    /// As [`map`](Pool::map).
    #[track_caller]
    pub fn try_map<F, I, R, E>(&self, f: F, items: I) -> Result<Vec<R>, E>
    where
        F: Fn(I::Item) -> Result<R, E> + 'static,
        I: IntoIterator<Item: 'static>,
        R: 'static,
        E: 'static,
    {
        imap::map(items, self.size(), self.each(f), |result| result)
    }

    /// As [`map`](Pool::map), for an `f` that takes the parts of each tuple. Python's `starmap`.
    ///
    /// ```
    /// use sedge::pool::Pool;
    ///
    /// sedge::run(|| {
    ///     let powers = Pool::new(2).starmap(u32::pow, [(2, 5), (3, 2)]);
    ///     assert_eq!(powers, [32, 9]);
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// As [`map`](Pool::map).
    #[track_caller]
    pub fn starmap<F, I, R>(&self, f: F, items: I) -> Vec<R>
    where
        F: 'static,
        I: IntoIterator<Item: Spread<F, Output = R> + 'static>,
        R: 'static,
    {
        self.map(move |item: I::Item| item.spread(&f), items)
    }

    /// The values of `f` for each item, in the order of the items; see [`Imap`]. gevent's `imap`.
    ///
    /// ```
    /// use sedge::pool::Pool;
    ///
    /// sedge::run(|| {
    ///     let squares = Pool::new(8).imap(|n: u64| n * n, 1..); // no end of them
    ///     assert_eq!(squares.take(3).collect::<Vec<_>>(), [1, 4, 9]);
    /// });
    /// ```
    #[track_caller]
    pub fn imap<F, I, R>(&self, f: F, items: I) -> Imap<I::IntoIter, R>
    where
        F: Fn(I::Item) -> R + 'static,
        I: IntoIterator<Item: 'static, IntoIter: 'static>,
        R: 'static,
    {
        self.imap_in(true, f, items)
    }

    /// As [`imap`](Pool::imap), in the order in which the jobs end. gevent's `imap_unordered`.
    ///
    /// ```
    /// use sedge::pool::Pool;
    ///
    /// sedge::run(|| {
    ///     let wait = |turns| {
    ///         (0..turns).for_each(|_| sedge::yield_now());
    ///         turns
    ///     };
    ///     let order = Pool::new(2).imap_unordered(wait, [30, 1, 2]);
    ///     assert_eq!(order.collect::<Vec<_>>(), [1, 2, 30]);
    /// });
    /// ```
    #[track_caller]
    pub fn imap_unordered<F, I, R>(&self, f: F, items: I) -> Imap<I::IntoIter, R>
    where
        F: Fn(I::Item) -> R + 'static,
        I: IntoIterator<Item: 'static, IntoIter: 'static>,
        R: 'static,
    {
        self.imap_in(false, f, items)
    }

    #[track_caller]
    fn imap_in<F, I, R>(&self, ordered: bool, f: F, items: I) -> Imap<I::IntoIter, R>
    where
        F: Fn(I::Item) -> R + 'static,
        I: IntoIterator<Item: 'static, IntoIter: 'static>,
        R: 'static,
    {
        let (f, at) = (Rc::new(f), Location::caller());
        let (pool, consumer) = (self.clone(), self.clone());
        let by_job = move || consumer.inner.members.contains_caller();
        let submit = move |by_job, item| {
            let f = Rc::clone(&f);
            pool.spawn_from(by_job, at, move || f(item))
        };
        Imap::new(items.into_iter(), self.size(), ordered, by_job, submit)
    }

    #[track_caller]
    fn each<F, A, R>(&self, f: F) -> impl FnMut(A) -> Future<R>
    where
        F: Fn(A) -> R + 'static,
        A: 'static,
        R: 'static,
    {
        let (f, at) = (Rc::new(f), Location::caller());
        move |item| {
            let f = Rc::clone(&f);
            self.spawn_from(false, at, move || f(item))
        }
    }
}
