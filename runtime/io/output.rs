//! The one way from the process to its standard output or error.
//!
//! ```text
//!   write ──> pending: [ due: goes out now | kept: a line without its end ]
//!                        │
//!                        └──> without blocking, else wait and retry, else on the pool
//! ```
//!
//! Bytes enter `pending` whole and leave it from the front, after the kernel has taken them, and
//! nothing that can unwind stands between. So a green thread that is unwound while it waits leaves
//! the rest of its line for the next writer: lines stay whole, and nothing comes twice.
//!
//! Three locks, taken in this order. [`Lock`], by whoever prints, across every wait. `turn`, by
//! whoever moves bytes out, for a call that may block only on the pool; a call of which the green
//! thread was unwound still has it. `pending`, for moments.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use rustix::io::Errno;

use super::attempt::{Attempt, can_wait, write_now};
use super::lock::Lock;
use super::offload::{may_wait, offload};
use super::source::Source;
use crate::thread;

/// Bytes that one call takes over.
const MOST_PER_CALL: usize = 64 << 10;
/// A line that is longer than this goes out in parts.
const LONGEST_KEPT: usize = 8 << 10;
/// While a call whose green thread was unwound has the turn.
const PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Output {
    pub(super) lock: Lock,
    fd: fn() -> BorrowedFd<'static>,
    /// A line without its end is kept.
    by_line: bool,
    turn: Mutex<()>,
    pending: Mutex<Pending>,
}

struct Pending {
    bytes: Vec<u8>,
    /// So many of them are to go out now.
    due: usize,
}

impl Pending {
    /// The kernel has taken so many.
    fn took(&mut self, count: usize) {
        self.bytes.drain(..count);
        self.due -= count;
    }
}

impl Output {
    pub(super) const fn new(fd: fn() -> BorrowedFd<'static>, by_line: bool) -> Output {
        Output {
            lock: Lock::new(),
            fd,
            by_line,
            turn: Mutex::new(()),
            pending: Mutex::new(Pending {
                bytes: Vec::new(),
                due: 0,
            }),
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'static> {
        (self.fd)()
    }

    /// Takes bytes over and moves out what is due. The caller holds `lock`.
    pub(super) fn write(&'static self, bytes: &[u8]) -> io::Result<usize> {
        if may_wait() {
            // It may unwind, so it comes before anything was taken over.
            thread::spend_budget();
        }
        let bytes = &bytes[..bytes.len().min(MOST_PER_CALL)];
        self.add(bytes);
        match self.move_out() {
            Ok(()) => Ok(bytes.len()),
            Err(error) => self.take_back(bytes.len(), error),
        }
    }

    /// After an error: what the kernel has not taken of this call's bytes was not written, and must
    /// not come later.
    fn take_back(&self, added: usize, error: io::Error) -> io::Result<usize> {
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            // A call whose green thread was unwound may be at these very bytes. They are taken
            // over, and if it fails too, the next call learns of it.
            Err(TryLockError::WouldBlock) => return Ok(added),
        };
        let mut pending = lock(&self.pending);
        let left = pending.bytes.len();
        let unwritten = left.min(added);
        pending.bytes.truncate(left - unwritten);
        pending.due = pending.due.min(left - unwritten);
        match added - unwritten {
            0 => Err(error),
            written => Ok(written),
        }
    }

    /// Moves everything out. The caller holds `lock`.
    pub(super) fn flush(&'static self) -> io::Result<()> {
        let mut pending = lock(&self.pending);
        pending.due = pending.bytes.len();
        drop(pending);
        self.move_out()
    }

    /// What can still be done at the end of the process. A call whose green thread was unwound may
    /// need a moment more; one that hangs is not waited for.
    pub(super) fn flush_at_exit(&self) {
        const PAUSES: usize = 40;
        for _ in 0..PAUSES {
            if let Ok(turn) = self.turn.try_lock() {
                let mut pending = lock(&self.pending);
                pending.due = pending.bytes.len();
                drop(pending);
                // Nobody is left to be told.
                let _ = self.move_out_blocking(&turn);
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn add(&self, bytes: &[u8]) {
        let mut pending = lock(&self.pending);
        let before = pending.bytes.len();
        pending.bytes.extend_from_slice(bytes);
        if !self.by_line || pending.bytes.len() > LONGEST_KEPT {
            pending.due = pending.bytes.len();
        } else if let Some(end) = bytes.iter().rposition(|&byte| byte == b'\n') {
            pending.due = before + end + 1;
        }
    }

    fn move_out(&'static self) -> io::Result<()> {
        if !may_wait() {
            return self.move_out_blocking(&lock(&self.turn));
        }
        loop {
            let attempt = match self.turn.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    thread::sleep(PAUSE);
                    continue;
                }
                Ok(_) | Err(TryLockError::Poisoned(_)) => self.move_out_now()?,
            };
            match attempt {
                Attempt::Done(0) => return Ok(()),
                Attempt::Done(_) => {}
                Attempt::NotYet if self.wait() => {}
                Attempt::NotYet | Attempt::Unsupported => {
                    let can_wait = self.wait();
                    match offload(|| self.move_out_blocking(&lock(&self.turn))) {
                        // Others have put the open file into non-blocking mode.
                        Err(error) if can_wait && error.kind() == io::ErrorKind::WouldBlock => {}
                        result => return result,
                    }
                }
            }
        }
    }

    /// Waits until a write would not block; says whether that can be waited for.
    fn wait(&self) -> bool {
        let fd = self.fd();
        can_wait(fd) && Source::new(fd).wait_writable().is_ok()
    }

    /// Moves out what goes without blocking; `Done(0)` if nothing is due.
    fn move_out_now(&self) -> io::Result<Attempt> {
        let mut pending = lock(&self.pending);
        let due = &pending.bytes[..pending.due];
        if due.is_empty() {
            return Ok(Attempt::Done(0));
        }
        let attempt = match write_now(self.fd(), &[IoSlice::new(due)]) {
            Err(error) if is_closed(&error) => Ok(Attempt::Done(due.len())),
            attempt => attempt,
        };
        match attempt {
            Ok(Attempt::Done(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(Attempt::Done(count)) => pending.took(count),
            _ => {}
        }
        attempt
    }

    /// Moves out all that is due, and blocks the OS thread meanwhile.
    fn move_out_blocking(&self, _turn: &MutexGuard<'_, ()>) -> io::Result<()> {
        loop {
            // A copy, so that others can add while the call blocks.
            let due = {
                let pending = lock(&self.pending);
                pending.bytes[..pending.due].to_vec()
            };
            if due.is_empty() {
                return Ok(());
            }
            match rustix::io::write(self.fd(), &due) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => lock(&self.pending).took(count),
                Err(Errno::INTR) => {}
                Err(Errno::BADF) => lock(&self.pending).took(due.len()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// As std's, a standard stream that was closed swallows everything.
fn is_closed(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::BADF.raw_os_error())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
