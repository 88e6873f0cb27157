//! `accept` and `connect`, for which there is no flag that keeps one call from blocking: the
//! descriptor is in non-blocking mode for the moment of the call, and never while a green thread
//! waits.

use std::ffi::c_int;
use std::os::fd::RawFd;

use libc::{sockaddr, socklen_t};
use rustix::net::sockopt::socket_error;

use super::call::{Target, call, fail, is_nonblocking, switched, time_limit};
use super::count::Symbol;
use super::gate::{Family, may_park};
use super::raw::{Raw, errno, set_errno};
use super::real::libc;
use super::wait::{self, Pauses, Refusal, Woken};
use crate::reactor::Direction;
use crate::scheduler::Nanos;

#[unsafe(no_mangle)]
unsafe extern "C" fn accept(
    fd: c_int,
    address: *mut sockaddr,
    address_len: *mut socklen_t,
) -> c_int {
    let real = || libc!(accept(fd, address, address_len));
    accepted(accept_with(Symbol::Accept, fd, real))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn accept4(
    fd: c_int,
    address: *mut sockaddr,
    address_len: *mut socklen_t,
    flags: c_int,
) -> c_int {
    let real = || libc!(accept4(fd, address, address_len, flags));
    accepted(accept_with(Symbol::Accept4, fd, real))
}

fn accept_with(symbol: Symbol, fd: RawFd, real: impl Fn() -> c_int) -> c_int {
    if !may_park(Family::SOCKETS) {
        return real();
    }
    let target = Target {
        symbol,
        fd,
        direction: Direction::Read,
    };
    call(target, || switched(fd, &real), &real)
}

/// The number may have been another file's, whose end was not seen.
fn accepted(fd: c_int) -> c_int {
    if fd >= 0 {
        super::descriptors::opened(fd);
    }
    fd
}

#[unsafe(no_mangle)]
unsafe extern "C" fn connect(fd: c_int, address: *const sockaddr, address_len: socklen_t) -> c_int {
    let real = || libc!(connect(fd, address, address_len));
    if !may_park(Family::SOCKETS) {
        return real();
    }
    let before = errno();
    let result = switched(fd, real);
    let error = errno();
    let pending = matches!(error, libc::EINPROGRESS | libc::EALREADY | libc::EAGAIN);
    if result == 0 || !pending {
        Symbol::Connect.count_at_once();
        return result;
    }
    if is_nonblocking(fd) {
        Symbol::Connect.count_passed();
        return fail(error);
    }
    let limit = time_limit(fd, Direction::Write);
    let made = wait::guard(|| {
        let deadline = limit.map(wait::after);
        Symbol::Connect.count_parked();
        if error == libc::EAGAIN {
            // The listener's queue, that of a Unix socket, is full, and nobody tells when it is
            // not.
            until_there_is_room(fd, &real, deadline)
        } else {
            until_connected(fd, deadline)
        }
    });
    match made {
        Ok(0) => {
            set_errno(before);
            0
        }
        Ok(error) => fail(error),
        Err(Refusal::Impossible) => real(),
        Err(refusal) => fail(refusal.errno()),
    }
}

/// The error of the connection, or 0.
fn until_connected(fd: RawFd, deadline: Option<Nanos>) -> Result<c_int, Refusal> {
    loop {
        let woken = wait::wait(fd, Direction::Write, deadline)?;
        if is_decided(fd) {
            return Ok(match socket_error(Raw(fd)) {
                Ok(Ok(())) => 0,
                Ok(Err(error)) | Err(error) => error.raw_os_error(),
            });
        }
        if woken == Woken::Late {
            return Ok(libc::EINPROGRESS);
        }
    }
}

/// Whether the connection was made or has failed. A socket that is neither is not writable.
fn is_decided(fd: RawFd) -> bool {
    let mut wanted = libc::pollfd {
        fd,
        events: libc::POLLOUT,
        revents: 0,
    };
    libc!(poll(&raw mut wanted, 1, 0)) != 0
}

fn until_there_is_room(
    fd: RawFd,
    real: &dyn Fn() -> c_int,
    deadline: Option<Nanos>,
) -> Result<c_int, Refusal> {
    let mut pauses = Pauses::new();
    loop {
        let woken = pauses.pause(deadline)?;
        if switched(fd, real) == 0 {
            return Ok(0);
        }
        match errno() {
            libc::EAGAIN if woken != Woken::Late => {}
            error => return Ok(error),
        }
    }
}
