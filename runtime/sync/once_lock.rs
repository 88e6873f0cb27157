//! A value that is set once.

use std::cell::OnceCell;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::once::Once;

/// A value that is set once and then shared, with the methods of [`std::sync::OnceLock`].
///
/// The closure that makes the value may wait; others who want it park meanwhile. If it panics or is
/// cancelled, the next one's closure has its turn.
///
/// ```
/// use sedge::sync::OnceLock;
///
/// thread_local! {
///     static CONFIG: OnceLock<String> = const { OnceLock::new() };
/// }
///
/// CONFIG.with(|config| {
///     assert_eq!(config.get(), None);
///     assert_eq!(config.get_or_init(|| "verbose".to_owned()), "verbose");
///     assert_eq!(config.set("quiet".to_owned()), Err("quiet".to_owned()));
/// });
/// ```
pub struct OnceLock<T> {
    once: Once,
    /// Set in the closure of `once`, as the last thing that it does.
    value: OnceCell<T>,
}

impl<T> OnceLock<T> {
    /// One without a value.
    #[must_use]
    pub const fn new() -> OnceLock<T> {
        OnceLock {
            once: Once::new(),
            value: OnceCell::new(),
        }
    }

    /// The value, if there is one. It never waits.
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value, if there is one.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Waits until somebody has set the value. As std's.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run), or for the closure that it is called in.
    #[track_caller]
    pub fn wait(&self) -> &T {
        self.once.wait_force();
        self.value.get().expect(SET)
    }

    /// Sets the value; if somebody is just making one, it waits for what comes of that. As std's.
    ///
    /// # Errors
    ///
    /// If there is a value already: the one that was to be set.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run), or for the closure that it is called in.
    #[track_caller]
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.once.call_once_force(|_| {
            let value = value.take().expect("the closure is called once");
            self.fill(value);
        });
        value.map_or(Ok(()), Err)
    }

    /// The value; if there is none, `f` makes it. As std's.
    ///
    /// # Panics
    ///
    /// With `f`'s panic; if it must wait outside [`run`](crate::run), or for the closure that it is
    /// called in.
    #[track_caller]
    pub fn get_or_init<F>(&self, f: F) -> &T
    where
        F: FnOnce() -> T,
    {
        if self.value.get().is_none() {
            self.once.call_once_force(|_| self.fill(f()));
        }
        self.value.get().expect(SET)
    }

    /// The value, if there is one.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Takes the value out, if there is one; it can be set again then.
    pub fn take(&mut self) -> Option<T> {
        std::mem::take(self).into_inner()
    }

    fn fill(&self, value: T) {
        let full = self.value.set(value).is_err();
        assert!(!full, "only one closure of a Once runs to its end");
    }
}

const SET: &str = "a Once is completed when its closure has set the value";

impl<T> Default for OnceLock<T> {
    fn default() -> OnceLock<T> {
        OnceLock::new()
    }
}

impl<T> From<T> for OnceLock<T> {
    /// One that is set.
    fn from(value: T) -> OnceLock<T> {
        let lock = OnceLock::new();
        lock.once.call_once(|| lock.fill(value));
        lock
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> OnceLock<T> {
        self.get()
            .cloned()
            .map_or_else(OnceLock::new, OnceLock::from)
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &OnceLock<T>) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}

impl<T: UnwindSafe> UnwindSafe for OnceLock<T> {}
impl<T: UnwindSafe + RefUnwindSafe> RefUnwindSafe for OnceLock<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => out.field(value),
            None => out.field(&format_args!("<uninit>")),
        };
        out.finish()
    }
}
