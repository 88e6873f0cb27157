//! Items on their way in batches, for a message costs as much as thousands of small tasks.
//!
//! The first batches are of one item each; then they are as large as makes a millisecond of work,
//! judged by how long the last one took. Filling one ends early if the input is slow.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};
use std::vec;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec;
use super::error::TaskError;
use super::hub::{End, Hub};
use super::message::Order;
use super::ship::Code;
use crate::ipc::Bytes;
use crate::pool::future::{Core, Duty, Stop};
use crate::pool::{Future, Imap, JobError};

/// What a batch is to take.
const WORK: Duration = Duration::from_millis(1);
/// What filling one may take.
const FILLING: Duration = Duration::from_millis(1);
/// Items between two looks at the clock.
const LOOK: usize = 16;
const MOST_ITEMS: usize = 1 << 16;
const MOST_BYTES: usize = 256 << 10;

/// Encoded items.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    count: u32,
    /// Items that could not be encoded, by their places among all.
    bad: Vec<(usize, String)>,
}

/// How many items the next batch has.
pub(super) type Size = Rc<Cell<usize>>;

/// The batches of an iterator's items.
pub(super) struct Batches<I> {
    items: I,
    size: Size,
    limit: usize,
}

/// The results of a batch's items.
pub(super) type Results<R> = Vec<Result<R, JobError>>;

/// Where tasks of one function go.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) hub: Weak<Hub>,
    pub(super) code: Code,
    pub(super) at: &'static Location<'static>,
}

impl Batch {
    fn add<A: Serialize>(&mut self, item: &A, limit: usize) {
        let start = self.bytes.len();
        match codec::encode(item, &mut self.bytes, limit) {
            Ok(()) => self.count += 1,
            Err(why) => {
                self.bytes.truncate(start);
                self.bad.push((self.len(), why));
            }
        }
    }

    fn len(&self) -> usize {
        self.count as usize + self.bad.len()
    }

    /// One item alone.
    pub(super) fn of<A: Serialize>(item: &A, limit: usize) -> Batch {
        let mut batch = Batch::default();
        batch.add(item, limit);
        batch
    }
}

impl<I> Batches<I> {
    pub(super) fn new(items: I, size: Size, limit: usize) -> Batches<I> {
        Batches { items, size, limit }
    }
}

impl<I: Iterator<Item: Serialize>> Iterator for Batches<I> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let mut batch = Batch::default();
        let size = self.size.get();
        let begun = (size > 1).then(Instant::now);
        while batch.len() < size && batch.bytes.len() < MOST_BYTES {
            let Some(item) = self.items.next() else { break };
            batch.add(&item, self.limit);
            let is_slow = || begun.is_some_and(|begun| begun.elapsed() > FILLING);
            if batch.len().is_multiple_of(LOOK) && is_slow() {
                break;
            }
        }
        (batch.len() > 0).then_some(batch)
    }
}

/// Judges the size of the next batch by what this one took.
fn adapt(size: &Size, count: usize, took: Duration) {
    let nanos = took.as_nanos().max(1);
    let fits = (count as u128 * WORK.as_nanos() / nanos) as usize;
    let most = size.get().saturating_mul(8).min(MOST_ITEMS);
    size.set(fits.clamp(1, most));
}

impl Route {
    /// Submits one item.
    #[track_caller]
    pub(super) fn submit_one<R>(&self, batch: Batch, entered: bool) -> Future<R>
    where
        R: DeserializeOwned + 'static,
    {
        self.submit_as(batch, None, entered, |mut results: Results<R>| {
            results
                .pop()
                .unwrap_or_else(|| unreachable!("one item has one result"))
        })
    }

    /// Submits a batch, which tells what size the next one is to have.
    #[track_caller]
    pub(super) fn submit<R>(&self, batch: Batch, size: Option<&Size>) -> Future<Results<R>>
    where
        R: DeserializeOwned + 'static,
    {
        self.submit_as(batch, size.cloned(), false, |results: Results<R>| {
            // They are handed on, one by one.
            results
                .iter()
                .flat_map(|result| result.as_ref().err())
                .for_each(JobError::seen);
            Ok(results)
        })
    }

    #[track_caller]
    fn submit_as<R, T>(
        &self,
        batch: Batch,
        size: Option<Size>,
        entered: bool,
        outcome: impl FnOnce(Results<R>) -> Result<T, JobError> + 'static,
    ) -> Future<T>
    where
        R: DeserializeOwned + 'static,
        T: 'static,
    {
        let at = self.at;
        let hub = self.hub.upgrade();
        let hub = hub.expect("the pool was dropped and takes no more jobs");
        hub.refuse_closed();
        let core = Core::new(at);
        let duty = Duty::new(&core);
        let Batch { bytes, count, bad } = batch;
        let finish = move |end| {
            let results = match end {
                End::Cancelled => return drop(duty),
                End::Answered {
                    answers,
                    took,
                    worker,
                } => {
                    if let Some(size) = size {
                        adapt(&size, count as usize, took);
                    }
                    codec::read_answers::<R>(&answers, count, worker)
                }
                End::Failed(error) => (0..count).map(|_| Err(error.clone())).collect(),
            };
            let of_task = |error| JobError::of_task(error, at);
            let mut results: Results<R> = results
                .into_iter()
                .map(|result| result.map_err(of_task))
                .collect();
            for (place, why) in bad {
                results.insert(place, Err(of_task(TaskError::Argument(why))));
            }
            drop(duty.settle(outcome(results)));
        };
        if count == 0 {
            // There is nothing to send.
            if entered {
                hub.leave();
            }
            finish(End::Failed(TaskError::Argument(String::new())));
            return Future::new(core);
        }
        let order = Order(self.code.to_bytes(), 0, count, Bytes(bytes));
        let finish = Box::new(finish);
        let task = match entered {
            true => hub.add(order, finish),
            false => hub.submit(order, finish),
        };
        let (hub, task) = (Rc::downgrade(&hub), Rc::downgrade(&task));
        core.stop_by(Stop::Ask(Rc::new(move || {
            if let (Some(hub), Some(task)) = (hub.upgrade(), task.upgrade()) {
                hub.cancel(&task);
            }
        })));
        Future::new(core)
    }
}

/// Results of a function over many items, from [`imap`](super::ProcessPool::imap) and
/// [`imap_unordered`](super::ProcessPool::imap_unordered) of a pool of processes.
///
/// It is as [`Imap`], but that the items go in batches. A slow input is not waited for to fill one
/// up, but the item that it is at is.
#[must_use = "it does nothing until it is asked for the next"]
pub struct ProcessImap<I: Iterator<Item: Serialize>, R: 'static> {
    batches: Imap<Batches<I>, Results<R>>,
    ready: vec::IntoIter<Result<R, JobError>>,
}

impl<I, R> ProcessImap<I, R>
where
    I: Iterator<Item: Serialize> + 'static,
    R: DeserializeOwned + 'static,
{
    pub(super) fn new(route: Route, ordered: bool, ahead: usize, limit: usize, items: I) -> Self {
        let size = Size::new(Cell::new(1));
        let batches = Batches::new(items, Rc::clone(&size), limit);
        let submit = move |_, batch| route.submit(batch, Some(&size));
        ProcessImap {
            batches: Imap::new(batches, ahead, ordered, || false, submit),
            ready: Vec::new().into_iter(),
        }
    }

    /// How many batches may have been pulled from the input whose results have not been taken:
    /// twice as many as there are workers, if nothing else is said; zero counts as one.
    pub fn ahead(mut self, batches: usize) -> Self {
        self.batches = self.batches.ahead(batches);
        self
    }
}

impl<I, R> Iterator for ProcessImap<I, R>
where
    I: Iterator<Item: Serialize> + 'static,
    R: DeserializeOwned + 'static,
{
    type Item = R;

    /// Waits for the next result.
    ///
    /// # Panics
    ///
    /// With the panic of a task or of the input; if a task was lost or cancelled; if it must wait
    /// outside [`run`](crate::run). The iterator may then be asked for the others.
    #[track_caller]
    fn next(&mut self) -> Option<R> {
        loop {
            if let Some(result) = self.ready.next() {
                return Some(result.unwrap_or_else(|error| error.resume()));
            }
            self.ready = self.batches.next()?.into_iter();
        }
    }
}

impl<I: Iterator<Item: Serialize>, R> fmt::Debug for ProcessImap<I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessImap")
            .field("batches", &self.batches)
            .finish_non_exhaustive()
    }
}
