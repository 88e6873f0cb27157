//! Why a join gives no value.

use std::any::Any;
use std::fmt;
use std::panic::Location;

use super::unwind::{Payload, Unwind};
use super::{Thread, ThreadId};

/// The result of a join: the green thread's value, or why there is none.
pub type Result<T> = std::result::Result<T, JoinError>;

/// A green thread ended without a value: it panicked or was cancelled.
///
/// std has the bare payload here. This names the green thread, prints the message, and gives the
/// payload through [`into_panic`](JoinError::into_panic).
///
/// ```
/// sedge::run(|| {
///     let thread = sedge::thread::Builder::new().name("adder".into()).spawn(|| {
///         let digits: u32 = "12x".parse().expect("digits");
///         digits + 1
///     });
///     let error = thread.unwrap().join().unwrap_err();
///     assert!(!error.is_cancelled());
///     assert!(error.to_string().starts_with("green thread 'adder'"));
///     assert!(error.to_string().contains("digits: ParseIntError"));
/// });
/// ```
pub struct JoinError {
    // Boxed, so that a join that succeeds does not move it.
    inner: Box<Inner>,
}

struct Inner {
    id: ThreadId,
    name: Option<String>,
    spawned_at: &'static Location<'static>,
    payload: Shareable,
}

/// A payload of which only what is `Sync` can be seen through a shared reference, so that the error
/// is `Sync`, as `Box<dyn Error + Send + Sync>` and [`std::io::Error`] ask.
struct Shareable(Payload);

// SAFETY: several OS threads may hold `&Shareable` at once. All that it gives them is
// `downcast_ref`, which demands that the value it shows be `Sync`, and looks at the type of any
// other only.
unsafe impl Sync for Shareable {}

impl Shareable {
    fn downcast_ref<T: Any + Sync>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl JoinError {
    #[cold]
    pub(super) fn new(thread: &Thread, payload: Payload) -> JoinError {
        let inner = Inner {
            id: thread.id(),
            name: thread.name().map(str::to_owned),
            spawned_at: thread.spawned_at(),
            payload: Shareable(payload),
        };
        JoinError {
            inner: Box::new(inner),
        }
    }

    /// Whether it was cancelled; otherwise it panicked.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.inner.payload.downcast_ref() == Some(&Unwind::cancel(self.inner.id))
    }

    /// Whose error it is.
    #[must_use]
    pub fn id(&self) -> ThreadId {
        self.inner.id
    }

    /// The name of the green thread.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.inner.name.as_deref()
    }

    /// Where the green thread was spawned.
    #[must_use]
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.inner.spawned_at
    }

    /// The text of the panic, where the payload is a text, as `panic!` makes it.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        let text = self.inner.payload.downcast_ref::<&'static str>().copied();
        text.or_else(|| {
            self.inner
                .payload
                .downcast_ref::<String>()
                .map(String::as_str)
        })
    }

    /// The payload, if it is a `T`. By value, [`downcast`](JoinError::downcast), it need not be
    /// `Sync`.
    #[must_use]
    pub fn downcast_ref<T: Any + Sync>(&self) -> Option<&T> {
        self.inner.payload.downcast_ref()
    }

    /// The payload by value.
    ///
    /// # Errors
    ///
    /// Gives the error back if the payload is no `T`.
    pub fn downcast<T: Any>(mut self) -> std::result::Result<Box<T>, JoinError> {
        let nothing: Payload = Box::new(());
        match std::mem::replace(&mut self.inner.payload.0, nothing).downcast() {
            Ok(payload) => Ok(payload),
            Err(payload) => {
                self.inner.payload.0 = payload;
                Err(self)
            }
        }
    }

    /// The payload, for [`std::panic::resume_unwind`]: what std's `join` returns.
    ///
    /// Ask [`is_cancelled`](JoinError::is_cancelled) first: resuming a cancellation prints nothing,
    /// and ends the one that does it with an error that has no message of its own.
    #[must_use]
    pub fn into_panic(self) -> Box<dyn Any + Send + 'static> {
        self.inner.payload.0
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name().unwrap_or("<unnamed>");
        write!(f, "green thread '{name}' (#{}) ", self.inner.id.as_u64())?;
        match self.message() {
            _ if self.is_cancelled() => f.write_str("was cancelled"),
            Some(message) => write!(f, "panicked: {message}"),
            None if self.downcast_ref::<Unwind>().is_some() => {
                f.write_str("resumed the cancellation or the time limit of another")
            }
            None => f.write_str("panicked with a payload that is no text"),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self}, spawned at {})", self.inner.spawned_at)
    }
}

impl std::error::Error for JoinError {}
