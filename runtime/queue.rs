//! Queues that hand items from green threads to green threads, in the words of gevent's and
//! Python's `queue`.
//!
//! [`Queue`] is first in, first out; [`LifoQueue`] is last in, first out; [`PriorityQueue`] gives
//! its smallest item first. They have the same methods: [`put`](Queue::put) waits while a
//! [bounded](Queue::bounded) queue is full, [`get`](Queue::get) while it is empty. Those who wait
//! are served first come, first served, and nobody can overtake them. An item goes straight to who
//! waits for it.
//!
//! A queue also knows which tasks are done: each item that was put is one, until
//! [`task_done`](Queue::task_done) says otherwise, and [`join`](Queue::join) waits for the last.
//!
//! Share a queue by `Rc`, or by reference in a [`scope`](crate::scope). If there is one sender or
//! receiver that can go away, a channel is the better choice: it tells the other side.
//!
//! ```
//! use sedge::queue::Queue;
//! use std::rc::Rc;
//!
//! sedge::run(|| {
//!     let jobs = Rc::new(Queue::bounded(10));
//!     let workers: Vec<_> = (0..3)
//!         .map(|_| {
//!             let jobs = jobs.clone();
//!             sedge::spawn(move || {
//!                 for job in &*jobs {
//!                     println!("{job}");
//!                     jobs.task_done();
//!                 }
//!             })
//!         })
//!         .collect();
//!     for job in 0..100 {
//!         jobs.put(job).unwrap();
//!     }
//!     jobs.join(); // all have been printed
//!     jobs.shutdown(); // ends the loops of the workers
//!     sedge::wait_all(&workers);
//! });
//! ```
//!
//! ```text
//! gevent, Python                    here
//! q.put_nowait(x), q.get_nowait()   try_put, try_get
//! q.put(x, timeout=t)               put_timeout
//! q.peek(), q.peek_nowait()         peek, try_peek: with a closure that looks
//! q.qsize(), q.empty(), q.full()    len, is_empty, is_full
//! JoinableQueue                     every queue
//! Full, Empty, ShutDown             variants of the errors
//! ```
//!
//! An interrupt, a cancellation or a [`timeout`](crate::timeout), takes nothing with it: who is
//! unwound from `get` has not taken an item, and one that has been handed over already is returned,
//! so that the interrupt comes at the next wait. Who is unwound from `put` has not put the item; it
//! is dropped.
//!
//! None of this is `Send`; between OS threads, use [`channel::remote`](crate::channel::remote).
//!
//! ```compile_fail,E0277
//! let queue = sedge::queue::Queue::<u32>::new();
//! std::thread::spawn(move || queue.put(1));
//! ```

mod core;
mod error;
mod order;

use std::fmt;
use std::time::Duration;

use self::core::{Core, Patience};
pub use self::error::{GetError, PutError, TryGetError, TryPutError};
use self::order::{Fifo, Lifo, Smallest};

/// Items of a queue, in its order, until it is shut down. Each step waits as `get` does.
pub struct Iter<'a, Q>(&'a Q);

impl<Q> fmt::Debug for Iter<'_, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}

/// Three types with one set of methods, for Rust has no way to inherit them.
macro_rules! queue {
    ($(#[$doc:meta])* $Queue:ident<T $(: $Bound:ident)?>, $order:ident) => {
        $(#[$doc])*
        pub struct $Queue<T> {
            core: Core<T, $order<T>>,
        }

        impl<T $(: $Bound)?> $Queue<T> {
            /// A queue that always has room.
            #[must_use]
            pub fn new() -> $Queue<T> {
                $Queue { core: Core::new(usize::MAX) }
            }

            /// A queue with room for so many items. gevent's `maxsize`.
            ///
            /// # Panics
            ///
            /// If `maxsize` is 0, which in Python means no limit. Call `new` for that; for a
            /// rendezvous use a channel.
            #[must_use]
            pub fn bounded(maxsize: usize) -> $Queue<T> {
                $Queue { core: Core::new(maxsize) }
            }

            /// Puts an item; waits while there is no room.
            ///
            /// # Errors
            ///
            /// If the queue is shut down; the item is in the error.
            ///
            /// # Panics
            ///
            /// If it must wait outside [`run`](crate::run).
            #[track_caller]
            pub fn put(&self, item: T) -> Result<(), PutError<T>> {
                let put = self.core.put(item, Patience::ENDLESS);
                put.map_err(|error| PutError(error.into_inner()))
            }

            /// Puts an item if there is room. gevent's `put_nowait`.
            ///
            /// # Errors
            ///
            /// If there is none or the queue is shut down; the item is in the error.
            pub fn try_put(&self, item: T) -> Result<(), TryPutError<T>> {
                self.core.put(item, Patience::None)
            }

            /// As [`put`](Self::put), for at most `limit`.
            ///
            /// # Errors
            ///
            /// If there was no room within `limit` or the queue is shut down; the item is in the
            /// error.
            ///
            /// # Panics
            ///
            /// If it must wait outside [`run`](crate::run).
            #[track_caller]
            pub fn put_timeout(&self, item: T, limit: Duration) -> Result<(), TryPutError<T>> {
                self.core.put(item, Patience::For(limit))
            }

            /// Takes the next item; waits while there is none.
            ///
            /// # Errors
            ///
            /// If the queue is shut down and no item is left.
            ///
            /// # Panics
            ///
            /// If it must wait outside [`run`](crate::run).
            #[track_caller]
            pub fn get(&self) -> Result<T, GetError> {
                self.core.get(Patience::ENDLESS).map_err(|_| GetError)
            }

            /// Takes the next item if there is one. gevent's `get_nowait`.
            ///
            /// # Errors
            ///
            /// If there is none; [`Shutdown`](TryGetError::Shutdown) if none can come. It is also
            /// [`Empty`](TryGetError::Empty) while somebody else's [`peek`](Self::peek), or a
            /// comparison of items, waits for something.
            pub fn try_get(&self) -> Result<T, TryGetError> {
                self.core.get(Patience::None)
            }

            /// As [`get`](Self::get), for at most `limit`.
            ///
            /// # Errors
            ///
            /// If there was none within `limit`; [`Shutdown`](TryGetError::Shutdown) if none can
            /// come.
            ///
            /// # Panics
            ///
            /// If it must wait outside [`run`](crate::run).
            #[track_caller]
            pub fn get_timeout(&self, limit: Duration) -> Result<T, TryGetError> {
                self.core.get(Patience::For(limit))
            }

            /// Shows the next item to `look` and leaves it where it is; waits while there is none.
            /// gevent's returns the item, which in Rust would be a copy.
            ///
            /// Others cannot take items until `look` returns, nor can `look` itself; they can put.
            ///
            /// # Errors
            ///
            /// If the queue is shut down and no item is left.
            ///
            /// # Panics
            ///
            /// With `look`'s panic, and if it must wait outside [`run`](crate::run).
            #[track_caller]
            pub fn peek<R>(&self, look: impl FnOnce(&T) -> R) -> Result<R, GetError> {
                self.core.peek(look, Patience::ENDLESS).map_err(|_| GetError)
            }

            /// As [`peek`](Self::peek), if there is an item. gevent's `peek_nowait`.
            ///
            /// # Errors
            ///
            /// As [`try_get`](Self::try_get).
            ///
            /// # Panics
            ///
            /// With `look`'s panic.
            pub fn try_peek<R>(&self, look: impl FnOnce(&T) -> R) -> Result<R, TryGetError> {
                self.core.peek(look, Patience::None)
            }

            /// Items in the queue. gevent's `qsize`.
            #[must_use]
            pub fn len(&self) -> usize {
                self.core.len()
            }

            /// Whether no item is in the queue.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Whether there is no room for another item.
            #[must_use]
            pub fn is_full(&self) -> bool {
                self.core.is_full()
            }

            /// Says that the task of one item is done. Who takes an item calls it once, when he has
            /// done what it is for, if somebody [joins](Self::join).
            ///
            /// # Panics
            ///
            /// If it is called more often than items were put.
            #[track_caller]
            pub fn task_done(&self) {
                self.core.task_done();
            }

            /// Waits until the task of every item that was put is [done](Self::task_done).
            ///
            /// # Panics
            ///
            /// If it must wait outside [`run`](crate::run).
            #[track_caller]
            pub fn join(&self) {
                self.core.join();
            }

            /// Ends the queue: from now on nothing can be put, and [`get`](Self::get) gives what is
            /// left, then fails. Those who wait for room, and those who wait for an item that does
            /// not come any more, are told. Python's `shutdown()`.
            pub fn shutdown(&self) {
                self.core.shutdown();
            }

            /// Ends the queue and drops the items that are left. Their tasks count as done.
            /// Python's `shutdown(immediate=True)`.
            pub fn shutdown_now(&self) {
                self.core.shutdown_now();
            }

            /// Whether the queue was shut down.
            #[must_use]
            pub fn is_shutdown(&self) -> bool {
                self.core.is_shutdown()
            }

            /// Takes item after item until the queue is shut down. So does `for item in &queue`.
            pub fn iter(&self) -> Iter<'_, Self> {
                Iter(self)
            }
        }

        impl<T $(: $Bound)?> Default for $Queue<T> {
            fn default() -> $Queue<T> {
                $Queue::new()
            }
        }

        impl<T $(: $Bound)?> Iterator for Iter<'_, $Queue<T>> {
            type Item = T;

            #[track_caller]
            fn next(&mut self) -> Option<T> {
                self.0.get().ok()
            }
        }

        impl<'a, T $(: $Bound)?> IntoIterator for &'a $Queue<T> {
            type Item = T;
            type IntoIter = Iter<'a, $Queue<T>>;

            fn into_iter(self) -> Iter<'a, $Queue<T>> {
                self.iter()
            }
        }

        impl<T $(: $Bound)?> fmt::Debug for $Queue<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($Queue))
                    .field("len", &self.len())
                    .field("maxsize", &self.core.most())
                    .finish_non_exhaustive()
            }
        }
    };
}

queue! {
    /// First in, first out. gevent's and Python's `Queue`.
    ///
    /// ```
    /// use sedge::queue::Queue;
    ///
    /// let queue = Queue::bounded(2);
    /// queue.put("a").unwrap();
    /// queue.put("b").unwrap();
    /// assert!(queue.try_put("c").is_err());
    /// assert_eq!(queue.get(), Ok("a"));
    /// ```
    Queue<T>, Fifo
}

queue! {
    /// Last in, first out. gevent's and Python's `LifoQueue`.
    ///
    /// ```
    /// use sedge::queue::LifoQueue;
    ///
    /// let queue = LifoQueue::new();
    /// queue.put("a").unwrap();
    /// queue.put("b").unwrap();
    /// assert_eq!(queue.get(), Ok("b"));
    /// ```
    LifoQueue<T>, Lifo
}

queue! {
    /// The smallest item first; of equal ones, the one that was put first. gevent's and Python's
    /// `PriorityQueue`, where the order of equal ones is open.
    ///
    /// For the largest first, put [`std::cmp::Reverse`]. Items are compared when they are taken,
    /// so a comparison that panics comes out of `get` or `peek`; the items stay in the queue. If it
    /// waits, others who take items wait too.
    ///
    /// ```
    /// use sedge::queue::PriorityQueue;
    ///
    /// let queue = PriorityQueue::new();
    /// queue.put((2, "sweep")).unwrap();
    /// queue.put((1, "fire")).unwrap();
    /// assert_eq!(queue.get(), Ok((1, "fire")));
    /// ```
    PriorityQueue<T: Ord>, Smallest
}
