//! Who keeps a worker's loop from turning: asked by signal, answered by the handler.
//!
//! ```text
//!    launcher: why(pid, slot)                      worker, whose loop does not turn
//!       is it stopped? (/proc/PID/stat)
//!       wipe the words in the slot ── SIGURG ──>  handler: finds whose stack runs, writes name and
//!       wait until there are some  <── board ───  place of spawn into the slot and to stderr
//! ```
//!
//! The signal is `SIGURG`, because by default it does nothing: a worker that has no handler yet is
//! not ended by the question. (Go chose it for that too. The kernel sends it only for sockets that
//! somebody has told it to own.)
//!
//! The handler takes no lock and allocates nothing. It learns whom it has interrupted by an address
//! on his stack, and reads the label at the stack's top, as the report of an overflow does. The
//! kernel may run it on another OS thread of the process; then it passes the signal on to the one
//! with the loop.

use std::fmt::{self, Write};
use std::fs;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::gettid;

use crate::coroutine;
use crate::launch::board::Slot;
use crate::scheduler::restore_errno;
use crate::stack::overflow::{Owner, Text};

/// How long a worker has to answer, and how often the launcher looks whether it has.
const PATIENCE: Duration = Duration::from_millis(250);
const LOOK: Duration = Duration::from_millis(5);

/// Where the answer goes, and which OS thread has the loop. Written once, before the handler is
/// there.
static SLOT: AtomicPtr<Slot> = AtomicPtr::new(ptr::null_mut());
static LOOP: AtomicI32 = AtomicI32::new(0);

/// Has this process answer from now on, for the loop of the calling OS thread.
///
/// # Errors
///
/// None that a kernel has a reason for.
pub(crate) fn answer(slot: &'static Slot) -> io::Result<()> {
    LOOP.store(gettid().as_raw_nonzero().get(), Ordering::Relaxed);
    SLOT.store(ptr::from_ref(slot).cast_mut(), Ordering::Release);
    // SAFETY: all-zero bytes are a valid `sigaction`: default handler, empty mask, no flags.
    let mut ours: libc::sigaction = unsafe { std::mem::zeroed() };
    ours.sa_sigaction = handle as extern "C" fn(_) as usize;
    ours.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: the pointer is to a live value; `handle` has the signature that a handler without
    // `SA_SIGINFO` has, and calls only what a signal handler may call.
    let done = unsafe { libc::sigaction(libc::SIGURG, &raw const ours, ptr::null_mut()) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

extern "C" fn handle(signal: libc::c_int) {
    let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
    let owner = LOOP.load(Ordering::Relaxed);
    if gettid().as_raw_nonzero().get() == owner {
        tell();
    } else {
        let process = std::process::id();
        // SAFETY: a system call on numbers. If that OS thread has ended, it fails.
        unsafe { libc::syscall(libc::SYS_tgkill, process, owner, signal) };
    }
    restore_errno(errno);
}

/// Writes who runs into the slot, and to standard error.
fn tell() {
    let slot = SLOT.load(Ordering::Acquire);
    // SAFETY: null, or from a `&'static Slot`, which is shared and atomics only.
    let Some(slot) = (unsafe { slot.as_ref() }) else {
        return;
    };
    let mut words = Text::new();
    if let Some(owner) = Owner::at(coroutine::running_address()) {
        let _ = write!(words, "{owner}");
        if let Some(place) = owner.spawned_at() {
            let _ = write!(words, " (spawned at {place})");
        }
    }
    slot.write_hog(words.as_bytes());
    if words.as_bytes().is_empty() {
        let _ = write!(words, "no green thread");
    }
    let _ = writeln!(words, " runs, and the loop has not turned");
    words.print();
}

/// Why a worker's loop does not turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// This green thread does not give the OS thread back: name and place of spawn.
    Hog(String),
    /// No green thread runs: the process ends, or is outside [`run`](crate::run).
    Nobody,
    /// A signal or a debugger has stopped it.
    Stopped,
    /// It does not answer; with the state that the kernel tells: `D` is waiting for a disk, `Z` is
    /// dead.
    Silent(Option<char>),
}

/// Asks a worker, and waits for its answer for a quarter of a second at most.
///
/// # Panics
///
/// Outside [`run`](crate::run).
pub(crate) fn why(pid: u32, slot: &Slot) -> Cause {
    let state = state(pid);
    if let Some('T' | 't') = state {
        return Cause::Stopped;
    }
    slot.clear_hog();
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if pid.is_some_and(|pid| kill_process(pid, Signal::URG).is_ok()) {
        for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
            match slot.hog() {
                Some(words) if words.is_empty() => return Cause::Nobody,
                Some(words) => return Cause::Hog(words),
                None => crate::sleep(LOOK),
            }
        }
    }
    Cause::Silent(state)
}

/// The state of a process, as `/proc` tells it.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.trim_start().chars().next()
}

impl Cause {
    /// One line for the log.
    pub(crate) fn report(&self, id: usize, pid: u32, silence: Duration) -> String {
        let seconds = silence.as_secs_f64();
        format!("worker {id} (pid {pid}) has not turned for {seconds:.0} s: {self}")
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Hog(words) => write!(f, "{words} hogs it"),
            Cause::Nobody => write!(f, "no green thread runs in it"),
            Cause::Stopped => write!(f, "it is stopped, by SIGSTOP or a debugger"),
            Cause::Silent(Some(state)) => write!(f, "it answers no signal (state {state})"),
            Cause::Silent(None) => write!(f, "it is gone"),
        }
    }
}
