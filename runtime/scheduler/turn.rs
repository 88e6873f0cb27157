//! A turn: one look at the clock, the timers, the reactor and the inbox, and what to do when nobody
//! is ready.
//!
//! Each of them hands out keys, and a wake only pushes onto the run queue. A turn takes a bounded
//! batch of each, so that those who became ready run before the next.

use std::io::{self, Write};
use std::time::Duration;

use super::clock::Nanos;
use super::inbox::Message;
use super::{Alarm, Ending, MANY, Scheduler, State, TIMERS_PER_TURN, fork, threads};
use crate::stack::HOT_BYTES;
use crate::stats::Reason;

/// mio's own limit, in milliseconds as a C `int`, is 24 days; older ones wrap round.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

impl Scheduler {
    /// Nobody is ready: waits for somebody to become so, or finds that this cannot happen.
    pub(super) fn idle(&mut self) {
        self.check_fork();
        if self.has_finished() {
            self.ending = Some(Ending::Finished);
        } else if self.timers.len() > self.limits || self.is_reachable() {
            let timeout = if self.stacks.cool(HOT_BYTES) {
                Some(Duration::ZERO)
            } else {
                let deadline = self.timers.next_deadline();
                deadline.map(|at| {
                    let wait = Duration::from_nanos(at.saturating_sub(self.read_clock()));
                    wait.min(LONGEST_WAIT)
                })
            };
            self.turn(timeout);
        } else {
            // The last door may have been closed after a message went through it.
            self.read_inbox();
            if !self.correct_notes() && self.ready.is_empty() {
                self.clock.read();
                self.ending = Some(Ending::Deadlock(self.deadlock()));
            }
        }
    }

    /// Whether an event of the kernel or another OS thread may wake somebody. What came through a
    /// door that is closed by now still waits to be read.
    fn is_reachable(&self) -> bool {
        self.reactor.waiting() > 0 || self.inbox.has_doors() || self.inbox.is_notified()
    }

    /// One look at everything that can make somebody ready, waiting for it at most `timeout`.
    pub(super) fn turn(&mut self, mut timeout: Option<Duration>) {
        if self.correct_notes() {
            timeout = Some(Duration::ZERO);
        }
        if timeout != Some(Duration::ZERO) || self.is_reachable() {
            self.poll(timeout);
        }
        let now = self.read_clock();
        for _ in 0..TIMERS_PER_TURN {
            match self.timers.expire(now) {
                Some(alarm) => self.sound(alarm),
                None => break,
            }
        }
    }

    /// Reads the clock for a turn. Who has parked since the last one did so at this time or before:
    /// one reading for all of them.
    fn read_clock(&mut self) -> Nanos {
        let now = self.clock.read();
        for index in self.noted.drain(..) {
            self.table.at(index).since = now;
        }
        now
    }

    fn poll(&mut self, timeout: Option<Duration>) {
        let Scheduler {
            table,
            ready,
            stats,
            reactor,
            ..
        } = self;
        stats.polls += 1;
        let before = ready.len();
        let polled = reactor.poll(timeout, |id| threads::wake(table, ready, stats, id));
        let (events, woken) = polled.expect("epoll_wait on a descriptor of our own");
        stats.events += events as u64;
        if self.table.len() > MANY {
            self.warm_woken(before);
        }
        if woken {
            self.read_inbox();
        }
    }

    /// Those in the run queue from this place on have not run for a while. The addresses first, for
    /// all of them: looking up a page that the processor has forgotten takes longer than fetching a
    /// line, but several can be looked up at once.
    fn warm_woken(&mut self, first: usize) {
        let end = self.ready.len();
        (first..end).for_each(|place| self.warm(place, 0..1));
        if self.cold == first {
            // Nobody else stands between.
            self.cold = end;
        }
    }

    /// If nobody unwinds, and yet some are suspended as if they did, user code had caught their
    /// unwinding unseen. What is due for them was held back, and nothing else may ever wake them.
    /// True if that has made somebody ready.
    fn correct_notes(&mut self) -> bool {
        if self.unwinders == 0 || std::thread::panicking() {
            return false;
        }
        self.unwinders = 0;
        let due = self.table.forget_unwinders();
        due.into_iter().for_each(|id| self.wake(id));
        !self.ready.is_empty()
    }

    fn read_inbox(&mut self) {
        self.inbox
            .take()
            .into_iter()
            .for_each(|message| self.read(message));
    }

    fn sound(&mut self, alarm: Alarm) {
        self.stats.expirations += 1;
        match alarm {
            Alarm::Wake(id) => self.wake(id),
            Alarm::Limit(id) => {
                self.limits -= 1;
                let state = self.table.get(id).map(|record| record.state);
                if let Some(State::Parked(Reason::Read | Reason::Write)) = state {
                    self.wake(id);
                }
            }
            Alarm::Expire(id, level) => self.expire(id, level),
        }
    }

    fn read(&mut self, message: Message) {
        match message {
            Message::Wake(id) => self.wake(id),
            Message::Unpark(id) => self.unpark(id),
            Message::Spawn { spawned_at, body } => self.adopt(spawned_at, body),
        }
    }

    pub(super) fn check_fork(&self) {
        if self.generation != fork::generation() {
            let _ = writeln!(
                io::stderr(),
                "sedge: the scheduler was reached in a forked child, which shares the parent's \
                 events and would run its green threads twice; after fork, exec or _exit at once, \
                 or start programs with std::process::Command"
            );
            std::process::abort();
        }
    }
}
