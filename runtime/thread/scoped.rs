//! Green threads that borrow from whoever spawned them: `scope`, and the main green thread.
//!
//! A coroutine's body must be `'static`, for the scheduler keeps it as long as it likes. Here the
//! lifetime is erased, and this module sees to it that the body's frames are gone before what they
//! borrow from is: [`scope`] does not return, or unwind further, before every child has finished.
//!
//! The wait happens on the stack of the scope's caller, after `catch_unwind`, so it cannot be
//! skipped by unwinding. A green thread that never gets that far keeps `run` from returning.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;

use super::handle::Packet;
use super::shared::Shared;
use super::spawn::{Builder, live};
use super::unwind::{self, Payload, catch, contain, shield};
use super::{JoinHandle, Result, Thread, ThreadId};
use crate::coroutine::Resume;
use crate::scheduler::{self, Held, Holder, Role, Scheduler};
use crate::stats::Reason;

type Body<'a> = Box<dyn FnOnce(Resume) + 'a>;

/// Spawns a body as if it were `'static`.
///
/// # Safety
///
/// Everything that `body` borrows must live until `body` was consumed (by being run to its end,
/// which it must reach without unwinding, or by being dropped), or for ever if neither happens.
#[track_caller]
unsafe fn spawn_erased(builder: Builder, body: Body<'_>) -> io::Result<Thread> {
    // SAFETY: the two types differ in a lifetime only, and the caller vouches for that.
    let body = unsafe { std::mem::transmute::<Body<'_>, Body<'static>>(body) };
    builder.spawn_body(body)
}

/// Spawns the green thread that [`run`](crate::run) begins with. The caller, `run`, must not return
/// before the loop has ended.
#[track_caller]
pub(super) fn spawn_main<F, T>(main: F) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T,
{
    let packet = Packet::new();
    let result = packet.clone();
    let body = Box::new(move |resume| result.finish(live(resume, main)));
    let builder = Builder::new().name("main".to_owned());
    // SAFETY: what `main` borrows belongs to callers of `run`, on this OS thread. `run` returns, or
    // unwinds, only when the table was empty, so that the body has ended; if it cannot be brought
    // to an end, `run` aborts. Leaking it would not do: its frames may hold a guard that somebody
    // else's soundness rests on, such as that of a std scope.
    let thread = unsafe { spawn_erased(builder, body) }?;
    Ok(JoinHandle::new(thread, packet))
}

/// Green threads that may borrow from the frame of [`scope`]. As [`std::thread::Scope`].
pub struct Scope<'scope, 'env: 'scope> {
    data: Rc<Data>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// What a scope knows of its children; outlives it in them, and borrows nothing.
struct Data {
    /// Who waits. A scope in the body of a generator may be left by another than began it.
    owner: Cell<ThreadId>,
    running: RefCell<HashSet<ThreadId>>,
    a_thread_panicked: Cell<bool>,
    /// It was unwound by an interrupt; who is born now is cancelled.
    stopping: Cell<bool>,
}

impl Data {
    /// Parks the owner until no child is left, also while the owner unwinds. It returns only when
    /// they are gone; an interrupt unwinds it before that.
    fn wait(&self) {
        while !self.is_empty() {
            self.owner.set(scheduler::with(Scheduler::current));
            unwind::park_always(Reason::Join, None);
        }
    }

    /// As [`wait`](Data::wait), but panics with a report if a child waits for the owner.
    fn join(&self, at: &'static Location<'static>) {
        if self.is_empty() {
            return;
        }
        self.owner.set(scheduler::with(Scheduler::current));
        let are_gone = || self.is_empty();
        if let Err(deadlock) = unwind::park_until_free(self, at, None, are_gone) {
            panic!("{deadlock}");
        }
    }

    /// Whether nobody is left to wait for; then no scheduler is needed, for a generator may be
    /// dropped, with the scope it is in, after `run`.
    fn is_empty(&self) -> bool {
        self.running.borrow().is_empty()
    }

    /// Cancels those who are left, and waits until they are gone.
    fn stop(&self) {
        self.stopping.set(true);
        if !self.is_empty() {
            self.cancel_all();
            shield(|| self.wait());
        }
    }

    fn cancel_all(&self) {
        scheduler::with(|scheduler| {
            self.running
                .borrow()
                .iter()
                .for_each(|&id| scheduler.cancel(id));
        });
    }

    fn remove(&self, id: ThreadId) {
        let mut running = self.running.borrow_mut();
        running.remove(&id);
        if running.is_empty() {
            scheduler::with(|scheduler| scheduler.wake(self.owner.get()));
        }
    }
}

/// A scope that ends waits for its children.
impl Held for Data {
    fn kind(&self) -> &'static str {
        "the end of the green threads of its scope"
    }

    fn reason(&self) -> Reason {
        Reason::Join
    }

    fn each_holder(&self, each: &mut dyn FnMut(Holder)) {
        for &id in &*self.running.borrow() {
            each(Holder {
                thread: Some(id),
                role: Role::Awaited,
                at: None,
            });
        }
    }
}

/// Runs `f`, which may spawn green threads that borrow from this frame, and waits for all of them.
/// As [`std::thread::scope`].
///
/// If this green thread is cancelled or a time limit passes while it is in here, the children are
/// cancelled too; either way they have ended before anything of this frame goes away. If `f` panics
/// they are left to finish, as in std.
///
/// ```
/// sedge::run(|| {
///     let mut words = vec!["one", "two", "three"];
///     let letters: usize = sedge::scope(|s| {
///         let threads: Vec<_> = words.iter().map(|word| s.spawn(|| word.len())).collect();
///         threads.into_iter().map(|thread| thread.join().unwrap()).sum()
///     });
///     assert_eq!(letters, 11);
///     words.clear(); // nobody borrows it any more
/// });
/// ```
///
/// # Panics
///
/// With `f`'s panic; if a child panicked whose handle was not joined; outside [`run`](crate::run).
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let data = Rc::new(Data {
        owner: Cell::new(scheduler::with(Scheduler::current)),
        running: RefCell::default(),
        a_thread_panicked: Cell::new(false),
        stopping: Cell::new(false),
    });
    let scope = Scope {
        data,
        scope: PhantomData,
        env: PhantomData,
    };
    let result = catch(|| f(&scope));
    let interrupt = if result.as_ref().is_err_and(unwind::is_interrupt) {
        scope.data.stop();
        None
    } else {
        let at = Location::caller();
        let interrupt = catch(|| scope.data.join(at)).err();
        if interrupt.is_some() {
            scope.data.stop();
        }
        interrupt
    };
    // Not before the children have ended may anything of the body's be dropped, for that may
    // unwind.
    match (result, interrupt) {
        (Err(payload), _) => unwind::resume(payload),
        (Ok(value), Some(interrupt)) => {
            drop(value);
            unwind::resume(interrupt)
        }
        (Ok(_), None) if scope.data.a_thread_panicked.get() => panic!("a scoped thread panicked"),
        (Ok(value), None) => value,
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Spawns a green thread that may borrow what outlives the scope.
    ///
    /// # Panics
    ///
    /// If there is no memory for a stack; [`Builder::spawn_scoped`] returns an error instead.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        Builder::new()
            .spawn_scoped(self, f)
            .expect("failed to spawn green thread")
    }
}

impl Builder {
    /// Spawns a green thread in a scope. As std's.
    ///
    /// # Errors
    ///
    /// As [`Builder::spawn`].
    #[track_caller]
    pub fn spawn_scoped<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        let packet = Packet::new();
        let data = Rc::clone(&scope.data);
        let body = {
            let packet = packet.clone();
            let data = Rc::clone(&data);
            Box::new(move |resume| {
                // Dropped last, when nothing of 'scope is left on this stack.
                let _removal = Removal {
                    data: &data,
                    id: scheduler::with(Scheduler::current),
                };
                let result = live(resume, f);
                conclude(packet, result, &data);
            })
        };
        // SAFETY: what the body borrows lives for 'scope, which ends after `scope` has waited for
        // `running` to be empty. The body's id is entered there below, before it can run, and
        // removed when `f`, its value and the packet's share in it are gone, even if `live` or
        // `conclude` should unwind.
        let thread = unsafe { spawn_erased(self, body) }?;
        scope.data.running.borrow_mut().insert(thread.id());
        // Its owner may be waiting already.
        scheduler::with(|scheduler| scheduler.mark_wanted(thread.id()));
        if scope.data.stopping.get() {
            thread.cancel();
        }
        Ok(ScopedJoinHandle {
            thread,
            packet,
            data,
            scope: PhantomData,
        })
    }
}

/// Hands the result over. If nobody wants it, it is dropped here, on the child and before the scope
/// ends.
fn conclude<T>(packet: Shared<Packet<T>>, result: std::result::Result<T, Payload>, data: &Data) {
    packet.finish(result);
    let Some(packet) = packet.into_inner() else {
        return;
    };
    if packet.holds_panic() {
        data.a_thread_panicked.set(true);
    }
    if let Err(payload) = catch(|| drop(packet)) {
        if !unwind::is_interrupt(&payload) {
            data.a_thread_panicked.set(true);
        }
        contain(|| drop(payload));
    }
}

/// Takes a child off its scope's list when it is gone, however its body ends.
struct Removal<'a> {
    data: &'a Data,
    id: ThreadId,
}

impl Drop for Removal<'_> {
    fn drop(&mut self) {
        self.data.remove(self.id);
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("running", &self.data.running.borrow().len())
            .field("a_thread_panicked", &self.data.a_thread_panicked.get())
            .finish_non_exhaustive()
    }
}

/// Owns the result of a scoped green thread. As [`std::thread::ScopedJoinHandle`].
pub struct ScopedJoinHandle<'scope, T> {
    thread: Thread,
    packet: Shared<Packet<T>>,
    data: Rc<Data>,
    scope: PhantomData<&'scope mut &'scope ()>,
}

impl<T> Drop for ScopedJoinHandle<'_, T> {
    fn drop(&mut self) {
        if self.packet.holds_panic() {
            self.data.a_thread_panicked.set(true);
        }
    }
}

impl<T> ScopedJoinHandle<'_, T> {
    /// The green thread.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Waits for the green thread to end and returns its value.
    ///
    /// # Errors
    ///
    /// If it panicked or was cancelled.
    ///
    /// # Panics
    ///
    /// With a [report](crate::Deadlock) if that one waits for this one.
    #[track_caller]
    pub fn join(self) -> Result<T> {
        self.packet.join(&self.thread)
    }

    /// Whether it has ended, so that `join` returns at once.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.packet.is_finished()
    }

    /// Cancels it; see [`JoinHandle::cancel`].
    ///
    /// # Panics
    ///
    /// In a program built with `panic = "abort"`.
    pub fn cancel(&self) {
        self.thread.cancel();
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle")
            .field("thread", &self.thread)
            .finish_non_exhaustive()
    }
}
