//! A call on a descriptor: try without blocking, park if it would block, try again.
//!
//! ```text
//!   try, without blocking ──> done, or another error ────────────> return that
//!        ^      │ EAGAIN
//!        │      ├── its user has it in non-blocking mode ────────> EAGAIN
//!        │      v
//!        └── park until an event, SO_RCVTIMEO or SO_SNDTIMEO ────> EAGAIN
//!                    └── cancelled ──────────────────────────────> ECANCELED
//! ```
//!
//! It is the loop of [`io::source`](crate::io), told in C: no flag of the descriptor is changed,
//! and the mode that its user wants is asked for only when a call would block. So a call that does
//! not block costs what it did before, and a few nanoseconds.

use std::ffi::c_int;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use libc::ssize_t;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::sockopt::{Timeout, socket_timeout};

use super::count::Symbol;
use super::gate;
use super::raw::{Raw, errno, set_errno};
use super::wait::{self, Refusal, Woken};
use crate::reactor::Direction;
use crate::scheduler::Nanos;

/// A number that says how a call went, as libc's functions return it: -1, and errno, for an error.
pub(super) trait Outcome: Copy {
    const FAILED: Self;
    fn has_failed(self) -> bool;
}

impl Outcome for ssize_t {
    const FAILED: ssize_t = -1;

    #[inline(always)]
    fn has_failed(self) -> bool {
        self < 0
    }
}

impl Outcome for c_int {
    const FAILED: c_int = -1;

    #[inline(always)]
    fn has_failed(self) -> bool {
        self < 0
    }
}

/// Fails as libc's functions do.
pub(super) fn fail<R: Outcome>(error: c_int) -> R {
    set_errno(error);
    R::FAILED
}

/// What is called, and on what.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) symbol: Symbol,
    pub(super) fd: RawFd,
    pub(super) direction: Direction,
}

/// Makes a call that takes place or fails with `EAGAIN`, and waits until it takes place.
///
/// `real` is the call as its caller made it, for what cannot be waited for.
#[inline(always)]
pub(super) fn call<R: Outcome>(target: Target, attempt: impl Fn() -> R, real: impl Fn() -> R) -> R {
    let before = errno();
    let result = attempt();
    if result.has_failed() && errno() == libc::EAGAIN {
        return call_later(target, before, &attempt, &real);
    }
    target.symbol.count_at_once();
    if gate::is_spent() {
        give_way(target.fd);
    }
    result
}

#[cold]
#[inline(never)]
fn call_later<R: Outcome>(
    target: Target,
    before: c_int,
    attempt: &dyn Fn() -> R,
    real: &dyn Fn() -> R,
) -> R {
    if is_nonblocking(target.fd) {
        target.symbol.count_passed();
        return fail(libc::EAGAIN);
    }
    let limit = time_limit(target.fd, target.direction);
    let result = wait::guard(|| {
        let deadline = limit.map(wait::after);
        target.symbol.count_parked();
        retry(target, deadline, attempt)
    });
    match result {
        Ok(Ok(result)) => {
            set_errno(before);
            result
        }
        Ok(Err(error)) => fail(error),
        Err(Refusal::Impossible) => {
            target.symbol.count_passed();
            real()
        }
        Err(refusal) => fail(refusal.errno()),
    }
}

/// Waits and tries again, until it is not `EAGAIN`, or that is so when the deadline has passed.
/// Inside of [`wait::guard`].
pub(super) fn retry<R: Outcome>(
    target: Target,
    deadline: Option<Nanos>,
    attempt: &dyn Fn() -> R,
) -> Result<Result<R, c_int>, Refusal> {
    loop {
        let woken = wait::wait(target.fd, target.direction, deadline)?;
        let result = attempt();
        if !result.has_failed() {
            return Ok(Ok(result));
        }
        match errno() {
            libc::EAGAIN if woken != Woken::Late => {}
            error => return Ok(Err(error)),
        }
    }
}

/// Lets others run after many calls that did not have to wait. Not for a descriptor in non-blocking
/// mode, whose user has a loop of his own, and may be sedge.
#[cold]
#[inline(never)]
pub(super) fn give_way(fd: RawFd) {
    let before = errno();
    if !is_nonblocking(fd) {
        // An interrupt is met at the next wait.
        let _ = wait::guard(wait::give_way);
    }
    set_errno(before);
}

/// Held by who puts a descriptor into non-blocking mode for the moment of one call.
static SWITCH: Mutex<()> = Mutex::new(());
/// How often that has begun and ended. Odd while it is so.
static SWITCHES: AtomicUsize = AtomicUsize::new(0);

/// Not for a number that is none, which callers give who have not looked.
fn has_flag(fd: RawFd) -> bool {
    fd >= 0 && fcntl_getfl(Raw(fd)).is_ok_and(|flags| flags.contains(OFlags::NONBLOCK))
}

/// Whether its user wants calls to fail that would wait.
pub(super) fn is_nonblocking(fd: RawFd) -> bool {
    let before = SWITCHES.load(Ordering::SeqCst);
    if !has_flag(fd) {
        return false;
    }
    if before.is_multiple_of(2) && SWITCHES.load(Ordering::SeqCst) == before {
        return true;
    }
    // It may be for a moment only, for another OS thread.
    let _switch = SWITCH.lock().unwrap_or_else(PoisonError::into_inner);
    has_flag(fd)
}

/// Makes a call, in non-blocking mode, that has no flag to ask for that. Nothing else of this OS
/// thread runs meanwhile, and other OS threads are told the mode that was there before.
pub(super) fn switched<R: Outcome>(fd: RawFd, call: impl Fn() -> R) -> R {
    if fd < 0 {
        return call();
    }
    let _switch = SWITCH.lock().unwrap_or_else(PoisonError::into_inner);
    let Ok(flags) = fcntl_getfl(Raw(fd)) else {
        return call();
    };
    if flags.contains(OFlags::NONBLOCK) {
        return call();
    }
    SWITCHES.fetch_add(1, Ordering::SeqCst);
    let changed = fcntl_setfl(Raw(fd), flags | OFlags::NONBLOCK).is_ok();
    let result = call();
    let error = errno();
    if changed {
        // It was open and took the flag; so it takes this.
        let _ = fcntl_setfl(Raw(fd), flags);
    }
    SWITCHES.fetch_add(1, Ordering::SeqCst);
    set_errno(error);
    result
}

/// `SO_RCVTIMEO` or `SO_SNDTIMEO`; `None` for what is no socket.
pub(super) fn time_limit(fd: RawFd, direction: Direction) -> Option<Duration> {
    let which = match direction {
        Direction::Read => Timeout::Recv,
        Direction::Write => Timeout::Send,
    };
    socket_timeout(Raw(fd), which).ok().flatten()
}
