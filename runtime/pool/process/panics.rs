//! Where the panics of a worker's tasks happen: only the panic hook is told.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::panic;

use super::codec;
use crate::scheduler::{self, ThreadId};

/// Message, location, backtrace.
pub(super) type Description = (Option<String>, Option<String>, Option<String>);

thread_local! {
    /// The last panic, and whose it was.
    static LAST: RefCell<Option<(ThreadId, String, Option<String>)>> = const { RefCell::new(None) };
}

/// Notes every panic from now on, before the hook prints it that is there already.
pub(super) fn watch() {
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if let (Some(id), Some(location)) = (scheduler::running_id(), info.location()) {
            let backtrace = Backtrace::capture();
            let backtrace =
                (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
            LAST.set(Some((id, location.to_string(), backtrace)));
        }
        previous(info);
    }));
}

/// What is known of the panic that was just caught.
pub(super) fn describe(payload: &(dyn Any + Send)) -> Description {
    let message = codec::text(payload).map(str::to_owned);
    match LAST.take() {
        Some((id, location, backtrace)) if scheduler::running_id() == Some(id) => {
            (message, Some(location), backtrace)
        }
        _ => (message, None, None),
    }
}
