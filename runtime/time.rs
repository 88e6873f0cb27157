//! Time limits.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::scheduler;
use crate::thread::{catch, is_timeout, resume};

/// The time limit of a [`timeout`] passed before the call was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Elapsed {
    /// The limit.
    pub limit: Duration,
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not done within {:?}", self.limit)
    }
}

impl std::error::Error for Elapsed {}

/// [`TimedOut`](io::ErrorKind::TimedOut), so that `timeout(limit, || stream.read(..))??` works.
impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}

/// Runs `f` for at most `limit`. When that has passed, `f` is unwound from where it waits, or from
/// where it would wait next, and destructors run; the green thread goes on behind this call. Named
/// after tokio's; gevent's `with_timeout`.
///
/// It unwinds `f` alone. Limits may nest in any order of length: when an outer one passes, inner
/// calls are unwound with it, and none takes another's expiry for its own. A value that `f` returns
/// is never given up, even if the limit passed meanwhile. With a limit of zero, `f` runs until it
/// would wait for the first time. A green thread that does not wait cannot be stopped.
///
/// What `f` has spawned is not `f`: it runs on, detached where `f` owned its handle, except in a
/// [`scope`](crate::scope), which cancels its children.
///
/// ```
/// use std::time::Duration;
///
/// sedge::run(|| {
///     let (short, long) = (Duration::from_millis(5), Duration::from_secs(9));
///     let slow = sedge::timeout(short, || sedge::sleep(long));
///     assert!(slow.is_err());
///     let fast = sedge::timeout(long, || 42);
///     assert_eq!(fast, Ok(42));
/// });
/// ```
///
/// # Errors
///
/// [`Elapsed`] if the limit passed and `f` was unwound.
///
/// # Panics
///
/// With `f`'s panic; outside [`run`](crate::run); and in a program built with `panic = "abort"`,
/// where nothing can be unwound.
#[inline(always)]
#[track_caller]
pub fn timeout<T>(limit: Duration, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    if cfg!(panic = "abort") {
        panic!(
            "sedge::timeout unwinds the call, which panic = \"abort\" has switched off; build with \
         panic = \"unwind\", or use the time limits of the calls themselves (set_read_timeout, ...)"
        );
    }
    let (level, timer) = scheduler::with(|scheduler| scheduler.enter_timeout(limit));
    let result = catch(f);
    scheduler::with(|scheduler| scheduler.leave_timeout(level, timer));
    match result {
        Ok(value) => Ok(value),
        Err(payload) if is_timeout(&payload, level) => Err(Elapsed { limit }),
        Err(payload) => resume(payload),
    }
}
