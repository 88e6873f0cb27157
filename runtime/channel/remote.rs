//! Channels between OS threads.
//!
//! Both ends are `Send` and `Sync` and may be used on every OS thread. On a green thread they park
//! that and nobody else, wherever the other end is: whoever sends or receives wakes the scheduler
//! on the other side. On an OS thread without a scheduler they stop that, as std's channels do.
//!
//! ```
//! use sedge::channel::remote;
//!
//! let (requests, incoming) = remote::bounded(4);
//! let (replies, results) = remote::unbounded();
//! let worker = std::thread::spawn(move || {
//!     for number in incoming {
//!         replies.send(number * 2).unwrap(); // a computation that must not stop the scheduler
//!     }
//! });
//! sedge::run(|| {
//!     let asker = sedge::spawn(move || (1..=3).try_for_each(|number| requests.send(number)));
//!     assert_eq!(results.iter().sum::<i32>(), 12);
//!     asker.join().unwrap().unwrap();
//! });
//! worker.join().unwrap();
//! ```
//!
//! A scheduler with a green thread that waits here is idle, not deadlocked, as long as the other
//! side exists; so a program that waits here for itself hangs without a report. A message that
//! nobody can receive any more comes back: a receiver that lived on a green thread is gone when
//! [`run`](crate::run) has returned.
//!
//! What differs from the channels between green threads: messages must be `Send`, a message costs a
//! lock, [`select!`](crate::channel::select) does not take these ends, and a green thread that
//! sends or receives spends from its I/O budget, so that a busy neighbour does not starve the
//! others.

mod shared;

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::time::Duration;

use self::shared::Shared;
use super::error::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
};

/// A channel between OS threads that holds any number of messages.
#[must_use]
pub fn unbounded<T: Send>() -> (Sender<T>, Receiver<T>) {
    pair(usize::MAX)
}

/// A channel between OS threads that holds at most `capacity` messages; with none, a send waits
/// until its message is taken.
#[must_use]
pub fn bounded<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    pair(capacity)
}

fn pair<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared::new(capacity));
    let sender = Sender {
        shared: Arc::clone(&shared),
    };
    (sender, Receiver { shared })
}

/// The end that messages are sent into, from every OS thread.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// The end that messages are received from, on every OS thread.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T: Send> Sender<T> {
    /// Sends `message`, and waits while the channel is full.
    ///
    /// # Errors
    ///
    /// If there is no receiver any more; the message is in the error.
    #[track_caller]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        let sent = self.shared.send(message, None);
        sent.map_err(|error| SendError(error.into_inner()))
    }

    /// Sends `message` if it need not wait.
    ///
    /// # Errors
    ///
    /// If the channel is full, or there is no receiver any more; the message is in the error.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.shared.try_send(message)
    }

    /// As [`send`](Sender::send), for at most `limit`.
    ///
    /// # Errors
    ///
    /// If the time has passed, or there is no receiver any more; the message is in the error.
    #[track_caller]
    pub fn send_timeout(&self, message: T, limit: Duration) -> Result<(), SendTimeoutError<T>> {
        self.shared.send(message, Some(limit))
    }
}

impl<T: Send> Receiver<T> {
    /// Takes the next message, and waits for it if there is none.
    ///
    /// # Errors
    ///
    /// If the channel is empty and there is no sender any more.
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.shared.recv(None).map_err(|_| RecvError)
    }

    /// Takes the next message if there is one.
    ///
    /// # Errors
    ///
    /// If there is none, or there is no sender any more either.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.shared.try_recv()
    }

    /// As [`recv`](Receiver::recv), for at most `limit`.
    ///
    /// # Errors
    ///
    /// If the time has passed, or the channel is empty and there is no sender any more.
    #[track_caller]
    pub fn recv_timeout(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
        self.shared.recv(Some(limit)).map_err(|error| match error {
            TryRecvError::Empty => RecvTimeoutError::Timeout,
            TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
        })
    }

    /// Messages as they come, until there is no sender any more. The iterator waits for each.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.lock().senders += 1;
        Sender {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.shared.lock().receivers += 1;
        Receiver {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.dismiss(|state| {
            state.senders -= 1;
            let is_last = state.senders == 0;
            let queue = is_last.then(|| std::mem::take(&mut state.to_receive));
            queue.unwrap_or_default()
        });
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut unread = VecDeque::new();
        self.shared.dismiss(|state| {
            state.receivers -= 1;
            if state.receivers > 0 {
                return VecDeque::new();
            }
            unread = std::mem::take(&mut state.buffer);
            std::mem::take(&mut state.to_send)
        });
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sender { .. }")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}

/// Messages as they come; see [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// Messages as they come, owning the receiver.
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T: Send> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T: Send> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T: Send> FusedIterator for Iter<'_, T> {}
impl<T: Send> FusedIterator for IntoIter<T> {}

impl<'a, T: Send> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T: Send> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}
