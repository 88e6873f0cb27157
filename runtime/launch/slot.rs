//! A worker's place: the green thread that sees to it that somebody is in it.
//!
//! ```text
//!            ┌──────────────── failed to start: rest, each time longer ◄───┐
//!            v                                                             │
//!   begin ─> start ── ready ──> serve ── ended by itself ──> rest ─────────┤
//!              │                  │ ^                                      │
//!              │ Order::End       │ └─ Order::Replace: the next one is ready, the old one drains;
//!              v                  v    or it failed, and the old one stays
//!             the worker is made to end; the place is given up
//! ```
//!
//! It reads from top to bottom, like a program that looks after one child. Orders are left in a
//! cell, and [`Changes`](super::changes::Changes) wakes it to look.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::child::{Child, Exit};
use super::recycle;
use super::spawn::Program;
use super::supervisor::Supervisor;

/// A worker that has lived for so many of the shortest pauses has not failed at its start, and the
/// next one comes after the shortest pause, however often that happens: there is no rush then.
const LIVED_WELL: u32 = 5;
/// The place of one worker at a time, or of two while one replaces the other.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: usize,
    order: Cell<Order>,
    /// What came of [`Order::Replace`].
    replaced: Cell<Option<bool>>,
    serving: RefCell<Option<Rc<Child>>>,
    /// How many workers there were before.
    restarts: Cell<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Serve,
    Replace(Program),
    /// Give the place up; the worker may finish for so long.
    End(Duration),
}

/// Why there is no worker.
#[derive(Debug)]
enum NotStarted {
    /// The order to end came first.
    Unwanted,
    Failed(String),
}

impl Slot {
    pub(super) fn new(id: usize) -> Slot {
        Slot {
            id,
            order: Cell::new(Order::Serve),
            replaced: Cell::new(None),
            serving: RefCell::new(None),
            restarts: Cell::new(0),
        }
    }

    /// The worker that serves.
    pub(super) fn serving(&self) -> Option<Rc<Child>> {
        self.serving.borrow().clone()
    }

    /// Has it give up its place.
    pub(super) fn end(&self, boss: &Supervisor, patience: Duration) {
        if !self.is_to_end() {
            self.order.set(Order::End(patience));
            boss.changes.tell();
        }
    }

    fn is_to_end(&self) -> bool {
        matches!(self.order.get(), Order::End(_))
    }

    /// Has the worker replaced, and waits until the next one is ready and the old one has ended.
    /// False if the next one failed, and the old one has stayed.
    pub(super) fn replace(&self, boss: &Supervisor, program: Program) -> bool {
        if self.is_to_end() {
            return true;
        }
        let old = self.serving();
        self.replaced.set(None);
        self.order.set(Order::Replace(program));
        boss.changes.tell();
        boss.changes
            .wait_until(|| self.replaced.get().is_some() || self.is_to_end());
        let succeeded = self.replaced.get() != Some(false);
        if let (Some(old), true) = (old, succeeded) {
            boss.changes.wait_until(|| old.has_ended());
        }
        succeeded
    }

    /// The life of the place; it comes back when the place was given up. `first` serves there
    /// already.
    pub(super) fn live(&self, boss: &Rc<Supervisor>, first: Option<Rc<Child>>) {
        let (shortest, longest) = boss.settings.backoff;
        let mut pause = shortest;
        let mut next = first;
        while !self.is_to_end() {
            let started = match next.take() {
                Some(child) => Ok(child),
                None => self.start(boss),
            };
            match started {
                Ok(child) => {
                    let exit = self.serve(boss, child);
                    let Some((child, exit)) = exit else { break };
                    boss.orphans.add(boss, self.id);
                    self.restarts.set(self.restarts.get() + 1);
                    if child.started.elapsed() > shortest * LIVED_WELL {
                        pause = shortest;
                    }
                    let pause = pause.as_secs_f32();
                    let name = child.name();
                    boss.log.say(format_args!(
                        "{name} ended ({exit}); the next in {pause:.1} s"
                    ));
                }
                Err(NotStarted::Unwanted) => break,
                Err(NotStarted::Failed(why)) => boss.boot_failed(self.id, &why),
            }
            self.rest(boss, jitter(pause, 0.2));
            pause = (pause * 2).min(longest);
        }
    }

    fn rest(&self, boss: &Supervisor, pause: Duration) {
        boss.changes.wait(pause, || self.is_to_end());
    }

    /// Starts a worker, of the program that is ordered, and waits until it is ready.
    fn start(&self, boss: &Rc<Supervisor>) -> Result<Rc<Child>, NotStarted> {
        let order = self.order.get();
        let program = match order {
            Order::Replace(program) => program,
            Order::Serve | Order::End(_) => Program::Same,
        };
        let started = self.start_program(boss, program);
        // Who waits for a replacement has it, whether or not there was somebody to replace. An
        // order that came meanwhile is still to be followed.
        if order == Order::Replace(program) && self.order.get() == order {
            self.order.set(Order::Serve);
            self.replaced.set(Some(started.is_ok()));
            boss.changes.tell();
        }
        started
    }

    fn start_program(
        &self,
        boss: &Rc<Supervisor>,
        program: Program,
    ) -> Result<Rc<Child>, NotStarted> {
        let failed = |error: io::Error| NotStarted::Failed(format!("cannot be started: {error}"));
        let child = boss.spawn(self.id, program).map_err(failed)?;
        let limit = boss.settings.ready_timeout;
        let decided = || child.is_ready() || child.has_ended() || self.is_to_end();
        boss.changes.wait(limit, decided);
        if let Some(exit) = child.exit() {
            return Err(NotStarted::Failed(format!(
                "{} ended before it was ready ({exit})",
                child.name()
            )));
        }
        if let Order::End(patience) = self.order.get() {
            child.end(patience);
            return Err(NotStarted::Unwanted);
        }
        if !child.is_ready() {
            child.end(Duration::ZERO);
            let name = child.name();
            return Err(NotStarted::Failed(format!(
                "{name} was not ready within {limit:?}"
            )));
        }
        Ok(child)
    }

    /// Looks after a worker and those that replace it. Comes back with the one that has ended by
    /// itself; with none when the place is to be given up, and then it has ended too.
    fn serve(&self, boss: &Rc<Supervisor>, child: Rc<Child>) -> Option<(Rc<Child>, Exit)> {
        let mut child = child;
        let mut due = recycle::Due::new(&boss.settings.recycling);
        self.take_place(boss, &child);
        loop {
            self.wait(boss, &child, &due);
            if let Some(exit) = child.exit() {
                self.serving.replace(None);
                return (!self.is_to_end()).then_some((child, exit));
            }
            match self.order.get() {
                Order::End(patience) => {
                    child.end(patience);
                    self.serving.replace(None);
                    return None;
                }
                Order::Replace(_) => {}
                Order::Serve => match due.why(&child) {
                    Some(why) => {
                        let name = child.name();
                        boss.log.say(format_args!("{name} is replaced: {why}"));
                    }
                    None => continue,
                },
            }
            if child.is_draining() {
                boss.orphans.add(boss, self.id);
            }
            match self.start(boss) {
                Ok(next) => {
                    self.restarts.set(self.restarts.get() + 1);
                    self.take_place(boss, &next);
                    let old = std::mem::replace(&mut child, next);
                    boss.retire(old, boss.settings.drain_timeout);
                    due = recycle::Due::new(&boss.settings.recycling);
                }
                Err(NotStarted::Unwanted) => {}
                Err(NotStarted::Failed(why)) => {
                    let name = child.name();
                    boss.log.say(format_args!("{name} stays: the next {why}"));
                    due.put_off();
                }
            }
        }
    }

    /// Waits until there is something to do, or to be looked at.
    fn wait(&self, boss: &Supervisor, child: &Child, due: &recycle::Due) {
        let called = || child.has_ended() || self.order.get() != Order::Serve || due.drains(child);
        match due.next_look() {
            Some(pause) => drop(boss.changes.wait(pause, called)),
            None => boss.changes.wait_until(called),
        }
    }

    fn take_place(&self, boss: &Supervisor, child: &Rc<Child>) {
        child.record.restarts.store(self.restarts.get(), Relaxed);
        self.serving.replace(Some(Rc::clone(child)));
        boss.note_serving(child);
    }

    /// How many workers there were before the one that serves.
    pub(super) fn restarts(&self) -> u64 {
        self.restarts.get()
    }
}

/// A duration that is up to `share` longer or shorter, by chance, so that slots which fail together
/// do not try again together.
pub(super) fn jitter(duration: Duration, share: f64) -> Duration {
    let chance = RandomState::new().hash_one(Instant::now()) as f64 / u64::MAX as f64;
    duration.mul_f64(1.0 - share + 2.0 * share * chance)
}
