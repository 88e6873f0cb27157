//! `nanosleep`, `clock_nanosleep`, `usleep`, `sleep` and `sched_yield`.
//!
//! A sleep that is interrupted returns as if it were over. It has no error that its callers know:
//! std would begin again after `EINTR`, for ever, and takes any other for a mistake of its own.

use std::ffi::{c_int, c_uint};
use std::time::Duration;

use libc::{timespec, useconds_t};

use super::count::Symbol;
use super::gate::{Family, may_park};
use super::raw::{errno, set_errno};
use super::real::libc;
use super::wait::{self, Refusal};

const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// A time that is not null.
///
/// # Safety
///
/// Null, or valid.
unsafe fn duration(time: *const timespec) -> Option<Duration> {
    // SAFETY: the caller answers for it.
    to_duration(unsafe { time.as_ref() }?)
}

/// The kernel takes no other times than those that this takes.
pub(super) fn to_duration(time: &timespec) -> Option<Duration> {
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let nanos = u32::try_from(time.tv_nsec).ok()?;
    (nanos < NANOS_PER_SECOND).then(|| Duration::new(seconds, nanos))
}

/// Sleeps; false if that is impossible here.
fn sleep_for(symbol: Symbol, duration: Duration) -> bool {
    let before = errno();
    symbol.count_parked();
    let slept = wait::guard(|| {
        if duration.is_zero() {
            wait::give_way()
        } else {
            wait::sleep_until(wait::after(duration))
        }
    });
    set_errno(before);
    slept != Err(Refusal::Impossible)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nanosleep(time: *const timespec, left: *mut timespec) -> c_int {
    if may_park(Family::SLEEP) {
        // SAFETY: the caller's, which libc would read.
        let duration = unsafe { duration(time) };
        if duration.is_some_and(|duration| sleep_for(Symbol::Nanosleep, duration)) {
            return 0;
        }
        Symbol::Nanosleep.count_passed();
    }
    libc!(nanosleep(time, left))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn clock_nanosleep(
    clock: c_int,
    flags: c_int,
    time: *const timespec,
    left: *mut timespec,
) -> c_int {
    if may_park(Family::SLEEP) {
        // SAFETY: the caller's, which libc would read.
        let until = unsafe { duration(time) };
        let duration = match until {
            Some(until) if flags == libc::TIMER_ABSTIME => until_then(clock, until),
            duration if flags == 0 && is_known(clock) => duration,
            _ => None,
        };
        if duration.is_some_and(|duration| sleep_for(Symbol::ClockNanosleep, duration)) {
            return 0;
        }
        Symbol::ClockNanosleep.count_passed();
    }
    libc!(clock_nanosleep(clock, flags, time, left))
}

/// Whether it goes on as the scheduler's does. Not that of the processor time, say.
fn is_known(clock: c_int) -> bool {
    matches!(
        clock,
        libc::CLOCK_REALTIME | libc::CLOCK_MONOTONIC | libc::CLOCK_BOOTTIME | libc::CLOCK_TAI
    )
}

/// How long it is until then.
fn until_then(clock: c_int, then: Duration) -> Option<Duration> {
    if !is_known(clock) {
        return None;
    }
    let mut now = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is valid for writing.
    if unsafe { libc::clock_gettime(clock, &raw mut now) } != 0 {
        return None;
    }
    // SAFETY: it lives until the end of this function.
    let now = unsafe { duration(&raw const now) }?;
    Some(then.saturating_sub(now))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn usleep(time: useconds_t) -> c_int {
    if may_park(Family::SLEEP) {
        let duration = Duration::from_micros(time.into());
        if sleep_for(Symbol::Usleep, duration) {
            return 0;
        }
        Symbol::Usleep.count_passed();
    }
    libc!(usleep(time))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sleep(time: c_uint) -> c_uint {
    if may_park(Family::SLEEP) {
        if sleep_for(Symbol::Sleep, Duration::from_secs(time.into())) {
            return 0;
        }
        Symbol::Sleep.count_passed();
    }
    libc!(sleep(time))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sched_yield() -> c_int {
    if may_park(Family::SLEEP) {
        if sleep_for(Symbol::SchedYield, Duration::ZERO) {
            return 0;
        }
        Symbol::SchedYield.count_passed();
    }
    libc!(sched_yield())
}
