//! A flag, permits and a number that processes share.
//!
//! The first two are eventfds, so waiting for them is waiting for a descriptor; the number is a
//! word of [shared memory](crate::shared_memory), which nobody waits for.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::SeqCst;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::{Errno, read, write};
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::Serializer;

use super::code::{decode_descriptor, encode_descriptor};
use super::packets::{is_inside, would_block};
use crate::io::Source;
use crate::shared_memory::SharedMemory;

type Shared = Rc<Source<OwnedFd>>;

/// A flag that processes wait for; Python's `multiprocessing.Event`. Clones are the same flag.
///
/// ```
/// use sedge::ipc::Event;
///
/// sedge::run(|| {
///     let begin = Event::new()?;
///     let begun = begin.clone(); // or sent to another process
///     let runner = sedge::spawn(move || begun.wait());
///     begin.set()?;
///     runner.join().unwrap()
/// })
/// .unwrap();
/// ```
///
/// Setting it wakes all who wait. One who is woken looks again: if the flag was cleared meanwhile,
/// he may have missed it.
#[derive(Clone)]
pub struct Event(Shared);

impl Event {
    /// A flag that is not set.
    ///
    /// # Errors
    ///
    /// If there are no descriptors left.
    pub fn new() -> io::Result<Event> {
        Ok(Event::from(new(0, EventfdFlags::empty())?))
    }

    /// Sets the flag and wakes all who wait.
    ///
    /// # Errors
    ///
    /// If the descriptor is none of an event.
    pub fn set(&self) -> io::Result<()> {
        add(&self.0, 1)
    }

    /// Takes the flag back.
    ///
    /// # Errors
    ///
    /// If the descriptor is none of an event.
    pub fn clear(&self) -> io::Result<()> {
        match take(&self.0) {
            cleared if would_block(&cleared) => Ok(()),
            cleared => cleared,
        }
    }

    /// Whether the flag is set.
    ///
    /// # Errors
    ///
    /// If the kernel has no memory left.
    pub fn is_set(&self) -> io::Result<bool> {
        let now = Timespec::default();
        let mut polled = [PollFd::new(&self.0, PollFlags::IN)];
        Ok(poll(&mut polled, Some(&now))? > 0)
    }

    /// Waits until the flag is set.
    ///
    /// # Errors
    ///
    /// If it must wait while this green thread unwinds, or the kernel has no memory left.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    pub fn wait(&self) -> io::Result<()> {
        if !is_inside() && self.is_set()? {
            return Ok(());
        }
        self.0.wait_readable()
    }
}

/// Permits that processes take and give back; Python's `multiprocessing.Semaphore`. Clones are the
/// same semaphore.
///
/// A process that dies while it holds a permit does not give it back. Where that matters, have each
/// one hold an end of a [`pipe`](super::pipe()) instead, whose other end sees it go.
///
/// ```
/// use sedge::ipc::Semaphore;
///
/// sedge::run(|| {
///     let seats = Semaphore::new(2)?;
///     let _mine = seats.acquire()?; // given back when it is dropped
///     let _other = seats.acquire()?;
///     assert!(seats.try_acquire()?.is_none());
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
///
/// Who waits for longest is not served first: all are woken, and the quickest takes it.
#[derive(Clone)]
pub struct Semaphore(Shared);

/// A permit of a [`Semaphore`]; dropping it gives it back.
#[must_use = "if unused the permit is given back at once"]
#[derive(Debug)]
pub struct Permit<'a>(&'a Semaphore);

impl Semaphore {
    /// A semaphore with `permits` permits to begin with.
    ///
    /// # Errors
    ///
    /// If there are no descriptors left.
    pub fn new(permits: u32) -> io::Result<Semaphore> {
        Ok(Semaphore::from(new(permits, EventfdFlags::SEMAPHORE)?))
    }

    /// Waits for a permit and takes it. A wait that is cut short takes none.
    ///
    /// # Errors
    ///
    /// If it must wait while this green thread unwinds, or the kernel has no memory left.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    pub fn acquire(&self) -> io::Result<Permit<'_>> {
        if !is_inside() {
            if let Some(permit) = self.try_acquire()? {
                return Ok(permit);
            }
        }
        self.0.read_with(|_| take(&self.0))?;
        Ok(Permit(self))
    }

    /// Takes a permit if there is one.
    ///
    /// # Errors
    ///
    /// If the descriptor is none of a semaphore.
    pub fn try_acquire(&self) -> io::Result<Option<Permit<'_>>> {
        match take(&self.0) {
            taken if would_block(&taken) => Ok(None),
            taken => taken.map(|()| Some(Permit(self))),
        }
    }

    /// Adds permits: those of a process that died with them, or as somebody who produces.
    ///
    /// # Errors
    ///
    /// If the descriptor is none of a semaphore.
    pub fn release(&self, count: u32) -> io::Result<()> {
        add(&self.0, count.into())
    }
}

impl Permit<'_> {
    /// Takes the permit out of the world.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // It is an eventfd, one has been taken from it, and so there is room for one.
        let _ = self.0.release(1);
    }
}

/// A number that processes share. Clones are the same number.
///
/// ```
/// use sedge::ipc::Counter;
///
/// let done = Counter::new(0)?;
/// let other = done.clone(); // or sent to another process
/// other.add(5);
/// assert_eq!(done.add(2), 7);
/// assert_eq!(done.get(), 7);
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct Counter(Rc<Word>);

struct Word(SharedMemory<AtomicI64, AtomicI64>);

impl Counter {
    /// A number, to begin with.
    ///
    /// # Errors
    ///
    /// If there are no descriptors or memory left.
    pub fn new(value: i64) -> io::Result<Counter> {
        let counter = Counter(Rc::new(Word(SharedMemory::create("sedge-counter", 0)?)));
        counter.set(value);
        Ok(counter)
    }

    /// Adds to the number, and returns what it is then. It wraps around at its ends.
    pub fn add(&self, number: i64) -> i64 {
        self.0
            .0
            .head()
            .fetch_add(number, SeqCst)
            .wrapping_add(number)
    }

    /// The number.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.0.head().load(SeqCst)
    }

    /// Sets the number, and returns what it was.
    pub fn set(&self, value: i64) -> i64 {
        self.0.0.head().swap(value, SeqCst)
    }
}

impl TryFrom<OwnedFd> for Counter {
    type Error = io::Error;

    fn try_from(fd: OwnedFd) -> io::Result<Counter> {
        Ok(Counter(Rc::new(Word(SharedMemory::open(fd)?))))
    }
}

impl AsFd for Word {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd()
    }
}

fn new(value: u32, kind: EventfdFlags) -> io::Result<OwnedFd> {
    let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK | kind;
    Ok(eventfd(value, flags)?)
}

fn add(fd: impl AsFd, count: u64) -> io::Result<()> {
    loop {
        match write(&fd, &count.to_ne_bytes()) {
            Err(Errno::INTR) => {}
            // As much as goes in is in already.
            Err(Errno::AGAIN) => return Ok(()),
            written => return Ok(written.map(drop)?),
        }
    }
}

fn take(fd: impl AsFd) -> io::Result<()> {
    let mut count = [0; 8];
    loop {
        match read(&fd, &mut count) {
            Err(Errno::INTR) => {}
            taken => return Ok(taken.map(drop)?),
        }
    }
}

/// What all of them have. `$from` makes one of a descriptor that came along.
macro_rules! shared {
    ($shared:ident, $from:expr) => {
        impl AsFd for $shared {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        /// Into a message of this module; elsewhere it is an error.
        impl Serialize for $shared {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                encode_descriptor(Rc::clone(&self.0) as _, 0, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $shared {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$shared, D::Error> {
                let (fd, _) = decode_descriptor(deserializer)?;
                $from(fd).map_err(D::Error::custom)
            }
        }

        // No call leaves the cells inside half changed.
        impl UnwindSafe for $shared {}
        impl RefUnwindSafe for $shared {}

        impl fmt::Debug for $shared {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($shared))
                    .field("fd", &self.as_fd())
                    .finish_non_exhaustive()
            }
        }
    };
}

/// From a duplicate of the descriptor of another one.
impl From<OwnedFd> for Event {
    fn from(fd: OwnedFd) -> Event {
        Event(Rc::new(Source::new(fd)))
    }
}

/// From a duplicate of the descriptor of another one.
impl From<OwnedFd> for Semaphore {
    fn from(fd: OwnedFd) -> Semaphore {
        Semaphore(Rc::new(Source::new(fd)))
    }
}

shared!(Event, |fd| io::Result::Ok(Event::from(fd)));
shared!(Semaphore, |fd| io::Result::Ok(Semaphore::from(fd)));
shared!(Counter, Counter::try_from);
