//! What floors above do with green threads: make them, look at them, wake and interrupt them.

use std::any::Any;
use std::io::{self, Write};
use std::panic::Location;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::clock::Nanos;
use super::current::outside;
use super::inbox::{Body, Door};
use super::interrupt::{Interrupts, Level};
use super::policy::RunQueue;
use super::report::{Deadlock, State};
use super::table::{Label, Record, Table, ThreadId};
use super::{Alarm, Ready, Scheduler};
use crate::coroutine::{self, Coroutine, Resume};
use crate::reactor::{Reactor, SourceKey};
use crate::stack::Class;
use crate::stats::{Reason, Stats};
use crate::timer::TimerId;

/// A green thread as [`Scheduler::snapshot`] shows it.
pub(crate) struct Snapshot {
    pub(crate) id: ThreadId,
    pub(crate) label: Label,
}

impl Scheduler {
    /// Makes a green thread and puts it into the run queue. Its stack is of the configured size if
    /// none is asked for; if there is none, `body` stays where it is.
    #[inline(always)]
    pub(crate) fn spawn<F>(
        &mut self,
        label: &Label,
        stack_size: Option<usize>,
        daemon: bool,
        body: &mut Option<F>,
    ) -> io::Result<ThreadId>
    where
        F: FnOnce(Resume) + 'static,
    {
        let class = match stack_size {
            None => self.default_stack,
            Some(size) => Class::holding(size)?,
        };
        // Looked at before anything is called, while the compiler knows them.
        let Label { name, spawned_at } = label;
        let (name, spawned_at) = (name.as_ref(), *spawned_at);
        let mut stack = self.stacks.take(class)?;
        let body = body.take().expect("the caller has a body to spawn");
        let id = self.table.insert(name, spawned_at, daemon);
        stack.set_label(id.as_u64(), name.map(|name| &**name), spawned_at);
        let coroutine = Coroutine::new(stack, body);
        if self.closing {
            self.table.interrupts(id.index(), Interrupts::cancel);
        }
        self.stats.spawns += 1;
        self.ready.reserve(self.table.slots());
        self.non_daemons += usize::from(!daemon);
        self.ready.push(Ready {
            index: id.index(),
            coroutine,
        });
        Ok(id)
    }

    /// Spawns what another OS thread has sent.
    pub(super) fn adopt(&mut self, spawned_at: &'static Location<'static>, body: Body) {
        let label = Label {
            name: None,
            spawned_at,
        };
        let mut body = Some(body);
        if let Err(error) = self.spawn(&label, None, false, &mut body) {
            let _ = writeln!(
                io::stderr(),
                "sedge: Remote::spawn at {spawned_at}: {error}"
            );
            // Its destructor is user code and must not run here, under a borrow.
            std::mem::forget(body);
        }
    }

    /// The record of the green thread that runs.
    #[inline(always)]
    pub(super) fn running(&mut self) -> &mut Record {
        self.check_running();
        self.table.at(self.running)
    }

    /// Panics unless a green thread runs: the caller is about to suspend it.
    #[inline]
    fn check_running(&self) {
        if !coroutine::is_running() {
            outside();
        }
    }

    /// The id of the green thread that runs.
    #[inline]
    pub(crate) fn current(&mut self) -> ThreadId {
        self.running().id
    }

    /// The name and origin of a green thread that is not done.
    pub(crate) fn label(&mut self, id: ThreadId) -> Option<Label> {
        self.table.get(id).map(|record| record.label())
    }

    /// What a green thread is doing.
    pub(crate) fn state(&mut self, id: ThreadId) -> State {
        let running = coroutine::is_running() && self.running().id == id;
        match self.table.get(id) {
            Some(_) if running => State::Running,
            Some(record) => record.state,
            None => State::Done,
        }
    }

    /// A place for what floors above keep with the running green thread.
    pub(crate) fn locals(&mut self) -> &mut Option<Rc<dyn Any>> {
        self.running().locals()
    }

    /// Whether there is something in it.
    #[inline]
    pub(crate) fn has_locals(&mut self) -> bool {
        self.running().has_locals()
    }

    /// Everyone alive, by id.
    pub(crate) fn snapshot(&self) -> Vec<Snapshot> {
        let each = |record: &Record| Snapshot {
            id: record.id,
            label: record.label(),
        };
        let mut all: Vec<_> = self.table.iter().map(each).collect();
        all.sort_by_key(|snapshot| snapshot.id.as_u64());
        all
    }

    pub(super) fn deadlock(&mut self) -> Deadlock {
        let parked = |record: &&Record| matches!(record.state, State::Parked(_));
        let parked = self.table.iter().filter(parked);
        let mut ids: Vec<_> = parked.map(|record| record.id).collect();
        ids.sort_by_key(|id| id.as_u64());
        let stuck = ids.into_iter().map(|id| self.stuck(id, None)).collect();
        Deadlock {
            stuck,
            cycle: false,
        }
    }

    /// Whether a green thread, which is parked or was until now, unwinds when it goes on.
    #[inline]
    pub(crate) fn will_unwind(&mut self, id: ThreadId) -> bool {
        self.table.will_unwind(id)
    }

    /// Makes a parked green thread ready. Does nothing to any other, and nothing for a stale id.
    #[inline]
    pub(crate) fn wake(&mut self, id: ThreadId) {
        wake(&mut self.table, &mut self.ready, &mut self.stats, id);
    }

    /// As [`wake`](Scheduler::wake), unless something is due for anybody; says which.
    #[inline(always)]
    pub(crate) fn wake_unless_due(&mut self, id: ThreadId) -> bool {
        let is_quiet = !self.table.has_due();
        if is_quiet {
            self.wake(id);
        }
        is_quiet
    }

    /// Gives the park token, and wakes the owner if it waits for that.
    pub(crate) fn unpark(&mut self, id: ThreadId) {
        let Some(record) = self.table.get(id) else {
            return;
        };
        record.token = true;
        if record.state == State::Parked(Reason::Park) {
            self.wake(id);
        }
    }

    /// Takes the running green thread's park token.
    pub(crate) fn take_token(&mut self) -> bool {
        std::mem::take(&mut self.running().token)
    }

    /// Changes what is due for a green thread, and wakes it if that is something.
    pub(super) fn interrupt(&mut self, id: ThreadId, change: impl FnOnce(&mut Interrupts)) {
        if self.table.get(id).is_none() {
            return;
        }
        self.table.interrupts(id.index(), change);
        if self.table.is_interruptible(id.index()) {
            self.wake(id);
        }
    }

    /// Cancels a green thread; it unwinds from where it is parked, or from its next suspension.
    pub(crate) fn cancel(&mut self, id: ThreadId) {
        self.interrupt(id, Interrupts::cancel);
    }

    /// Cancels everybody, now and in future; the loop then ends when all are gone.
    pub(crate) fn close(&mut self) {
        self.closing = true;
        let ids: Vec<_> = self.table.iter().map(|record| record.id).collect();
        ids.into_iter().for_each(|id| self.cancel(id));
    }

    /// Begins a time limit for the running green thread.
    pub(crate) fn enter_timeout(&mut self, limit: Duration) -> (Level, Option<TimerId>) {
        let id = self.current();
        // First, for the processor reads its clock when all before is done: what follows need not
        // wait for that.
        let deadline = self.clock.after(limit);
        coroutine::enter_stretch();
        let level = self.running_interrupts(|interrupts| {
            let level = interrupts.enter_timeout();
            if limit.is_zero() {
                interrupts.expire(level);
            }
            level
        });
        (level, self.arm(deadline, Alarm::Expire(id, level)))
    }

    /// Ends it.
    pub(crate) fn leave_timeout(&mut self, level: Level, timer: Option<TimerId>) {
        if let Some(timer) = timer {
            self.timers.cancel(timer);
        }
        self.running_interrupts(|interrupts| interrupts.leave(level));
        coroutine::leave_stretch();
    }

    /// The limit on `level` has passed, or is taken to have.
    pub(crate) fn expire(&mut self, id: ThreadId, level: Level) {
        self.interrupt(id, |interrupts| interrupts.expire(level));
    }

    /// Begins a stretch in which nothing from outside of it is due.
    #[inline]
    pub(crate) fn enter_shield(&mut self) -> Level {
        self.check_running();
        let level = self.table.enter_shield(self.running);
        coroutine::enter_stretch();
        level
    }

    /// Ends it.
    #[inline]
    pub(crate) fn leave_shield(&mut self, level: Level) {
        self.table.leave_shield(self.running, level);
        coroutine::leave_stretch();
    }

    fn running_interrupts<R>(&mut self, change: impl FnOnce(&mut Interrupts) -> R) -> R {
        self.check_running();
        self.table.interrupts(self.running, change)
    }

    /// Takes one from the I/O budget of the running green thread. False if it is spent, and then
    /// the next thing is a turn: whoever keeps a socket busy must not keep the timers waiting.
    #[inline(always)]
    pub(crate) fn spend(&mut self) -> bool {
        self.check_running();
        if self.budget.switch != self.stats.switches {
            self.budget.switch = self.stats.switches;
            self.budget.left = self.full_budget;
        }
        match self.budget.left.checked_sub(1) {
            Some(left) => self.budget.left = left,
            None => self.next_turn = 0,
        }
        self.next_turn != 0
    }

    pub(super) fn arm_wake(&mut self, deadline: Nanos) -> Option<TimerId> {
        let id = self.current();
        self.arm(deadline, Alarm::Wake(id))
    }

    /// Arms a timer, unless it would be for a time that does not come: who waits for that waits for
    /// ever, and is part of a deadlock.
    #[inline(always)]
    fn arm(&mut self, deadline: Nanos, alarm: Alarm) -> Option<TimerId> {
        (deadline != Nanos::MAX).then(|| self.timers.arm(deadline, alarm))
    }

    /// Arms a timer that wakes the running green thread if it waits for I/O then. It may stay armed
    /// when it does not, and then keeps nobody waiting for it.
    pub(crate) fn arm_limit(&mut self, deadline: Nanos) -> Option<TimerId> {
        let id = self.current();
        let timer = self.arm(deadline, Alarm::Limit(id));
        self.limits += usize::from(timer.is_some());
        timer
    }

    pub(crate) fn cancel_limit(&mut self, timer: TimerId) {
        self.limits -= usize::from(self.timers.cancel(timer).is_some());
    }

    /// Wakes those who wait to read from a source, as an event would. False for a stale key.
    pub(crate) fn announce(&mut self, key: SourceKey) -> bool {
        let Scheduler {
            table,
            ready,
            stats,
            reactor,
            ..
        } = self;
        reactor.announce(key, |id| wake(table, ready, stats, id))
    }

    pub(crate) fn reactor(&mut self) -> &mut Reactor<ThreadId> {
        &mut self.reactor
    }

    pub(crate) fn door(&self) -> Door {
        Door::new(&self.inbox)
    }

    /// The counters.
    pub(crate) fn stats(&mut self) -> Stats {
        // Of those switched to, all but the one that runs have parked, ended or yielded.
        let ends = self.stats.spawns - self.table.len() as u64;
        let yields = self.stats.switches - 1 - self.stats.parks.total() - ends;
        Stats {
            yields,
            ..self.stats
        }
    }

    /// How many green threads are ready to run, and how many there are, with the one that asks.
    pub(crate) fn load(&self) -> (usize, usize) {
        (self.ready.len(), self.table.len())
    }

    /// An `accept` waits because the system is out of something.
    pub(crate) fn count_accept_backoff(&mut self) {
        self.stats.accept_backoffs += 1;
    }

    /// Tells this scheduler from every other, earlier ones on this OS thread included.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// When `duration` from now will be.
    pub(crate) fn after(&mut self, duration: Duration) -> Nanos {
        self.clock.after(duration)
    }

    /// The clock as it was last read, and `duration` after that: bounds from below, without another
    /// look.
    #[inline]
    pub(crate) fn at_least(&self, duration: Duration) -> (Nanos, Nanos) {
        (self.clock.cached(), self.clock.after_cached(duration))
    }

    /// To be called before the running green thread parks if it may ask for
    /// [`after_park`](Scheduler::after_park).
    #[inline]
    pub(crate) fn note_park(&mut self) {
        if self.noted.last() != Some(&self.running) {
            self.noted.push(self.running);
        }
    }

    /// When `duration` from when the running green thread has last parked will be; or up to a turn
    /// later.
    pub(crate) fn after_park(&mut self, duration: Duration) -> Nanos {
        if self.noted.contains(&self.running) {
            return self.clock.after(duration);
        }
        let to_then = self.clock.cached() - self.running().since;
        self.clock.after_cached(duration).saturating_sub(to_then)
    }

    /// An instant on the scheduler's clock.
    pub(crate) fn at(&self, instant: Instant) -> Nanos {
        self.clock.at(instant)
    }

    /// Whether `deadline` has passed.
    pub(crate) fn has_passed(&mut self, deadline: Nanos) -> bool {
        self.clock.cached() >= deadline || self.clock.read() >= deadline
    }
}

/// [`Scheduler::wake`] with only the parts it needs, for use while others are borrowed.
#[inline(always)]
pub(super) fn wake(
    table: &mut Table,
    ready: &mut RunQueue<Ready>,
    stats: &mut Stats,
    id: ThreadId,
) {
    let Some(record) = table.get(id) else { return };
    if let Some(coroutine) = record.coroutine.take() {
        record.state = State::Ready;
        record.want = None;
        stats.wakes += 1;
        ready.push(Ready {
            index: id.index(),
            coroutine,
        });
    }
}
