//! One way: senders and receivers, in any number of processes.

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

use super::code::{decode, decode_descriptor, encode, encode_descriptor};
use super::error::{RecvError, SendError};
use super::packets::{LIMIT, Packets, pair};

/// A channel between processes: what is sent into one end comes out of the other.
///
/// Both ends may be [sent](crate::ipc#ends-go-to-other-processes) to other processes, and be cloned
/// there and here. A message then goes to one of the receivers.
///
/// ```
/// use sedge::ipc;
///
/// sedge::run(|| {
///     let (sender, receiver) = ipc::channel()?;
///     sedge::spawn(move || {
///         for number in 0..10_u32 {
///             sender.send(&(number, "a word".to_owned())).unwrap();
///         }
///     });
///     let mut sum = 0;
///     for message in &receiver {
///         let (number, word): (u32, String) = message?;
///         assert_eq!(word, "a word");
///         sum += number;
///     }
///     assert_eq!(sum, 45); // the sender is gone
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
///
/// # Errors
///
/// If there are no descriptors left.
pub fn channel<T>() -> io::Result<(Sender<T>, Receiver<T>)> {
    let (sending, receiving) = pair()?;
    Ok((Sender::new(sending), Receiver::new(receiving)))
}

/// The end of a [`channel`] that is sent into. Clones are the same end.
///
/// It stays on its OS thread; to carry it to another, take the descriptor out.
///
/// ```compile_fail
/// fn needs_send<T: Send>() {}
/// needs_send::<sedge::ipc::Sender<u8>>();
/// ```
pub struct Sender<T> {
    packets: Rc<Packets>,
    messages: PhantomData<fn(&T)>,
}

/// The end of a [`channel`] that is received from. Clones are the same end; a message goes to one
/// of those who wait.
///
/// It stays on its OS thread; to carry it to another, take the descriptor out.
pub struct Receiver<T> {
    packets: Rc<Packets>,
    messages: PhantomData<fn() -> T>,
}

impl<T> Sender<T> {
    fn new(packets: Packets) -> Sender<T> {
        Sender {
            packets: Rc::new(packets),
            messages: PhantomData,
        }
    }
}

impl<T> Receiver<T> {
    fn new(packets: Packets) -> Receiver<T> {
        Receiver {
            packets: Rc::new(packets),
            messages: PhantomData,
        }
    }
}

impl<T: Serialize> Sender<T> {
    /// Sends a message; waits while the channel is full, which it is with some 270 small messages,
    /// or two of 64 KiB.
    ///
    /// It is sent when this has returned `Ok`, and not at all otherwise: so also if the green
    /// thread is cancelled, or out of time, while it waits. That it is sent does not mean that
    /// somebody has received it.
    ///
    /// # Errors
    ///
    /// [`SendError`]: nobody is left to receive, or it is this message's fault.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    pub fn send(&self, message: &T) -> Result<(), SendError> {
        send(&self.packets, message, true)
    }

    /// Sends a message if there is room for it, and says whether there was.
    ///
    /// # Errors
    ///
    /// As [`send`](Sender::send).
    pub fn try_send(&self, message: &T) -> Result<bool, SendError> {
        try_send(&self.packets, message)
    }
}

impl<T: DeserializeOwned> Receiver<T> {
    /// Waits for the next message.
    ///
    /// A green thread that is cancelled, or out of time, while it waits takes no message with it.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] if there is nothing left and nobody to send more. Otherwise something
    /// is wrong with one message, which is lost; the next call gets the next one.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    pub fn recv(&self) -> Result<T, RecvError> {
        recv(&self.packets)
    }

    /// The next message, if there is one.
    ///
    /// # Errors
    ///
    /// As [`recv`](Receiver::recv).
    pub fn try_recv(&self) -> Result<Option<T>, RecvError> {
        try_recv(&self.packets)
    }

    /// The messages as they come, until there is nobody to send more. One that is bad is an `Err`,
    /// and not the end.
    #[must_use]
    pub fn iter(&self) -> Messages<'_, T> {
        Messages(self)
    }
}

pub(super) fn send<T: Serialize>(
    packets: &Packets,
    message: &T,
    waits: bool,
) -> Result<(), SendError> {
    let mut encoded = encode(message, packets.limit.get())?;
    let along = std::mem::take(&mut encoded.along);
    let fds: Vec<_> = along.iter().map(|along| along.as_fd()).collect();
    packets.send(&mut encoded.framed, &fds, waits)
}

pub(super) fn try_send<T: Serialize>(packets: &Packets, message: &T) -> Result<bool, SendError> {
    match send(packets, message, false) {
        Ok(()) => Ok(true),
        Err(SendError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn recv<T: DeserializeOwned>(packets: &Packets) -> Result<T, RecvError> {
    let packet = packets.recv(true)?.expect("it has waited for one");
    decode(packet)
}

pub(super) fn try_recv<T: DeserializeOwned>(packets: &Packets) -> Result<Option<T>, RecvError> {
    packets.recv(false)?.map(decode).transpose()
}

/// The messages of a [`Receiver`], one after the other.
pub struct Messages<'a, T>(&'a Receiver<T>);

impl<T: DeserializeOwned> Iterator for Messages<'_, T> {
    type Item = Result<T, RecvError>;

    fn next(&mut self) -> Option<Result<T, RecvError>> {
        match self.0.recv() {
            Err(RecvError::Closed) => None,
            received => Some(received),
        }
    }
}

impl<T> fmt::Debug for Messages<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Messages").field(&self.0).finish()
    }
}

impl<'a, T: DeserializeOwned> IntoIterator for &'a Receiver<T> {
    type Item = Result<T, RecvError>;
    type IntoIter = Messages<'a, T>;

    fn into_iter(self) -> Messages<'a, T> {
        self.iter()
    }
}

/// What all ends have.
macro_rules! end {
    ($end:ident < $($parameter:ident),+ >) => {
        impl<$($parameter),+> $end<$($parameter),+> {
            /// Sets how many bytes a message may have, encoded; at first 16 MiB. It holds for this
            /// end, its clones, and what is sent of it from now on.
            pub fn set_limit(&self, bytes: usize) {
                self.packets.limit.set(bytes);
            }

            /// How many bytes a message may have, encoded.
            #[must_use]
            pub fn limit(&self) -> usize {
                self.packets.limit.get()
            }

            /// Takes the descriptor out; a duplicate if there are clones.
            ///
            /// # Errors
            ///
            /// If there is no descriptor left for a duplicate.
            pub fn into_fd(self) -> io::Result<OwnedFd> {
                self.packets.into_fd()
            }

            /// A duplicate as the standard input of a child process, which takes it by
            /// [`inherited`](super::inherited). Drop this end here then, or the other one will
            /// never see the end.
            ///
            /// # Errors
            ///
            /// If there is no descriptor left.
            pub fn to_stdio(&self) -> io::Result<Stdio> {
                Ok(self.as_fd().try_clone_to_owned()?.into())
            }
        }

        /// From [`into_fd`](Self::into_fd), in this process or in another. What comes from
        /// somewhere else gives errors.
        impl<$($parameter),+> From<OwnedFd> for $end<$($parameter),+> {
            fn from(fd: OwnedFd) -> Self {
                Self::new(Packets::new(fd, LIMIT))
            }
        }

        impl<$($parameter),+> Clone for $end<$($parameter),+> {
            fn clone(&self) -> Self {
                $end {
                    packets: Rc::clone(&self.packets),
                    messages: PhantomData,
                }
            }
        }

        impl<$($parameter),+> AsFd for $end<$($parameter),+> {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.packets.as_fd()
            }
        }

        /// Into a message of this module; elsewhere it is an error.
        impl<$($parameter),+> Serialize for $end<$($parameter),+> {
            fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
                let limit = self.packets.limit.get() as u64;
                encode_descriptor(Rc::clone(&self.packets) as _, limit, serializer)
            }
        }

        impl<'de, $($parameter),+> Deserialize<'de> for $end<$($parameter),+> {
            fn deserialize<Z: Deserializer<'de>>(deserializer: Z) -> Result<Self, Z::Error> {
                let (fd, limit) = decode_descriptor(deserializer)?;
                let limit = usize::try_from(limit).unwrap_or(LIMIT);
                Ok(Self::new(Packets::new(fd, limit)))
            }
        }

        // No call leaves the cells inside half changed.
        impl<$($parameter),+> UnwindSafe for $end<$($parameter),+> {}
        impl<$($parameter),+> RefUnwindSafe for $end<$($parameter),+> {}

        impl<$($parameter),+> fmt::Debug for $end<$($parameter),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($end))
                    .field("fd", &self.as_fd())
                    .finish_non_exhaustive()
            }
        }
    };
}

end!(Sender<T>);
end!(Receiver<T>);

pub(super) use end;
