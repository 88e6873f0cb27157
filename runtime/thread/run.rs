//! `run`: a scheduler from its start to its end.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::panic::{self, resume_unwind};
use std::rc::Rc;
use std::sync::Once;

use super::unwind::{self, Payload, contain};
use super::{JoinHandle, Thread, current, scoped};
use crate::scheduler::{self, Deadlock, Ending, Policy, Scheduler, Settings};
use crate::stack::StackGuard;

/// I/O calls that a green thread may make before others run, even if none of them blocks.
const DEFAULT_BUDGET: u32 = 64;
const DEFAULT_STACK: usize = 256 << 10;

type DeadlockHook = Box<dyn FnOnce(&Deadlock)>;
type PanicHook = Rc<dyn Fn(&Thread, &(dyn std::any::Any + Send))>;

/// How a scheduler is to run.
///
/// ```
/// use sedge::{Config, Policy};
///
/// let value = Config::new().stack_size(64 << 10).policy(Policy::Random(7)).run(|| {
///     sedge::spawn(|| 42).join().unwrap()
/// });
/// assert_eq!(value, 42);
/// ```
#[must_use = "a Config does nothing until it runs"]
pub struct Config {
    settings: Settings,
    on_deadlock: Option<DeadlockHook>,
    on_panic: Option<PanicHook>,
}

impl Config {
    /// The defaults: stacks of 256 KiB, [`Policy::Fifo`], a budget of 64 I/O calls, no hooks.
    pub fn new() -> Config {
        Config {
            settings: Settings {
                stack_size: DEFAULT_STACK,
                guard: StackGuard::Auto,
                policy: Policy::Fifo,
                budget: DEFAULT_BUDGET,
            },
            on_deadlock: None,
            on_panic: None,
        }
    }

    /// Usable bytes of a stack for which [`Builder`](crate::thread::Builder) says nothing else,
    /// rounded up to a power of two; from 32 KiB to 1 GiB. It costs address space, and memory only
    /// where it is touched. Default: 256 KiB; a panic with a backtrace needs 22. Out of range,
    /// [`run`](Config::run) panics.
    pub fn stack_size(mut self, bytes: usize) -> Config {
        self.settings.stack_size = bytes;
        self
    }

    /// How stacks are guarded. Default: as the kernel allows.
    pub fn stack_guard(mut self, guard: StackGuard) -> Config {
        self.settings.guard = guard;
        self
    }

    /// Who runs next. Default: [`Policy::Fifo`].
    pub fn policy(mut self, policy: Policy) -> Config {
        self.settings.policy = policy;
        self
    }

    /// How many calls on wrapped sockets a green thread may make before it must let others run,
    /// although each succeeds at once. Default: 64; 0 counts as 1.
    pub fn coop_budget(mut self, calls: u32) -> Config {
        self.settings.budget = calls.max(1);
        self
    }

    /// Called when everybody waits for ever, just before [`run`](Config::run) panics with the
    /// report. Default: nothing.
    ///
    /// The loop has ended and all that could be unwound is gone, so the hook is outside of `run`:
    /// sleeping, spawning or [`dump`](crate::thread::dump) panic here. If it panics, its panic
    /// comes out of `run` in place of the report.
    pub fn on_deadlock(mut self, hook: impl FnOnce(&Deadlock) + 'static) -> Config {
        self.on_deadlock = Some(Box::new(hook));
        self
    }

    /// Called on a green thread that a panic has ended, with its payload, after std's hook has
    /// printed the message. Not called for cancellations. Default: nothing.
    pub fn on_panic(
        mut self,
        hook: impl Fn(&Thread, &(dyn std::any::Any + Send)) + 'static,
    ) -> Config {
        self.on_panic = Some(Rc::new(hook));
        self
    }

    /// [`run`](crate::run) with this configuration.
    ///
    /// # Panics
    ///
    /// As [`run`](crate::run).
    #[track_caller]
    pub fn run<F, T>(self, main: F) -> T
    where
        F: FnOnce() -> T,
    {
        self.try_run(main)
            .unwrap_or_else(|error| panic!("sedge cannot start a scheduler: {error}"))
    }

    /// [`run`](Config::run), for who can say better what the system has refused.
    #[track_caller]
    pub(crate) fn try_run<F, T>(self, main: F) -> io::Result<T>
    where
        F: FnOnce() -> T,
    {
        watch_panics();
        let hook = Hooked(HOOK.replace(self.on_panic));
        let started = scheduler::start(self.settings);
        // It may borrow from this function's callers; it has ended when the loop below has.
        let main = match started {
            Ok(()) => scoped::spawn_main(main),
            Err(error) => Err(error),
        };
        let ending = main.is_ok().then(run_to_the_end);
        let left = scheduler::stop();
        if left > 0 {
            abandon(left, ending, self.on_deadlock);
        }
        drop(hook);
        if let Some(Ending::Deadlock(deadlock)) = ending {
            if let Some(hook) = self.on_deadlock {
                hook(&deadlock);
            }
            panic!("{deadlock}");
        }
        let main: JoinHandle<T> = main?;
        match main.packet().take().expect("main has ended, for run has") {
            Ok(value) => Ok(value),
            Err(payload) if unwind::is_cancel(&payload, main.thread().id()) => {
                panic!("the main green thread was cancelled, so run has no value to return")
            }
            Err(payload) if unwind::is_interrupt(&payload) => panic!(
                "the main green thread resumed the cancellation of another, so run has no value to \
                 return; ask JoinError::is_cancelled before into_panic"
            ),
            Err(payload) => resume_unwind(payload),
        }
    }
}

/// Runs until only daemons are left, or nobody can go on; then unwinds the rest.
fn run_to_the_end() -> Ending {
    let ending = scheduler::run_loop();
    if cfg!(panic = "unwind") {
        scheduler::with(Scheduler::close);
        scheduler::run_loop();
    }
    ending
}

/// Ends the process: some green threads have begun and cannot be unwound. `run` must not return
/// over them, for what their frames borrow from its callers, and from the OS thread's locals, may
/// go then although a guard on those frames was to see to it that it does not.
fn abandon(left: usize, ending: Option<Ending>, hook: Option<DeadlockHook>) -> ! {
    let mut report = String::new();
    if let Some(Ending::Deadlock(deadlock)) = ending {
        report = format!("{deadlock}\n");
        if let Some(hook) = hook {
            contain(|| hook(&deadlock));
        }
    }
    let why = if cfg!(panic = "abort") {
        "panic = \"abort\" has switched unwinding off; let daemons end before the others do"
    } else {
        "they wait for ever behind a shield or in a destructor"
    };
    let _ = writeln!(
        std::io::stderr(),
        "{report}sedge: run cannot end: {left} of its green threads can be neither run nor \
         unwound; {why}"
    );
    std::process::abort()
}

impl Default for Config {
    fn default() -> Config {
        Config::new()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Runs `main` as the first green thread of a new scheduler on this OS thread.
///
/// It returns `main`'s value when `main` and every other green thread have ended, except
/// [daemons](crate::thread::Builder::daemon); those are then cancelled, and unwound. So a program
/// ends as a Python program with threads does: a `main` that returns early, with an `Err` too,
/// still waits for the others. `std::process::exit` does not. Several OS threads may each run their
/// own.
///
/// `main` may borrow from the caller; what it spawns may not, except in a [`scope`](crate::scope).
///
/// ```
/// let sum = sedge::run(|| {
///     let threads: Vec<_> = (1..=10).map(|i| sedge::spawn(move || i * i)).collect();
///     threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u32>()
/// });
/// assert_eq!(sum, 385);
/// ```
///
/// # Panics
///
/// With `main`'s panic, once the others have ended; with a report if green threads are left that
/// would wait [for ever](crate::Deadlock), also if `main` has panicked, whose message the panic
/// hook has printed by then; if `main` was cancelled; if this OS thread runs a scheduler already;
/// if [`Config::stack_size`] is out of range; if the system gives no epoll or no memory.
#[track_caller]
pub fn run<F, T>(main: F) -> T
where
    F: FnOnce() -> T,
{
    Config::new().run(main)
}

thread_local! {
    /// The panic hook of the scheduler on this OS thread.
    static HOOK: RefCell<Option<PanicHook>> = const { RefCell::new(None) };
}

/// Holds what stood in `HOOK` before, and puts it back.
struct Hooked(Option<PanicHook>);

impl Drop for Hooked {
    fn drop(&mut self) {
        // Two steps: a hook's own destructor must not find `HOOK` borrowed.
        let ours = HOOK.replace(self.0.take());
        drop(ours);
    }
}

/// Calls the configured hook for what has unwound the running green thread.
pub(crate) fn report_panic(payload: &Payload) {
    if unwind::is_interrupt(payload) {
        return;
    }
    let hook = HOOK.with_borrow(Option::clone);
    if let Some(hook) = hook {
        // A panic in the hook was printed like any other; the first one is the result.
        contain(|| hook(&current(), &**payload));
    }
}

/// Puts a line with the green thread's name before what std's hook, or the user's, prints.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            scheduler::note_unwinding(true);
            if let Some((id, label)) = scheduler::running_label() {
                let name = label.name.as_deref().unwrap_or("<unnamed>");
                let mut stderr = std::io::stderr().lock();
                // Nothing can be done about a standard error that is closed.
                let _ = writeln!(
                    stderr,
                    "\ngreen thread '{name}' (#{}), spawned at {}, on this OS thread:",
                    id.as_u64(),
                    label.spawned_at
                );
            }
            previous(info);
        }));
    });
}
