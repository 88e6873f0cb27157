//! Panics that were decided on where a green thread cannot unwind, and come when it can.
//!
//! A call of C that must not be unwound has found that the green thread which made it breaks a
//! rule. The green thread is cancelled; but where the cancellation is delivered, at a wait of
//! sedge's own, a panic comes in its place.

use std::cell::RefCell;
use std::collections::HashMap;

use super::unwind::Payload;
use crate::scheduler::{self, Scheduler, ThreadId};

thread_local! {
    static VERDICTS: RefCell<HashMap<ThreadId, String>> = RefCell::default();
}

/// The running green thread panics with that message when it waits next.
pub(crate) fn condemn(message: String) {
    let thread = scheduler::with(Scheduler::current);
    VERDICTS.with_borrow_mut(|verdicts| verdicts.insert(thread, message));
    scheduler::with(|scheduler| scheduler.cancel(thread));
}

/// What the running green thread is to panic with, if it is.
pub(super) fn take(thread: ThreadId) -> Option<Payload> {
    let message = VERDICTS.with_borrow_mut(|verdicts| verdicts.remove(&thread))?;
    Some(Box::new(message))
}

/// Takes back a panic that began where it must not go on. False if it was no such panic.
pub(crate) fn put_back(payload: Payload) -> bool {
    let thread = scheduler::with(Scheduler::current);
    let Ok(message) = payload.downcast::<String>() else {
        return false;
    };
    VERDICTS.with_borrow_mut(|verdicts| verdicts.insert(thread, *message));
    true
}
