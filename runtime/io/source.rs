//! The loop that every wrapped call goes through: try, park if it would block, try again.
//!
//! ```text
//!    spend budget ──> call ──> result ─────────────────────> return it
//!        (may yield)   ^         │ EAGAIN
//!                      │         v
//!                      └── register (once), park(Read | Write) until an event or the deadline
//! ```
//!
//! The call comes first and the registration last, because most calls succeed at once and many
//! connections never block. The budget is spent before the call: a yield may unwind (the green
//! thread is cancelled), and after a successful call that would lose its bytes.
//!
//! What is told apart here so that nobody else has to: `set_nonblocking` means return the EAGAIN; a
//! time limit means return it when the deadline has passed and one last try has failed; a green
//! thread that is unwinding must not park, so it gets an error.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::limit::{Alarm, Limit, Waker};
use crate::reactor::{Direction, SourceKey};
use crate::scheduler::{self, Scheduler, ThreadId};
use crate::stats::Reason;
use crate::thread::{self, Unwinding};

/// A descriptor that green threads can wait for: one that sedge has no type for, as of a C library,
/// a `timerfd` or an inotify instance.
///
/// It registers the descriptor with the scheduler when somebody waits for it for the first time,
/// and takes it back when it is dropped. It changes no flag of it. Several green threads may wait
/// at once.
///
/// ```
/// use std::io::{Read, Write, pipe};
///
/// sedge::run(|| {
///     let (reader, mut writer) = pipe().unwrap();
///     let reader = sedge::io::Source::new(reader);
///     sedge::spawn(move || writer.write_all(b"x").unwrap());
///     reader.wait_readable().unwrap(); // the writer runs meanwhile
///     let mut byte = [0];
///     reader.get_ref().read(&mut byte).unwrap();
///     assert_eq!(&byte, b"x");
/// });
/// ```
///
/// It stays on its OS thread; take the descriptor out to carry it to another.
///
/// ```compile_fail
/// fn needs_send<T: Send>() {}
/// needs_send::<sedge::io::Source<std::fs::File>>();
/// ```
pub struct Source<T: AsFd> {
    // First, so that it is dropped before `io` closes the descriptor.
    registration: Registration,
    io: T,
}

/// Where in which reactor a descriptor is registered.
#[derive(Default)]
struct Registration {
    /// The scheduler's number and the key there. Of an earlier scheduler it is worth nothing, nor
    /// is then what follows.
    place: Cell<Option<(u64, SourceKey)>>,
    /// How many events had come when a read last emptied the socket.
    drained_after: Cell<Option<u64>>,
    alarm: Alarm,
    /// Neither `Send` nor `Sync`: on another OS thread it could not take itself back.
    stays: PhantomData<*mut ()>,
}

/// How long a call may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// Not at all: `set_nonblocking(true)`.
    None,
    /// Until it can be done, or for this long.
    UpTo(Option<Duration>),
}

/// Asks `poll` for what is, not for what will be.
const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

impl<T: AsFd> Source<T> {
    /// Wraps a descriptor.
    pub fn new(io: T) -> Source<T> {
        Source {
            registration: Registration::default(),
            io,
        }
    }

    /// The descriptor.
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// Takes the descriptor back.
    pub fn into_inner(self) -> T {
        let Source { registration, io } = self;
        drop(registration);
        io
    }

    /// Waits until a read would not block: there is something to read, or the end, or an error. A
    /// regular file is always ready, and reading it may block the OS thread all the same: see
    /// [`blocking`](crate::blocking()).
    ///
    /// # Errors
    ///
    /// If the descriptor cannot be waited for, or this green thread unwinds and must not wait.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    pub fn wait_readable(&self) -> io::Result<()> {
        self.wait_until(Direction::Read, PollFlags::IN)
    }

    /// Waits until a write would not block.
    ///
    /// # Errors
    ///
    /// As [`wait_readable`](Source::wait_readable).
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    pub fn wait_writable(&self) -> io::Result<()> {
        self.wait_until(Direction::Write, PollFlags::OUT)
    }

    /// Calls `read` until it does something else than fail with `WouldBlock`, and waits before each
    /// further try until the descriptor is readable. The descriptor must be in non-blocking mode,
    /// or `read` blocks the OS thread.
    ///
    /// # Errors
    ///
    /// Those of `read`, and those of [`wait_readable`](Source::wait_readable).
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    pub fn read_with<R>(&self, mut read: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.call(Direction::Read, Patience::UpTo(None), |io| read(io))
    }

    /// As [`read_with`](Source::read_with), for a call that waits until the descriptor is writable.
    ///
    /// # Errors
    ///
    /// Those of `write`, and those of [`wait_writable`](Source::wait_writable).
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    pub fn write_with<R>(&self, mut write: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.call(Direction::Write, Patience::UpTo(None), |io| write(io))
    }

    /// The loop.
    pub(crate) fn call<R>(
        &self,
        direction: Direction,
        patience: Patience,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        thread::spend_budget();
        let mut limit = None;
        loop {
            match op(&self.io) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let Patience::UpTo(duration) = patience else {
                        return Err(error);
                    };
                    let limit = limit.get_or_insert_with(|| Limit::new(duration));
                    if limit.has_passed() {
                        return Err(error);
                    }
                    self.wait(direction, limit, None)?;
                }
                result => return result,
            }
        }
    }

    /// Where it is registered, from now on: the scheduler's number and the key there.
    pub(crate) fn place(&self) -> io::Result<(u64, SourceKey)> {
        scheduler::with(|scheduler| {
            let key = self.registration.key(scheduler);
            let key = match key {
                Some(key) => key,
                None => self.registration.register(self.io.as_fd(), scheduler)?,
            };
            Ok((scheduler.number(), key))
        })
    }

    /// Waits for the next event of reading, whether or not it can be read from already.
    pub(crate) fn wait_event(&self) -> io::Result<()> {
        let mut limit = Limit::new(None);
        self.wait(Direction::Read, &mut limit, None).map(drop)
    }

    /// Wakes those who wait to read, as an event would.
    pub(crate) fn announce(&self) {
        scheduler::try_with(|scheduler| {
            let key = self.registration.key(scheduler);
            key.is_some_and(|key| scheduler.announce(key))
        });
    }

    /// The loop for reading from a TCP stream, where a read of less than `room` bytes has emptied
    /// the socket. Not for datagrams and peeks, where that says nothing, nor for Unix sockets,
    /// where a read also ends where descriptors were sent along.
    pub(crate) fn read_stream(
        &self,
        room: usize,
        patience: Patience,
        mut read: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let Patience::UpTo(duration) = patience else {
            return self.call(Direction::Read, patience, read);
        };
        thread::spend_budget();
        let mut limit = Limit::new(duration);
        let mut events = self.registration.drained_after.take();
        if events.is_some() {
            events = self.wait(Direction::Read, &mut limit, events)?;
        }
        loop {
            match read(&self.io) {
                Ok(count) => {
                    if 0 < count && count < room {
                        let events = events.or_else(|| self.registration.events());
                        self.registration.drained_after.set(events);
                    }
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !limit.has_passed() => {
                    events = self.wait(Direction::Read, &mut limit, None)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn wait_until(&self, direction: Direction, flags: PollFlags) -> io::Result<()> {
        thread::spend_budget();
        loop {
            let mut fds = [PollFd::new(&self.io, flags)];
            match poll(&mut fds, Some(&NOW)) {
                Ok(0) => drop(self.wait(direction, &mut Limit::new(None), None)?),
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    #[inline]
    fn wait(
        &self,
        direction: Direction,
        limit: &mut Limit,
        seen: Option<u64>,
    ) -> io::Result<Option<u64>> {
        self.registration
            .wait(self.io.as_fd(), direction, limit, seen)
    }
}

/// What a green thread gets in the place of a wait.
#[cold]
pub(crate) fn must_not_wait() -> io::Error {
    io::Error::new(
        io::ErrorKind::WouldBlock,
        "would have to wait, which a green thread must not while it unwinds",
    )
}

impl<T: AsFd> AsFd for Source<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Source<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("io", &self.io)
            .finish_non_exhaustive()
    }
}

impl Registration {
    /// The key in the current scheduler, if it is registered there.
    fn key(&self, scheduler: &scheduler::Scheduler) -> Option<SourceKey> {
        self.place
            .get()
            .filter(|(number, _)| *number == scheduler.number())
            .map(|(_, key)| key)
    }

    /// How many events have come, if any could.
    #[cold]
    fn events(&self) -> Option<u64> {
        self.place.get()?;
        scheduler::with(|scheduler| {
            let key = self.key(scheduler)?;
            scheduler.reactor().events(key)
        })
    }

    /// Parks until there is an event in that direction, or the limit has passed; not at all if
    /// another number of events has come than was `seen`. How many have come, if there was one.
    fn wait(
        &self,
        fd: BorrowedFd<'_>,
        direction: Direction,
        limit: &mut Limit,
        seen: Option<u64>,
    ) -> io::Result<Option<u64>> {
        let reason = match direction {
            Direction::Read => Reason::Read,
            Direction::Write => Reason::Write,
        };
        loop {
            let begun = scheduler::with(|s| Waiting::begin(self, fd, direction, limit, seen, s))?;
            let waiting = match begun {
                ControlFlow::Continue(waiting) => waiting,
                ControlFlow::Break(events) => return Ok(Some(events)),
            };
            thread::park_for(reason, None).map_err(|Unwinding| must_not_wait())?;
            let events = waiting.end();
            if events.is_some() || limit.has_passed() {
                return Ok(events);
            }
        }
    }

    #[cold]
    fn register(&self, fd: BorrowedFd<'_>, scheduler: &mut Scheduler) -> io::Result<SourceKey> {
        let key = scheduler.reactor().register(fd)?;
        self.place.set(Some((scheduler.number(), key)));
        self.drained_after.set(None);
        self.alarm.forget();
        Ok(key)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.place.get().is_some() {
            scheduler::try_with(|scheduler| {
                if let Some(key) = self.key(scheduler) {
                    scheduler.reactor().remove(key);
                    self.alarm.cancel(scheduler);
                }
            });
        }
    }
}

/// The running green thread among the waiters of a source, with a timer if it must not wait for
/// ever; taken back however the wait ends.
struct Waiting<'a> {
    registration: &'a Registration,
    key: SourceKey,
    direction: Direction,
    owner: ThreadId,
    waker: Waker,
}

impl<'a> Waiting<'a> {
    #[inline(always)]
    fn begin(
        registration: &'a Registration,
        fd: BorrowedFd<'_>,
        direction: Direction,
        limit: &mut Limit,
        seen: Option<u64>,
        scheduler: &mut Scheduler,
    ) -> io::Result<ControlFlow<u64, Waiting<'a>>> {
        let owner = scheduler.current();
        let key = match registration.key(scheduler) {
            Some(key) => key,
            None => registration.register(fd, scheduler)?,
        };
        let reactor = scheduler.reactor();
        if let Some(events) = reactor.add_waiter(key, direction, owner, seen) {
            return Ok(ControlFlow::Break(events));
        }
        Ok(ControlFlow::Continue(Waiting {
            registration,
            key,
            direction,
            owner,
            waker: registration.alarm.begin(scheduler, owner, limit),
        }))
    }

    /// Ends the wait: how many events have come if one of them has ended it.
    #[inline(always)]
    fn end(self) -> Option<u64> {
        let events = scheduler::with(|scheduler| self.take_back(scheduler));
        std::mem::forget(self);
        events
    }

    #[inline(always)]
    fn take_back(&self, scheduler: &mut Scheduler) -> Option<u64> {
        let Waiting {
            registration,
            key,
            direction,
            owner,
            waker,
        } = *self;
        registration.alarm.end(scheduler, waker);
        scheduler.reactor().remove_waiter(key, direction, owner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        scheduler::with(|scheduler| self.take_back(scheduler));
    }
}
