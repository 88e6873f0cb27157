//! Both ways: two ends that are alike.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::process::Stdio;
use std::rc::Rc;

use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde::ser::Serializer;

use super::channel::{end, recv, send, try_recv, try_send};
use super::code::{decode_descriptor, encode_descriptor};
use super::error::{RecvError, SendError};
use super::packets::{LIMIT, Packets, pair};

/// Two ends, each to send and to receive; Python's `multiprocessing.Pipe`.
///
/// Where requests are of one type and answers of another, it is [`Pipe::pair`].
///
/// ```
/// use sedge::ipc;
///
/// sedge::run(|| {
///     let (here, there) = ipc::pipe::<String>()?;
///     sedge::spawn(move || {
///         let question = there.recv().unwrap();
///         there.send(&format!("{question} Yes.")).unwrap();
///     });
///     here.send(&"Are you there?".to_owned())?;
///     assert_eq!(here.recv()?, "Are you there? Yes.");
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
///
/// # Errors
///
/// If there are no descriptors left.
pub fn pipe<T>() -> io::Result<(Pipe<T>, Pipe<T>)> {
    Pipe::pair()
}

/// An end of a [`pipe`]: sends `S`, receives `R`. Clones are the same end.
///
/// It stays on its OS thread; to carry it to another, take the descriptor out.
pub struct Pipe<S, R = S> {
    packets: Rc<Packets>,
    messages: PhantomData<fn(&S) -> R>,
}

impl<S, R> Pipe<S, R> {
    /// Two ends: what one sends, the other receives.
    ///
    /// # Errors
    ///
    /// If there are no descriptors left.
    pub fn pair() -> io::Result<(Pipe<S, R>, Pipe<R, S>)> {
        let (one, other) = pair()?;
        Ok((Pipe::new(one), Pipe::new(other)))
    }

    fn new(packets: Packets) -> Pipe<S, R> {
        Pipe {
            packets: Rc::new(packets),
            messages: PhantomData,
        }
    }
}

impl<S: Serialize, R> Pipe<S, R> {
    /// Sends a message, as [`Sender::send`](super::Sender::send).
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    pub fn send(&self, message: &S) -> Result<(), SendError> {
        send(&self.packets, message, true)
    }

    /// Sends a message if there is room for it, and says whether there was.
    ///
    /// # Errors
    ///
    /// As [`send`](Pipe::send).
    pub fn try_send(&self, message: &S) -> Result<bool, SendError> {
        try_send(&self.packets, message)
    }
}

impl<S, R: DeserializeOwned> Pipe<S, R> {
    /// Waits for the next message, as [`Receiver::recv`](super::Receiver::recv).
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    pub fn recv(&self) -> Result<R, RecvError> {
        recv(&self.packets)
    }

    /// The next message, if there is one.
    ///
    /// # Errors
    ///
    /// As [`recv`](Pipe::recv).
    pub fn try_recv(&self) -> Result<Option<R>, RecvError> {
        try_recv(&self.packets)
    }
}

end!(Pipe<S, R>);
