//! Functions over many items: `map`, and the lazy iterators.
//!
//! A green thread of its own, the *feeder*, pulls the input and submits jobs, so the input may wait
//! without holding up results that are there. It needs a permit for each item, which comes back
//! when the item's result has been taken: nothing is pulled further ahead than that. In order, the
//! consumer is told of a job's number when it was submitted, else when it has ended; then it takes
//! the job out of the flight and waits for it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use super::wait::Completions;
use super::{Future, JobError};
use crate::scheduler;
use crate::sync::Semaphore;
use crate::thread::{self, Builder, JoinHandle, Payload, catch, is_interrupt};

/// Submits a job for an item; told whether it works for a job of the pool.
type Submit<A, T> = Box<dyn FnMut(bool, A) -> Future<T>>;

/// The number that says that the input has ended.
const END: usize = usize::MAX;

/// Results of a function over many items, from `imap` and `imap_unordered` of a pool.
///
/// The input is pulled by a green thread of its own, begun by the first
/// [`next`](Iterator::next), at most so many items [ahead](Imap::ahead) of what has been taken. So
/// memory stays the same over a million items, and the input may wait, for a channel or a socket.
///
/// A job's panic comes out of `next`, in its turn; the iterator may then be asked for the others.
/// A panic of the input comes out when the results before it have been taken. A
/// [`timeout`](crate::timeout) around `next` loses nothing.
///
/// Dropped half-way, it cancels what is in flight, and pulls no more.
#[must_use = "it does nothing until it is asked for the next"]
pub struct Imap<I: Iterator, T: 'static> {
    start: Option<Start<I, T>>,
    flight: Rc<Flight<T>>,
    feeder: Option<JoinHandle<()>>,
    ahead: usize,
    ordered: bool,
    /// Taken out of the flight, but not yet waited for.
    front: Option<Future<T>>,
    ended: bool,
}

/// What the feeder begins with; without one, the input is pulled in `next`.
struct Start<I: Iterator, T: 'static> {
    input: I,
    submit: Submit<I::Item, T>,
    /// Whether it is iterated by a job of the pool.
    by_job: Box<dyn Fn() -> bool>,
}

/// Jobs that have been submitted and not been taken.
struct Flight<T: 'static> {
    jobs: RefCell<HashMap<usize, Future<T>>>,
    completions: Rc<Completions>,
    /// Permits to pull an item.
    room: Semaphore,
    /// How the input has ended; none also if its green thread was cancelled.
    input: Cell<Option<Result<(), Payload>>>,
    /// Nobody will take anything any more.
    closed: Cell<bool>,
}

impl<I, T> Imap<I, T>
where
    I: Iterator + 'static,
    T: 'static,
{
    pub(super) fn new(
        input: I,
        ahead: usize,
        ordered: bool,
        by_job: impl Fn() -> bool + 'static,
        submit: impl FnMut(bool, I::Item) -> Future<T> + 'static,
    ) -> Imap<I, T> {
        Imap {
            start: Some(Start {
                input,
                submit: Box::new(submit),
                by_job: Box::new(by_job),
            }),
            flight: Flight::new(),
            feeder: None,
            ahead,
            ordered,
            front: None,
            ended: false,
        }
    }

    /// How many items may have been pulled from the input whose results have not been taken. For a
    /// pool of green threads it is the size of the pool if nothing else is said, for one of OS
    /// threads twice that; zero counts as one.
    pub fn ahead(mut self, items: usize) -> Imap<I, T> {
        self.ahead = items;
        self
    }

    fn next_result(&mut self) -> Option<Result<T, JobError>> {
        if scheduler::try_with(|_| ()).is_none() && self.feeder.is_none() {
            return self.next_in_place();
        }
        self.begin();
        if self.front.is_none() {
            self.front = self.next_job();
        }
        self.front.as_ref()?.wait();
        let result = self.front.take().map(Future::take);
        self.flight.room.release(1);
        result
    }

    /// On an OS thread of the pool: all its jobs run in place, one by one.
    fn next_in_place(&mut self) -> Option<Result<T, JobError>> {
        let start = self.start.as_mut()?;
        let item = start.input.next()?;
        Some((start.submit)(true, item).result())
    }

    fn begin(&mut self) {
        let Some(start) = self.start.take() else {
            return;
        };
        self.flight.room.release(self.ahead.max(1));
        let (flight, ordered) = (Rc::clone(&self.flight), self.ordered);
        let by_job = (start.by_job)();
        let feeder = Builder::new().name("imap".to_owned()).daemon(true);
        let feed = move || flight.feed(start.input, start.submit, by_job, ordered);
        let feeder = feeder.spawn(feed);
        self.feeder = Some(feeder.expect("failed to spawn green thread"));
    }

    /// The job whose result is next, or the end.
    fn next_job(&mut self) -> Option<Future<T>> {
        while !self.ended || !self.flight.jobs.borrow().is_empty() {
            match self.flight.completions.next(None)? {
                END => self.ended = true,
                number => return self.flight.take(number),
            }
        }
        match self.flight.input.replace(Some(Ok(()))) {
            Some(Ok(())) => None,
            Some(Err(payload)) => thread::resume(payload),
            None => panic!("the green thread that pulls an imap's input was cancelled half-way"),
        }
    }
}

impl<I, T> Iterator for Imap<I, T>
where
    I: Iterator + 'static,
    T: 'static,
{
    type Item = T;

    /// Waits for the next result.
    ///
    /// # Panics
    ///
    /// With the panic of a job or of the input; if a job was cancelled; if it must wait outside
    /// [`run`](crate::run).
    #[track_caller]
    fn next(&mut self) -> Option<T> {
        let result = self.next_result()?;
        Some(result.unwrap_or_else(|error| error.resume()))
    }
}

impl<I: Iterator, T> Drop for Imap<I, T> {
    fn drop(&mut self) {
        self.flight.closed.set(true);
        if let Some(front) = &self.front {
            front.abandon();
        }
        self.flight.abandon();
        if let Some(feeder) = self.feeder.take() {
            // It leaves when it has room. Unwound, it does not wait for its input first.
            self.flight.room.release(1);
            if cfg!(panic = "unwind") && scheduler::try_with(|_| ()).is_some() {
                feeder.cancel();
            }
        }
    }
}

impl<I: Iterator, T> fmt::Debug for Imap<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imap")
            .field("ahead", &self.ahead)
            .field("ordered", &self.ordered)
            .finish_non_exhaustive()
    }
}

impl<T: 'static> Flight<T> {
    fn new() -> Rc<Flight<T>> {
        Rc::new(Flight {
            jobs: RefCell::default(),
            completions: Completions::new(),
            room: Semaphore::new(0),
            input: Cell::new(None),
            closed: Cell::new(false),
        })
    }

    /// The life of the feeder.
    fn feed<A>(
        &self,
        mut input: impl Iterator<Item = A>,
        mut submit: Submit<A, T>,
        by_job: bool,
        ordered: bool,
    ) {
        let _end = End(self);
        for number in 0.. {
            self.room.acquire().forget();
            if self.closed.get() {
                return;
            }
            let mut next_job = || {
                let item = input.next()?;
                (!self.closed.get()).then(|| submit(by_job, item))
            };
            match catch(&mut next_job) {
                Ok(Some(job)) => self.add(number, job, ordered),
                Ok(None) => return self.input.set(Some(Ok(()))),
                Err(payload) if is_interrupt(&payload) => thread::resume(payload),
                Err(payload) => return self.input.set(Some(Err(payload))),
            }
        }
    }

    fn add(&self, number: usize, job: Future<T>, ordered: bool) {
        if self.closed.get() {
            return job.abandon();
        }
        let completions = &self.completions;
        if ordered {
            self.jobs.borrow_mut().insert(number, job);
            completions.add(number);
        } else {
            job.observe(completions, number);
            self.jobs.borrow_mut().insert(number, job);
        }
    }

    fn take(&self, number: usize) -> Option<Future<T>> {
        self.jobs.borrow_mut().remove(&number)
    }

    /// Cancels all jobs.
    fn abandon(&self) {
        let jobs = self.jobs.take();
        jobs.values().for_each(Future::abandon);
    }
}

/// Tells the consumer of the end of the input, however it comes.
struct End<'a, T: 'static>(&'a Flight<T>);

impl<T> Drop for End<'_, T> {
    fn drop(&mut self) {
        self.0.completions.add(END);
    }
}

/// Runs a job for each item, so many at once, and gives the values in the order of the items. The
/// first error that comes about ends it, and the jobs that are left are cancelled.
#[track_caller]
pub(super) fn map<A, T: 'static, R, E>(
    items: impl IntoIterator<Item = A>,
    at_once: usize,
    mut submit: impl FnMut(A) -> Future<T>,
    value: impl Fn(T) -> Result<R, E>,
) -> Result<Vec<R>, E> {
    let flight = Mapping(Flight::new());
    let mut items = items.into_iter();
    let mut values: Vec<Option<R>> = Vec::new();
    let mut open = true;
    loop {
        while open && flight.0.jobs.borrow().len() < at_once {
            let Some(item) = items.next() else {
                open = false;
                break;
            };
            let job = submit(item);
            flight.0.add(values.len(), job, false);
            values.push(None);
        }
        if flight.0.jobs.borrow().is_empty() {
            return Ok(values.into_iter().flatten().collect());
        }
        if let Some(number) = flight.0.completions.next(None) {
            let result = flight.0.take(number).map(Future::take);
            let result = result.map(|result| result.unwrap_or_else(|error| error.resume()));
            values[number] = result.map(&value).transpose()?;
        }
    }
}

/// A flight that ends with its function.
struct Mapping<T: 'static>(Rc<Flight<T>>);

impl<T> Drop for Mapping<T> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
