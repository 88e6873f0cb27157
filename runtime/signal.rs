//! Waiting for signals: Ctrl-C, `SIGTERM` and their like, as something a green thread receives.
//!
//! std has no word for signals. [`Signals`] is that of the `signal-hook` crate, on which it stands;
//! [`ctrl_c`] is the usual name for the simple case.
//!
//! ```
//! use sedge::signal::{self, SIGTERM, SIGUSR1, Signals};
//!
//! sedge::run(|| {
//!     let signals = Signals::new([SIGTERM, SIGUSR1])?;
//!     let ending = sedge::spawn(move || {
//!         loop {
//!             match signals.recv()? {
//!                 SIGUSR1 => sedge::println!("as you were"),
//!                 signal => return std::io::Result::Ok(signal),
//!             }
//!         }
//!     });
//!     signal::raise(SIGTERM)?; // or `kill` from a shell
//!     assert_eq!(ending.join().unwrap()?, SIGTERM);
//!     std::io::Result::Ok(())
//! })
//! .unwrap();
//! ```
//!
//! The handler sets a flag and writes a byte to a socket; the green thread waits for that socket,
//! as for any other. So nothing of the program's runs inside a handler, and who waits for a signal
//! is no part of a deadlock. Every `Signals` has flags and a socket of its own: all of them, in all
//! green threads and on all OS threads, hear of each signal.
//!
//! # What becomes of the signal's own action
//!
//! From the first [`Signals::new`] that names a signal, the process does not do what it would have
//! done by default: `SIGTERM` does not end it. A handler that was set before goes on being called.
//! When a `Signals` is dropped it hears no more, but **the default does not come back**: with
//! nobody left to hear it, the signal is ignored. To do what the default would have done, call
//! [`default_action`].
//!
//! # What cannot be received
//!
//! `SIGKILL` and `SIGSTOP` reach no program, and a `SIGSEGV`, `SIGILL` or `SIGFPE` must be dealt
//! with where it happened; [`Signals::new`] refuses them. A `SIGBUS` that comes of a fault comes
//! again and again, for the handler returns to where that was: receive it only if others send it.
//!
//! A child process gets the default actions back, except where a signal was ignored before.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::c_int;
use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use signal_hook::consts::FORBIDDEN;
pub use signal_hook::consts::signal::*;
use signal_hook::iterator::backend::{Handle, SignalDelivery};
use signal_hook::iterator::exfiltrator::SignalOnly;
use signal_hook::low_level;

use crate::coroutine;
use crate::io::Source;

/// Some signals, to be received by green threads of this OS thread.
///
/// No signal is lost from [`new`](Signals::new) on. One that is sent several times before it is
/// received may come out only once, as the kernel does it with signals that it has not delivered;
/// of several different ones, which came first is not kept.
///
/// It is an iterator without an end, of what [`recv`](Signals::recv) returns. Several green threads
/// may receive from one `Signals`; each signal then goes to one of them. For each to get all, give
/// each one of its own.
pub struct Signals {
    /// Readable after a signal, until that is taken.
    source: Source<Arc<UnixStream>>,
    inbox: RefCell<Inbox>,
    handle: Handle,
}

struct Inbox {
    delivery: SignalDelivery<Arc<UnixStream>, SignalOnly>,
    /// Taken from there and not received yet.
    arrived: VecDeque<c_int>,
}

impl Signals {
    /// Begins to hear these signals: constants of this module, or numbers such as
    /// `libc::SIGRTMIN() + 1`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for what is no signal or cannot be received; if there are no
    /// descriptors left.
    pub fn new<I>(signals: I) -> io::Result<Signals>
    where
        I: IntoIterator<Item: Borrow<c_int>>,
    {
        let (reader, writer) = UnixStream::pair()?;
        let reader = Arc::new(reader);
        let nothing: [c_int; 0] = [];
        let delivery = SignalDelivery::with_pipe(Arc::clone(&reader), writer, SignalOnly, nothing)?;
        let handle = delivery.handle();
        let arrived = VecDeque::new();
        let signals_heard = Signals {
            source: Source::new(reader),
            inbox: RefCell::new(Inbox { delivery, arrived }),
            handle,
        };
        for signal in signals {
            signals_heard.add_signal(*signal.borrow())?;
        }
        Ok(signals_heard)
    }

    /// Hears one more signal; nothing happens if it does so already.
    ///
    /// # Errors
    ///
    /// As [`new`](Signals::new).
    pub fn add_signal(&self, signal: c_int) -> io::Result<()> {
        check(signal)?;
        self.handle.add_signal(signal)
    }

    /// Waits for the next signal. One that has come already is returned at once, also outside
    /// [`run`](crate::run).
    ///
    /// A green thread that is cancelled, or out of time, while it waits takes no signal with it.
    ///
    /// # Errors
    ///
    /// If it must wait while this green thread unwinds, or the reactor has no memory left.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    pub fn recv(&self) -> io::Result<c_int> {
        let take = || self.try_recv().ok_or(io::ErrorKind::WouldBlock.into());
        if !coroutine::is_running() {
            if let Ok(signal) = take() {
                return Ok(signal);
            }
        }
        self.source.read_with(|_| take())
    }

    /// The next signal, if one has come.
    pub fn try_recv(&self) -> Option<c_int> {
        let (signal, is_last) = {
            let Inbox { delivery, arrived } = &mut *self.inbox.borrow_mut();
            if arrived.is_empty() {
                arrived.extend(delivery.pending());
            }
            (arrived.pop_front(), arrived.is_empty())
        };
        if !is_last {
            // The socket is empty by now, so whoever waits for it would not hear of the others.
            self.source.announce();
        }
        signal
    }
}

impl Iterator for Signals {
    type Item = io::Result<c_int>;

    /// As [`Signals::recv`]; never `None`.
    fn next(&mut self) -> Option<io::Result<c_int>> {
        Some(self.recv())
    }
}

// No call leaves the cells inside half changed.
impl UnwindSafe for Signals {}
impl RefUnwindSafe for Signals {}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}

/// Waits for a `SIGINT`, which a terminal sends at Ctrl-C.
///
/// One that came before the call does not count, and after it has returned [the default action is
/// gone](self#what-becomes-of-the-signals-own-action). Who waits for more than one, or for
/// `SIGTERM` too, as everybody does who may be run by a supervisor, takes [`Signals`], which loses
/// none in between.
///
/// ```
/// use std::time::Duration;
/// use sedge::signal::{self, SIGINT};
///
/// sedge::run(|| {
///     let waiter = sedge::spawn(signal::ctrl_c);
///     sedge::yield_now();
///     signal::raise(SIGINT)?;
///     waiter.join().unwrap()
/// })
/// .unwrap();
/// ```
///
/// # Errors
///
/// As [`Signals::new`] and [`Signals::recv`].
///
/// # Panics
///
/// Outside [`run`](crate::run).
pub fn ctrl_c() -> io::Result<()> {
    Signals::new([SIGINT])?.recv().map(drop)
}

/// Sends a signal to this process. By the time it returns, every [`Signals`] has heard it.
///
/// # Errors
///
/// If there is no such signal.
pub fn raise(signal: c_int) -> io::Result<()> {
    low_level::raise(signal)
}

/// Does what the process does by default when it gets this signal, although somebody hears it: end
/// so that the parent is told of the signal, stop until `SIGCONT`, or nothing.
///
/// What a program calls that has cleaned up after a `SIGTERM`, or at a second one.
///
/// # Errors
///
/// If there is no such signal, or it is not known what it does.
pub fn default_action(signal: c_int) -> io::Result<()> {
    low_level::emulate_default_handler(signal)
}

/// An error where `signal-hook` panics.
fn check(signal: c_int) -> io::Result<()> {
    let refuse = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    if FORBIDDEN.contains(&signal) {
        let name = low_level::signal_name(signal).unwrap_or("this signal");
        return refuse(format!("{name} cannot be received"));
    }
    if !(1..=libc::SIGRTMAX()).contains(&signal) {
        return refuse(format!("there is no signal {signal}"));
    }
    Ok(())
}
