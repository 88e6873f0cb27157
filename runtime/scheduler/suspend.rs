//! The ways in which the running green thread suspends, and what it learns when it goes on.
//!
//! These are free functions, because the scheduler must not be borrowed while they switch.

use std::panic::Location;

use super::clock::Nanos;
use super::interrupt::Interrupt;
use super::table::{Label, ThreadId};
use super::{Scheduler, dump, try_with, with};
use crate::coroutine::{self, Resume, Suspend};
use crate::stats::Reason;

/// Parks the running green thread until it is woken or `deadline` passes; an interrupt comes back
/// as an error. It may also return for no reason at all, so call it in a loop around the condition.
#[inline(always)]
#[track_caller]
pub(crate) fn park(reason: Reason, deadline: Option<Nanos>) -> Result<(), Interrupt> {
    let timer = deadline.and_then(|deadline| with(|scheduler| scheduler.arm_wake(deadline)));
    let resume = suspend(Suspend::Park(reason));
    if let Some(timer) = timer {
        with(|scheduler| scheduler.timers.cancel(timer));
    }
    interrupted(resume)
}

/// As [`park`], for a green thread that is in the middle of unwinding; it is not unwound again.
/// Until it goes on, std's `panicking()` says true to everybody on this OS thread.
pub(crate) fn park_unwinding(reason: Reason, deadline: Option<Nanos>) {
    as_unwinder(|| park(reason, deadline));
}

/// As [`yield_now`], for a green thread that is in the middle of unwinding.
pub(crate) fn yield_unwinding() {
    as_unwinder(yield_now);
}

/// Whether another green thread is suspended while it unwinds.
pub(crate) fn others_unwind() -> bool {
    with(|scheduler| scheduler.unwinders > 0)
}

fn as_unwinder(suspend: impl FnOnce() -> Result<(), Interrupt>) {
    with(|scheduler| {
        if scheduler.unwinders == 0 {
            // Until now std's word was enough, and notes of unwindings that were caught are left
            // over.
            scheduler.table.forget_unwindings();
        }
        let record = scheduler.running();
        record.unwinding = true;
        record.unwinder = true;
        scheduler.unwinders += 1;
    });
    // An interrupt says that the note was wrong, for user code had caught the unwinding while
    // another green thread was suspended in its own. The caller waits in a loop and meets it again.
    let _ = suspend();
    with(|scheduler| {
        let counted = std::mem::take(&mut scheduler.running().unwinder);
        scheduler.unwinders -= usize::from(counted);
    });
}

/// Lets the others run first.
#[inline(always)]
#[track_caller]
pub(crate) fn yield_now() -> Result<(), Interrupt> {
    interrupted(suspend(Suspend::Yield))
}

/// Whether the running green thread is in the middle of unwinding.
///
/// std knows this of the OS thread only. That is the same, unless another green thread is suspended
/// while it unwinds; then what was noted of this one must do.
#[inline]
pub(crate) fn is_unwinding() -> bool {
    std::thread::panicking() && is_unwinding_itself()
}

#[cold]
fn is_unwinding_itself() -> bool {
    try_with(|scheduler| {
        scheduler.unwinders == 0 || !coroutine::is_running() || scheduler.running().unwinding
    })
    .unwrap_or(true)
}

/// Notes that the running green thread, if one runs, begins to unwind, or has been caught.
pub(crate) fn note_unwinding(unwinding: bool) {
    try_with(|scheduler| {
        if coroutine::is_running() {
            scheduler.running().unwinding = unwinding;
        }
    });
}

/// The id of the green thread that runs, if one does.
#[inline]
pub(crate) fn running_id() -> Option<ThreadId> {
    if coroutine::is_running() {
        Some(with(Scheduler::current))
    } else {
        None
    }
}

/// Id, name and origin of the green thread that runs, if one does and nothing is borrowed.
pub(crate) fn running_label() -> Option<(ThreadId, Label)> {
    let label = |scheduler: &mut Scheduler| {
        let record = scheduler.running();
        (record.id, record.label())
    };
    coroutine::is_running().then(|| try_with(label)).flatten()
}

#[inline(always)]
fn interrupted(resume: Resume) -> Result<(), Interrupt> {
    if resume == Resume::Cancel {
        interrupt_due()
    } else {
        Ok(())
    }
}

#[cold]
fn interrupt_due() -> Result<(), Interrupt> {
    with(|scheduler| scheduler.running().due()).map_or(Ok(()), Err)
}

/// Suspends, and answers to requests for a backtrace meanwhile.
#[inline(always)]
#[track_caller]
fn suspend(why: Suspend) -> Resume {
    loop {
        match coroutine::suspend(why) {
            Resume::Wake => return Resume::Wake,
            Resume::Cancel => return Resume::Cancel,
            Resume::Dump => dump::here(Location::caller()),
        }
    }
}
