//! Why a job gives no value.

use std::fmt;
use std::panic::Location;
use std::sync::{Mutex, PoisonError};

use crate::thread::{self, Payload};

/// A job ended without a value: it panicked or was cancelled.
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
    /// None if the job was cancelled. In a mutex, for it need not be `Sync` and an error must.
    payload: Mutex<Option<Payload>>,
}

impl JobError {
    #[cold]
    pub(super) fn cancelled(submitted_at: &'static Location<'static>) -> JobError {
        JobError::new(submitted_at, None, None)
    }

    #[cold]
    pub(super) fn panicked(submitted_at: &'static Location<'static>, payload: Payload) -> JobError {
        let text = payload.downcast_ref::<&'static str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        JobError::new(submitted_at, text.map(str::to_owned), Some(payload))
    }

    fn new(
        submitted_at: &'static Location<'static>,
        message: Option<String>,
        payload: Option<Payload>,
    ) -> JobError {
        let inner = Inner {
            submitted_at,
            message,
            payload: Mutex::new(payload),
        };
        JobError {
            inner: Box::new(inner),
        }
    }

    /// Whether it was cancelled; otherwise it panicked.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        let payload = self.inner.payload.lock();
        payload.unwrap_or_else(PoisonError::into_inner).is_none()
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

    /// What the job panicked with, for [`std::panic::resume_unwind`].
    ///
    /// # Errors
    ///
    /// Gives the error back if the job was cancelled.
    pub fn into_panic(self) -> Result<Box<dyn std::any::Any + Send>, JobError> {
        let payload = self.inner.payload.lock();
        match payload.unwrap_or_else(PoisonError::into_inner).take() {
            Some(payload) => Ok(payload),
            None => Err(JobError::cancelled(self.inner.submitted_at)),
        }
    }

    /// Goes on unwinding with what the job has panicked with, here; the hook has printed it.
    #[cold]
    #[track_caller]
    pub(super) fn resume(self) -> ! {
        match self.into_panic() {
            Ok(payload) => thread::resume(payload),
            Err(error) => panic!("{error}, so there is no value to go on with"),
        }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the job submitted at {} ", self.inner.submitted_at)?;
        match self.message() {
            _ if self.is_cancelled() => f.write_str("was cancelled"),
            Some(message) => write!(f, "panicked: {message}"),
            None => f.write_str("panicked with a payload that is no text"),
        }
    }
}

impl fmt::Debug for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobError({self})")
    }
}

impl std::error::Error for JobError {}
