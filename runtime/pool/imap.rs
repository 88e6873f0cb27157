//! Mapping a function over a stream of items, some of them at once.
//!
//! The input is pulled by whoever asks for the next result, on its own stack, so it may borrow,
//! wait and panic like any iterator. What has been pulled and not been given out is bounded.

use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use slab::Slab;

use super::executor::Abandoning;
use super::future::{Observer, Outcome};
use super::wait::Completions;
use super::{Future, JobError};
use crate::stats::Reason;
use crate::wait_queue::WaitQueue;

/// A function that a pool runs on items.
pub(super) trait Run<A, T: 'static> {
    /// Whether `run` would not wait.
    fn has_room(&self) -> bool;
    fn wait_for_room(&self);
    fn run(&self, item: A) -> Future<T>;
}

/// The input, and how it becomes jobs.
struct Feed<I: Iterator, T: 'static> {
    items: Option<I>,
    /// Pulled, and waits for room.
    item: Option<I::Item>,
    runner: Box<dyn Run<I::Item, T>>,
    look_ahead: usize,
}

impl<I: Iterator, T: 'static> Feed<I, T> {
    /// One more job, unless `flying` are enough, or there is no room for it just now. Without any
    /// in flight it waits for room.
    fn next(&mut self, flying: usize) -> Option<Future<T>> {
        if flying >= self.look_ahead || (flying > 0 && !self.runner.has_room()) {
            return None;
        }
        if self.item.is_none() {
            self.item = self.items.as_mut()?.next();
            if self.item.is_none() {
                self.items = None;
                return None;
            }
        }
        // The input may have waited, and the room may be gone.
        if flying > 0 && !self.runner.has_room() {
            return None;
        }
        self.runner.wait_for_room();
        self.item.take().map(|item| self.runner.run(item))
    }
}

/// Results in the order of the input; made by [`Pool::imap`](super::Pool::imap).
///
/// The job's panic comes out of `next`, which can be called again after that;
/// [`next_result`](Imap::next_result) gives it as an error. A [`timeout`](crate::timeout) around
/// either loses nothing. Dropping the iterator cancels what is in flight, and pulls no more.
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Imap<I: Iterator, T: 'static> {
    feed: Feed<I, T>,
    flying: Abandoning<T>,
    /// One of those in flight has ended.
    ended: Rc<WaitQueue>,
}

impl<I: Iterator, T: 'static> Imap<I, T> {
    pub(super) fn new(items: I, look_ahead: usize, runner: Box<dyn Run<I::Item, T>>) -> Imap<I, T> {
        Imap {
            feed: Feed {
                items: Some(items),
                item: None,
                runner,
                look_ahead,
            },
            flying: Abandoning(VecDeque::new()),
            ended: Rc::new(WaitQueue::new()),
        }
    }

    /// At most `items` are pulled from the input that were not given out; 0 counts as 1. Default:
    /// twice the size of the pool, so that one slow job does not keep the others from going on.
    pub fn look_ahead(mut self, items: usize) -> Imap<I, T> {
        self.feed.look_ahead = items.max(1);
        self
    }

    /// As `next`, with the panic or the cancellation of the job as an error.
    ///
    /// # Panics
    ///
    /// With the input's panic; outside [`run`](crate::run).
    #[track_caller]
    pub fn next_result(&mut self) -> Option<Result<T, JobError>> {
        loop {
            while let Some(future) = self.feed.next(self.flying.0.len()) {
                future.observe(Observer::Notify(Rc::clone(&self.ended)));
                self.flying.0.push_back(future);
            }
            if self.flying.0.front()?.done() {
                return self.flying.0.pop_front().map(Future::take);
            }
            // Not for the first alone: when another ends, there is room for one more.
            let _ = self.ended.wait(Reason::Pool, None, ());
        }
    }
}

impl<I: Iterator, T> Iterator for Imap<I, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.next_result().map(value)
    }
}

fn value<T>(outcome: Outcome<T>) -> T {
    outcome.unwrap_or_else(|error| error.resume())
}

/// Results in the order in which the jobs end; made by
/// [`Pool::imap_unordered`](super::Pool::imap_unordered). Otherwise as [`Imap`].
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct ImapUnordered<I: Iterator, T: 'static> {
    feed: Feed<I, T>,
    flying: Slab<Future<T>>,
    completions: Rc<Completions>,
}

impl<I: Iterator, T: 'static> ImapUnordered<I, T> {
    pub(super) fn new(imap: Imap<I, T>) -> ImapUnordered<I, T> {
        ImapUnordered {
            feed: imap.feed,
            flying: Slab::new(),
            completions: Completions::new(),
        }
    }

    /// As [`Imap::look_ahead`].
    pub fn look_ahead(mut self, items: usize) -> ImapUnordered<I, T> {
        self.feed.look_ahead = items.max(1);
        self
    }

    /// As [`Imap::next_result`].
    ///
    /// # Panics
    ///
    /// With the input's panic; outside [`run`](crate::run).
    #[track_caller]
    pub fn next_result(&mut self) -> Option<Result<T, JobError>> {
        while let Some(future) = self.feed.next(self.flying.len()) {
            let entry = self.flying.vacant_entry();
            future.observe(Observer::Collect(Rc::clone(&self.completions), entry.key()));
            entry.insert(future);
        }
        if self.flying.is_empty() {
            return None;
        }
        let number = self.completions.next(None)?;
        Some(self.flying.remove(number).take())
    }
}

impl<I: Iterator, T> Iterator for ImapUnordered<I, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.next_result().map(value)
    }
}

impl<I: Iterator, T> Drop for ImapUnordered<I, T> {
    fn drop(&mut self) {
        self.flying.iter().for_each(|(_, future)| future.abandon());
    }
}

impl<I: Iterator, T> fmt::Debug for Imap<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imap")
            .field("in_flight", &self.flying.0.len())
            .finish_non_exhaustive()
    }
}

impl<I: Iterator, T> fmt::Debug for ImapUnordered<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImapUnordered")
            .field("in_flight", &self.flying.len())
            .finish_non_exhaustive()
    }
}
