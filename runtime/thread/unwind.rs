//! Suspending green threads that may have to unwind: the one way the floors above wait.
//!
//! Cancellation and time limits are delivered as a panic with a private payload that no hook sees.
//! It starts at a suspension, runs destructors like any panic, and ends at the frame it is meant
//! for: the green thread's root, or the `timeout` that has passed.
//!
//! A green thread that is unwinding already must not suspend: std counts panics per OS thread, so
//! everybody else would see `panicking()` and poison innocent locks. I/O, sleeping and parking
//! therefore refuse ([`Unwinding`]). Locks, joins and scopes cannot refuse, for there is nothing to
//! return instead; they wait ([`park_until`]). What they were given in the moment of an interrupt
//! they keep, and are unwound at the next suspension.

use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};

use crate::scheduler::{self, Deadlock, Held, Interrupt, Level, Nanos, Scheduler, ThreadId, Want};
use crate::stats::Reason;

/// What a panic carries.
pub(crate) type Payload = Box<dyn Any + Send>;

/// The private payload: whom to unwind, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unwind {
    thread: ThreadId,
    interrupt: Interrupt,
}

impl Unwind {
    /// That of the cancellation of `thread`.
    pub(crate) fn cancel(thread: ThreadId) -> Unwind {
        Unwind {
            thread,
            interrupt: Interrupt::Cancel,
        }
    }
}

/// The private payload that ends the body of a generator, which belongs to no green thread.
#[derive(Debug)]
pub(crate) struct Closed;

/// The green thread is unwinding and may not suspend.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unwinding;

/// Parks until woken, spuriously perhaps, or until `deadline`; unwinds if something is due.
#[inline(always)]
#[track_caller]
pub(crate) fn park(reason: Reason, deadline: Option<Nanos>) -> Result<(), Unwinding> {
    if !scheduler::is_unwinding() {
        unwind_on(scheduler::park(reason, deadline));
    } else if scheduler::others_unwind() {
        // The harm is done, and the note that says this one unwinds may be wrong; if it refused, it
        // could keep from running whom the other waits for.
        scheduler::park_unwinding(reason, deadline);
    } else {
        return Err(Unwinding);
    }
    Ok(())
}

/// As [`park`], for what must wait even while unwinding; then nothing interrupts it.
#[inline(always)]
#[track_caller]
pub(crate) fn park_always(reason: Reason, deadline: Option<Nanos>) {
    if scheduler::is_unwinding() {
        scheduler::park_unwinding(reason, deadline);
    } else {
        unwind_on(scheduler::park(reason, deadline));
    }
}

/// Parks until `done`, at most until `deadline`, and says whether it was done. It waits even while
/// unwinding, as [`park_always`].
///
/// An interrupt that comes together with what was waited for does not unwind: it is met again at
/// the next suspension, and what was given to the waiter is not lost.
#[inline(always)]
#[track_caller]
pub(crate) fn park_until(reason: Reason, deadline: Option<Nanos>, done: impl Fn() -> bool) -> bool {
    done() || park_for_until(reason, deadline, done)
}

/// As [`park_until`], for who knows that it is not done yet.
#[inline(always)]
#[track_caller]
pub(crate) fn park_for_until(
    reason: Reason,
    deadline: Option<Nanos>,
    done: impl Fn() -> bool,
) -> bool {
    let nothing = |_| Ok::<(), Infallible>(());
    match park_prepared_until(nothing, reason, deadline, done) {
        Ok(done) => done,
        Err(never) => match never {},
    }
}

/// As [`park_until`], for what other green threads have. An error if there is no deadline and they
/// wait for this one in turn.
///
/// The caller panics with that report, and first takes back its place: the panic hook may wait, and
/// what it would be given meanwhile would be lost.
#[inline(always)]
#[track_caller]
pub(crate) fn park_until_free<H: Held>(
    what: &H,
    at: &'static Location<'static>,
    deadline: Option<Nanos>,
    done: impl Fn() -> bool,
) -> Result<bool, Deadlock> {
    let want = deadline.is_none().then_some(Want { what, at });
    let prepare = |unwinding| match &want {
        Some(want) => scheduler::want(what, want, unwinding),
        None => Ok(()),
    };
    if done() {
        return Ok(true);
    }
    park_prepared_until(prepare, what.reason(), deadline, done)
}

/// Calls `prepare` each time before it parks, with whether it unwinds; an error ends the wait.
#[inline(always)]
#[track_caller]
fn park_prepared_until<E>(
    prepare: impl Fn(bool) -> Result<(), E>,
    reason: Reason,
    deadline: Option<Nanos>,
    done: impl Fn() -> bool,
) -> Result<bool, E> {
    loop {
        let unwinding = scheduler::is_unwinding();
        prepare(unwinding)?;
        let parked = if unwinding {
            scheduler::park_unwinding(reason, deadline);
            Ok(())
        } else {
            scheduler::park(reason, deadline)
        };
        if done() {
            return Ok(true);
        }
        unwind_on(parked);
        if deadline.is_some_and(|deadline| scheduler::with(|s| s.has_passed(deadline))) {
            return Ok(false);
        }
    }
}

/// Lets others run; does nothing while unwinding, unless others are suspended in that.
#[inline(always)]
#[track_caller]
pub(crate) fn yield_now() {
    if !scheduler::is_unwinding() {
        unwind_on(scheduler::yield_now());
    } else if scheduler::others_unwind() {
        scheduler::yield_unwinding();
    }
}

/// Counts one I/O call against the budget of this turn, and yields when it is spent.
#[inline(always)]
#[track_caller]
pub(crate) fn spend_budget() {
    if !scheduler::is_unwinding() && !scheduler::with(Scheduler::spend) {
        yield_spent();
    }
}

#[cold]
#[inline(never)]
fn yield_spent() {
    unwind_on(scheduler::yield_now());
}

/// Goes on, or unwinds to where the interrupt says.
#[inline(always)]
pub(crate) fn unwind_on<T>(result: Result<T, Interrupt>) -> T {
    match result {
        Ok(value) => value,
        Err(interrupt) => unwind(interrupt),
    }
}

#[cold]
fn unwind(interrupt: Interrupt) -> ! {
    let thread = scheduler::with(Scheduler::current);
    #[cfg(feature = "patch")]
    if let Some(verdict) = super::verdict::take(thread) {
        resume(verdict)
    }
    resume(payload(thread, interrupt))
}

/// Unwinds with a payload, a new one or one that was caught; no hook sees it.
pub(crate) fn resume(payload: Payload) -> ! {
    scheduler::note_unwinding(true);
    resume_unwind(payload)
}

fn payload(thread: ThreadId, interrupt: Interrupt) -> Payload {
    Box::new(Unwind { thread, interrupt })
}

/// What a cancelled green thread leaves to be joined.
pub(crate) fn cancelled(thread: ThreadId) -> Payload {
    payload(thread, Interrupt::Cancel)
}

/// Whether a payload is that of the cancellation of `thread`; one that was taken from the error of
/// another and thrown on is not.
pub(crate) fn is_cancel(payload: &Payload, thread: ThreadId) -> bool {
    payload.downcast_ref() == Some(&Unwind::cancel(thread))
}

/// Whether a payload is a cancellation's, a time limit's or a closed generator's, and no panic's.
pub(crate) fn is_interrupt(payload: &Payload) -> bool {
    payload.is::<Unwind>() || payload.is::<Closed>()
}

/// Whether a payload is that of the running green thread's time limit on `level`.
pub(crate) fn is_timeout(payload: &Payload, level: Level) -> bool {
    let ours = || scheduler::with(Scheduler::current);
    payload.downcast_ref::<Unwind>().is_some_and(|unwind| {
        unwind.interrupt == Interrupt::Timeout(level) && unwind.thread == ours()
    })
}

/// Runs `f` and hands back what unwound it. The caller sees to what `f` may have left half done.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, Payload> {
    let before = scheduler::is_unwinding();
    let result = catch_unwind(AssertUnwindSafe(f));
    if result.is_err() {
        scheduler::note_unwinding(before);
    }
    result
}

/// Runs `f` and drops what unwound it; says whether nothing did.
pub(crate) fn contain(f: impl FnOnce()) -> bool {
    let Err(payload) = catch(f) else { return true };
    if let Err(worse) = catch(|| drop(payload)) {
        // A payload that panics when it is dropped: there may be no end of them.
        std::mem::forget(worse);
    }
    false
}

/// Runs `f` such that nothing from outside unwinds it: a cancellation of this green thread, and
/// time limits that began before, wait until `f` has returned. They are delivered at the next
/// suspension after that. A [`timeout`](crate::timeout) inside `f` works as ever.
///
/// For what must not stop half-way: a message with two parts, a clean farewell. gevent has no twin.
///
/// ```
/// use std::time::Duration;
///
/// sedge::run(|| {
///     let thread = sedge::spawn(|| {
///         sedge::shield(|| sedge::sleep(Duration::from_millis(5)));
///         println!("the sleep was not cut short");
///         sedge::sleep(Duration::from_secs(3600)); // this one is
///     });
///     sedge::yield_now();
///     thread.cancel();
///     assert!(thread.join().unwrap_err().is_cancelled());
/// });
/// ```
///
/// # Panics
///
/// Outside [`run`](crate::run).
#[track_caller]
pub fn shield<T>(f: impl FnOnce() -> T) -> T {
    struct Shield(Level);

    impl Drop for Shield {
        fn drop(&mut self) {
            scheduler::with(|scheduler| scheduler.leave_shield(self.0));
        }
    }

    let _shield = Shield(scheduler::with(Scheduler::enter_shield));
    f()
}
