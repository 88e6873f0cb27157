//! The door between OS threads: the only handle to a scheduler that is `Send`.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use super::ThreadId;
use super::spawn;
use crate::scheduler::{self, Door, Flag, Message, Scheduler};

/// Reaches the scheduler of one OS thread from others, and from signal handlers.
///
/// While a `Remote` or an [`Unparker`] exists, somebody outside may still wake a green thread, so a
/// scheduler whose green threads are all parked waits instead of reporting a deadlock. Neither
/// keeps [`run`](crate::run) from returning. gevent's `run_callback_threadsafe`.
///
/// ```
/// use sedge::thread::{self, Remote};
///
/// sedge::run(|| {
///     let remote = Remote::new();
///     let waiter = thread::current().id();
///     std::thread::spawn(move || remote.unpark(waiter).unwrap());
///     thread::park(); // until the other OS thread has called
/// });
/// ```
#[derive(Clone, Debug)]
pub struct Remote {
    door: Door,
}

/// The scheduler that a [`Remote`] belongs to has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended;

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sedge scheduler that this handle belongs to has ended")
    }
}

impl std::error::Error for Ended {}

impl Remote {
    /// A handle to the scheduler of this OS thread.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "it panics outside of run, as no default should"
    )]
    #[track_caller]
    pub fn new() -> Remote {
        Remote {
            door: scheduler::with(|scheduler| scheduler.door()),
        }
    }

    /// Runs `f` on a new green thread of that scheduler. It is no daemon, so `run` waits for it
    /// once it was adopted; if `run` ends before that, `f` is dropped.
    ///
    /// There is no handle to join. An OS thread without a scheduler gets a result through std's
    /// channel. A green thread must not wait in one, for `recv` stops its OS thread: leave the
    /// value in an `Arc<Mutex>` or a channel of std's and [`unpark`](Remote::unpark) it, and let it
    /// look before it parks.
    ///
    /// ```
    /// use sedge::thread::{self, Remote};
    /// use std::sync::mpsc::{TryRecvError, channel};
    ///
    /// sedge::run(|| {
    ///     let (send, receive) = channel();
    ///     let (here, waiter) = (Remote::new(), thread::current().id());
    ///     std::thread::spawn(move || {
    ///         let (answer, answered) = channel();
    ///         here.spawn(move || answer.send(6 * 7).unwrap()).unwrap(); // on a green thread
    ///         send.send(answered.recv().unwrap()).unwrap(); // this OS thread may wait
    ///         here.unpark(waiter).unwrap();
    ///     });
    ///     let answer = loop {
    ///         match receive.try_recv() {
    ///             Ok(answer) => break answer,
    ///             Err(TryRecvError::Empty) => thread::park(),
    ///             Err(TryRecvError::Disconnected) => panic!("the OS thread is gone"),
    ///         }
    ///     };
    ///     assert_eq!(answer, 42);
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// If the scheduler has ended; `f` is dropped.
    #[track_caller]
    pub fn spawn<F>(&self, f: F) -> Result<(), Ended>
    where
        F: FnOnce() + Send + 'static,
    {
        let spawned_at = Location::caller();
        // A panic has been printed with the green thread's name; there is nobody to hand it to.
        let body = Box::new(|resume| spawn::to_the_end(|| drop(spawn::live(resume, f))));
        self.send(Message::Spawn { spawned_at, body })
    }

    /// Gives a green thread the token that [`park`](super::park) waits for; nothing happens if it
    /// has ended. Takes a lock, so not for signal handlers: see [`Remote::unparker`].
    ///
    /// # Errors
    ///
    /// If the scheduler has ended.
    pub fn unpark(&self, thread: ThreadId) -> Result<(), Ended> {
        self.send(Message::Unpark(thread))
    }

    /// Something that unparks one green thread, from signal handlers too.
    #[must_use]
    pub fn unparker(&self, thread: ThreadId) -> Unparker {
        Unparker {
            flag: self.door.flag(thread),
            door: self.door.clone(),
        }
    }

    fn send(&self, message: Message) -> Result<(), Ended> {
        self.door.send(message).map_err(|_| Ended)
    }
}

/// Unparks one green thread from anywhere; made by [`Remote::unparker`].
///
/// ```
/// use sedge::thread::{self, Remote};
/// use std::sync::{Arc, OnceLock};
///
/// static WAITER: OnceLock<thread::Unparker> = OnceLock::new();
///
/// extern "C" fn on_signal(_: i32) {
///     if let Some(waiter) = WAITER.get() {
///         waiter.unpark();
///     }
/// }
///
/// sedge::run(|| {
///     let unparker = Remote::new().unparker(thread::current().id());
///     WAITER.set(unparker).unwrap();
///     on_signal(2); // a real program installs it with sigaction
///     thread::park();
/// });
/// ```
#[derive(Debug)]
pub struct Unparker {
    flag: Arc<Flag>,
    door: Door,
}

impl Unparker {
    /// Gives the green thread its token. Async-signal-safe: one atomic store and at most one
    /// `write`, and errno is left as it was. Calls that come together count as one.
    pub fn unpark(&self) {
        self.door.raise(&self.flag);
    }

    /// The green thread it unparks.
    #[must_use]
    pub fn id(&self) -> ThreadId {
        self.flag.thread
    }
}

/// Wakes one parked green thread from another OS thread, for what is built on this floor.
#[derive(Debug)]
pub(crate) struct Wake {
    door: Door,
    thread: ThreadId,
}

impl Wake {
    /// For the running green thread.
    pub(crate) fn current() -> Wake {
        scheduler::with(|scheduler| Wake {
            door: Scheduler::door(scheduler),
            thread: scheduler.current(),
        })
    }

    /// False if its scheduler, and so the green thread too, has ended.
    pub(crate) fn wake(self) -> bool {
        self.door.send(Message::Wake(self.thread)).is_ok()
    }
}
