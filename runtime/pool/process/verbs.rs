//! What a pool of processes does with functions: the verbs of the other pools, for functions that
//! capture nothing.

use std::cell::Cell;
use std::convert::Infallible;
use std::panic::Location;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ProcessPool;
use super::batch::{Batch, Batches, ProcessImap, Results, Route, Size};
use super::ship::{Code, Parts};
use crate::pool::{Executor, Future, JobError, Shutdown, imap};

impl ProcessPool {
    /// Calls `f` with `argument` in a worker when one is free. Waits for a place in the
    /// [queue](super::Builder::queue_limit). Python's `submit`.
    ///
    /// `f` is a function, or a closure that captures nothing, which the compiler makes into one:
    /// what it needs is its argument.
    ///
    /// ```
    /// # use sedge::pool::{ProcessPool, process};
    /// # process::init();
    /// # sedge::run(|| {
    /// let pool = ProcessPool::new(1).unwrap();
    /// let factor = 6;
    /// let job = pool.submit(|(a, b): (u32, u32)| a * b, (factor, 7));
    /// assert_eq!(job.result().unwrap(), 42);
    /// # });
    /// ```
    ///
    /// A closure that captures is refused by the compiler: "closures can only be coerced to `fn`
    /// types if they do not capture any variables".
    ///
    /// ```compile_fail,E0308
    /// # use sedge::pool::ProcessPool;
    /// # let pool = ProcessPool::new(1).unwrap();
    /// let factor = 6;
    /// let job = pool.submit(|n: u32| factor * n, 7);
    /// ```
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run); after [`close`](ProcessPool::close); if `f` is in a dynamic
    /// library.
    #[track_caller]
    pub fn submit<A, R>(&self, f: fn(A) -> R, argument: A) -> Future<R>
    where
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned + 'static,
    {
        let batch = Batch::of(&argument, self.limit());
        self.route(f).submit_one(batch, false)
    }

    /// As [`submit`](ProcessPool::submit) if there is a place in the queue; else gives the argument
    /// back.
    ///
    /// # Errors
    ///
    /// If the queue is full.
    ///
    /// # Panics
    ///
    /// As [`submit`](ProcessPool::submit).
    #[track_caller]
    pub fn try_submit<A, R>(&self, f: fn(A) -> R, argument: A) -> Result<Future<R>, A>
    where
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned + 'static,
    {
        self.hub.refuse_closed();
        let batch = Batch::of(&argument, self.limit());
        // After that, which may have waited.
        if !self.hub.try_enter() {
            return Err(argument);
        }
        Ok(self.route(f).submit_one(batch, true))
    }

    /// Calls `f` with `argument` in a worker and waits for its value. A panic of `f` comes out
    /// here. If the caller unwinds while it waits, the task is cancelled. Python's `apply`.
    ///
    /// # Panics
    ///
    /// With the text of `f`'s panic; if the task was cancelled, or failed with a
    /// [`TaskError`](super::TaskError); and as [`submit`](ProcessPool::submit).
    #[track_caller]
    pub fn apply<A, R>(&self, f: fn(A) -> R, argument: A) -> R
    where
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned + 'static,
    {
        self.submit(f, argument).into_value()
    }

    /// As [`submit`](ProcessPool::submit), and calls `on_value` or `on_error` with what comes out,
    /// here, as [`Future::add_done_callback`] does. Python's `apply_async`.
    ///
    /// ```
    /// # use sedge::pool::{ProcessPool, process};
    /// # process::init();
    /// # sedge::run(|| {
    /// let pool = ProcessPool::new(1).unwrap();
    /// let print = |value: &usize| println!("{value}");
    /// pool.apply_async(|text: String| text.len(), "green".into(), print, |e| eprintln!("{e}"))
    ///     .wait();
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// As [`submit`](ProcessPool::submit).
    #[track_caller]
    pub fn apply_async<A, R>(
        &self,
        f: fn(A) -> R,
        argument: A,
        on_value: impl FnOnce(&R) + 'static,
        on_error: impl FnOnce(&JobError) + 'static,
    ) -> Future<R>
    where
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned + 'static,
    {
        let job = self.submit(f, argument);
        job.add_done_callback(|result| match result {
            Ok(value) => on_value(value),
            Err(error) => on_error(error),
        });
        job
    }

    /// Calls `f` with each item, in workers, and returns the values in the order of the items.
    /// Items are pulled as they can be sent, and go in batches that make about a millisecond of
    /// work. Python's `map`.
    ///
    /// The first task that has no value ends it, and the others are cancelled; likewise if the
    /// caller unwinds meanwhile, or `items` panics. [`try_map`](ProcessPool::try_map) goes on.
    ///
    /// ```
    /// # use sedge::pool::{ProcessPool, process};
    /// # process::init();
    /// # sedge::run(|| {
    /// let pool = ProcessPool::new(2).unwrap();
    /// let lengths = pool.map(|text: String| text.len(), ["one", "three"].map(String::from));
    /// assert_eq!(lengths, [3, 5]);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// With the panic of `f` or `items`; if a task failed with a [`TaskError`](super::TaskError);
    /// and as [`submit`](ProcessPool::submit).
    #[track_caller]
    pub fn map<A, R, I>(&self, f: fn(A) -> R, items: I) -> Vec<R>
    where
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned + 'static,
        I: IntoIterator<Item = A>,
    {
        self.map_by(self.route(f), items)
    }

    /// As [`map`](ProcessPool::map), and each item has a result of its own. Each goes alone: one
    /// that ends its worker takes none along.
    ///
    /// This is not the `try_map` of the other pools, which ends with the first `Err` that the
    /// function returns: here, an `Err` of the function is a value, and processes fail in more
    /// ways.
    ///
    /// ```
    /// # use sedge::pool::{ProcessPool, process};
    /// # process::init();
    /// # sedge::run(|| {
    /// let pool = ProcessPool::new(2).unwrap();
    /// let results = pool.try_map(|n: u32| 12_u32.checked_div(n).expect("not zero"), [3, 0, 4]);
    /// assert_eq!(*results[0].as_ref().unwrap(), 4);
    /// assert_eq!(results[1].as_ref().unwrap_err().message(), Some("not zero"));
    /// assert_eq!(*results[2].as_ref().unwrap(), 3);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// With a panic of `items`, and as [`submit`](ProcessPool::submit).
    #[track_caller]
    pub fn try_map<A, R, I>(&self, f: fn(A) -> R, items: I) -> Vec<Result<R, JobError>>
    where
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned + 'static,
        I: IntoIterator<Item = A>,
    {
        let (route, limit) = (self.route(f), self.limit());
        let submit = |item| route.submit::<R>(Batch::of(&item, limit), None);
        let results = imap::map(items, self.ahead(), submit, Ok::<Results<R>, Infallible>);
        let results = results.unwrap_or_else(|never| match never {});
        results.into_iter().flatten().collect()
    }

    /// As [`map`](ProcessPool::map), for an `f` that takes the parts of each tuple. Python's
    /// `starmap`. A function of that many arguments is given as `|a, b| f(a, b)`.
    ///
    /// ```
    /// # use sedge::pool::{ProcessPool, process};
    /// # process::init();
    /// # sedge::run(|| {
    /// let pool = ProcessPool::new(2).unwrap();
    /// assert_eq!(pool.starmap(|n: u32, p| n.pow(p), [(2, 5), (3, 2)]), [32, 9]);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// As [`map`](ProcessPool::map).
    #[track_caller]
    pub fn starmap<A, R, I>(&self, f: A::Function, items: I) -> Vec<R>
    where
        A: Parts<R> + Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned + 'static,
        I: IntoIterator<Item = A>,
    {
        self.map_by(self.route_of(Code::of_parts::<A, R>(f)), items)
    }

    /// The values of `f` for each item, in the order of the items; see [`Imap`](crate::pool::Imap)
    /// for what such iterators do. The input may have no end: no more is pulled from it than what
    /// keeps the workers busy. Python's `imap`.
    ///
    /// ```
    /// # use sedge::pool::{ProcessPool, process};
    /// # process::init();
    /// # sedge::run(|| {
    /// let pool = ProcessPool::new(2).unwrap(); // which the iterator must not outlive
    /// let squares = pool.imap(|n: u64| n * n, 1..); // no end of them
    /// assert_eq!(squares.take(3).collect::<Vec<_>>(), [1, 4, 9]);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// As [`submit`](ProcessPool::submit), when it is asked for the first.
    #[track_caller]
    pub fn imap<A, R, I>(&self, f: fn(A) -> R, items: I) -> ProcessImap<I::IntoIter, R>
    where
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned + 'static,
        I: IntoIterator<Item = A, IntoIter: 'static>,
    {
        let items = items.into_iter();
        ProcessImap::new(self.route(f), true, self.ahead(), self.limit(), items)
    }

    /// As [`imap`](ProcessPool::imap), in the order in which the batches end. Python's
    /// `imap_unordered`.
    ///
    /// # Panics
    ///
    /// As [`imap`](ProcessPool::imap).
    #[track_caller]
    pub fn imap_unordered<A, R, I>(&self, f: fn(A) -> R, items: I) -> ProcessImap<I::IntoIter, R>
    where
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned + 'static,
        I: IntoIterator<Item = A, IntoIter: 'static>,
    {
        let items = items.into_iter();
        ProcessImap::new(self.route(f), false, self.ahead(), self.limit(), items)
    }

    #[track_caller]
    fn map_by<R, I>(&self, route: Route, items: I) -> Vec<R>
    where
        R: DeserializeOwned + 'static,
        I: IntoIterator<Item: Serialize>,
    {
        let size = Size::new(Cell::new(1));
        let batches = Batches::new(items.into_iter(), Rc::clone(&size), self.limit());
        let submit = |batch| route.submit::<R>(batch, Some(&size));
        let all = |results: Results<R>| results.into_iter().collect::<Result<Vec<R>, _>>();
        match imap::map(batches, self.ahead(), submit, all) {
            Ok(values) => values.into_iter().flatten().collect(),
            Err(error) => error.resume(),
        }
    }

    #[track_caller]
    fn route<A, R>(&self, f: fn(A) -> R) -> Route
    where
        A: DeserializeOwned,
        R: Serialize,
    {
        self.route_of(Code::of(f))
    }

    #[track_caller]
    fn route_of(&self, code: Code) -> Route {
        Route {
            hub: Rc::downgrade(&self.hub),
            code,
            at: Location::caller(),
        }
    }

    fn limit(&self) -> usize {
        self.hub.settings.limit
    }

    /// How many batches are on their way at once: one that is worked on, one that waits for it.
    fn ahead(&self) -> usize {
        2 * self.size()
    }
}

impl<A, R> Executor<A, R> for ProcessPool
where
    A: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned + 'static,
{
    #[track_caller]
    fn submit(&self, f: fn(A) -> R, argument: A) -> Future<R> {
        self.submit(f, argument)
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
