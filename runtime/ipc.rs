//! Between processes: channels, pipes, queues, and things to share.
//!
//! What is sent is any value that serde can encode. It goes through a socket that only those have
//! who were given an end of it: nothing has a name or an address that others could use. Who waits,
//! to send or to receive, parks its green thread and nobody else.
//!
//! ```
//! use sedge::ipc;
//!
//! sedge::run(|| {
//!     let (sender, receiver) = ipc::channel::<Vec<u64>>()?;
//!     sedge::spawn(move || sender.send(&vec![1, 2, 3])); // here, or in another process
//!     assert_eq!(receiver.recv()?, [1, 2, 3]);
//!     assert!(receiver.recv().unwrap_err().is_closed());
//!     std::io::Result::Ok(())
//! })
//! .unwrap();
//! ```
//!
//! # Ends go to other processes
//!
//! An end of a [`channel`] or a [`pipe`], a [`Queue`], an [`Event`], a [`Semaphore`] or a
//! [`Counter`] is a value that can be sent, through another end. The first one a child process has
//! as its standard input:
//!
//! ```no_run
//! use sedge::ipc::{self, Pipe, Sender};
//! use sedge::process::Command;
//!
//! # sedge::run(|| {
//! // In the parent.
//! let (here, there) = Pipe::<Sender<String>, String>::pair()?;
//! let child = Command::new("/proc/self/exe")
//!     .arg("child")
//!     .stdin(there.to_stdio()?)
//!     .spawn()?;
//! drop(there); // or the child's end would not be the last one
//!
//! // In the child.
//! let parent: Pipe<String, Sender<String>> = ipc::inherited()?;
//! let log = parent.recv()?;
//! log.send(&"the child is here".to_owned())?;
//! # std::io::Result::Ok(())
//! # });
//! ```
//!
//! The workers of a [launcher](crate::launch) need not be given anything: they ask for a thing
//! [by its name](crate::launch::Worker::queue).
//!
//! What is sent is a duplicate: the sender's own one stays. A receiver is told of the end when the
//! last sender *in any process* is gone, so drop what you do not use. A process that dies, however,
//! drops all it has.
//!
//! # What is promised
//!
//! * A message is delivered at most once. A receiver that is killed takes with it the one it had in
//!   its hands, and no other; what nobody has received is there for the next one.
//! * Messages of one sender to one receiver come in order.
//! * A message is whole. One that cannot be decoded, is larger than the receiver's limit (16 MiB at
//!   first), or came incomplete is an error for itself, and the next one is as good as ever.
//! * Nobody holds anything: there is no lock that a dead process could keep, and no feeder thread.
//! * A message waits in the socket, up to 64 KiB of it, or in sealed memory of its own. Until it is
//!   received, such memory and each end that goes along count against the sender's limit of open
//!   files; what is over that limit is an error.
//!
//! The encoding, postcard, is compact and does not describe itself: both sides must be of the same
//! build, or at least agree about the types. Bytes are quicker in a [`Bytes`] than in a `Vec<u8>`.

mod bytes;
mod channel;
mod code;
mod error;
mod inherited;
mod packets;
mod pipe;
mod queue;
mod shared;

pub use self::bytes::Bytes;
pub use self::channel::{Messages, Receiver, Sender, channel};
pub use self::error::{CodeError, RecvError, SendError};
pub use self::inherited::inherited;
pub use self::pipe::{Pipe, pipe};
pub use self::queue::Queue;
pub use self::shared::{Counter, Event, Permit, Semaphore};
