//! Finds green threads that put the whole OS thread to sleep.
//!
//! std's locks, channels and `park`, and those of `parking_lot`, wait in a futex, by
//! `libc::syscall`; std's join of an OS thread is `pthread_join`. Both can be seen here, and only
//! seen: such a wait cannot be made to park, for most of them take the OS thread for who waits.
//!
//! A wait for another OS thread that holds a lock for a moment is nobody's mistake, and sedge's own
//! `blocking` has such locks. So a wait is only looked at when it has lasted for [`GRACE`].

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::collections::HashSet;
use std::ffi::{c_int, c_long, c_void};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use libc::{pthread_t, timespec};

use super::real::{self, libc};
use super::wait;
use crate::{coroutine, scheduler, thread};

/// What happens to a green thread that is about to put its OS thread to sleep while there are
/// others; for [`on_block`](super::on_block).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Policy {
    /// Nothing. The default.
    Ignore,
    /// It is reported on standard error, once for each place in the program.
    Report,
    /// It is reported, each time, and panics with the report when it waits for something of sedge's
    /// next, or ends. Meanwhile the others run, until what it waits for has come. For tests.
    ///
    /// If two wait at the same time for locks that are not std's, which would take one for the
    /// other, the process aborts.
    Panic,
}

static POLICY: AtomicU8 = AtomicU8::new(Policy::Ignore as u8);

/// A wait that is shorter is not looked at.
const GRACE: Duration = Duration::from_millis(10);
/// Under [`Policy::Panic`], between two looks whether the wait is over.
const PAUSE: Duration = Duration::from_millis(1);
/// Frames of a backtrace that tell two places apart.
const DEPTH: usize = 24;
/// Others that a report lists.
const LISTED: usize = 8;

pub(super) fn set(policy: Policy) {
    POLICY.store(policy as u8, Ordering::Relaxed);
}

thread_local! {
    /// A report is being made, which takes locks of std's itself.
    static REPORTING: Cell<bool> = const { Cell::new(false) };
}

#[inline(always)]
fn is_watched() -> bool {
    POLICY.load(Ordering::Relaxed) != Policy::Ignore as u8 && is_green()
}

#[cold]
fn is_green() -> bool {
    coroutine::is_running() && !scheduler::is_unwinding() && !REPORTING.get()
}

// In C it takes as many arguments as the system call does. On x86-64 and AArch64 they come where
// they would be without the dots, and in the places of others is something that is passed on as
// libc would.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    if number == libc::SYS_futex && is_watched() {
        let command = b as c_int & !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);
        if matches!(command, libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET) {
            let futex = Futex {
                word: ptr::with_exposed_provenance(a),
                expected: c as u32,
                // Others use the older operation.
                is_std: command == libc::FUTEX_WAIT_BITSET,
            };
            if let Some(result) = futex.watch() {
                return result;
            }
        }
    }
    libc!(syscall(number, a, b, c, d, e, f))
}

/// A wait until a word is not as expected.
struct Futex {
    word: *const AtomicU32,
    expected: u32,
    is_std: bool,
}

impl Futex {
    /// What the call returns; `None` if it is to be made.
    fn watch(&self) -> Option<c_long> {
        if !self.lasts() || !others_wait() {
            return None;
        }
        if report("a futex: a lock, a channel or a `park` of std's, or of a crate like it") {
            let _place = (!self.is_std).then(Foreign::enter);
            while self.lasts() && wait_a_little() {}
            // Its callers look again when they are woken for nothing.
            super::raw::set_errno(libc::EAGAIN);
            return Some(-1);
        }
        None
    }

    /// Whether it is still as expected after a moment.
    fn lasts(&self) -> bool {
        self.would_wait() && {
            let grace = timespec {
                tv_sec: 0,
                tv_nsec: GRACE.subsec_nanos().into(),
            };
            let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
            // SAFETY: waiting reads the word, which its owner wants to have read, and the time.
            unsafe {
                real::syscall(
                    libc::SYS_futex,
                    self.word.addr(),
                    operation as usize,
                    self.expected as usize,
                    ptr::from_ref(&grace).addr(),
                    0,
                    0,
                )
            };
            self.would_wait()
        }
    }

    fn would_wait(&self) -> bool {
        // SAFETY: it is what the caller gave the kernel to be read, and aligned, or the kernel
        // would refuse it: what is not is left to the kernel.
        self.word.is_aligned()
            && !self.word.is_null()
            && unsafe { &*self.word }.load(Ordering::Relaxed) == self.expected
    }
}

/// A green thread that is let into a lock which is not std's. Such locks keep a waiter's place in
/// the OS thread's locals, where two cannot be.
struct Foreign;

thread_local! {
    static FOREIGN: Cell<bool> = const { Cell::new(false) };
}

impl Foreign {
    fn enter() -> Foreign {
        if FOREIGN.replace(true) {
            let _ = writeln!(
                std::io::stderr(),
                "sedge: two green threads of one OS thread wait for locks that keep their waiters \
                 by OS thread; they cannot both be let in"
            );
            std::process::abort();
        }
        Foreign
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        FOREIGN.set(false);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_join(joined: pthread_t, value: *mut *mut c_void) -> c_int {
    if is_watched() {
        // SAFETY: the caller's arguments, of a function that is as `pthread_join` but for waiting.
        let join = || unsafe { libc::pthread_tryjoin_np(joined, value) };
        let result = join();
        if result != libc::EBUSY {
            return result;
        }
        if others_wait() && report("the end of an OS thread") {
            while wait_a_little() {
                let result = join();
                if result != libc::EBUSY {
                    return result;
                }
            }
        }
    }
    libc!(pthread_join(joined, value))
}

/// Whether there are others whom the wait would keep from running. Not if the scheduler itself is
/// at work.
fn others_wait() -> bool {
    scheduler::try_with(|scheduler| scheduler.snapshot().len() > 1).unwrap_or(false)
}

/// Lets others run for a moment; false if that is impossible.
fn wait_a_little() -> bool {
    wait::guard(|| thread::shield(|| wait::sleep_until(wait::after(PAUSE)))).is_ok()
}

/// Reports a wait of the running green thread. Whether it is to be let in, and pays for that.
#[cold]
fn report(what: &str) -> bool {
    REPORTING.set(true);
    let panics = POLICY.load(Ordering::Relaxed) == Policy::Panic as u8;
    if panics || is_new_place() {
        let text = text(what);
        // Nothing can be done about a standard error that is closed.
        let _ = writeln!(
            std::io::stderr(),
            "sedge: {text}\n{}",
            Backtrace::force_capture()
        );
        if panics {
            thread::condemn(text);
        }
    }
    REPORTING.set(false);
    panics
}

fn text(what: &str) -> String {
    let me = thread::current();
    let mut text = format!(
        "green thread {} puts its whole OS thread to sleep: it waits for {what}",
        name(&me)
    );
    let others: Vec<_> = thread::all()
        .into_iter()
        .filter(|other| other.id() != me.id())
        .collect();
    let _ = write!(
        text,
        "; who else cannot run, and may have what it waits for:"
    );
    for other in others.iter().take(LISTED) {
        let _ = write!(text, "\n  green thread {}, {}", name(other), other.state());
    }
    if others.len() > LISTED {
        let _ = write!(text, "\n  and {} more", others.len() - LISTED);
    }
    text
}

fn name(thread: &thread::Thread) -> String {
    let name = thread.name().unwrap_or("<unnamed>");
    format!(
        "'{name}' (#{}), spawned at {}",
        thread.id().as_u64(),
        thread.spawned_at()
    )
}

/// Whether nobody was reported yet who came here the same way.
fn is_new_place() -> bool {
    static PLACES: Mutex<Option<HashSet<u64>>> = Mutex::new(None);
    let mut frames = [ptr::null_mut(); DEPTH];
    // SAFETY: there is room for so many.
    let count = unsafe { libc::backtrace(frames.as_mut_ptr(), DEPTH as c_int) };
    let count = usize::try_from(count).unwrap_or(0);
    let mut hasher = DefaultHasher::new();
    frames[..count].hash(&mut hasher);
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    places.get_or_insert_default().insert(hasher.finish())
}
