//! Something that is done once, while the others who want it wait.

use std::cell::Cell;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::scheduler::{self, Scheduler, ThreadId};
use crate::stats::Reason;
use crate::wait_queue::WaitQueue;

/// Runs a closure once, as [`std::sync::Once`].
///
/// The closure may wait; others who come meanwhile park until it is done. If it panics, or is
/// unwound by a cancellation or a [`timeout`](crate::timeout), the `Once` is poisoned.
///
/// ```
/// use sedge::sync::Once;
///
/// thread_local! {
///     static START: Once = const { Once::new() };
/// }
///
/// let start = || START.with(|start| start.call_once(|| println!("printed once")));
/// start();
/// start();
/// assert!(START.with(Once::is_completed));
/// ```
pub struct Once {
    state: Cell<State>,
    waiters: WaitQueue,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Incomplete,
    Poisoned,
    /// Its closure runs on this green thread, or outside of `run`.
    Running(Option<ThreadId>),
    Complete,
}

/// What the closure of [`Once::call_once_force`] is told. As [`std::sync::OnceState`].
pub struct OnceState {
    poisoned: bool,
}

#[expect(clippy::new_without_default, reason = "std's has none")]
impl Once {
    /// One whose closure has not run.
    #[must_use]
    pub const fn new() -> Once {
        Once {
            state: Cell::new(State::Incomplete),
            waiters: WaitQueue::new(),
        }
    }

    /// Runs `f` unless a closure has been run; waits if one runs now. As std's.
    ///
    /// # Panics
    ///
    /// With `f`'s panic; if an earlier closure has panicked or was cancelled; if `f` itself gets
    /// here again, which could only wait for ever; if it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn call_once<F: FnOnce()>(&self, f: F) {
        self.call(false, |_| f());
    }

    /// As [`call_once`](Once::call_once), but runs `f` too if an earlier closure has panicked.
    /// std's.
    ///
    /// # Panics
    ///
    /// With `f`'s panic; if `f` itself gets here again, which could only wait for ever; if it must
    /// wait outside [`run`](crate::run).
    #[track_caller]
    pub fn call_once_force<F: FnOnce(&OnceState)>(&self, f: F) {
        self.call(true, f);
    }

    /// Whether a closure has run to its end.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.state.get() == State::Complete
    }

    /// Waits until a closure has run to its end. As std's.
    ///
    /// # Panics
    ///
    /// If a closure panics or is cancelled, or has been; if the closure itself gets here, which
    /// could only wait for ever; if it must wait outside [`run`](crate::run).
    #[track_caller]
    pub fn wait(&self) {
        while !self.is_completed() {
            assert!(self.state.get() != State::Poisoned, "{POISONED}");
            self.wait_for_change();
        }
    }

    /// As [`wait`](Once::wait), but takes a poisoned one for one whose closure has not run. std's.
    ///
    /// # Panics
    ///
    /// If the closure itself gets here, which could only wait for ever; if it must wait outside
    /// [`run`](crate::run).
    #[track_caller]
    pub fn wait_force(&self) {
        while !self.is_completed() {
            self.wait_for_change();
        }
    }

    #[track_caller]
    fn call(&self, force: bool, f: impl FnOnce(&OnceState)) {
        loop {
            match self.state.get() {
                State::Complete => return,
                State::Running(_) => self.wait_for_change(),
                State::Poisoned if !force => panic!("{POISONED}"),
                State::Incomplete => return self.run(false, f),
                State::Poisoned => return self.run(true, f),
            }
        }
    }

    fn run(&self, poisoned: bool, f: impl FnOnce(&OnceState)) {
        self.state.set(State::Running(running_thread()));
        let mut change = Change {
            once: self,
            to: State::Poisoned,
        };
        f(&OnceState { poisoned });
        change.to = State::Complete;
    }

    /// Waits until a closure has ended in one way or another.
    #[track_caller]
    fn wait_for_change(&self) {
        assert!(
            self.state.get() != State::Running(running_thread()),
            "the closure of a Once (or OnceLock, or LazyLock) waits for itself to be done"
        );
        // Without a deadline, it comes back with the grant or not at all.
        let _ = self.waiters.wait(Reason::Lock, None, ());
    }
}

const POISONED: &str = "Once instance has previously been poisoned";

fn running_thread() -> Option<ThreadId> {
    scheduler::try_with(Scheduler::current)
}

/// Tells everybody when a closure has ended.
struct Change<'a> {
    once: &'a Once,
    to: State,
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.once.state.set(self.to);
        self.once.waiters.grant_all();
    }
}

impl OnceState {
    /// Whether an earlier closure has panicked or was cancelled.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }
}

impl UnwindSafe for Once {}
impl RefUnwindSafe for Once {}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

impl fmt::Debug for OnceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceState")
            .field("poisoned", &self.is_poisoned())
            .finish()
    }
}
