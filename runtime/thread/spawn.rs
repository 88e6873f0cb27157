//! Making green threads: what surrounds a body.

use std::io;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use super::handle::Packet;
use super::unwind::{self, Payload, catch, contain};
use super::{JoinHandle, Thread, run};
use crate::coroutine::{INLINE_BODY, Resume};
use crate::local;
use crate::scheduler::{self, Label, Scheduler};

/// How to spawn a green thread: its name, its stack, whether anybody waits for it. As
/// [`std::thread::Builder`].
///
/// ```
/// use sedge::thread::Builder;
///
/// sedge::run(|| {
///     let deep = Builder::new().name("deep".into()).stack_size(1 << 20);
///     let handle = deep.spawn(|| sedge::thread::current().name().unwrap().to_owned()).unwrap();
///     assert_eq!(handle.join().unwrap(), "deep");
/// });
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until it spawns"]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
    daemon: bool,
}

impl Builder {
    /// No name, the stack size of the [`Config`](crate::Config), not a daemon.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// The name that errors, reports and panics show. An overflow report shows its first 40 bytes.
    pub fn name(mut self, name: String) -> Builder {
        self.name = Some(name);
        self
    }

    /// Usable bytes of stack, rounded up to the next power of two; from 32 KiB to 1 GiB. Only what
    /// is touched becomes memory.
    pub fn stack_size(mut self, size: usize) -> Builder {
        self.stack_size = Some(size);
        self
    }

    /// Whether [`run`](crate::run) may return without it. When only daemons are left they are
    /// cancelled, so their destructors run. As Python's `daemon`, false by default; not inherited
    /// by what a daemon spawns, unlike Python's.
    pub fn daemon(mut self, daemon: bool) -> Builder {
        self.daemon = daemon;
        self
    }

    /// Spawns `f`. As std's, and `f` need not be `Send`.
    ///
    /// # Errors
    ///
    /// If the stack size is out of range, or there is no memory or no mapping for another stack.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    #[inline]
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        if size_of::<F>() > INLINE_BODY {
            // Each call on the way to a body moves it, and each move leaves a copy on its stack.
            let boxed: Box<dyn FnOnce() -> T> = Box::new(f);
            return self.spawn(boxed);
        }
        let packet = Packet::new();
        let result = packet.clone();
        let thread = self.spawn_body(move |resume| result.finish(live(resume, f)))?;
        Ok(JoinHandle::new(thread, packet))
    }

    /// Spawns a body that deals with its result itself.
    #[inline]
    #[track_caller]
    pub(super) fn spawn_body<B>(self, body: B) -> io::Result<Thread>
    where
        B: FnOnce(Resume) + 'static,
    {
        let mut body = Some(move |resume| to_the_end(|| body(resume)));
        let label = Label {
            name: self.name.map(Rc::from),
            spawned_at: Location::caller(),
        };
        // Should that fail, the body is still here to be dropped, and not under a borrow.
        let id = scheduler::with(|scheduler| {
            scheduler.spawn(&label, self.stack_size, self.daemon, &mut body)
        })?;
        Ok(Thread { id, label })
    }
}

/// Spawns a green thread. As [`std::thread::spawn`], and `f` need not be `Send`. The new one runs
/// when this one waits or yields.
///
/// # Panics
///
/// Outside [`run`](crate::run), and if there is no memory for a stack; [`Builder::spawn`] returns
/// an error instead.
#[inline]
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    Builder::new()
        .spawn(f)
        .expect("failed to spawn green thread")
}

/// Spawns a green thread that first sleeps for `delay`, counted from now. gevent's `spawn_later`.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// sedge::run(|| {
///     let begin = Instant::now();
///     let late = sedge::spawn_after(Duration::from_millis(5), Instant::now);
///     assert!(late.join().unwrap() - begin >= Duration::from_millis(5));
/// });
/// ```
///
/// # Panics
///
/// As [`spawn`].
#[track_caller]
pub fn spawn_after<F, T>(delay: Duration, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    let deadline = scheduler::with(|scheduler| scheduler.after(delay));
    spawn(move || {
        super::sleep_for(deadline);
        f()
    })
}

/// Runs a body from its start to its end: catches what unwinds it and drops its locals.
#[inline]
pub(super) fn live<F, T>(resume: Resume, f: F) -> Result<T, Payload>
where
    F: FnOnce() -> T,
{
    let result = if resume == Resume::Cancel {
        // Cancelled before it began: the closure is dropped, here, where its destructors may wait.
        let dropped = catch(|| drop(f));
        dropped.and_then(|()| Err(unwind::cancelled(scheduler::with(Scheduler::current))))
    } else {
        catch(|| __rust_begin_short_backtrace(f))
    };
    #[cfg(feature = "patch")]
    let result = super::verdict::deliver(result);
    destroy_locals();
    // Not by reference to all of the result: that would put it into memory once more.
    match result {
        Ok(value) => Ok(value),
        Err(payload) => {
            run::report_panic(&payload);
            Err(payload)
        }
    }
}

/// Calls the closure. std knows this name, and leaves what called it out of a panic's backtrace.
#[inline(never)]
fn __rust_begin_short_backtrace<T>(f: impl FnOnce() -> T) -> T {
    let value = f();
    // Keeps the call from becoming a jump, which would leave no frame.
    std::hint::black_box(());
    value
}

/// Runs all of a body, with what its captures do when they are dropped: a value that nobody will
/// join may panic then, and may wait, make locals, and be unwound while it waits.
#[inline]
pub(super) fn to_the_end(body: impl FnOnce()) {
    contain(body);
    destroy_locals();
}

/// Drops the locals, here, where their destructors may do what they like.
#[inline]
fn destroy_locals() {
    if local::are_there() {
        // A panic in one was printed by the hook; the result and the other locals are worth more.
        while !contain(local::destroy) {}
    }
}

/// Runs `f` on a green thread of its own, or here if there is none to be had.
pub(crate) fn spawn_link(f: Box<dyn FnOnce()>) {
    let f = Rc::new(std::cell::Cell::new(Some(f)));
    let body = Rc::clone(&f);
    let call = move |f: &std::cell::Cell<Option<Box<dyn FnOnce()>>>| f.take().map(|f| f());
    let spawned = Builder::new().spawn(move || call(&body));
    if spawned.is_err() {
        contain(|| {
            call(&f);
        });
    }
}
