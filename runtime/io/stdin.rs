//! Standard input.
//!
//! The process has one buffer. Whoever locks standard input takes the buffer out and puts it back,
//! so it is nobody else's meanwhile. What may be suspended has taken nothing out of the kernel, or
//! has it in the buffer: a reader that is unwound leaves all it has not returned to the next.
//!
//! A call that may block is made on the pool, and leaves what it reads in `arrived`; if its green
//! thread is unwound, the next reader finds it there.

use std::fmt;
use std::io::{self, BufRead, IoSliceMut, IsTerminal, Read};
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::stdio;

use super::attempt::{Attempt, can_wait, read_now};
use super::lock::Lock;
use super::offload::{may_wait, offload};
use super::source::Source;
use crate::thread;

/// Bytes asked for at a time.
const ROOM: usize = 8 << 10;
/// While a call whose green thread was unwound has not ended.
const PAUSE: Duration = Duration::from_millis(5);

static LOCK: Lock = Lock::new();
static BUFFER: Mutex<Buffer> = Mutex::new(Buffer::new());
/// What calls on the pool have read. Locked by such a call while it blocks.
static ARRIVED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// The standard input of the process, as [`std::io::stdin`].
///
/// All handles share one buffer, which is not std's: what std's has read ahead is not seen here.
///
/// A reader that is cancelled or whose [`timeout`](crate::timeout) passes leaves what it has not
/// returned to the next: of a line that it waited for, all. Calls that read several times, as
/// `read_exact` and `read_to_end`, have taken what the earlier times brought.
///
/// ```no_run
/// use sedge::io;
///
/// sedge::run(|| {
///     for line in io::stdin().lines() {
///         let line = line?;
///         sedge::spawn(move || sedge::println!("{}", line.to_uppercase()));
///     }
///     io::Result::Ok(())
/// })
/// .unwrap();
/// ```
#[must_use]
pub fn stdin() -> Stdin {
    Stdin(())
}

/// A handle to standard input, from [`stdin`]; as [`std::io::Stdin`].
pub struct Stdin(());

/// The right to read standard input; as [`std::io::StdinLock`]. Other readers wait until it is
/// dropped.
#[must_use = "if unused the lock is given up at once"]
pub struct StdinLock<'a> {
    buffer: Buffer,
    stays: PhantomData<(&'a (), *mut ())>,
}

impl Stdin {
    /// Waits until nobody else reads.
    ///
    /// # Panics
    ///
    /// If this green thread holds the lock already; it would wait for itself.
    #[track_caller]
    pub fn lock(&self) -> StdinLock<'static> {
        if LOCK.lock() > 1 {
            LOCK.unlock();
            panic!("this green thread has locked stdin already; drop that StdinLock first");
        }
        StdinLock {
            buffer: std::mem::take(&mut *locked(&BUFFER)),
            stays: PhantomData,
        }
    }

    /// Appends a line, with its end, and returns how many bytes that are; 0 at the end of the
    /// input.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is not UTF-8.
    pub fn read_line(&self, buf: &mut String) -> io::Result<usize> {
        self.lock().read_line(buf)
    }

    /// Locks standard input for good and returns its lines.
    pub fn lines(self) -> io::Lines<StdinLock<'static>> {
        self.lock().lines()
    }

    /// Whether it is a terminal. [`IsTerminal`] cannot be implemented outside std.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.as_fd().is_terminal()
    }
}

impl StdinLock<'_> {
    /// As [`Stdin::is_terminal`].
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.as_fd().is_terminal()
    }

    /// Bytes up to and with `end`, or all that are left. They stay in the buffer until all are
    /// there.
    fn take_until(&mut self, end: u8) -> io::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            let bytes = self.buffer.bytes();
            let found = bytes[searched..].iter().position(|&byte| byte == end);
            let take = match found {
                Some(place) => searched + place + 1,
                None => {
                    searched = bytes.len();
                    match self.buffer.fill() {
                        Ok(0) => searched,
                        Ok(_) => continue,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        Err(error) => return Err(error),
                    }
                }
            };
            let taken = self.buffer.bytes()[..take].to_vec();
            self.buffer.consume(take);
            return Ok(taken);
        }
    }
}

impl Drop for StdinLock<'_> {
    fn drop(&mut self) {
        *locked(&BUFFER) = std::mem::take(&mut self.buffer);
        LOCK.unlock();
    }
}

impl BufRead for StdinLock<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.buffer.bytes().is_empty() {
            self.buffer.fill()?;
        }
        Ok(self.buffer.bytes())
    }

    fn consume(&mut self, count: usize) {
        self.buffer.consume(count);
    }

    fn read_until(&mut self, end: u8, buf: &mut Vec<u8>) -> io::Result<usize> {
        let taken = self.take_until(end)?;
        buf.extend_from_slice(&taken);
        Ok(taken.len())
    }

    fn read_line(&mut self, buf: &mut String) -> io::Result<usize> {
        let taken = self.take_until(b'\n')?;
        let line = std::str::from_utf8(&taken).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "stream did not contain valid UTF-8",
            )
        })?;
        buf.push_str(line);
        Ok(taken.len())
    }
}

impl Read for StdinLock<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let count = self.fill_buf()?.read(buf)?;
        self.consume(count);
        Ok(count)
    }
}

impl Read for &Stdin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.lock().read(buf)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.lock().read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        self.lock().read_to_string(buf)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.lock().read_exact(buf)
    }
}

impl Read for Stdin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        (&*self).read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        (&*self).read_to_string(buf)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        (&*self).read_exact(buf)
    }
}

impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        stdio::stdin()
    }
}

impl AsFd for StdinLock<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        stdio::stdin()
    }
}

impl AsRawFd for Stdin {
    fn as_raw_fd(&self) -> RawFd {
        stdio::stdin().as_raw_fd()
    }
}

impl AsRawFd for StdinLock<'_> {
    fn as_raw_fd(&self) -> RawFd {
        stdio::stdin().as_raw_fd()
    }
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdin").finish_non_exhaustive()
    }
}

impl fmt::Debug for StdinLock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdinLock").finish_non_exhaustive()
    }
}

/// What was read and not returned yet.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    returned: usize,
}

impl Buffer {
    const fn new() -> Buffer {
        Buffer {
            bytes: Vec::new(),
            returned: 0,
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[self.returned..]
    }

    fn consume(&mut self, count: usize) {
        self.returned = (self.returned + count).min(self.bytes.len());
        if self.returned == self.bytes.len() {
            self.bytes.clear();
            self.returned = 0;
        }
    }

    /// Adds what one read brings; 0 is the end of the input.
    fn fill(&mut self) -> io::Result<usize> {
        if !may_wait() {
            let mut arrived = locked(&ARRIVED);
            return read_blocking(&mut arrived).map(|()| self.add(&mut arrived));
        }
        thread::spend_budget();
        loop {
            match ARRIVED.try_lock() {
                Ok(mut arrived) if !arrived.is_empty() => return Ok(self.add(&mut arrived)),
                Err(TryLockError::WouldBlock) => {
                    thread::sleep(PAUSE);
                    continue;
                }
                // Nobody panics with it; then it holds what was read before.
                Ok(_) | Err(TryLockError::Poisoned(_)) => {}
            }
            let attempt = self.read_now()?;
            if let Attempt::Done(count) = attempt {
                return Ok(count);
            }
            let stdin = stdio::stdin();
            let can_wait = can_wait(stdin) && Source::new(stdin).wait_readable().is_ok();
            if can_wait && matches!(attempt, Attempt::NotYet) {
                continue;
            }
            match offload(|| read_blocking(&mut locked(&ARRIVED))) {
                // Others have put the open file into non-blocking mode.
                Err(error) if can_wait && error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(self.add(&mut locked(&ARRIVED))),
            }
        }
    }

    /// Reads what can be had without blocking. At the end of a file the kernel's word is not taken
    /// for it.
    fn read_now(&mut self) -> io::Result<Attempt> {
        let before = self.bytes.len();
        self.bytes.resize(before + ROOM, 0);
        let mut room = [IoSliceMut::new(&mut self.bytes[before..])];
        let attempt = read_now(stdio::stdin(), &mut room, None);
        let count = match attempt {
            Ok(Attempt::Done(count)) => count,
            _ => 0,
        };
        self.bytes.truncate(before + count);
        match attempt {
            Ok(Attempt::Done(0)) if !can_wait(stdio::stdin()) => Ok(Attempt::Unsupported),
            Err(error) if is_closed(&error) => Ok(Attempt::Done(0)),
            attempt => attempt,
        }
    }

    fn add(&mut self, arrived: &mut Vec<u8>) -> usize {
        let count = arrived.len();
        self.bytes.append(arrived);
        count
    }
}

/// Reads unless something is there already, and blocks the OS thread meanwhile.
fn read_blocking(arrived: &mut Vec<u8>) -> io::Result<()> {
    if !arrived.is_empty() {
        return Ok(());
    }
    arrived.resize(ROOM, 0);
    let result = loop {
        match rustix::io::read(stdio::stdin(), &mut *arrived) {
            Err(Errno::INTR) => {}
            Err(Errno::BADF) => break Ok(0),
            result => break result,
        }
    };
    arrived.truncate(*result.as_ref().unwrap_or(&0));
    result.map(drop).map_err(io::Error::from)
}

/// As std's, a standard input that was closed is empty.
fn is_closed(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::BADF.raw_os_error())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
