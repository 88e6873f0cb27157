//! `sendfile` and `splice`, which move bytes from one descriptor to another, as std's `io::copy`
//! has them do.

use std::ffi::{c_int, c_uint};
use std::os::fd::RawFd;

use libc::{off_t, size_t, ssize_t};

use super::call::{Target, call, fail, is_nonblocking, switched};
use super::count::Symbol;
use super::gate::{self, Family, may_park};
use super::raw::{errno, set_errno};
use super::real::libc;
use super::table::{Kind, kind};
use super::wait::{self, Refusal};
use crate::reactor::Direction;

/// Whether what the descriptor is has a family that is patched.
fn is_patched(fd: RawFd) -> bool {
    let family = match kind(fd) {
        Kind::Socket => Family::SOCKETS,
        Kind::Stream => Family::PIPES,
        Kind::File => return false,
    };
    gate::active() & family.0 != 0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendfile(to: c_int, from: c_int, offset: *mut off_t, len: size_t) -> ssize_t {
    send_file(to, || libc!(sendfile(to, from, offset, len)))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendfile64(
    to: c_int,
    from: c_int,
    offset: *mut off_t,
    len: size_t,
) -> ssize_t {
    send_file(to, || libc!(sendfile64(to, from, offset, len)))
}

fn send_file(to: RawFd, real: impl Fn() -> ssize_t) -> ssize_t {
    if !may_park(Family::READINESS) {
        return real();
    }
    if !is_patched(to) {
        Symbol::Sendfile.count_passed();
        return real();
    }
    let target = Target {
        symbol: Symbol::Sendfile,
        fd: to,
        direction: Direction::Write,
    };
    call(target, || switched(to, &real), &real)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn splice(
    from: c_int,
    from_offset: *mut off_t,
    to: c_int,
    to_offset: *mut off_t,
    len: size_t,
    flags: c_uint,
) -> ssize_t {
    let with = |flags| libc!(splice(from, from_offset, to, to_offset, len, flags));
    if !may_park(Family::READINESS) {
        return with(flags);
    }
    if flags & libc::SPLICE_F_NONBLOCK != 0 || !is_patched(from) || !is_patched(to) {
        Symbol::Splice.count_passed();
        return with(flags);
    }
    // The flag is for the pipe that one of them is.
    let now = || with(flags | libc::SPLICE_F_NONBLOCK);
    let attempt = || match (kind(from), kind(to)) {
        (Kind::Socket, _) => switched(from, now),
        (_, Kind::Socket) => switched(to, now),
        _ => now(),
    };
    let before = errno();
    let result = attempt();
    if result >= 0 || errno() != libc::EAGAIN || is_nonblocking(from) || is_nonblocking(to) {
        Symbol::Splice.count_at_once();
        return result;
    }
    let moved = wait::guard(|| {
        Symbol::Splice.count_parked();
        loop {
            // Either may be what keeps it from going on.
            if is_readable(from) {
                wait::wait(to, Direction::Write, None)?;
            } else {
                wait::wait(from, Direction::Read, None)?;
            }
            let result = attempt();
            if result >= 0 {
                return Ok(Ok(result));
            }
            match errno() {
                libc::EAGAIN => {}
                error => return Ok(Err(error)),
            }
        }
    });
    match moved {
        Ok(Ok(result)) => {
            set_errno(before);
            result
        }
        Ok(Err(error)) => fail(error),
        Err(Refusal::Impossible) => with(flags),
        Err(refusal) => fail(refusal.errno()),
    }
}

fn is_readable(fd: RawFd) -> bool {
    let mut wanted = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    libc!(poll(&raw mut wanted, 1, 0)) != 0
}
