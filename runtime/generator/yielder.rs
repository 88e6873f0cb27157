//! A generator's body's side: yielding, and what must hold when it does.
//!
//! corosensei's yielder suspends to whoever has resumed its coroutine, from whatever stack it is
//! called on. That is right only while the coroutine runs and the caller stands on top of it: on
//! its stack, or on one that it has resumed. So a yielder remembers the tower it was resumed on,
//! and refuses on another, such as that of a green thread that the body has begun in a scope.

use std::cell::Cell;
use std::fmt;
use std::thread::panicking;

use super::{Generator, State, abort};
use crate::coroutine::{self, Tower};
use crate::scheduler;
use crate::thread::{self, Closed, Payload};

/// How a body goes on: with what was sent, or unwinding with this payload. Boxed twice, so that
/// what is sent to most generators, nothing, travels in a register.
pub(super) type Input<R> = Result<R, Box<Payload>>;

/// How often a body may catch its end and yield again.
const REFUSALS: u32 = 100;

/// What a body yields through; see [`Generator`].
pub struct Yielder<'a, Y, R = ()> {
    inner: &'a corosensei::Yielder<Input<R>, Y>,
    phase: Cell<Phase>,
    refusals: Cell<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Resumed, and this was so then.
    Running(Place),
    Suspended,
    /// Told to end, here; it yields no more.
    Closing(Place),
}

/// Where a body runs, and whether somebody unwinds, its caller perhaps.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    tower: Tower,
    panicking: bool,
}

impl Place {
    #[inline]
    fn here() -> Place {
        Place {
            tower: coroutine::tower(),
            panicking: panicking(),
        }
    }
}

impl<'a, Y, R> Yielder<'a, Y, R> {
    pub(super) fn new(inner: &'a corosensei::Yielder<Input<R>, Y>) -> Yielder<'a, Y, R> {
        Yielder {
            inner,
            phase: Cell::new(Phase::Running(Place::here())),
            refusals: Cell::new(0),
        }
    }

    /// Gives `value` to whoever has resumed the generator, and waits to be resumed again; returns
    /// what is sent then. `yield` is a word that Rust keeps for itself.
    ///
    /// It unwinds if the generator is dropped or closed, or something is thrown.
    ///
    /// # Panics
    ///
    /// Inside of a [`timeout`](crate::timeout), a [`shield`](crate::shield) or a
    /// [`block_on`](crate::block_on) that the body has called; on another green thread than the one
    /// that has resumed the generator; and from a destructor while the body unwinds, which aborts
    /// the process, for there is nobody to go on.
    // Inlined, or the processor predicts the returns on both sides wrong: see `coroutine`.
    #[inline(always)]
    #[track_caller]
    pub fn yield_(&self, value: Y) -> R {
        match self.suspend(value) {
            Ok(sent) => sent,
            Err(payload) => thread::resume(*payload),
        }
    }

    /// Yields what `inner` yields, sends it what is sent, and returns what it returns. `first` is
    /// sent to begin with. What is thrown is thrown there; if this generator is closed, so is
    /// `inner`. Python's `yield from`.
    ///
    /// ```
    /// use sedge::generator::Generator;
    ///
    /// let outer = Generator::new(|y| {
    ///     let inner = Generator::new(|y| {
    ///         y.yield_(1);
    ///         y.yield_(2);
    ///         "three"
    ///     });
    ///     assert_eq!(y.yield_from(&inner, ()), "three");
    ///     y.yield_(3);
    /// });
    /// assert_eq!(outer.collect::<Vec<_>>(), [1, 2, 3]);
    /// ```
    ///
    /// # Panics
    ///
    /// As [`yield_`](Yielder::yield_) and [`Generator::resume`].
    #[track_caller]
    pub fn yield_from<T>(&self, inner: &Generator<Y, R, T>, first: R) -> T {
        let mut state = inner.resume(first);
        loop {
            let value = match state {
                State::Yielded(value) => value,
                State::Complete(value) => return value,
            };
            state = match self.suspend(value) {
                Ok(sent) => inner.resume(sent),
                Err(payload) if payload.is::<Closed>() => {
                    inner.close();
                    thread::resume(*payload)
                }
                Err(payload) => inner.throw(*payload),
            };
        }
    }

    #[inline(always)]
    #[track_caller]
    fn suspend(&self, value: Y) -> Input<R> {
        let place = Place::here();
        if self.phase.get() != Phase::Running(place) {
            self.check(place)?;
        }
        self.phase.set(Phase::Suspended);
        let input = self.inner.suspend(value);
        let place = Place::here();
        self.phase.set(match &input {
            Err(payload) if payload.is::<Closed>() => Phase::Closing(place),
            _ => Phase::Running(place),
        });
        input
    }

    /// Says why it does not yield here, unless it may after all. If it is to end, gives the payload
    /// that ends it.
    #[cold]
    #[track_caller]
    fn check(&self, here: Place) -> Result<(), Box<Payload>> {
        let (Phase::Running(before) | Phase::Closing(before)) = self.phase.get() else {
            elsewhere()
        };
        if !before.tower.is_of(here.tower) {
            elsewhere();
        }
        // std knows only that somebody on this OS thread unwinds; it may be another green thread.
        let unwinds = here.panicking && !before.panicking && scheduler::is_unwinding();
        assert!(
            !unwinds,
            "the body of a generator yields from a destructor while it unwinds; nobody could go on"
        );
        if let Phase::Closing(_) = self.phase.get() {
            return Err(self.close_again());
        }
        assert!(
            before.tower == here.tower,
            "the body of a generator yields inside of a sedge::timeout, shield or block_on that it \
             has called, which belongs to the green thread that has resumed it; call it around a \
             part that does not yield, or around next or resume"
        );
        Ok(())
    }

    fn close_again(&self) -> Box<Payload> {
        self.refusals.set(self.refusals.get() + 1);
        if self.refusals.get() > REFUSALS {
            abort(
                "the body of a generator that is dropped or closed catches its end and yields \
                 again, and again; let what catch_unwind has caught go on with resume_unwind",
            );
        }
        Box::new(Box::new(Closed))
    }
}

#[track_caller]
fn elsewhere() -> ! {
    panic!(
        "Yielder::yield_ was called on another green thread than runs the generator's body; send \
         what is to be yielded to the body"
    )
}

impl<Y> Yielder<'_, Y, ()> {
    /// Yields all that `values` gives. Python's `yield from` of what is no generator.
    ///
    /// # Panics
    ///
    /// As [`yield_`](Yielder::yield_).
    #[track_caller]
    pub fn yield_all(&self, values: impl IntoIterator<Item = Y>) {
        for value in values {
            self.yield_(value);
        }
    }
}

impl<Y, R> fmt::Debug for Yielder<'_, Y, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Yielder").finish_non_exhaustive()
    }
}
