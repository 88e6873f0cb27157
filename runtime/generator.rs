//! Generators: functions that yield values one by one, and go on where they were.
//!
//! A generator's body runs on a stack of its own, so it may yield from as deep in its calls as it
//! likes: from a recursion, a callback, a loop in somebody else's crate. It runs only while it is
//! resumed, on top of the stack of whoever resumes it, which may be plain code outside of
//! [`run`](crate::run), a green thread or another generator.
//!
//! An item costs about twice a bare corosensei resume and suspend (5 ns where that takes 2.4) if
//! the body yields itself. From a function that it calls, it costs the two returns that the
//! processor cannot predict then, in either crate (some 25 ns there).
//!
//! ```
//! use sedge::generator::Generator;
//!
//! let squares = Generator::new(|y| {
//!     for i in 1.. {
//!         y.yield_(i * i);
//!     }
//! });
//! assert_eq!(squares.take(4).collect::<Vec<u32>>(), [1, 4, 9, 16]); // and unwinds the loop
//! ```
//!
//! # Beside Python's
//!
//! | Python | here | |
//! |---|---|---|
//! | `def` with `yield` | [`Generator::new`], [`Generator::receiving`] | gets a [`Yielder`] |
//! | `yield value` | [`Yielder::yield_`] | |
//! | `yield from inner` | [`Yielder::yield_from`] | sends, throws and closes the inner one too |
//! | `next(g)`, `for x in g` | [`Iterator`] | when nothing is sent |
//! | `g.send(value)` | [`Generator::send`] | the first one is the argument of the body |
//! | `StopIteration.value` | [`Generator::take_value`], or [`resume`](Generator::resume) | |
//! | `g.throw(error)` | [`Generator::throw`] | an error is the payload of a panic |
//! | `g.close()` | [`Generator::close`], or dropping it | unwinds the body |
//!
//! # Green threads
//!
//! The body is part of whoever resumes it. It may sleep, lock, do I/O: then the green thread
//! underneath waits, with all the generators it has resumed. Outside of [`run`](crate::run) such a
//! call panics as ever. [`thread::current`] and
//! [`green_local!`](crate::green_local) values are those of the green thread that resumes, which
//! may be another each time. If that one is cancelled, or a [`timeout`](crate::timeout) around the
//! call passes, the body unwinds first and then the caller; the generator has ended.
//!
//! So a body must not yield out of what belongs to one green thread: inside of a
//! [`timeout`](crate::timeout), a [`shield`](crate::shield) or a [`block_on`](crate::block_on) that
//! it has called itself, `yield_` panics.
//!
//! # Panics and the end
//!
//! A panic of the body comes out of the call that resumed it, and the generator has ended. One that
//! is dropped half-way is unwound from its yield by a private payload, of which nothing is printed.
//! A body that catches that and yields again meets it again, a hundred times; then the process
//! aborts, because a loop that catches everything would never end. A program built with `panic =
//! "abort"` cannot unwind: there, dropping or closing a generator half-way aborts the process with
//! a report. One that has not begun, or has ended, may be dropped.

mod stacks;
mod yielder;

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::iter::FusedIterator;
use std::mem::ManuallyDrop;
use std::panic::Location;

use corosensei::CoroutineResult;

use self::yielder::Input;
pub use self::yielder::Yielder;
use crate::coroutine::INLINE_BODY;
use crate::scheduler;
use crate::stack::Stack;
use crate::thread::{self, Closed, Payload};

/// A body and its stack. corosensei's destructor would panic for one that is half-way, so it is
/// never run.
type Inner<Y, R, T> = ManuallyDrop<corosensei::Coroutine<Input<R>, Y, Result<T, Payload>, Stack>>;

type Body<Y, R, T> = Box<dyn FnOnce(&Yielder<'_, Y, R>, R) -> T>;

/// How far a generator has come when it is resumed. As std's `CoroutineState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State<Y, T> {
    /// Its body has yielded a value, and waits to be resumed.
    Yielded(Y),
    /// Its body has returned.
    Complete(T),
}

/// A function that yields values of type `Y`, is sent values of type `R`, and returns a `T`.
///
/// All methods take it by shared reference, so it may be shared in an [`Rc`](std::rc::Rc), made by
/// one green thread and resumed by another. It does not leave its OS thread.
///
/// ```
/// use sedge::generator::{Generator, State};
///
/// let mean = Generator::receiving(|y, mut sum: f64| {
///     for count in 2.. {
///         sum += y.yield_(sum / f64::from(count - 1));
///     }
/// });
/// assert_eq!(mean.send(10.0), Some(10.0));
/// assert_eq!(mean.send(20.0), Some(15.0));
/// assert_eq!(mean.resume(0.0), State::Yielded(10.0));
/// ```
///
/// It must not be sent to another OS thread:
///
/// ```compile_fail
/// let generator = sedge::generator::Generator::new(|y| y.yield_(1));
/// std::thread::spawn(move || generator.send(()));
/// ```
#[must_use = "a generator does nothing until it is resumed"]
pub struct Generator<Y, R = (), T = ()> {
    /// `None` while it runs, and once it has ended.
    inner: Cell<Option<Box<Inner<Y, R, T>>>>,
    ended: Cell<bool>,
    /// What the body has returned to a `send`.
    value: Cell<Option<T>>,
}

impl<Y: 'static, T: 'static> Generator<Y, (), T> {
    /// A generator that is sent nothing, and is an [`Iterator`]. `body` begins when it is first
    /// resumed.
    ///
    /// ```
    /// use sedge::generator::{Generator, Yielder};
    ///
    /// enum Tree {
    ///     Leaf,
    ///     Node(Box<Tree>, u32, Box<Tree>),
    /// }
    ///
    /// fn walk(tree: &Tree, y: &Yielder<'_, u32>) {
    ///     if let Tree::Node(left, value, right) = tree {
    ///         walk(left, y);
    ///         y.yield_(*value);
    ///         walk(right, y);
    ///     }
    /// }
    ///
    /// let leaf = || Box::new(Tree::Leaf);
    /// let two = Tree::Node(leaf(), 2, leaf());
    /// let tree = Tree::Node(Box::new(two), 3, leaf());
    /// let values = Generator::new(move |y| walk(&tree, y));
    /// assert_eq!(values.collect::<Vec<_>>(), [2, 3]);
    /// ```
    ///
    /// # Panics
    ///
    /// If there is no memory for a stack; [`Builder::build`] returns an error instead.
    #[track_caller]
    pub fn new<F>(body: F) -> Generator<Y, (), T>
    where
        F: FnOnce(&Yielder<'_, Y, ()>) -> T + 'static,
    {
        Generator::receiving(move |yielder, ()| body(yielder))
    }
}

impl<Y: 'static, R: 'static, T: 'static> Generator<Y, R, T> {
    /// A generator that is sent values. The first one is `body`'s second argument; Python's would
    /// be called once before anything can be sent.
    ///
    /// # Panics
    ///
    /// If there is no memory for a stack; [`Builder::build`] returns an error instead.
    #[track_caller]
    pub fn receiving<F>(body: F) -> Generator<Y, R, T>
    where
        F: FnOnce(&Yielder<'_, Y, R>, R) -> T + 'static,
    {
        let built = Builder::new().build(body);
        built.expect("failed to make the stack of a generator")
    }
}

/// How to make a generator: its name and its stack.
///
/// ```
/// use sedge::generator::Builder;
///
/// let deep = Builder::new().name("deep".into()).stack_size(1 << 20);
/// let generator = deep.build(|y, ()| y.yield_([0_u8; 1 << 18].len()))?;
/// assert_eq!(generator.send(()), Some(1 << 18));
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until it builds"]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
}

impl Builder {
    /// No name, a stack of 256 KiB.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// The name that a report of an overflow shows, its first 40 bytes.
    pub fn name(mut self, name: String) -> Builder {
        self.name = Some(name);
        self
    }

    /// Usable bytes of stack, rounded up to the next power of two; from 32 KiB to 1 GiB, 256 KiB by
    /// default, also where [`Config::stack_size`](crate::Config::stack_size) says something else.
    /// Only what is touched becomes memory.
    pub fn stack_size(mut self, size: usize) -> Builder {
        self.stack_size = Some(size);
        self
    }

    /// Makes the generator; see [`Generator::receiving`].
    ///
    /// # Errors
    ///
    /// If the stack size is out of range, or there is no memory or no mapping for another stack.
    #[track_caller]
    pub fn build<Y, R, T, F>(self, body: F) -> io::Result<Generator<Y, R, T>>
    where
        F: FnOnce(&Yielder<'_, Y, R>, R) -> T + 'static,
        Y: 'static,
        R: 'static,
        T: 'static,
    {
        if size_of::<F>() > INLINE_BODY {
            let boxed: Body<Y, R, T> = Box::new(body);
            return self.build(boxed);
        }
        let stack = stacks::take(self.stack_size, self.name.as_deref(), Location::caller())?;
        let inner = corosensei::Coroutine::with_stack(stack, |inner, first| {
            let live = || match first {
                Ok(first) => Ok(body(&Yielder::new(inner), first)),
                Err(payload) => {
                    drop(body);
                    Err(*payload)
                }
            };
            thread::catch(live).unwrap_or_else(Err)
        });
        Ok(Generator {
            inner: Cell::new(Some(Box::new(ManuallyDrop::new(inner)))),
            ended: Cell::new(false),
            value: Cell::new(None),
        })
    }
}

impl<Y, R, T> Generator<Y, R, T> {
    /// Runs the body until it yields or returns; `value` is what its `yield_` returns there. As
    /// std's unstable `Coroutine::resume`.
    ///
    /// # Panics
    ///
    /// With a panic of the body; if it has ended already; if it runs already, because its own body
    /// resumes it, or because another green thread has and the body waits.
    #[inline(always)]
    #[track_caller]
    pub fn resume(&self, value: R) -> State<Y, T> {
        match self.inner.take() {
            Some(inner) => self.go_on(inner, Ok(value)),
            None => self.refuse(),
        }
    }

    /// As [`resume`](Generator::resume), but `None` when the body has returned, now or earlier: the
    /// value it returned is kept for [`take_value`](Generator::take_value). Python's `send`.
    ///
    /// # Panics
    ///
    /// With a panic of the body; if it runs already.
    #[inline(always)]
    #[track_caller]
    pub fn send(&self, value: R) -> Option<Y> {
        let Some(inner) = self.inner.take() else {
            return self.check_ended();
        };
        match self.go_on(inner, Ok(value)) {
            State::Yielded(value) => Some(value),
            State::Complete(value) => {
                self.value.set(Some(value));
                None
            }
        }
    }

    /// Raises a panic at the yield where the body waits; no hook prints it. If the body catches it
    /// and goes on, the result is as that of [`resume`](Generator::resume). If the body has not
    /// begun or has ended, the panic comes out of this call at once, and the body will not begin.
    /// Python's `throw`.
    ///
    /// ```
    /// use sedge::generator::{Generator, State};
    /// use std::panic::{AssertUnwindSafe, catch_unwind};
    ///
    /// let generator = Generator::new(|y| {
    ///     let thrown = catch_unwind(AssertUnwindSafe(|| y.yield_("ready"))).unwrap_err();
    ///     *thrown.downcast_ref::<u32>().unwrap()
    /// });
    /// assert_eq!(generator.send(()), Some("ready"));
    /// assert_eq!(generator.throw(Box::new(42_u32)), State::Complete(42));
    /// ```
    ///
    /// # Panics
    ///
    /// With `payload`, or another panic of the body; if it runs already; and in a program built
    /// with `panic = "abort"`.
    #[track_caller]
    pub fn throw(&self, payload: Box<dyn Any + Send>) -> State<Y, T> {
        if cfg!(panic = "abort") {
            panic!(
                "Generator::throw unwinds the body, which panic = \"abort\" has switched off; \
                 build with panic = \"unwind\", or send a value that says what went wrong"
            );
        }
        match self.inner.take() {
            Some(inner) => self.go_on(inner, Err(Box::new(payload))),
            None if self.ended.get() => thread::resume(payload),
            None => self.refuse(),
        }
    }

    /// Ends it: the body is unwound from its yield, and its destructors run; if it has not begun,
    /// it is dropped. Python's `close`. Does nothing if it has ended. Dropping it does the same.
    ///
    /// # Panics
    ///
    /// With a panic of the body while it unwinds; if it runs already.
    #[track_caller]
    pub fn close(&self) {
        let Some(inner) = self.inner.take() else {
            self.check_ended::<()>();
            return;
        };
        if let Err(payload) = self.unwind(*inner) {
            thread::resume(payload);
        }
    }

    /// Whether the body has ended: it has returned, panicked or was unwound.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.ended.get()
    }

    /// What the body has returned when [`send`](Generator::send) or an iteration came to its end,
    /// once. Python's `StopIteration.value`.
    ///
    /// ```
    /// let mut generator = sedge::generator::Generator::new(|y| {
    ///     y.yield_('a');
    ///     "the end"
    /// });
    /// assert_eq!(generator.by_ref().collect::<String>(), "a");
    /// assert_eq!(generator.take_value(), Some("the end"));
    /// ```
    #[must_use]
    pub fn take_value(&self) -> Option<T> {
        self.value.take()
    }

    #[inline(always)]
    fn go_on(&self, mut inner: Box<Inner<Y, R, T>>, input: Input<R>) -> State<Y, T> {
        match inner.resume(input) {
            CoroutineResult::Yield(value) => {
                // Nothing is there, and dropping it would look.
                std::mem::forget(self.inner.replace(Some(inner)));
                State::Yielded(value)
            }
            CoroutineResult::Return(result) => {
                self.retire(*inner);
                State::Complete(result.unwrap_or_else(|payload| thread::resume(payload)))
            }
        }
    }

    /// Brings the body to its end, and says what else unwound it.
    fn unwind(&self, mut inner: Inner<Y, R, T>) -> Result<(), Payload> {
        if cfg!(panic = "abort") && inner.started() {
            abort(
                "a generator is dropped or closed half-way, and panic = \"abort\" has switched \
                 unwinding off; resume it to its end",
            );
        }
        let unwinding = scheduler::is_unwinding();
        let CoroutineResult::Return(result) = inner.resume(Err(Box::new(Box::new(Closed)))) else {
            unreachable!("a body that was told to end does not yield");
        };
        // What the body has caught was noted of this green thread, as it was of the first one.
        scheduler::note_unwinding(unwinding);
        self.retire(inner);
        match result {
            Err(payload) if !payload.is::<Closed>() => Err(payload),
            _ => Ok(()),
        }
    }

    /// The body has ended, and its stack is for the next.
    #[inline(never)]
    fn retire(&self, inner: Inner<Y, R, T>) {
        self.ended.set(true);
        stacks::give_back(ManuallyDrop::into_inner(inner).into_stack());
    }

    /// Nothing, if it has ended.
    #[cold]
    #[track_caller]
    fn check_ended<V>(&self) -> Option<V> {
        if self.ended.get() {
            return None;
        }
        self.refuse()
    }

    #[cold]
    #[track_caller]
    fn refuse(&self) -> ! {
        if self.ended.get() {
            panic!(
                "a generator was resumed after its end; ask is_done first, or call send or next, \
                 which say None"
            );
        }
        panic!(
            "a generator was resumed while it runs: by its own body, or by another green thread \
             while its body waits for something"
        );
    }
}

impl<Y, R, T> Drop for Generator<Y, R, T> {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else {
            return;
        };
        match self.unwind(*inner) {
            // The hook has printed it, and a second panic would abort.
            Err(payload) if std::thread::panicking() => {
                thread::contain(|| drop(payload));
            }
            Err(payload) => thread::resume(payload),
            Ok(()) => {}
        }
    }
}

/// Ends when the body has returned. A panic of the body comes out of `next`.
impl<Y, T> Iterator for Generator<Y, (), T> {
    type Item = Y;

    #[inline(always)]
    #[track_caller]
    fn next(&mut self) -> Option<Y> {
        self.send(())
    }
}

/// For one that is shared: each item goes to whoever asks for it.
impl<Y, T> Iterator for &Generator<Y, (), T> {
    type Item = Y;

    #[inline(always)]
    #[track_caller]
    fn next(&mut self) -> Option<Y> {
        self.send(())
    }
}

impl<Y, T> FusedIterator for Generator<Y, (), T> {}
impl<Y, T> FusedIterator for &Generator<Y, (), T> {}

impl<Y, R, T> fmt::Debug for Generator<Y, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generator")
            .field("done", &self.is_done())
            .finish_non_exhaustive()
    }
}

/// For what can be neither undone nor told to anybody.
#[cold]
fn abort(why: &str) -> ! {
    let _ = writeln!(io::stderr(), "sedge: {why}");
    std::process::abort()
}
