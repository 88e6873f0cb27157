//! Queues from many green threads to one, as [`std::sync::mpsc`].
//!
//! The errors are std's own. What differs: the ends are not `Send`, messages need not be, and who
//! must wait parks his green thread. A [`crate::channel`] has the same core and can do more.
//!
//! ```
//! use sedge::sync::mpsc;
//!
//! sedge::run(|| {
//!     let (sender, receiver) = mpsc::sync_channel(0);
//!     let producer = sedge::spawn(move || (0..3).try_for_each(|number| sender.send(number)));
//!     assert_eq!(receiver.iter().collect::<Vec<_>>(), [0, 1, 2]);
//!     producer.join().unwrap().unwrap();
//! });
//! ```

use std::fmt;
pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};
use std::time::Duration;

use crate::channel;

/// A channel that holds any number of messages: sending never waits. As
/// [`std::sync::mpsc::channel`].
///
/// ```
/// let (sender, receiver) = sedge::sync::mpsc::channel();
/// sender.send(1).unwrap();
/// drop(sender);
/// assert_eq!(receiver.recv(), Ok(1)); // what was sent arrives
/// assert!(receiver.recv().is_err());
/// ```
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = channel::unbounded();
    (Sender(sender), Receiver(receiver))
}

/// A channel that holds at most `bound` messages; with none, a send waits until its message is
/// taken. As [`std::sync::mpsc::sync_channel`].
///
/// ```
/// use sedge::sync::mpsc::{TrySendError, sync_channel};
///
/// let (sender, receiver) = sync_channel(1);
/// sender.send(1).unwrap();
/// assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
/// assert_eq!(receiver.recv(), Ok(1));
/// ```
#[must_use]
pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
    let (sender, receiver) = channel::bounded(bound);
    (SyncSender(sender), Receiver(receiver))
}

/// The sending end of a [`channel()`].
pub struct Sender<T>(channel::Sender<T>);

/// The sending end of a [`sync_channel`].
pub struct SyncSender<T>(channel::Sender<T>);

/// The receiving end; there is one.
pub struct Receiver<T>(channel::Receiver<T>);

impl<T> Sender<T> {
    /// Sends `message`; never waits.
    ///
    /// # Errors
    ///
    /// If the receiver is gone; the message is in the error.
    #[inline(always)]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.0.send(message).map_err(|error| SendError(error.0))
    }
}

impl<T> SyncSender<T> {
    /// Sends `message`; waits while there is no room.
    ///
    /// # Errors
    ///
    /// If the receiver is gone; the message is in the error.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[inline(always)]
    #[track_caller]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.0.send(message).map_err(|error| SendError(error.0))
    }

    /// Sends `message` if it need not wait.
    ///
    /// # Errors
    ///
    /// If there is no room, or the receiver is gone; the message is in the error.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.0.try_send(message).map_err(|error| match error {
            channel::TrySendError::Full(message) => TrySendError::Full(message),
            channel::TrySendError::Disconnected(message) => TrySendError::Disconnected(message),
        })
    }
}

impl<T> Receiver<T> {
    /// Takes the next message, and waits for it if there is none.
    ///
    /// # Errors
    ///
    /// If there is none, and no sender any more.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    #[inline(always)]
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.0.recv().map_err(|_| RecvError)
    }

    /// Takes the next message if there is one.
    ///
    /// # Errors
    ///
    /// If there is none, or no sender any more either.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.0.try_recv().map_err(|error| match error {
            channel::TryRecvError::Empty => TryRecvError::Empty,
            channel::TryRecvError::Disconnected => TryRecvError::Disconnected,
        })
    }

    /// As [`recv`](Receiver::recv), for at most `limit`.
    ///
    /// # Errors
    ///
    /// If the time has passed, or there is no message and no sender any more.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    #[track_caller]
    pub fn recv_timeout(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
        self.0.recv_timeout(limit).map_err(|error| match error {
            channel::RecvTimeoutError::Timeout => RecvTimeoutError::Timeout,
            channel::RecvTimeoutError::Disconnected => RecvTimeoutError::Disconnected,
        })
    }

    /// Messages as they come, until there is no sender any more. The iterator waits for each.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// The messages that are there now; the iterator does not wait.
    #[must_use]
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender(self.0.clone())
    }
}

impl<T> Clone for SyncSender<T> {
    fn clone(&self) -> SyncSender<T> {
        SyncSender(self.0.clone())
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SyncSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncSender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// Messages as they come; see [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// The messages that are there now; see [`Receiver::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// Messages as they come, owning the receiver.
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}
