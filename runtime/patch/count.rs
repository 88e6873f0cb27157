//! What became of the calls that green threads have made, by symbol.

use std::cell::Cell;
use std::fmt;

macro_rules! symbols {
    ($($symbol:ident $name:literal,)*) => {
        /// The interposed functions that may park.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub(super) enum Symbol { $($symbol),* }

        const NAMES: &[&str] = &[$($name),*];
    };
}

symbols! {
    Recv "recv", Recvfrom "recvfrom", Recvmsg "recvmsg",
    Send "send", Sendto "sendto", Sendmsg "sendmsg",
    Accept "accept", Accept4 "accept4", Connect "connect",
    Read "read", Readv "readv", Write "write", Writev "writev",
    Sendfile "sendfile", Splice "splice",
    Poll "poll", Ppoll "ppoll", Select "select",
    EpollWait "epoll_wait", EpollPwait "epoll_pwait",
    Nanosleep "nanosleep", ClockNanosleep "clock_nanosleep",
    Usleep "usleep", Sleep "sleep", SchedYield "sched_yield",
    Getaddrinfo "getaddrinfo", Getnameinfo "getnameinfo",
    Gethostbyname "gethostbyname", GethostbynameR "gethostbyname_r",
    Wait "wait", Waitpid "waitpid", Wait4 "wait4", Waitid "waitid",
}

const SYMBOLS: usize = NAMES.len();

/// What has become of the calls of one function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Calls that did what they were asked to without having to wait.
    pub at_once: u64,
    /// Calls that parked their green thread.
    pub parked: u64,
    /// Calls that went straight to libc: of a kind that is not patched, on a descriptor in
    /// non-blocking mode, on one that cannot be waited for, or while the green thread unwound.
    pub passed: u64,
}

impl Counts {
    const NONE: Counts = Counts {
        at_once: 0,
        parked: 0,
        passed: 0,
    };
}

thread_local! {
    static COUNTS: [Cell<Counts>; SYMBOLS] = const { [const { Cell::new(Counts::NONE) }; SYMBOLS] };
}

/// What became of the calls that the green threads of this OS thread have made; from
/// [`calls`](super::calls()).
#[derive(Clone, PartialEq, Eq)]
pub struct Calls([Counts; SYMBOLS]);

impl Calls {
    pub(super) fn of_this_thread() -> Calls {
        Calls(COUNTS.with(|counts| counts.each_ref().map(Cell::get)))
    }

    /// The counts of the function of that name; `None` if it is not one that may park.
    #[must_use]
    pub fn of(&self, function: &str) -> Option<Counts> {
        let place = NAMES.iter().position(|name| *name == function)?;
        Some(self.0[place])
    }

    /// Those of all functions that were called, with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Counts)> {
        let all = NAMES.iter().copied().zip(self.0);
        all.filter(|(_, counts)| *counts != Counts::NONE)
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Symbol {
    #[inline(always)]
    pub(super) fn count_at_once(self) {
        self.count(|counts| counts.at_once += 1);
    }

    #[inline(always)]
    pub(super) fn count_parked(self) {
        self.count(|counts| counts.parked += 1);
    }

    #[inline(always)]
    pub(super) fn count_passed(self) {
        self.count(|counts| counts.passed += 1);
    }

    #[inline(always)]
    fn count(self, change: impl FnOnce(&mut Counts)) {
        COUNTS.with(|counts| {
            let cell = &counts[self as usize];
            let mut count = cell.get();
            change(&mut count);
            cell.set(count);
        });
    }
}
