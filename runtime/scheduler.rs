//! The scheduler: decides which green thread runs on this OS thread, and waits when none can.
//!
//! # The idea
//!
//! One OS thread, one scheduler, one loop. A green thread runs until it parks, yields or ends;
//! nobody takes the core from it. It never moves to another OS thread, so nothing here is atomic or
//! locked, what a green thread captures need not be `Send`, and between two suspensions nobody else
//! can have changed anything: a condition checked just before parking cannot come true unseen.
//!
//! # States
//!
//! ```text
//!              spawn                 next                body ends
//!    (nobody) ──────> Ready ───────────────────> Running ─────────> Done
//!                       ^  ^       yield            │
//!                       │  └────────────────────────┤
//!                       │                           │ park(reason)
//!                       └──────── Parked(reason) <──┘
//!                   wake, timer, event, interrupt
//!
//!    state     who owns the stack         where the id stands
//!    Ready     the run queue (suspended)  in the run queue, once
//!    Running   the loop, and it runs      in `running`; the record still says Ready
//!    Parked    the table (suspended)      with whatever will wake it
//!    Done      the pool, for the next     nowhere; the slot is free and the id will not come back
//! ```
//!
//! # The loop
//!
//! 1. [`Scheduler::next`] takes one from the run queue (`policy`: the choice).
//! 2. [`run_loop`] resumes it. Nothing of the scheduler is borrowed now, so it can call back here.
//! 3. It suspends, and [`Scheduler::settle`] puts it where the suspension asks: back into the run
//!    queue, or into the table (`table`), from where a wake takes it to the run queue.
//! 4. When the run queue is empty, or after 61 switches (tokio's number; it is prime, so it does
//!    not beat with the program's own periods), a *turn*: look at the clock, the timers, the
//!    reactor and the inbox. Each hands out keys, and a wake only pushes onto the run queue. With
//!    an empty run queue the reactor may wait until the next deadline.
//!
//! # Rejected
//!
//! * *Switching straight from one green thread to the next* saves one of two changes of stack, some
//!   1.2 ns of 7. It loses linked backtraces, and the loop would be spread over every suspension.
//! * *Running a woken green thread at once* makes wakes recursive and the order of things
//!   unreadable.
//! * *Preemption by signals* would suspend inside `malloc`.
//! * *Pointers instead of ids* need no lookup, but then a stale one is undefined behaviour; a stale
//!   id finds nobody.
//!
//! # Invariants
//!
//! The thread-local scheduler is borrowed only between switches. Whoever borrows it a second time
//! finds none and panics, which on the loop's own stack [`run_loop`] turns into an abort; it is
//! never undefined behaviour. No user code runs on that stack: bodies, destructors and hooks run on
//! green threads or after the loop.
//!
//! Not here: results, handles, panics and unwinding (`thread`); what a lock or a socket means.

mod clock;
#[expect(
    unsafe_code,
    reason = "the address of a thread-local, taken out of its closure"
)]
mod current;
mod dump;
#[expect(unsafe_code, reason = "pthread_atfork")]
mod fork;
#[expect(unsafe_code, reason = "errno, for signal handlers")]
mod inbox;
mod interrupt;
mod policy;
mod report;
mod suspend;
mod table;
mod threads;
mod turn;
#[expect(
    unsafe_code,
    reason = "follows pointers into the stacks of parked green threads"
)]
mod wait_for;

use std::io::{self, Write};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use self::clock::Clock;
pub(crate) use self::clock::Nanos;
pub(crate) use self::current::{try_with, with};
use self::dump::Dumps;
pub(crate) use self::dump::dump;
pub(crate) use self::fork::generation as fork_generation;
use self::inbox::Inbox;
pub(crate) use self::inbox::{Door, Flag, Message, restore_errno};
pub(crate) use self::interrupt::{Interrupt, Level};
pub use self::policy::Policy;
use self::policy::RunQueue;
pub use self::report::{Blocked, Deadlock, HeldBy, Role, State, Stuck};
pub(crate) use self::suspend::{
    is_unwinding, note_unwinding, others_unwind, park, park_unwinding, running_id, running_label,
    yield_now, yield_unwinding,
};
pub(crate) use self::table::Label;
use self::table::Table;
pub use self::table::ThreadId;
pub(crate) use self::threads::Snapshot;
pub(crate) use self::wait_for::{Held, Holder, Want, want};
use crate::coroutine::{Coroutine, Resume, Suspend};
use crate::reactor::Reactor;
use crate::stack::overflow::SignalStack;
use crate::stack::{Class, Pool, StackGuard};
use crate::stats::Stats;
use crate::timer::Wheel;

/// Switches after which a turn is made although green threads are ready.
const SWITCHES_PER_TURN: u64 = 61;
/// Cache lines of a stack that are fetched ahead when an event has woken its green thread. A
/// request of an HTTP server is about so deep.
const PREFETCHED: usize = 36;
/// The nearest caches keep what so many green threads use. Of more, each is forgotten until its
/// turn comes, and what it will use is fetched ahead.
const MANY: usize = 128;
/// When more than that are ready, the top of a stack is fetched so many turns ahead: about as many
/// as go by while memory answers.
const AHEAD: usize = 12;
/// Cache lines of that top: what the switch itself reads, and the outermost frames.
const TOP: usize = 2;
/// Timers that one turn lets expire; the rest is due in the next, after those have run.
const TIMERS_PER_TURN: usize = 1024;

/// What a scheduler is told when it starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) stack_size: usize,
    pub(crate) guard: StackGuard,
    pub(crate) policy: Policy,
    pub(crate) budget: u32,
}

/// What a timer does when it expires.
#[derive(Clone, Copy, Debug)]
enum Alarm {
    Wake(ThreadId),
    /// Wakes it if it waits for I/O, which may be other I/O than the limit was for.
    Limit(ThreadId),
    Expire(ThreadId, Level),
}

/// Why the loop stopped.
#[derive(Debug)]
pub(crate) enum Ending {
    /// Nobody is left whom it has to wait for.
    Finished,
    /// Somebody is, but nothing can wake him.
    Deadlock(Deadlock),
}

/// The state of one OS thread's loop. What a switch touches stands first.
pub(crate) struct Scheduler {
    ready: RunQueue<Ready>,
    table: Table,
    /// The slot of the green thread that runs.
    running: u32,
    /// The count of switches at which to make a turn; zero is at once.
    next_turn: u64,
    /// How many at the head of the run queue were woken by events and have cold stacks.
    cold: usize,
    stats: Stats,
    budget: Budget,
    clock: Clock,
    timers: Wheel<Alarm>,
    /// How many of them are limits of I/O, for which perhaps nobody waits.
    limits: usize,
    /// Who has parked since the last look at the clock and may ask when.
    noted: Vec<u32>,
    reactor: Reactor<ThreadId>,
    inbox: Arc<Inbox>,
    stacks: Pool,
    /// Green threads that `run` waits for.
    non_daemons: usize,
    closing: bool,
    ending: Option<Ending>,
    /// Green threads that are suspended in the middle of unwinding; the OS thread counts as one if
    /// it was unwinding when `run` was called.
    unwinders: usize,
    dumps: Dumps,
    default_stack: Class,
    full_budget: u32,
    generation: u32,
    number: u64,
    /// Last: dropped when no coroutine can run any more.
    _signals: SignalStack,
}

/// What the run queue holds of a green thread. With the coroutine in it, who only yields touches no
/// line of the table.
#[derive(Debug)]
struct Ready {
    index: u32,
    coroutine: Coroutine,
}

/// What is left of the calls that the running green thread may make before it yields.
#[derive(Default)]
struct Budget {
    left: u32,
    /// The switch that it is for; after another one it is full again.
    switch: u64,
}

/// Starts a scheduler on this OS thread.
///
/// # Panics
///
/// If there is one already.
#[track_caller]
pub(crate) fn start(settings: Settings) -> io::Result<()> {
    fork::watch();
    let scheduler = Box::new(Scheduler::new(settings)?);
    assert!(
        try_with(|_| ()).is_none(),
        "sedge::run inside sedge::run: this OS thread has a scheduler already; call sedge::spawn, \
         or run on another OS thread"
    );
    current::place().set(Some(scheduler));
    Ok(())
}

/// Ends the scheduler of this OS thread, and says how many green threads are left over: suspended
/// for good, with their stacks and locals.
pub(crate) fn stop() -> usize {
    let Some(mut scheduler) = current::place().take() else {
        return 0;
    };
    let left = scheduler.table.len();
    if left > 0 {
        // Where a leaked stack is, its owner's locals must stay too.
        std::mem::forget(std::mem::take(&mut scheduler.table));
    }
    // Messages hold user code; it is dropped here, where nothing is borrowed.
    let unread = scheduler.inbox.close();
    drop(scheduler);
    for message in unread {
        // A destructor that panics has printed why.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(message)));
    }
    left
}

/// Runs green threads until there is no one left to wait for.
pub(crate) fn run_loop() -> Ending {
    let bomb = AbortOnUnwind;
    let ending = loop {
        let mut next = with(Scheduler::next);
        while let Some((mut coroutine, resume)) = next {
            let why = coroutine.resume(resume);
            next = with(|scheduler| scheduler.settle(coroutine, why));
        }
        match with(|scheduler| scheduler.ending.take()) {
            Some(Ending::Deadlock(mut report)) => {
                report.stuck.iter_mut().for_each(dump::locate);
                break Ending::Deadlock(report);
            }
            Some(Ending::Finished) => break Ending::Finished,
            None => dump::take(),
        }
    };
    std::mem::forget(bomb);
    ending
}

/// A panic of the scheduler itself leaves nothing that could be relied on.
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        let _ = writeln!(
            io::stderr(),
            "sedge: the scheduler panicked; this is a bug in sedge"
        );
        std::process::abort();
    }
}

impl Scheduler {
    fn new(settings: Settings) -> io::Result<Scheduler> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let (reactor, waker) = Reactor::new()?;
        Ok(Scheduler {
            ready: RunQueue::new(settings.policy),
            table: Table::default(),
            running: 0,
            next_turn: SWITCHES_PER_TURN,
            cold: 0,
            stats: Stats::default(),
            budget: Budget::default(),
            clock: Clock::new(),
            timers: Wheel::new(),
            limits: 0,
            noted: Vec::new(),
            reactor,
            inbox: Arc::new(Inbox::new(waker)),
            stacks: Pool::new(settings.guard),
            non_daemons: 0,
            closing: false,
            ending: None,
            unwinders: usize::from(std::thread::panicking()),
            dumps: Dumps::default(),
            default_stack: Class::holding(settings.stack_size)?,
            full_budget: settings.budget,
            generation: fork::generation(),
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            _signals: SignalStack::install()?,
        })
    }

    /// Decides who runs next; waits if nobody can. `None` when there is something else to do: the
    /// loop is over (`ending` says why), or backtraces are to be taken.
    #[inline(always)]
    fn next(&mut self) -> Option<(Coroutine, Resume)> {
        if self.stats.switches >= self.next_turn && !self.look_around() {
            return None;
        }
        let ready = match self.ready.pop() {
            Some(ready) => ready,
            None => self.wait_for_next()?,
        };
        Some(self.begin(ready))
    }

    /// From now on this one runs.
    #[inline(always)]
    fn begin(&mut self, Ready { index, coroutine }: Ready) -> (Coroutine, Resume) {
        if self.ready.len() > MANY {
            self.warm(AHEAD, 0..TOP);
        }
        if self.cold > 0 {
            self.warm_next();
        }
        debug_assert_eq!(self.table.at(index).state, State::Ready);
        let resume = if self.table.is_interruptible(index) {
            Resume::Cancel
        } else {
            Resume::Wake
        };
        self.running = index;
        self.stats.switches += 1;
        (coroutine, resume)
    }

    /// Has the stacks of those behind this one fetched while this one runs: they have not run for a
    /// while, and their frames are thirty cache lines somewhere in memory. A processor waits for
    /// some sixteen at a time, so this is done by halves.
    #[inline(never)]
    fn warm_next(&mut self) {
        self.cold -= 1;
        self.warm(1, 0..PREFETCHED / 2);
        self.warm(0, PREFETCHED / 2..PREFETCHED);
    }

    /// Has cache lines fetched of the stack of the one at this place in the run queue.
    #[inline(always)]
    fn warm(&mut self, place: usize, lines: Range<usize>) {
        if let Some(ready) = self.ready.peek(place) {
            ready.coroutine.prefetch(lines);
        }
    }

    #[cold]
    fn wait_for_next(&mut self) -> Option<Ready> {
        while self.ending.is_none() {
            self.idle();
            let next = self.ready.pop();
            if next.is_some() {
                return next;
            }
        }
        None
    }

    /// What happens rarely: the end, a dump, a turn although somebody is ready. Whether to go on.
    #[cold]
    fn look_around(&mut self) -> bool {
        self.check_fork();
        if self.dumps.asker.is_some() {
            return false;
        }
        self.next_turn = self.stats.switches + SWITCHES_PER_TURN;
        if self.has_finished() {
            self.ending = Some(Ending::Finished);
            return false;
        }
        if !self.ready.is_empty() {
            self.turn(Some(Duration::ZERO));
        }
        true
    }

    /// Puts a coroutine back, does what its suspension asked for, and decides who runs next.
    #[inline(always)]
    fn settle(
        &mut self,
        coroutine: Coroutine,
        why: Option<Suspend>,
    ) -> Option<(Coroutine, Resume)> {
        let index = self.running;
        match why {
            Some(Suspend::Yield) => {
                let ready = Ready { index, coroutine };
                if self.stats.switches < self.next_turn {
                    return self.ready.exchange(ready).map(|next| self.begin(next));
                }
                self.ready.push_yielded(ready);
            }
            Some(Suspend::Park(reason)) => {
                let record = self.table.at(index);
                record.coroutine = Some(coroutine);
                record.state = State::Parked(reason);
                record.since = self.clock.cached();
                self.stats.parks.count(reason);
                // What is due already will not come again to wake it.
                let id = record.id;
                if self.table.is_interruptible(index) {
                    self.wake(id);
                }
            }
            None => self.finish(index, coroutine),
        }
        self.next()
    }

    fn finish(&mut self, index: u32, coroutine: Coroutine) {
        self.stacks.give_back(coroutine.into_stack());
        let daemon = self.table.remove(index);
        self.non_daemons -= usize::from(!daemon);
        if self.has_finished() {
            self.next_turn = 0;
        }
    }

    fn has_finished(&self) -> bool {
        if self.closing {
            self.table.len() == 0
        } else {
            self.non_daemons == 0
        }
    }
}
