//! Panics that were decided on where a green thread cannot unwind, and come when it can.
//!
//! A call of C that must not be unwound has found that the green thread which made it breaks a
//! rule. The green thread is cancelled; but where the cancellation is delivered, at a wait of
//! sedge's own or at the end of the body, a panic comes in its place.

use std::cell::RefCell;

use super::unwind::{Payload, contain};
use crate::scheduler::{self, Scheduler, ThreadId};

thread_local! {
    static VERDICTS: RefCell<Vec<(ThreadId, String)>> = const { RefCell::new(Vec::new()) };
}

/// The running green thread panics with that message when it waits next, or ends.
pub(crate) fn condemn(message: String) {
    let thread = scheduler::with(Scheduler::current);
    VERDICTS.with_borrow_mut(|verdicts| verdicts.push((thread, message)));
    scheduler::with(|scheduler| scheduler.cancel(thread));
}

/// What a green thread is to panic with, if it is.
pub(super) fn take(thread: ThreadId) -> Option<Payload> {
    VERDICTS.with_borrow_mut(|verdicts| {
        let place = verdicts
            .iter()
            .position(|(condemned, _)| *condemned == thread)?;
        let (_, message) = verdicts.swap_remove(place);
        Some(Box::new(message) as Payload)
    })
}

/// Takes back a panic that began where it must not go on. False if it was no such panic.
pub(crate) fn put_back(payload: Payload) -> bool {
    let thread = scheduler::with(Scheduler::current);
    let Ok(message) = payload.downcast::<String>() else {
        return false;
    };
    VERDICTS.with_borrow_mut(|verdicts| verdicts.push((thread, *message)));
    true
}

/// At the end of a body: the panic that is still due, in the place of its result.
pub(super) fn deliver<T>(result: Result<T, Payload>) -> Result<T, Payload> {
    match take(scheduler::with(Scheduler::current)) {
        None => result,
        Some(verdict) => {
            contain(|| drop(result));
            Err(verdict)
        }
    }
}
