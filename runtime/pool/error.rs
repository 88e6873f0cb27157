//! Why a job gives no value.

use std::error::Error;
use std::fmt;
use std::io::Write;
use std::panic::Location;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

use crate::thread::{self, Payload};

/// What has become of a job that ran elsewhere.
type Cause = Box<dyn Error + Send + Sync>;

/// A job ended without a value: it panicked, was cancelled or, in a process of its own, was lost.
///
/// ```
/// use sedge::pool::Pool;
///
/// sedge::run(|| {
///     let job = Pool::new(1).spawn(|| "12x".parse::<u32>().expect("digits"));
///     let error = job.result().unwrap_err();
///     assert!(!error.is_cancelled());
///     assert!(error.message().unwrap().starts_with("digits: ParseIntError"));
/// });
/// ```
pub struct JobError {
    // Boxed, so that a job that succeeds does not move it.
    inner: Box<Inner>,
}

struct Inner {
    submitted_at: &'static Location<'static>,
    message: Option<String>,
    /// None if it did not panic. In a mutex, for it need not be `Sync` and an error must.
    payload: Mutex<Option<Payload>>,
    /// From another process; without one, it panicked or was cancelled in this.
    cause: Option<Cause>,
    /// Nobody has printed it so far, and it must not be dropped before somebody has had it.
    unseen: AtomicBool,
}

impl JobError {
    #[cold]
    pub(super) fn cancelled(submitted_at: &'static Location<'static>) -> JobError {
        JobError::new(submitted_at, None, None, None)
    }

    /// One whose job ran elsewhere; with a text if it was a panic, which was printed there.
    /// Anything else is printed if it is dropped unseen.
    #[cold]
    #[cfg(feature = "ipc")]
    pub(super) fn failed(
        submitted_at: &'static Location<'static>,
        cause: Cause,
        panic: Option<String>,
    ) -> JobError {
        let payload = panic.clone().map(|text| Box::new(text) as Payload);
        let unseen = payload.is_none();
        let error = JobError::new(submitted_at, panic, payload, Some(cause));
        error.inner.unseen.store(unseen, Relaxed);
        error
    }

    /// Somebody has it now, and need not be told.
    pub(super) fn seen(&self) {
        self.inner.unseen.store(false, Relaxed);
    }

    #[cold]
    pub(super) fn panicked(submitted_at: &'static Location<'static>, payload: Payload) -> JobError {
        let text = payload.downcast_ref::<&'static str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        JobError::new(submitted_at, text.map(str::to_owned), Some(payload), None)
    }

    fn new(
        submitted_at: &'static Location<'static>,
        message: Option<String>,
        payload: Option<Payload>,
        cause: Option<Cause>,
    ) -> JobError {
        let inner = Inner {
            submitted_at,
            message,
            payload: Mutex::new(payload),
            cause,
            unseen: AtomicBool::new(false),
        };
        JobError {
            inner: Box::new(inner),
        }
    }

    /// Whether it was cancelled; otherwise it panicked, or has another cause that
    /// [`source`](Error::source) tells.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        let payload = self.inner.payload.lock();
        let payload = payload.unwrap_or_else(PoisonError::into_inner);
        payload.is_none() && self.inner.cause.is_none()
    }

    /// The text of the panic, where the payload is a text, as `panic!` makes it.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.inner.message.as_deref()
    }

    /// Where the job was given to its pool.
    #[must_use]
    pub fn submitted_at(&self) -> &'static Location<'static> {
        self.inner.submitted_at
    }

    /// What the job panicked with, for [`std::panic::resume_unwind`]; its text, if that was in
    /// another process.
    ///
    /// # Errors
    ///
    /// Gives the error back if the job did not panic.
    pub fn into_panic(self) -> Result<Box<dyn std::any::Any + Send>, JobError> {
        let payload = {
            let payload = self.inner.payload.lock();
            payload.unwrap_or_else(PoisonError::into_inner).take()
        };
        payload.ok_or(self)
    }

    /// Goes on unwinding with what the job has panicked with, here; the hook has printed it.
    ///
    /// # Panics
    ///
    /// Always: if the job did not panic, with what has become of it.
    #[cold]
    #[track_caller]
    pub fn resume(self) -> ! {
        self.seen();
        match self.into_panic() {
            Ok(payload) => thread::resume(payload),
            Err(error) => panic!("{error}, so there is no value to go on with"),
        }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the job submitted at {} ", self.inner.submitted_at)?;
        match (&self.inner.cause, self.message()) {
            (Some(cause), _) => write!(f, "{cause}"),
            (None, Some(message)) => write!(f, "panicked: {message}"),
            (None, None) if self.is_cancelled() => f.write_str("was cancelled"),
            (None, None) => f.write_str("panicked with a payload that is no text"),
        }
    }
}

impl fmt::Debug for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobError({self})")
    }
}

impl Error for JobError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let cause = self.inner.cause.as_deref()?;
        Some(cause)
    }
}

/// What nobody has looked at is printed at last, so that no failure is silent.
impl Drop for Inner {
    fn drop(&mut self) {
        if self.unseen.load(Relaxed) {
            let (at, cause) = (self.submitted_at, self.cause.as_deref());
            let cause = cause.map(ToString::to_string).unwrap_or_default();
            // Nothing can be done about a standard error that is closed.
            let _ = writeln!(
                std::io::stderr(),
                "sedge: the job submitted at {at} {cause}; nobody has looked at its result"
            );
        }
    }
}
