//! Channels between green threads, in the words of
//! [crossbeam-channel](https://docs.rs/crossbeam-channel).
//!
//! Any number of green threads may send into a channel and receive from it. [`unbounded`] ones hold
//! any number of messages, [`bounded`] ones so many and then make senders wait; `bounded(0)` holds
//! none, and a sender waits until a receiver takes his message. [`select!`] waits for several
//! operations at once. [`after`], [`tick`] and [`never()`] are receivers for its sake.
//!
//! ```
//! use sedge::channel;
//!
//! sedge::run(|| {
//!     let (sender, receiver) = channel::bounded(1);
//!     let workers = (1..=3).map(|number| {
//!         let sender = sender.clone();
//!         sedge::spawn(move || sender.send(number * number).unwrap())
//!     });
//!     let _workers: Vec<_> = workers.collect();
//!     drop(sender); // the receiver's end comes with the last sender's
//!     assert_eq!(receiver.iter().sum::<i32>(), 14);
//! });
//! ```
//!
//! What differs from crossbeam's:
//!
//! * The ends are not `Send`, and messages need not be: both stay on one OS thread. [`remote`]
//!   channels lead to others.
//! * First come, first served: a message goes straight to the one that has waited for longest, a
//!   blocked sender's follows in turn, and nobody overtakes those who wait, not by `try_recv` or
//!   `try_send` either.
//! * A green thread that is cancelled, or whose time is up, when it was just handed a message
//!   returns with that; it is unwound when it waits next.
//! * While nobody has to wait, they work outside [`run`](crate::run) too.
//! * Where `try_recv` meets a `select!` that would send on a rendezvous channel, it lets that one
//!   run first, to make its message.
//!
//! ```compile_fail,E0277
//! let (sender, _receiver) = sedge::channel::unbounded::<i32>();
//! std::thread::spawn(move || sender.send(1)); // for this there is channel::remote
//! ```
//!
//! A wait for a message that cannot come is part of a deadlock that `run` reports, as long as a
//! sender is left; else it is an error at once.

mod core;
mod error;
mod future;
mod iter;
pub mod remote;
mod select;
mod select_macro;
mod timer;

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::time::{Duration, Instant};

use self::core::Core;
pub use self::error::{
    ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError,
    SendTimeoutError, TryReadyError, TryRecvError, TrySelectError, TrySendError,
};
pub use self::future::Recv;
pub use self::iter::{IntoIter, Iter, TryIter};
pub use self::select::{Select, SelectedOperation};
pub use self::timer::{after, at, never, tick};
pub use crate::{select, select_biased};

use self::timer::Timer;
use crate::scheduler::{self, Nanos};

/// A channel that holds any number of messages: sending never waits.
///
/// ```
/// let (sender, receiver) = sedge::channel::unbounded();
/// sender.send("first").unwrap();
/// sender.send("second").unwrap();
/// assert_eq!(receiver.recv(), Ok("first"));
/// assert_eq!(receiver.len(), 1);
/// ```
#[must_use]
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    pair(None)
}

/// A channel that holds at most `capacity` messages. With a capacity of zero it is a rendezvous:
/// a message passes when sender and receiver are both there.
///
/// ```
/// use sedge::channel::{self, TrySendError};
///
/// let (sender, receiver) = channel::bounded(1);
/// sender.send(1).unwrap();
/// assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
/// assert_eq!(receiver.recv(), Ok(1));
/// ```
#[must_use]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    pair(Some(capacity))
}

fn pair<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    let core = Rc::new(Core::new(capacity, None));
    let sender = Sender {
        core: Rc::clone(&core),
    };
    (sender, Receiver { core })
}

/// The end that messages are sent into. A clone is another sender of the same channel; when the
/// last is gone, receivers get what is left and then an error.
pub struct Sender<T> {
    core: Rc<Core<T>>,
}

impl<T> Sender<T> {
    /// Sends `message`, and waits while the channel is full. To a receiver that waits it is handed
    /// directly.
    ///
    /// # Errors
    ///
    /// If there is no receiver any more; the message is in the error.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[inline(always)]
    #[track_caller]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.core
            .send(message, || None)
            .map_err(|error| SendError(error.into_inner()))
    }

    /// Sends `message` if it need not wait, and would overtake nobody who does.
    ///
    /// # Errors
    ///
    /// If the channel is full, or there is no receiver any more; the message is in the error.
    #[inline]
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.core.try_send(message)
    }

    /// As [`send`](Sender::send), for at most `limit`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// sedge::run(|| {
    ///     let (sender, _receiver) = sedge::channel::bounded(0);
    ///     let error = sender.send_timeout("hello", Duration::from_millis(1)).unwrap_err();
    ///     assert!(error.is_timeout());
    ///     assert_eq!(error.into_inner(), "hello");
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// If the time has passed, or there is no receiver any more; the message is in the error.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn send_timeout(&self, message: T, limit: Duration) -> Result<(), SendTimeoutError<T>> {
        self.core.send(message, || Some(from_now(limit)))
    }

    /// As [`send`](Sender::send), until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As of [`send_timeout`](Sender::send_timeout).
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn send_deadline(&self, message: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.core.send(message, || Some(core::at(deadline)))
    }

    /// Whether no message lies in the channel; always so in a rendezvous.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.core.len() == 0
    }

    /// Whether no further message has room; always so in a rendezvous.
    #[must_use]
    pub fn is_full(&self) -> bool {
        !self.core.has_room()
    }

    /// How many messages lie in the channel.
    #[must_use]
    pub fn len(&self) -> usize {
        self.core.len()
    }

    /// How many messages it holds, if that is bounded.
    #[must_use]
    pub fn capacity(&self) -> Option<usize> {
        self.core.capacity()
    }

    /// Whether both are of one channel.
    #[must_use]
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Rc::ptr_eq(&self.core, &other.core)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.core.add_sender();
        Sender {
            core: Rc::clone(&self.core),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.core.remove_sender();
    }
}

// As crossbeam's and std's: no call leaves the channel half changed, whatever unwinds it.
impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sender { .. }")
    }
}

/// The end that messages are received from. A clone is another receiver of the same channel: each
/// message goes to one of them. When the last is gone, so are the messages, and senders get an
/// error.
pub struct Receiver<T> {
    core: Rc<Core<T>>,
}

impl<T> Receiver<T> {
    /// The receiver of a channel that `timer` sends into.
    fn of_timer(timer: Timer<T>) -> Receiver<T> {
        Receiver {
            core: Rc::new(Core::new(Some(1), Some(timer))),
        }
    }

    /// Takes the next message, and waits for it if there is none.
    ///
    /// # Errors
    ///
    /// If the channel is empty and there is no sender any more.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[inline(always)]
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.core.recv(|| None).map_err(|_| RecvError)
    }

    /// Takes the next message if there is one.
    ///
    /// # Errors
    ///
    /// If there is none, or there is no sender any more either.
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.core.try_recv()
    }

    /// As [`recv`](Receiver::recv), for at most `limit`.
    ///
    /// ```
    /// use sedge::channel::{self, RecvTimeoutError};
    /// use std::time::Duration;
    ///
    /// sedge::run(|| {
    ///     let (_sender, receiver) = channel::unbounded::<i32>();
    ///     let nothing = receiver.recv_timeout(Duration::from_millis(1));
    ///     assert_eq!(nothing, Err(RecvTimeoutError::Timeout));
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// If the time has passed, or the channel is empty and there is no sender any more.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn recv_timeout(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_until(|| from_now(limit))
    }

    /// As [`recv`](Receiver::recv), until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As of [`recv_timeout`](Receiver::recv_timeout).
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_until(|| core::at(deadline))
    }

    #[track_caller]
    fn recv_until(&self, deadline: impl FnOnce() -> Nanos) -> Result<T, RecvTimeoutError> {
        let received = self.core.recv(|| Some(deadline()));
        received.map_err(|error| match error {
            TryRecvError::Empty => RecvTimeoutError::Timeout,
            TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
        })
    }

    /// Whether no message lies in the channel; always so in a rendezvous.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether no further message has room; always so in a rendezvous.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match &self.core.timer {
            Some(timer) => timer.is_due(),
            None => !self.core.has_room(),
        }
    }

    /// How many messages lie in the channel.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.core.timer {
            Some(timer) => usize::from(timer.is_due()),
            None => self.core.len(),
        }
    }

    /// How many messages it holds, if that is bounded.
    #[must_use]
    pub fn capacity(&self) -> Option<usize> {
        self.core.capacity()
    }

    /// Whether both are of one channel.
    #[must_use]
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        Rc::ptr_eq(&self.core, &other.core)
    }

    /// Messages as they come, until there is no sender any more. The iterator waits for each.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, T> {
        Iter::new(self)
    }

    /// The messages that are there now; the iterator does not wait.
    #[must_use]
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter::new(self)
    }

    /// The next message as a future, for an executor that runs on this OS thread, on a green thread
    /// or outside [`run`](crate::run). It has a place among those who wait from its first poll on.
    ///
    /// ```
    /// use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
    ///
    /// let (sender, receiver) = sedge::channel::unbounded();
    /// let mut future = pin!(receiver.recv_async());
    /// let mut context = Context::from_waker(Waker::noop()); // an executor's
    /// assert!(future.as_mut().poll(&mut context).is_pending());
    /// sender.send(1).unwrap();
    /// assert_eq!(future.as_mut().poll(&mut context), Poll::Ready(Ok(1)));
    /// ```
    pub fn recv_async(&self) -> Recv<'_, T> {
        Recv::new(self)
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.core.add_receiver();
        Receiver {
            core: Rc::clone(&self.core),
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.core.remove_receiver();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}

#[track_caller]
fn from_now(limit: Duration) -> Nanos {
    scheduler::with(|scheduler| scheduler.after(limit))
}
