//! Code that never heard of sedge cooperates: libc's blocking calls park the green thread.
//!
//! gevent's `monkey.patch_all()`, for native code. With the feature `patch` and a call of [`all`]
//! at the top of `main`, any crate that uses std's sockets, and any library in C, blocks the green
//! thread that calls it and nobody else.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::{TcpListener, TcpStream};
//!
//! sedge::patch::all();
//! sedge::run(|| {
//!     let listener = TcpListener::bind("127.0.0.1:0")?; // std's
//!     let address = listener.local_addr()?;
//!     sedge::spawn(move || listener.accept()?.0.write_all(b"hello"));
//!     let mut text = String::new();
//!     TcpStream::connect(address)?.read_to_string(&mut text)?; // the other one runs meanwhile
//!     assert_eq!(text, "hello");
//!     std::io::Result::Ok(())
//! })
//! .unwrap();
//! ```
//!
//! # How it works
//!
//! This module defines functions with the names that libc has: `recv`, `poll`, `nanosleep`. The
//! linker takes the definitions of the program before those of a shared library, so std, every
//! crate and every shared library of C calls them. On a green thread they try the call without
//! blocking, and park if it would block; everywhere else they call libc's.
//!
//! ```text
//!    std, crates, libcurl ── recv ──> here ── not on a green thread, not patched ──> libc
//!                                      │
//!                                      └── on a green thread: libc, with MSG_DONTWAIT
//!                                             │ EAGAIN, and the descriptor is in blocking mode
//!                                             └──> park, and again
//! ```
//!
//! `gate` decides who is let in, `wait` parks, `call` is the loop; each family of functions has a
//! file; `real` finds libc's own, and `table` knows which file a number means.
//!
//! # What is patched
//!
//! * [`sockets`](Options::sockets): `recv` `recvfrom` `recvmsg` `send` `sendto` `sendmsg` `accept`
//!   `accept4` `connect`, and `read` `readv` `write` `writev` of sockets;
//! * [`pipes`](Options::pipes): `read` `readv` `write` `writev` of pipes, event counters, timers,
//!   terminals;
//! * either of the two: `poll` `ppoll` `select` `epoll_wait` `epoll_pwait`, and `sendfile` and
//!   `splice`, by what they are called on;
//! * [`sleep`](Options::sleep): `nanosleep` `clock_nanosleep` `usleep` `sleep` `sched_yield`;
//! * [`dns`](Options::dns): `getaddrinfo` `getnameinfo` `gethostbyname` `gethostbyname_r`;
//! * [`process`](Options::process): `wait` `waitpid` `wait4` `waitid`.
//!
//! And the names under which C programs call some of these that are built with `_FORTIFY_SOURCE`.
//!
//! Also watched, to know what a number means: `socket` `socketpair` `pipe` `pipe2` `dup` `dup2`
//! `dup3` `fcntl` `close`. The mode of a descriptor and its time limits are not tracked: the kernel
//! is asked for them when a call would block, so `fcntl`, `ioctl` and `setsockopt` work as ever,
//! whoever calls them.
//!
//! # What is not
//!
//! * std's locks, channels, `thread::park` and joins of OS threads. They wait in a futex, and most
//!   of them take the OS thread for who waits: parked in there, two green threads would be one.
//!   Between green threads use [`sync`](crate::sync) and [`channel`](crate::channel). A lock of
//!   std's is fine as long as nothing waits while it is held. [`on_block`] finds where that is not
//!   so.
//! * Regular files, which are never not ready: [`fs`](crate::fs), or
//!   [`blocking`](crate::blocking()).
//! * Descriptors 0, 1 and 2, which std uses under such locks: [`io::stdin`](crate::io::stdin).
//! * Calls that do not go through libc's symbols: raw system calls (the crate rustix, io_uring),
//!   and those that libc makes by itself, as `fread` does.
//! * A program linked statically to glibc, which the build refuses.
//!
//! # Cancellation
//!
//! Frames of C, and of callers who were promised a C function, must not be unwound. So in a patched
//! call a cancelled green thread, or one whose [`timeout`](crate::timeout) has passed, gets the
//! error `ECANCELED` (`EAI_SYSTEM` with that in `errno` from a lookup), and from each further call
//! that would wait; it is unwound where it next waits for something of sedge's own. A call that has
//! moved a part of its bytes says so first, and a sleep is over, without an error. Code that takes
//! every error for a reason to try again never ends.
//!
//! While a green thread unwinds, its calls go straight to libc.

#[cfg(not(all(
    target_os = "linux",
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
compile_error!(
    "the feature `patch` of sedge needs Linux with glibc, on x86-64 or AArch64: it stands in the \
     place of functions by their names and calling conventions there"
);

#[cfg(target_feature = "crt-static")]
compile_error!(
    "the feature `patch` of sedge cannot be linked statically to glibc: the functions that it \
     stands in the place of would be defined in the same program too, and it could not reach them; \
     build without -C target-feature=+crt-static"
);

mod call;
mod checked;
mod children;
mod connect;
mod copies;
mod count;
mod descriptors;
mod detect;
mod gate;
mod hostent;
mod names;
mod raw;
mod readiness;
mod real;
mod select;
mod sleep;
mod sockets;
mod streams;
mod table;
mod transfer;
mod wait;

use std::fmt;

use self::gate::Family;

pub use self::count::{Calls, Counts};
pub use self::detect::Policy;

/// Patches everything, for the whole process and for good. gevent's `monkey.patch_all()`.
///
/// It belongs at the top of `main`. What is in a call of libc meanwhile, on another OS thread, is
/// not touched by it.
pub fn all() {
    Options::new().patch();
}

/// What to patch. Everything is on at first.
///
/// ```
/// sedge::patch::Options::new().dns(false).process(false).patch();
/// assert!(sedge::patch::is_active());
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[must_use = "nothing is patched before `patch` is called"]
pub struct Options {
    families: u8,
}

impl Options {
    /// Everything.
    pub fn new() -> Options {
        Options {
            families: Family::ALL.0,
        }
    }

    /// Sockets. Default: on.
    pub fn sockets(self, on: bool) -> Options {
        self.with(Family::SOCKETS, on)
    }

    /// Pipes, and all else that epoll can wait for. Default: on.
    pub fn pipes(self, on: bool) -> Options {
        self.with(Family::PIPES, on)
    }

    /// Sleeping and yielding. Default: on.
    pub fn sleep(self, on: bool) -> Options {
        self.with(Family::SLEEP, on)
    }

    /// Looking up names and addresses. Default: on.
    pub fn dns(self, on: bool) -> Options {
        self.with(Family::DNS, on)
    }

    /// Waiting for child processes. Default: on.
    pub fn process(self, on: bool) -> Options {
        self.with(Family::PROCESS, on)
    }

    fn with(self, family: Family, on: bool) -> Options {
        let others = self.families & !family.0;
        Options {
            families: if on { others | family.0 } else { others },
        }
    }

    fn has(self, family: Family) -> bool {
        self.families & family.0 != 0
    }

    /// Patches that, for the whole process. What is patched already stays so: a second call adds.
    pub fn patch(self) {
        real::resolve_all();
        gate::open(self.families);
    }
}

impl Default for Options {
    fn default() -> Options {
        Options::new()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("sockets", &self.has(Family::SOCKETS))
            .field("pipes", &self.has(Family::PIPES))
            .field("sleep", &self.has(Family::SLEEP))
            .field("dns", &self.has(Family::DNS))
            .field("process", &self.has(Family::PROCESS))
            .finish()
    }
}

/// Whether anything is patched. Not in a forked child.
#[must_use]
pub fn is_active() -> bool {
    gate::active() != 0
}

/// What became of the calls that the green threads of this OS thread have made. Those of others are
/// not counted, which would cost more than to pass them on.
///
/// ```
/// use std::time::Duration;
///
/// sedge::patch::all();
/// sedge::run(|| std::thread::sleep(Duration::from_millis(1)));
/// let calls = sedge::patch::calls();
/// let sleeps = ["nanosleep", "clock_nanosleep"].map(|name| calls.of(name).unwrap().parked);
/// assert_eq!(sleeps.iter().sum::<u64>(), 1); // which of them, is std's choice
/// ```
#[must_use]
pub fn calls() -> Calls {
    Calls::of_this_thread()
}

/// What to do about a green thread that puts its whole OS thread to sleep while there are others,
/// in the whole process. It works without [`all`] too, and as long as nobody asks for it, costs
/// nothing.
///
/// Seen are waits in a futex by `libc::syscall`: all of std's locks, channels and `park`, and those
/// of crates like parking_lot; and joins of OS threads. Not seen are waits that last less than ten
/// milliseconds, system calls that are made past libc, waits inside of libc (`pthread_mutex_lock`
/// and the like, from C), and blocking calls that are not patched, such as reading a file.
///
/// The report says who waits, where, and who else there is. Who has the lock, std does not tell.
pub fn on_block(policy: Policy) {
    real::resolve_all();
    detect::set(policy);
}
