//! One suspended stack: create, resume, suspend. Nothing more; who runs when is the scheduler's.
//!
//! ```text
//!    scheduler's stack                     coroutine's stack
//!    resume(how) ------------------------> body(how), or suspend() returns how
//!                                             ...
//!    Some(why) <-------------------------- suspend(why)
//!    None      <-------------------------- body returns
//! ```
//!
//! The switch is corosensei's: some twenty instructions that save three registers and the stack
//! pointer, because the compiler was told that everything else is lost. Resuming is asymmetric: a
//! coroutine always suspends to whoever resumed it.
//!
//! To suspend, a coroutine needs its *yielder*, which corosensei hands only to the body.
//! [`suspend`] is called from deep inside, so the running coroutine's yielder stands in its *root*,
//! at the top of its stack, and a thread-local, `RUNNING`, points to that: [`Coroutine::resume`]
//! sets it before it switches and clears it after, so it is null exactly when no coroutine runs.
//!
//! A coroutine may resume generators, which have stacks of their own on top of its own:
//!
//! ```text
//!    loop  ──>  coroutine  ──>  generator  ──>  generator
//!      ^          root                              │
//!      └─────────────────── suspend(why) ───────────┘
//! ```
//!
//! `RUNNING` does not change there, and [`suspend`] called up there suspends the whole *tower*:
//! corosensei saves the stack pointer of where it is called and goes on where the coroutine's root
//! says, whatever stands in between. Resuming goes straight back to the top, and the stacks below,
//! which nobody else can resume, are as they were. [`tower`] says which one runs.
//!
//! Invariants: a coroutine never leaves its OS thread (`!Send`), so a thread-local's address stays
//! valid across a switch. A body must not unwind out of its root. A coroutine that is dropped
//! before it is done leaks its stack; see `stack`.

use std::cell::Cell;
use std::fmt;
use std::ops::Range;
use std::ptr::{self, NonNull};

use crate::stack::{CONTROL_SIZE, Stack};
use crate::stats::Reason;

/// Bodies up to this size move onto the new stack. Larger ones are boxed: each frame on the way to
/// the body keeps a copy, so one that holds a socket would put a kilobyte of dead copies between
/// the top of the stack and what every switch touches.
pub(crate) const INLINE_BODY: usize = 64;
const CACHE_LINE: usize = 64;

/// How a coroutine is told to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// Go on: what was waited for may have come.
    Wake,
    /// Unwind, or do not start at all.
    Cancel,
    /// Write down where you are and suspend again, for the same reason.
    Dump,
}

/// Why a coroutine suspends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspend {
    /// Others first; it stays ready.
    Yield,
    /// It waits until it is woken.
    Park(Reason),
}

type Inner = corosensei::Coroutine<Resume, Suspend, (), Stack>;
type Yielder = corosensei::Yielder<Resume, Suspend>;

/// What an operation says that needs a green thread, and a scheduler, and has none.
pub(crate) const OUTSIDE: &str = "no sedge scheduler runs on this OS thread: call this inside \
    sedge::run, or, from another OS thread, go through a sedge::thread::Remote";

thread_local! {
    static RUNNING: Cell<*const Root> = const { Cell::new(ptr::null()) };
}

/// What a running coroutine is reached by, from inside.
struct Root {
    /// Null until the body begins.
    yielder: Cell<*const Yielder>,
    /// Stretches that the coroutine is inside of and must leave by itself: time limits, shields.
    stretches: Cell<usize>,
}

/// A body and the stack it runs on.
///
/// What corosensei must remember of a coroutine lies at the top of its own stack, so that this is
/// one pointer: the scheduler moves a coroutine out of its table and back at every switch.
pub(crate) struct Coroutine {
    control: NonNull<Control>,
}

/// The top of a coroutine's stack. What a switch reads of it, and corosensei's own words next to
/// it, share a cache line: among 100,000 coroutines each line more is a wait for memory more.
#[repr(C)]
struct Control {
    /// Of whoever resumes.
    inner: Inner,
    /// Of what runs.
    root: Root,
}

const _: () = assert!(size_of::<Control>() <= CONTROL_SIZE && align_of::<Control>() <= 16);

impl fmt::Debug for Coroutine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coroutine")
            .field("started", &self.started())
            .finish_non_exhaustive()
    }
}

impl Coroutine {
    /// A coroutine that will run `body` when it is first resumed, and passes it how.
    #[inline]
    pub(crate) fn new<F: FnOnce(Resume) + 'static>(stack: Stack, body: F) -> Coroutine {
        if size_of::<F>() > INLINE_BODY {
            let boxed: Box<dyn FnOnce(Resume)> = Box::new(body);
            return Coroutine::new(stack, boxed);
        }
        let control = ptr::with_exposed_provenance_mut::<Control>(stack.control().get());
        let control = NonNull::new(control).expect("the address is not zero");
        let inner = Inner::with_stack(stack, move |yielder, resume| {
            with_root(|root| root.yielder.set(yielder));
            body(resume);
        });
        let root = Root {
            yielder: Cell::new(ptr::null()),
            stretches: Cell::new(0),
        };
        // SAFETY: the memory is `CONTROL_SIZE` bytes, enough and aligned (asserted above), and
        // belongs to the owner of the stack: to `inner`, which moves there. `base` keeps the body
        // below it.
        unsafe { control.write(Control { inner, root }) };
        Coroutine { control }
    }

    /// Runs it until it suspends (`Some`) or its body returns (`None`).
    #[inline(always)]
    pub(crate) fn resume(&mut self, resume: Resume) -> Option<Suspend> {
        // SAFETY: `control` is initialised until `into_stack` consumes `self`, and `self` is
        // borrowed mutably, so these are the only references. `root` is not used below, where the
        // body runs and reaches it through `RUNNING`; the body never reaches `inner`.
        let Control { inner, root } = unsafe { self.control.as_mut() };
        RUNNING.set(root);
        let result = inner.resume(resume);
        RUNNING.set(ptr::null());
        result.as_yield()
    }

    /// Has it write down where it is, and suspend again; nothing if it has not begun.
    pub(crate) fn dump(&mut self) {
        if self.started() {
            let why = self.resume(Resume::Dump);
            debug_assert!(why.is_some(), "a dump lets nobody go on");
        }
    }

    /// Asks the processor to fetch cache lines of its stack, counted from the top, where what
    /// resumes it and the outermost frames are.
    #[inline(always)]
    pub(crate) fn prefetch(&self, lines: Range<usize>) {
        let top = self.control.addr().get();
        lines.for_each(|line| prefetch(top - line * CACHE_LINE));
    }

    /// Whether its body has begun.
    pub(crate) fn started(&self) -> bool {
        // SAFETY: initialised, see `resume`; `self` is borrowed, so nobody changes it.
        unsafe { &(*self.control.as_ptr()).inner }.started()
    }

    /// The stack of a coroutine that is done, for the next one.
    ///
    /// # Panics
    ///
    /// If it is not done.
    pub(crate) fn into_stack(self) -> Stack {
        // SAFETY: initialised, see `resume`, and read out once: `self` is consumed and has no
        // `Drop`. The root, which stays behind, needs none.
        unsafe { self.control.read() }.inner.into_stack()
    }
}

/// A hint that the cache line at `address` will be needed; of an address that is not mapped,
/// nothing.
#[inline(always)]
fn prefetch(address: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch has no effect but on the caches, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address as *const i8);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Whether the caller runs on a coroutine.
#[inline]
pub(crate) fn is_running() -> bool {
    !RUNNING.get().is_null()
}

/// An address on the stack of the running coroutine, or zero. Async-signal-safe: a handler learns
/// whom it has interrupted.
pub(crate) fn running_address() -> usize {
    RUNNING.get().addr()
}

/// Suspends the running coroutine until it is resumed, and says how.
///
/// # Panics
///
/// If no coroutine runs.
#[inline(always)]
#[track_caller]
pub(crate) fn suspend(why: Suspend) -> Resume {
    let root = RUNNING.get();
    assert!(!root.is_null(), "{OUTSIDE}");
    // SAFETY: it is the root of the coroutine that runs now, on this OS thread, for `resume` sets
    // and clears `RUNNING` around each run. The root lives at the top of that coroutine's stack,
    // which is nobody else's until its body has returned.
    let yielder = unsafe { (*root).yielder.get() };
    // SAFETY: the yielder lives where the root does, and for as long. Its coroutine runs, perhaps
    // with generators on top of it; see "Why a tower of stacks may suspend" in docs/unsafe.md.
    unsafe { (*yielder).suspend(why) }
}

/// What runs on this OS thread: a coroutine and what it has resumed, or no coroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tower {
    /// Compared only: one that is running is not confused with another, for the root is alive.
    root: *const Root,
    stretches: usize,
}

impl Tower {
    /// Whether both are of the same coroutine, or of none.
    pub(crate) fn is_of(self, other: Tower) -> bool {
        self.root == other.root
    }
}

/// The tower that the caller is part of.
#[inline]
pub(crate) fn tower() -> Tower {
    let root = RUNNING.get();
    let stretches = with_root(|root| root.stretches.get()).unwrap_or(0);
    Tower { root, stretches }
}

/// The running coroutine begins a stretch that it must end by itself, on the same tower.
pub(crate) fn enter_stretch() {
    with_root(|root| root.stretches.set(root.stretches.get() + 1));
}

/// It ends the innermost one.
pub(crate) fn leave_stretch() {
    with_root(|root| root.stretches.set(root.stretches.get() - 1));
}

/// The root of the coroutine that runs, if one does.
#[inline]
fn with_root<T>(f: impl FnOnce(&Root) -> T) -> Option<T> {
    // SAFETY: null, or the root of the coroutine that runs, which is alive; see `suspend`. Nobody
    // holds a mutable reference to it while it runs.
    unsafe { RUNNING.get().as_ref() }.map(f)
}
