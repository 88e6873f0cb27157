//! Values that each green thread has its own of, as `std::thread_local!` gives them to OS threads.
//!
//! A value is made at its first use on a green thread and dropped when that ends, unwound or not.
//! It lives in an `Rc`, so it stays where it is while the owner is suspended inside `with`.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use crate::scheduler;

/// Declares a value per green thread, in the words of std's `thread_local!`.
///
/// std's own `thread_local!` is **shared by all green threads of an OS thread**. What was per
/// connection in a thread-per-connection program must be declared with this macro instead.
///
/// ```
/// use std::cell::Cell;
///
/// sedge::green_local! {
///     static REQUESTS: Cell<u32> = const { Cell::new(0) };
/// }
///
/// sedge::run(|| {
///     REQUESTS.set(7);
///     let other = sedge::spawn(|| REQUESTS.get());
///     assert_eq!(other.join().unwrap(), 0);
///     assert_eq!(REQUESTS.get(), 7);
/// });
/// ```
#[macro_export]
macro_rules! green_local {
    () => {};
    ($(#[$attr:meta])* $vis:vis static $name:ident : $t:ty = const $init:block
        $(; $($rest:tt)*)?) => {
        $(#[$attr])*
        $vis static $name: $crate::local::LocalKey<$t> = $crate::local::LocalKey::new(|| $init);
        $($crate::green_local! { $($rest)* })?
    };
    ($(#[$attr:meta])* $vis:vis static $name:ident : $t:ty = $init:expr $(; $($rest:tt)*)?) => {
        $(#[$attr])*
        $vis static $name: $crate::local::LocalKey<$t> = $crate::local::LocalKey::new(|| $init);
        $($crate::green_local! { $($rest)* })?
    };
}

/// The name of a value per green thread; declared with [`green_local!`](crate::green_local).
///
/// The methods are those of [`std::thread::LocalKey`].
pub struct LocalKey<T: 'static> {
    init: fn() -> T,
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// The value is being dropped or was dropped already, because its green thread ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessError;

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the green thread is ending and has dropped this value")
    }
}

impl std::error::Error for AccessError {}

/// The values of one green thread, by the address of their key; `None` once dropped.
#[derive(Default)]
struct Values(RefCell<Vec<(usize, Value)>>);

type Value = Option<Rc<dyn Any>>;

impl Values {
    /// Those of the running green thread.
    #[track_caller]
    fn here() -> Rc<Values> {
        USED.set(true);
        scheduler::with(|scheduler| {
            let place = scheduler.locals();
            let values = place.get_or_insert_with(|| Rc::<Values>::default());
            Rc::downcast(Rc::clone(values)).expect("only this module keeps something here")
        })
    }

    fn find(&self, key: usize) -> Option<Value> {
        self.0
            .borrow()
            .iter()
            .find(|(other, _)| *other == key)
            .map(|(_, value)| value.clone())
    }
}

thread_local! {
    /// Whether a green thread on this OS thread has ever had a value. Where none has, none looks
    /// for values to drop when it ends.
    static USED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the running green thread has values.
#[inline]
pub(crate) fn are_there() -> bool {
    USED.get() && scheduler::with(|scheduler| scheduler.has_locals())
}

/// Drops the running green thread's values, newest first. Their destructors may use those that are
/// left, and even make new ones.
pub(crate) fn destroy() {
    let values = Values::here();
    loop {
        let newest = values
            .0
            .borrow_mut()
            .iter_mut()
            .rev()
            .find_map(|(_, value)| value.take());
        match newest {
            Some(value) => drop(value),
            None => return,
        }
    }
}

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(init: fn() -> T) -> LocalKey<T> {
        LocalKey { init }
    }

    /// Calls `f` with the running green thread's value, which is made now if this is its first use.
    /// `f` may suspend.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run), and where [`try_with`](LocalKey::try_with) fails.
    #[track_caller]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.try_with(f).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`with`](LocalKey::with).
    ///
    /// # Errors
    ///
    /// If the green thread is ending and the value was dropped, which only destructors of other
    /// such values can see.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    #[track_caller]
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        let key = std::ptr::from_ref(self).addr();
        let values = Values::here();
        let value = match values.find(key) {
            Some(value) => value.ok_or(AccessError)?,
            None => {
                let value: Rc<dyn Any> = Rc::new((self.init)());
                // Making it may have used the key already, and then that value is the one.
                match values.find(key) {
                    Some(first) => first.ok_or(AccessError)?,
                    None => {
                        values.0.borrow_mut().push((key, Some(Rc::clone(&value))));
                        value
                    }
                }
            }
        };
        Ok(f(value
            .downcast_ref()
            .expect("the key's type is the value's type")))
    }
}

impl<T: 'static> LocalKey<Cell<T>> {
    /// Sets the value.
    pub fn set(&'static self, value: T) {
        self.with(|cell| cell.set(value));
    }

    /// Copies the value.
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Takes the value and leaves the default.
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Sets the value and returns the old one.
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// Borrows the value.
    ///
    /// # Panics
    ///
    /// If it is mutably borrowed, as it is when a borrow was kept across a suspension.
    pub fn with_borrow<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Borrows the value mutably.
    ///
    /// # Panics
    ///
    /// If it is borrowed.
    pub fn with_borrow_mut<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }

    /// Sets the value.
    ///
    /// # Panics
    ///
    /// If it is borrowed.
    pub fn set(&'static self, value: T) {
        self.with(|cell| *cell.borrow_mut() = value);
    }

    /// Takes the value and leaves the default.
    ///
    /// # Panics
    ///
    /// If it is borrowed.
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// Sets the value and returns the old one.
    ///
    /// # Panics
    ///
    /// If it is borrowed.
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}
