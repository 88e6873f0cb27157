//! A queue for all: both ends of a channel in one.

use std::fmt;
use std::io;

use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde::ser::Serializer;

use super::channel::{Receiver, Sender, channel};
use super::error::{RecvError, SendError};

/// A queue that any number of processes put into and get from; Python's `multiprocessing.Queue`.
/// Clones are the same queue.
///
/// It is the two ends of a [`channel`], and everything said there holds: no lock, no thread that
/// feeds it, and a process that is killed takes at most the one message with it that it has just
/// got. Somebody who has a `Queue` has both ends, so to him it has no end: where producers come and
/// go, and consumers are to stop after the last one, [`split`](Queue::split) it.
///
/// ```
/// use sedge::ipc::Queue;
///
/// sedge::run(|| {
///     let queue = Queue::new()?;
///     for number in 1..=4 {
///         let queue = queue.clone(); // or sent to another process
///         sedge::spawn(move || queue.put(&number));
///     }
///     let sum: u32 = (0..4).map(|_| queue.get().unwrap()).sum();
///     assert_eq!(sum, 10);
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub struct Queue<T> {
    sender: Sender<T>,
    receiver: Receiver<T>,
}

impl<T> Queue<T> {
    /// An empty queue.
    ///
    /// # Errors
    ///
    /// If there are no descriptors left.
    pub fn new() -> io::Result<Queue<T>> {
        channel().map(Queue::from)
    }

    /// The end for those who only put.
    #[must_use]
    pub fn sender(&self) -> Sender<T> {
        self.sender.clone()
    }

    /// The end for those who only get.
    #[must_use]
    pub fn receiver(&self) -> Receiver<T> {
        self.receiver.clone()
    }

    /// The ends. Keep one and drop the other: who gets is told of the end when all who can put are
    /// gone.
    #[must_use]
    pub fn split(self) -> (Sender<T>, Receiver<T>) {
        (self.sender, self.receiver)
    }

    /// Sets how many bytes a message may have, encoded; at first 16 MiB. It holds for this process,
    /// and for those that the queue is sent to from now on.
    pub fn set_limit(&self, bytes: usize) {
        self.sender.set_limit(bytes);
        self.receiver.set_limit(bytes);
    }
}

impl<T: Serialize> Queue<T> {
    /// Puts a message; waits while the queue is full. As [`Sender::send`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    pub fn put(&self, message: &T) -> Result<(), SendError> {
        self.sender.send(message)
    }

    /// Puts a message if there is room for it, and says whether there was.
    ///
    /// # Errors
    ///
    /// As [`put`](Queue::put).
    pub fn try_put(&self, message: &T) -> Result<bool, SendError> {
        self.sender.try_send(message)
    }
}

impl<T: DeserializeOwned> Queue<T> {
    /// Waits for the next message. As [`Receiver::recv`].
    ///
    /// # Errors
    ///
    /// As there; [`RecvError::Closed`] does not come, for this process could put.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    pub fn get(&self) -> Result<T, RecvError> {
        self.receiver.recv()
    }

    /// The next message, if there is one.
    ///
    /// # Errors
    ///
    /// As [`get`](Queue::get).
    pub fn try_get(&self) -> Result<Option<T>, RecvError> {
        self.receiver.try_recv()
    }
}

impl<T> From<(Sender<T>, Receiver<T>)> for Queue<T> {
    fn from((sender, receiver): (Sender<T>, Receiver<T>)) -> Queue<T> {
        Queue { sender, receiver }
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Queue<T> {
        Queue {
            sender: self.sender.clone(),
            receiver: self.receiver.clone(),
        }
    }
}

/// Into a message of this module; elsewhere it is an error.
impl<T> Serialize for Queue<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.sender, &self.receiver).serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Queue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Queue<T>, D::Error> {
        <(Sender<T>, Receiver<T>)>::deserialize(deserializer).map(Queue::from)
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("sender", &self.sender)
            .field("receiver", &self.receiver)
            .finish()
    }
}
