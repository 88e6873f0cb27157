//! `poll`, `ppoll`, `select` and `epoll_wait`: waiting for several descriptors.
//!
//! Each is asked without waiting; if nothing is ready, the green thread parks until an event comes
//! for one of the descriptors, and asks again. An epoll instance is a descriptor like others: it is
//! readable when it has events.
//!
//! A signal mask is in force while the kernel is asked, not while the green thread is parked.

use std::ffi::c_int;
use std::os::fd::RawFd;
use std::time::Duration;

use libc::{epoll_event, nfds_t, pollfd, sigset_t, timespec};

use super::call::fail;
use super::count::Symbol;
use super::gate::{self, Family, may_park};
use super::raw::{errno, set_errno};
use super::real::libc;
use super::wait::{self, Refusal, Woken};
use crate::reactor::Direction;

/// How long a caller is willing to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience(pub(super) Option<Duration>);

impl Patience {
    /// As `poll` takes it: negative is for ever.
    fn of_millis(millis: c_int) -> Patience {
        Patience(u64::try_from(millis).ok().map(Duration::from_millis))
    }

    fn is_none(self) -> bool {
        self.0 == Some(Duration::ZERO)
    }
}

/// Asks until there is an answer, which is not 0, or time has passed.
///
/// `ask` does not wait. `real` is the call as it was made, for what cannot be waited for.
pub(super) fn until_ready(
    symbol: Symbol,
    patience: Patience,
    fds: &dyn Fn() -> Vec<(RawFd, Direction)>,
    ask: &dyn Fn() -> c_int,
    real: &dyn Fn() -> c_int,
) -> c_int {
    let before = errno();
    let first = ask();
    if first != 0 || patience.is_none() {
        symbol.count_at_once();
        if first >= 0 && gate::is_spent() {
            // Who asks in a loop waits for others.
            let _ = wait::guard(wait::give_way);
            set_errno(before);
        }
        return first;
    }
    let fds = fds();
    let answer = wait::guard(|| {
        let deadline = patience.0.map(wait::after);
        symbol.count_parked();
        loop {
            let woken = wait::wait_for_any(&fds, deadline);
            let answer = match woken {
                // What was closed is an answer, which the call gives.
                Ok(_) | Err(Refusal::Closed) => ask(),
                Err(refusal) => return Err(refusal),
            };
            if answer != 0 || woken == Ok(Woken::Late) {
                return Ok(answer);
            }
        }
    });
    match answer {
        Ok(answer) => {
            if answer >= 0 {
                set_errno(before);
            }
            answer
        }
        Err(Refusal::Impossible) => {
            symbol.count_passed();
            real()
        }
        Err(refusal) => fail(refusal.errno()),
    }
}

/// What `poll` was asked for.
///
/// # Safety
///
/// So many are there, or the pointer is null, and nobody changes them.
unsafe fn wanted(fds: *const pollfd, count: nfds_t) -> Vec<(RawFd, Direction)> {
    let count = usize::try_from(count).unwrap_or(0);
    if fds.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller answers for it.
    let fds = unsafe { std::slice::from_raw_parts(fds, count) };
    let mut wanted = Vec::with_capacity(count);
    for entry in fds.iter().filter(|entry| entry.fd >= 0) {
        let writes = entry.events & (libc::POLLOUT | libc::POLLWRNORM | libc::POLLWRBAND) != 0;
        let reads = entry.events & !(libc::POLLOUT | libc::POLLWRNORM | libc::POLLWRBAND) != 0;
        if writes {
            wanted.push((entry.fd, Direction::Write));
        }
        if reads || !writes {
            wanted.push((entry.fd, Direction::Read));
        }
    }
    wanted
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
    let real = || libc!(poll(fds, count, timeout));
    if !may_park(Family::READINESS) {
        return real();
    }
    let ask = || libc!(poll(fds, count, 0));
    // SAFETY: the caller's, and `ask` has found them to be there.
    let wanted = || unsafe { wanted(fds, count) };
    until_ready(
        Symbol::Poll,
        Patience::of_millis(timeout),
        &wanted,
        &ask,
        &real,
    )
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn ppoll(
    fds: *mut pollfd,
    count: nfds_t,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    let real = || libc!(ppoll(fds, count, timeout, mask));
    if !may_park(Family::READINESS) {
        return real();
    }
    // SAFETY: the caller's: null, or valid.
    let time = unsafe { timeout.as_ref() };
    let patience = time.and_then(super::sleep::to_duration);
    if time.is_some() && patience.is_none() {
        return real();
    }
    let now = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let ask = || libc!(ppoll(fds, count, &raw const now, mask));
    // SAFETY: the caller's, and `ask` has found them to be there.
    let wanted = || unsafe { wanted(fds, count) };
    until_ready(Symbol::Ppoll, Patience(patience), &wanted, &ask, &real)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_wait(
    epoll: c_int,
    events: *mut epoll_event,
    most: c_int,
    timeout: c_int,
) -> c_int {
    let real = || libc!(epoll_wait(epoll, events, most, timeout));
    if !may_park(Family::READINESS) {
        return real();
    }
    let ask = || libc!(epoll_wait(epoll, events, most, 0));
    let wanted = || vec![(epoll, Direction::Read)];
    let patience = Patience::of_millis(timeout);
    until_ready(Symbol::EpollWait, patience, &wanted, &ask, &real)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_pwait(
    epoll: c_int,
    events: *mut epoll_event,
    most: c_int,
    timeout: c_int,
    mask: *const sigset_t,
) -> c_int {
    let real = || libc!(epoll_pwait(epoll, events, most, timeout, mask));
    if !may_park(Family::READINESS) {
        return real();
    }
    let ask = || libc!(epoll_pwait(epoll, events, most, 0, mask));
    let wanted = || vec![(epoll, Direction::Read)];
    let patience = Patience::of_millis(timeout);
    until_ready(Symbol::EpollPwait, patience, &wanted, &ask, &real)
}
