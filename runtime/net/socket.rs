//! What every wrapped socket is made of: a std socket in non-blocking mode, registered where it
//! waits, and the mode its user sees.
//!
//! The file description is always in non-blocking mode; whether a call waits is decided here. As
//! the kernel keeps that mode and the time limits with the file description, [`Mode`] is shared by
//! clones; a socket that has none keeps it beside its descriptor, where every call looks. What
//! cannot wait is passed on to the std socket as it is.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::sockopt::{Timeout, socket_timeout};
use rustix::net::{
    AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, acceptfrom_with,
    connect, socket_with,
};

use crate::io::Source;
use crate::io::source::Patience;
use crate::reactor::{Direction, SourceKey};
use crate::scheduler::{self, Nanos, Scheduler};
use crate::stats::Reason;
use crate::thread;

/// How each descriptor made here begins.
pub(crate) const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// The first pause for what the kernel gives no event for, and the longest: each is twice the one
/// before.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// The same for an `accept` that finds no descriptor or memory left.
const FIRST_BACKOFF: Duration = Duration::from_millis(10);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);
/// Broken connections that one `accept` passes over. Each error takes one from the queue; but
/// `EOPNOTSUPP` is also said for ever of a descriptor that is no listener.
const BROKEN_PER_ACCEPT: usize = 64;

/// A std socket that green threads can wait for.
pub(crate) struct Socket<T: AsFd> {
    source: Source<T>,
    mode: Mode,
    /// In the place of `mode`, once there is a clone.
    shared: OnceCell<Rc<Mode>>,
}

/// A connection and who has made it.
pub(crate) type Accepted = (OwnedFd, Option<SocketAddrAny>);

/// What the user has set. `None` is no limit.
#[derive(Clone, Default)]
struct Mode {
    nonblocking: Cell<bool>,
    read_limit: Cell<Option<Duration>>,
    write_limit: Cell<Option<Duration>>,
}

impl<T: AsFd> Socket<T> {
    /// A socket that is in non-blocking mode without the user's knowledge, and has no time limits.
    pub(crate) fn fresh(io: T) -> Socket<T> {
        Socket::with_mode(io, Mode::default())
    }

    /// A TCP connection that this listener has accepted, which inherits the time limits.
    pub(crate) fn accepted<U: AsFd>(&self, io: U) -> Socket<U> {
        let mode = Mode {
            nonblocking: Cell::new(false),
            ..self.mode().clone()
        };
        Socket::with_mode(io, mode)
    }

    fn with_mode(io: T, mode: Mode) -> Socket<T> {
        Socket {
            source: Source::new(io),
            mode,
            shared: OnceCell::new(),
        }
    }

    /// A socket that std has just made, in blocking mode and without time limits.
    pub(crate) fn from_blocking(io: T) -> io::Result<Socket<T>> {
        ioctl_fionbio(&io, true)?;
        Ok(Socket::fresh(io))
    }

    /// Somebody's socket: the mode it is found in is what its user wants.
    pub(crate) fn adopt(io: T) -> Socket<T> {
        // These fail only for what is no open socket; then the calls on it will say so.
        let nonblocking = fcntl_getfl(&io).is_ok_and(|flags| flags.contains(OFlags::NONBLOCK));
        if !nonblocking {
            let _ = ioctl_fionbio(&io, true);
        }
        let limit = |which| Cell::new(socket_timeout(&io, which).ok().flatten());
        let mode = Mode {
            nonblocking: Cell::new(nonblocking),
            read_limit: limit(Timeout::Recv),
            write_limit: limit(Timeout::Send),
        };
        Socket::with_mode(io, mode)
    }

    /// The std socket, in the mode its user knows.
    pub(crate) fn surrender(self) -> T {
        if !self.is_nonblocking() {
            let _ = ioctl_fionbio(&self.source, false);
        }
        self.source.into_inner()
    }

    /// Where it is registered; see [`Source::place`].
    pub(crate) fn place(&self) -> io::Result<(u64, SourceKey)> {
        self.source.place()
    }

    /// The std socket, for calls that cannot wait.
    pub(crate) fn get_ref(&self) -> &T {
        self.source.get_ref()
    }

    /// Another descriptor of the same socket, with the same mode for ever.
    pub(crate) fn try_clone(
        &self,
        clone: impl FnOnce(&T) -> io::Result<T>,
    ) -> io::Result<Socket<T>> {
        let source = Source::new(clone(self.get_ref())?);
        let shared = self.shared.get_or_init(|| Rc::new(self.mode.clone()));
        Ok(Socket {
            source,
            mode: Mode::default(),
            shared: OnceCell::from(Rc::clone(shared)),
        })
    }

    #[inline]
    fn mode(&self) -> &Mode {
        self.shared.get().map_or(&self.mode, |shared| shared)
    }

    /// Whether the user wants calls to fail that would wait.
    pub(crate) fn is_nonblocking(&self) -> bool {
        self.mode().nonblocking.get()
    }

    pub(crate) fn set_nonblocking(&self, nonblocking: bool) {
        self.mode().nonblocking.set(nonblocking);
    }

    pub(crate) fn set_read_limit(&self, limit: Option<Duration>) {
        self.mode().read_limit.set(limit);
    }

    pub(crate) fn set_write_limit(&self, limit: Option<Duration>) {
        self.mode().write_limit.set(limit);
    }

    fn patience(&self, direction: Direction) -> Patience {
        if self.is_nonblocking() {
            return Patience::None;
        }
        Patience::UpTo(match direction {
            Direction::Read => self.mode().read_limit.get(),
            Direction::Write => self.mode().write_limit.get(),
        })
    }

    /// Calls `op`, which must take a message or none, and waits until there is one.
    pub(crate) fn receive<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.source
            .call(Direction::Read, self.patience(Direction::Read), op)
    }

    /// Calls `op`, which reads from a TCP stream into `room` bytes, and waits until there are some.
    pub(crate) fn read_stream(
        &self,
        room: usize,
        op: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.source
            .read_stream(room, self.patience(Direction::Read), op)
    }

    /// Calls `op` and waits until there is room for what it sends.
    pub(crate) fn send<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.source
            .call(Direction::Write, self.patience(Direction::Write), op)
    }

    /// As [`Socket::send`], where the kernel gives no event when there is room.
    pub(crate) fn send_with_pauses<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.try_with_pauses(self.patience(Direction::Write), op)
    }

    /// Takes a connection by `accept`, which is [`accept_sound`] or stands on it. While the process
    /// or the system is out of descriptors or memory it waits, longer each time: an error would end
    /// most servers, and the queued connection makes the listener look ready, so that a retry would
    /// spin.
    pub(crate) fn accept(
        &self,
        mut accept: impl FnMut(&T) -> io::Result<Accepted>,
    ) -> io::Result<Accepted> {
        let mut pause = FIRST_BACKOFF;
        loop {
            let error = match self.receive(&mut accept) {
                Err(error) if is_exhaustion(&error) => error,
                result => return result,
            };
            if self.is_nonblocking() || !sleep(Reason::Sleep, after(pause)) {
                return Err(error);
            }
            scheduler::with(Scheduler::count_accept_backoff);
            pause = (pause * 2).min(LONGEST_BACKOFF);
        }
    }

    /// Connects a stream socket over the network. With a `limit`, it fails with `TimedOut` after
    /// that.
    pub(crate) fn connect(
        &self,
        address: &std::net::SocketAddr,
        limit: Option<Duration>,
    ) -> io::Result<()> {
        // A second call says how the first one stands, and how it ended.
        let patience = Patience::UpTo(limit);
        let result = self.source.call(Direction::Write, patience, |io| {
            match connect(io, address) {
                Err(Errno::INPROGRESS | Errno::ALREADY | Errno::INTR) if limit_is_zero(limit) => {
                    let message = "cannot set a 0 duration timeout";
                    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
                }
                Err(Errno::INPROGRESS | Errno::ALREADY | Errno::INTR) => Err(Errno::AGAIN.into()),
                Err(Errno::ISCONN) => Ok(()),
                result => result.map_err(io::Error::from),
            }
        });
        match result {
            // Not that of a green thread which must not wait: it has the kind, but not the code.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::AGAIN) => Err(
                io::Error::new(io::ErrorKind::TimedOut, "connection timed out"),
            ),
            result => result,
        }
    }

    /// Connects a Unix stream socket. It has no connections in progress: where the listener's queue
    /// is full it says `EAGAIN`, and gives no event when that has changed.
    pub(crate) fn connect_unix(&self, address: &SocketAddrUnix) -> io::Result<()> {
        self.try_with_pauses(Patience::UpTo(None), |io| match connect(io, address) {
            Err(Errno::INTR) => Err(Errno::AGAIN.into()),
            result => result.map_err(io::Error::from),
        })
    }

    /// Tries again after pauses and heeds no events: of a datagram that was refused the kernel
    /// takes the memory back and calls that room, so that waiting for events would be a busy wait.
    fn try_with_pauses<R>(
        &self,
        patience: Patience,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let mut try_once = || self.source.call(Direction::Write, Patience::None, &mut op);
        let Patience::UpTo(limit) = patience else {
            return try_once();
        };
        let deadline = limit.map_or(Nanos::MAX, after);
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match try_once() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => error,
                result => return result,
            };
            if has_passed(deadline) || !sleep(Reason::Write, deadline.min(after(pause))) {
                return Err(error);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl<T: AsFd> AsFd for Socket<T> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.source.as_fd()
    }
}

/// As the std socket's.
impl<T: AsFd + fmt::Debug> fmt::Debug for Socket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get_ref().fmt(f)
    }
}

/// A new stream socket.
pub(crate) fn stream<T: AsFd + From<OwnedFd>>(family: AddressFamily) -> io::Result<Socket<T>> {
    let fd = socket_with(family, SocketType::STREAM, FLAGS, None)?;
    Ok(Socket::fresh(T::from(fd)))
}

/// Accepts the first connection that is not broken; accept(2) lists the errors of those that are.
pub(crate) fn accept_sound(listener: &impl AsFd) -> io::Result<Accepted> {
    let mut broken = 0;
    loop {
        match acceptfrom_with(listener, FLAGS) {
            Err(
                Errno::INTR
                | Errno::CONNABORTED
                | Errno::NETDOWN
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH,
            ) if broken < BROKEN_PER_ACCEPT => broken += 1,
            result => return Ok(result?),
        }
    }
}

/// Whether there were too few descriptors, or too little memory.
pub(super) fn is_exhaustion(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

fn limit_is_zero(limit: Option<Duration>) -> bool {
    limit.is_some_and(|limit| limit.is_zero())
}

fn after(duration: Duration) -> Nanos {
    scheduler::with(|scheduler| scheduler.after(duration))
}

fn has_passed(deadline: Nanos) -> bool {
    scheduler::with(|scheduler| scheduler.has_passed(deadline))
}

/// Waits until then; false if the green thread unwinds, and must not.
fn sleep(reason: Reason, until: Nanos) -> bool {
    while !has_passed(until) {
        if thread::park_for(reason, Some(until)).is_err() {
            return false;
        }
    }
    true
}
