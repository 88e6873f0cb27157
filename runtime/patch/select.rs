//! `select`, which keeps its descriptors in sets of bits.

use std::cell::Cell;
use std::ffi::{c_int, c_ulong};
use std::os::fd::RawFd;
use std::ptr;
use std::time::{Duration, Instant};

use libc::{fd_set, timeval};

use super::count::Symbol;
use super::gate::{Family, may_park};
use super::readiness::{Patience, until_ready};
use super::real::libc;
use crate::reactor::Direction;

const MICROS_PER_SECOND: u32 = 1_000_000;

/// A part of a set, as the kernel reads and writes it.
type Word = c_ulong;

const WORDS: usize = libc::FD_SETSIZE / Word::BITS as usize;

/// The sets as they were asked for. The kernel overwrites them with its answer, even if that is
/// that nothing is ready.
///
/// Only as many words of each are touched as there are numbers asked for: some programs allocate no
/// more than these.
#[derive(Clone, Copy)]
struct Sets {
    given: [*mut fd_set; 3],
    asked: [[Word; WORDS]; 3],
    words: usize,
}

impl Sets {
    /// # Safety
    ///
    /// Each is null, or has bits for so many numbers.
    unsafe fn new(count: c_int, given: [*mut fd_set; 3]) -> Sets {
        let count = usize::try_from(count).unwrap_or(0).min(libc::FD_SETSIZE);
        let words = count.div_ceil(Word::BITS as usize);
        let asked = given.map(|set| {
            let mut asked = [0; WORDS];
            if !set.is_null() {
                // SAFETY: the caller answers for so many.
                unsafe { ptr::copy_nonoverlapping(set.cast(), asked.as_mut_ptr(), words) };
            }
            asked
        });
        Sets {
            given,
            asked,
            words,
        }
    }

    /// Puts the question where the last answer was.
    fn restore(&self) {
        for (given, asked) in self.given.iter().zip(&self.asked) {
            if !given.is_null() {
                // SAFETY: it has so many, and is the caller's to be written.
                unsafe { ptr::copy_nonoverlapping(asked.as_ptr(), given.cast(), self.words) };
            }
        }
    }

    fn wanted(&self, count: c_int) -> Vec<(RawFd, Direction)> {
        let directions = [Direction::Read, Direction::Write, Direction::Read];
        let mut wanted = Vec::new();
        for (set, direction) in self.asked.iter().zip(directions) {
            for fd in 0..count.min(libc::FD_SETSIZE as c_int) {
                let word = set[fd as usize / Word::BITS as usize];
                if word >> (fd as u32 % Word::BITS) & 1 != 0 {
                    wanted.push((fd, direction));
                }
            }
        }
        wanted
    }
}

/// A time that the kernel would take.
fn to_duration(time: &timeval) -> Option<Duration> {
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let micros = u32::try_from(time.tv_usec).ok()?;
    (micros < MICROS_PER_SECOND).then(|| Duration::new(seconds, micros * 1000))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn select(
    count: c_int,
    read: *mut fd_set,
    write: *mut fd_set,
    except: *mut fd_set,
    timeout: *mut timeval,
) -> c_int {
    let real = || libc!(select(count, read, write, except, timeout));
    // A larger set than C's own type, which some programs make, is left to libc.
    if !may_park(Family::READINESS) || count > libc::FD_SETSIZE as c_int {
        return real();
    }
    // SAFETY: the caller's: null, or valid.
    let time = unsafe { timeout.as_ref() };
    let limit = time.and_then(to_duration);
    if time.is_some() && limit.is_none() {
        return real();
    }
    let begun = Instant::now();
    // SAFETY: the caller's, which libc would read.
    let sets = unsafe { Sets::new(count, [read, write, except]) };
    let asked_before = Cell::new(false);
    let ask = || {
        if asked_before.replace(true) {
            sets.restore();
        }
        let mut now = timeval {
            tv_sec: 0,
            tv_usec: 0,
        };
        libc!(select(count, read, write, except, &raw mut now))
    };
    let again = || {
        sets.restore();
        real()
    };
    let wanted = || sets.wanted(count);
    let answer = until_ready(Symbol::Select, Patience(limit), &wanted, &ask, &again);
    if let Some(limit) = limit.filter(|_| answer >= 0) {
        // Linux says how much of the time is left.
        let left = limit.saturating_sub(begun.elapsed());
        let left = timeval {
            tv_sec: left.as_secs().cast_signed(),
            tv_usec: left.subsec_micros().into(),
        };
        // SAFETY: there was a limit, so it is not null, and the caller's to be written.
        unsafe { timeout.write(left) };
    }
    answer
}
