//! What every test needs: a deadline that shows who hangs, and a log of what happened.

use std::backtrace::BacktraceStatus;
use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use sedge::thread::{self, Remote, Thread};
use sedge::{Config, State};

/// After this a test hangs. Under a sanitizer some take ten seconds.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs `f` as [`sedge::run`] does. A test that hangs prints its green threads and aborts.
///
/// A `Remote` is open meanwhile, so a deadlock is not reported but hangs. Tests of deadlocks call
/// `sedge::run` themselves, under a [`Watchdog`].
#[track_caller]
pub(crate) fn run<T>(f: impl FnOnce() -> T) -> T {
    run_with(Config::new(), f)
}

/// As [`run`], with a configuration.
#[track_caller]
pub(crate) fn run_with<T>(config: Config, f: impl FnOnce() -> T) -> T {
    let watchdog = Watchdog::new();
    config.run(|| {
        watchdog.attach();
        f()
    })
}

/// Aborts the process unless it is dropped before the deadline.
pub(crate) struct Watchdog {
    remotes: Sender<Remote>,
    /// The deadline has passed.
    late: Arc<AtomicBool>,
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // The look at a test that hangs may set it going again; it has failed all the same.
        while self.late.load(Ordering::SeqCst) {
            std::thread::park();
        }
    }
}

impl Watchdog {
    pub(crate) fn new() -> Watchdog {
        let (remotes, receiver) = mpsc::channel();
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let late = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&late);
        std::thread::spawn(move || watch(&test, &receiver, &flag));
        Watchdog { remotes, late }
    }

    /// Lets it look at the green threads of the caller's scheduler.
    fn attach(&self) {
        let _ = self.remotes.send(Remote::new());
    }
}

fn watch(test: &str, receiver: &Receiver<Remote>, late: &AtomicBool) {
    let deadline = Instant::now() + DEADLINE;
    let mut remotes = Vec::new();
    loop {
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(remote) => remotes.push(remote),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    late.store(true, Ordering::SeqCst);
    // Not `eprintln!`, which libtest would keep to itself when the process aborts.
    let _ = writeln!(std::io::stderr(), "\n{test} hangs");
    for remote in &remotes {
        let _ = remote.spawn(print_table);
    }
    std::thread::sleep(Duration::from_secs(1));
    std::process::abort();
}

fn print_table() {
    let mut stderr = std::io::stderr();
    for thread in thread::all() {
        let _ = writeln!(
            stderr,
            "{thread:?}: {}, from {}",
            thread.state(),
            thread.spawned_at()
        );
    }
    for (thread, backtrace) in thread::dump() {
        if backtrace.status() == BacktraceStatus::Captured {
            let _ = writeln!(stderr, "\n{thread:?}, {}:\n{backtrace}", thread.state());
        }
    }
}

/// What happened, in order. Clones write to the same log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, event: impl Into<String>) {
        self.0.borrow_mut().push(event.into());
    }

    /// The events so far; the log is empty then.
    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }

    /// Something that adds `event` when it is dropped.
    pub(crate) fn on_drop(&self, event: &'static str) -> OnDrop<impl FnMut() + use<>> {
        let log = self.clone();
        OnDrop(move || log.add(event))
    }
}

/// Calls its function when it is dropped.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Random numbers by SplitMix64.
#[derive(Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// From zero to one less than `sides`.
    pub(crate) fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % sides
    }

    /// Dice of their own.
    pub(crate) fn child(&mut self) -> Dice {
        Dice(self.throw(u64::MAX))
    }
}

/// Lets the others run until `thread` is in that state.
pub(crate) fn until(thread: &Thread, state: State) {
    while thread.state() != state {
        assert_ne!(thread.state(), State::Done, "{thread:?} has ended");
        thread::yield_now();
    }
}

/// The text of a panic.
pub(crate) fn message(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<&'static str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

/// The message of the panic that `f` ends with.
#[track_caller]
pub(crate) fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) {
        Ok(_) => panic!("no panic"),
        Err(payload) => message(&*payload).to_owned(),
    }
}

pub(crate) const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Longer than any test.
pub(crate) const FOREVER: Duration = Duration::from_secs(3600);
