//! A value that is made when it is first wanted.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::once::Once;

/// A value that is made on first use, as [`std::sync::LazyLock`].
///
/// The closure may wait; others who want the value park meanwhile. If it panics, or is unwound by a
/// cancellation or a [`timeout`](crate::timeout), there will never be a value, and each use panics.
///
/// ```
/// use sedge::sync::LazyLock;
///
/// thread_local! {
///     static SQUARES: LazyLock<Vec<u32>> = const {
///         LazyLock::new(|| (0..4).map(|i| i * i).collect())
///     };
/// }
///
/// assert_eq!(SQUARES.with(|squares| squares.len()), 4);
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    once: Once,
    /// Set in the closure of `once`, as the last thing that it does.
    value: OnceCell<T>,
    make: Cell<Option<F>>,
}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// One whose value `f` will make.
    #[must_use]
    pub const fn new(f: F) -> LazyLock<T, F> {
        LazyLock {
            once: Once::new(),
            value: OnceCell::new(),
            make: Cell::new(Some(f)),
        }
    }

    /// The value, made now if it is not yet. As std's; `*this` does the same.
    ///
    /// # Panics
    ///
    /// With the closure's panic, and whenever that has panicked or was cancelled before; if it must
    /// wait outside [`run`](crate::run), or for the closure that it is called in.
    #[track_caller]
    pub fn force(this: &LazyLock<T, F>) -> &T {
        match this.value.get() {
            Some(value) => value,
            None => this.make(),
        }
    }

    /// As [`force`](LazyLock::force), for who has it alone. std's.
    ///
    /// # Panics
    ///
    /// As [`force`](LazyLock::force).
    #[track_caller]
    pub fn force_mut(this: &mut LazyLock<T, F>) -> &mut T {
        LazyLock::force(this);
        this.value.get_mut().expect(MADE)
    }

    #[track_caller]
    fn make(&self) -> &T {
        self.once.call_once_force(|state| {
            assert!(
                !state.is_poisoned(),
                "LazyLock instance has previously been poisoned"
            );
            let make = self.make.take().expect("the closure is called once");
            let full = self.value.set(make()).is_err();
            assert!(!full, "the closure is called once");
        });
        self.value.get().expect(MADE)
    }
}

impl<T, F> LazyLock<T, F> {
    /// The value, if it has been made. As std's.
    pub fn get(this: &LazyLock<T, F>) -> Option<&T> {
        this.value.get()
    }

    /// The value, if it has been made. As std's.
    pub fn get_mut(this: &mut LazyLock<T, F>) -> Option<&mut T> {
        this.value.get_mut()
    }
}

const MADE: &str = "a Once is completed when its closure has set the value";

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    #[track_caller]
    fn deref(&self) -> &T {
        LazyLock::force(self)
    }
}

impl<T, F: FnOnce() -> T> DerefMut for LazyLock<T, F> {
    #[track_caller]
    fn deref_mut(&mut self) -> &mut T {
        LazyLock::force_mut(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> LazyLock<T> {
        LazyLock::new(T::default)
    }
}

impl<T: UnwindSafe, F: UnwindSafe> UnwindSafe for LazyLock<T, F> {}
impl<T: UnwindSafe + RefUnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_tuple("LazyLock");
        match LazyLock::get(self) {
            Some(value) => out.field(value),
            None => out.field(&format_args!("<uninit>")),
        };
        out.finish()
    }
}
