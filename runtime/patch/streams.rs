//! `read` and `write`, with their vectored brothers, which take descriptors of every kind.
//!
//! | what it is | how it is tried without blocking |
//! |---|---|
//! | socket | `recv`, `send` and their like with `MSG_DONTWAIT` |
//! | pipe, event counter, ... | `preadv2`, `pwritev2` with `RWF_NOWAIT` |
//! | the same, where the kernel does not know that flag | `poll`, and the call if it is ready |
//! | regular file, and what else has nothing to wait for | not at all: straight to libc |
//!
//! Descriptors 0, 1 and 2 go straight to libc. std reads and writes them under a lock of its own,
//! which takes all green threads of an OS thread for one; who parked in there would have the next
//! one panic, or stop the OS thread.

use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;

use libc::{iovec, off_t, size_t, ssize_t};

use super::call::{Target, call};
use super::count::Symbol;
use super::descriptors::opened;
use super::gate::{Family, active, may_park};
use super::raw::{errno, set_errno};
use super::real::libc;
use super::sockets::{plain_message, receive, transmit, transmit_message};
use super::table::{Kind, kind};
use super::transfer::{Parts, go_on, is_short, part};
use crate::reactor::Direction;

/// For the kernel: at the file's own position.
const HERE: off_t = -1;

/// How a call on a descriptor may wait; `None` if it must go straight to libc.
#[inline(always)]
fn patched(symbol: Symbol, fd: RawFd, len: usize) -> Option<Kind> {
    if !may_park(Family::READINESS) {
        return None;
    }
    let kind = if fd > libc::STDERR_FILENO && len > 0 {
        kind(fd)
    } else {
        Kind::File
    };
    let family = match kind {
        Kind::Socket => Family::SOCKETS.0,
        Kind::Stream => Family::PIPES.0,
        Kind::File => 0,
    };
    if active() & family == 0 {
        symbol.count_passed();
        return None;
    }
    Some(kind)
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn read(fd: c_int, buf: *mut c_void, len: size_t) -> ssize_t {
    match patched(Symbol::Read, fd, len) {
        Some(Kind::Socket) => match receive(Symbol::Read, fd, buf, len, 0) {
            count if is_mistaken(fd, count) => libc!(read(fd, buf, len)),
            count => count,
        },
        Some(Kind::Stream) => {
            let whole = [part(buf, len, 0)];
            read_stream(Symbol::Read, fd, Parts(&whole))
        }
        Some(Kind::File) | None => libc!(read(fd, buf, len)),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn readv(fd: c_int, iov: *const iovec, count: c_int) -> ssize_t {
    let Some(kind) = patched(Symbol::Readv, fd, count_of(count)) else {
        return libc!(readv(fd, iov, count));
    };
    // SAFETY: the caller's, which libc would read.
    let parts = unsafe { Parts::new(iov, count_of(count)) };
    if kind == Kind::Socket {
        let target = reading(Symbol::Readv, fd);
        let attempt = || {
            let mut message = message_of(iov, count);
            libc!(recvmsg(fd, &raw mut message, libc::MSG_DONTWAIT))
        };
        let read = call(target, attempt, || libc!(readv(fd, iov, count)));
        if is_mistaken(fd, read) {
            return libc!(readv(fd, iov, count));
        }
        return read;
    }
    read_stream(Symbol::Readv, fd, parts)
}

fn read_stream(symbol: Symbol, fd: RawFd, parts: Parts<'_>) -> ssize_t {
    let count = parts.0.len() as c_int;
    let real = || libc!(readv(fd, parts.0.as_ptr(), count));
    let attempt = || {
        // SAFETY: the parts are the caller's, who asked to have them filled.
        let read = unsafe { libc::preadv2(fd, parts.0.as_ptr(), count, HERE, libc::RWF_NOWAIT) };
        if read < 0 && is_unsupported(errno()) {
            return if_ready(fd, libc::POLLIN, real);
        }
        read
    };
    call(reading(symbol, fd), attempt, real)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(fd: c_int, buf: *const c_void, len: size_t) -> ssize_t {
    match patched(Symbol::Write, fd, len) {
        Some(Kind::Socket) => match transmit(Symbol::Write, fd, buf, len, 0) {
            count if is_mistaken(fd, count) => libc!(write(fd, buf, len)),
            count => count,
        },
        Some(Kind::Stream) => {
            let whole = [part(buf.cast_mut(), len, 0)];
            write_stream(Symbol::Write, fd, Parts(&whole))
        }
        Some(Kind::File) | None => libc!(write(fd, buf, len)),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn writev(fd: c_int, iov: *const iovec, count: c_int) -> ssize_t {
    let Some(kind) = patched(Symbol::Writev, fd, count_of(count)) else {
        return libc!(writev(fd, iov, count));
    };
    if kind == Kind::Socket {
        let message = message_of(iov, count);
        let written = transmit_message(Symbol::Writev, fd, &raw const message, 0);
        if is_mistaken(fd, written) {
            return libc!(writev(fd, iov, count));
        }
        return written;
    }
    // SAFETY: the caller's, which libc would read.
    write_stream(Symbol::Writev, fd, unsafe {
        Parts::new(iov, count_of(count))
    })
}

fn write_stream(symbol: Symbol, fd: RawFd, parts: Parts<'_>) -> ssize_t {
    let target = Target {
        symbol,
        fd,
        direction: Direction::Write,
    };
    let real = || libc!(writev(fd, parts.0.as_ptr(), parts.0.len() as c_int));
    let written = call(target, || write_now(fd, parts.0), real);
    // Only then is it known that the pieces can be read.
    if written > 0 && is_short(written, parts.len()) {
        return go_on(target, written, parts.len(), &|from| {
            write_now(fd, &parts.after(from))
        });
    }
    written
}

fn write_now(fd: RawFd, parts: &[iovec]) -> ssize_t {
    let count = parts.len() as c_int;
    // SAFETY: the parts are the caller's, who asked to have them written.
    let written = unsafe { libc::pwritev2(fd, parts.as_ptr(), count, HERE, libc::RWF_NOWAIT) };
    if written < 0 && is_unsupported(errno()) {
        return if_ready(fd, libc::POLLOUT, || write_a_little(fd, parts));
    }
    written
}

/// A pipe that is ready takes so many bytes without blocking, not more.
fn write_a_little(fd: RawFd, parts: &[iovec]) -> ssize_t {
    match parts.iter().find(|part| part.iov_len > 0) {
        Some(first) => {
            let len = first.iov_len.min(libc::PIPE_BUF);
            libc!(write(fd, first.iov_base, len))
        }
        None => 0,
    }
}

/// Makes a call that does not block if the descriptor is ready; else it fails as it would in
/// non-blocking mode.
fn if_ready(fd: RawFd, events: i16, call: impl Fn() -> ssize_t) -> ssize_t {
    let mut wanted = libc::pollfd {
        fd,
        events,
        revents: 0,
    };
    if libc!(poll(&raw mut wanted, 1, 0)) != 0 {
        return call();
    }
    set_errno(libc::EAGAIN);
    -1
}

/// Whether the number was a socket's and is another file's, and neither the end of the one nor the
/// beginning of the other was seen.
#[inline(always)]
fn is_mistaken(fd: RawFd, result: ssize_t) -> bool {
    result < 0 && errno() == libc::ENOTSOCK && {
        opened(fd);
        true
    }
}

/// `EINVAL` may be meant for the call itself; then the plain call says so once more.
fn is_unsupported(error: c_int) -> bool {
    matches!(
        error,
        libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL | libc::ESPIPE
    )
}

fn message_of(iov: *const iovec, count: c_int) -> libc::msghdr {
    libc::msghdr {
        msg_iov: iov.cast_mut(),
        msg_iovlen: count_of(count),
        ..plain_message(&mut [])
    }
}

/// How many pieces there are. What makes no sense is left to libc.
fn count_of(count: c_int) -> usize {
    usize::try_from(count).unwrap_or(0)
}

fn reading(symbol: Symbol, fd: RawFd) -> Target {
    Target {
        symbol,
        fd,
        direction: Direction::Read,
    }
}
