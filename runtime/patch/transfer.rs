//! Calls that go on until everything has been moved: a blocking `send` of a stream returns less
//! than it was given only after an error.

use std::cell::Cell;
use std::ffi::{c_int, c_void};

use libc::{iovec, size_t, ssize_t};
use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;

use super::call::{Target, is_nonblocking, time_limit};
use super::raw::{Raw, errno, set_errno};
use super::real::libc;
use super::wait::{self, Woken};

/// What a caller of libc wants to have moved, in pieces.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a>(pub(super) &'a [iovec]);

impl<'a> Parts<'a> {
    /// # Safety
    ///
    /// `count` of them are there, and stay for as long as the result is used.
    pub(super) unsafe fn new(iov: *const iovec, count: usize) -> Parts<'a> {
        if count == 0 || iov.is_null() {
            return Parts(&[]);
        }
        // SAFETY: the caller answers for it, and libc's callers give aligned memory.
        Parts(unsafe { std::slice::from_raw_parts(iov, count) })
    }

    pub(super) fn len(self) -> usize {
        let lens = self.0.iter().map(|part| part.iov_len);
        lens.fold(0, usize::saturating_add)
    }

    /// What is left after so many bytes.
    pub(super) fn after(self, mut bytes: usize) -> Vec<iovec> {
        let mut left = Vec::with_capacity(self.0.len());
        for part in self.0 {
            let skipped = bytes.min(part.iov_len);
            bytes -= skipped;
            if skipped < part.iov_len {
                left.push(self::part(part.iov_base, part.iov_len, skipped));
            }
        }
        left
    }
}

/// A piece without its first bytes.
pub(super) fn part(base: *mut c_void, len: size_t, skipped: usize) -> iovec {
    iovec {
        iov_base: base.wrapping_byte_add(skipped),
        iov_len: len - skipped,
    }
}

/// Whether a call that has moved `moved` of `len` bytes would go on if it could block: not after
/// an error, nor in non-blocking mode, nor where each call is one message.
#[inline(always)]
pub(super) fn is_short(moved: ssize_t, len: usize) -> bool {
    usize::try_from(moved).is_ok_and(|moved| 0 < moved && moved < len)
}

/// Moves the rest, and says how much it was in all. An error, the end, a time limit and an
/// interrupt end it; what was moved until then counts, and the next call meets the reason.
///
/// `attempt` moves what is behind so many bytes, as far as it goes without blocking.
#[cold]
#[inline(never)]
pub(super) fn go_on(
    target: Target,
    moved: ssize_t,
    len: usize,
    attempt: &dyn Fn(usize) -> ssize_t,
) -> ssize_t {
    let before = errno();
    if is_nonblocking(target.fd) || !is_stream(target.fd) {
        set_errno(before);
        return moved;
    }
    let limit = time_limit(target.fd, target.direction);
    let moved = Cell::new(moved.cast_unsigned());
    // Who was interrupted is told at the next call, as by the kernel.
    let _ = wait::guard(|| {
        let deadline = limit.map(wait::after);
        let mut woken = Woken::Perhaps;
        while moved.get() < len && !is_broken(target.fd) {
            let more = attempt(moved.get());
            if more > 0 {
                moved.set(moved.get() + more.cast_unsigned());
            } else if more == 0 || errno() != libc::EAGAIN || woken == Woken::Late {
                break;
            } else {
                target.symbol.count_parked();
                woken = wait::wait(target.fd, target.direction, deadline)?;
            }
        }
        Ok(())
    });
    set_errno(before);
    moved.get().cast_signed()
}

/// Whether the connection was reset. A call would take that error away, which the next one is to
/// meet: without it the end of what came before looks like the end of all.
fn is_broken(fd: c_int) -> bool {
    let mut state = libc::pollfd {
        fd,
        events: 0,
        revents: 0,
    };
    let broken = libc::POLLERR | libc::POLLHUP;
    libc!(poll(&raw mut state, 1, 0)) == 1 && state.revents & broken == broken
}

/// Whether what is moved has no bounds but the caller's: a pipe, or a socket of that type.
fn is_stream(fd: c_int) -> bool {
    socket_type(Raw(fd)).map_or(true, |kind| kind == SocketType::STREAM)
}
