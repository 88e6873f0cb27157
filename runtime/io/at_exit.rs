//! What is done at the end of the process, by whichever road: `main` returns, or `exit`.

use std::sync::Once;

/// Has `stdout` flushed at the end.
pub(super) fn flush_stdout() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: `flush` is a function of this program, so it is there for as long as it runs, and
        // it does not unwind: a panic in an `extern "C"` function aborts. If it cannot be
        // registered, a last line without an end is lost.
        unsafe { libc::atexit(flush) };
    });
}

extern "C" fn flush() {
    super::stdout::flush_at_exit();
}
