//! The launcher at work: what it has, and what it can be told to do.
//!
//! The launcher is itself a program of green threads, on its main OS thread: one for each slot, two
//! for each worker, one for signals, one that watches heartbeats, and for the time of a roll-over
//! one for that. Nothing in it blocks the OS thread but the start of a worker, a millisecond. So
//! whatever goes on, it hears the next signal at once.
//!
//! What it is told (by signals, or over the control socket) are methods that return at once:
//!
//! ```text
//!   stop             every slot gives up its place; told again, it hurries: drain, cancel, kill
//!   add, remove      one slot more or fewer
//!   roll_over.start  one slot after the other is replaced
//! ```
//!
//! It never touches a connection. What it must not lose are processes: each worker is in `children`
//! until it has been reaped, and the launcher ends when that is empty.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::changes::Changes;
use super::child::{Child, Urgency};
use super::config::{Settings, Workers};
use super::listen::Sockets;
use super::orphans::Orphans;
use super::output::Log;
use super::records::Records;
use super::roll_over::RollOver;
use super::slot::Slot;
use super::spawn::{self, Origin, Program};
use super::wire::Line;
use crate::thread::Builder;

/// So many workers fail before any was ready, and the launcher gives up.
const BOOT_FAILURES: u32 = 5;

/// Exit codes.
pub(super) const SUCCESS: u8 = 0;
pub(super) const FAILURE: u8 = 1;
pub(super) const NEVER_READY: u8 = 3;
pub(super) const MISCONFIGURED: u8 = 4;

/// How far a launcher has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Ready,
    Reloading,
    Stopping,
}

/// All that the launcher's green threads share.
pub(super) struct Supervisor {
    pub(super) settings: Settings,
    pub(super) origin: Origin,
    pub(super) sockets: RefCell<Sockets>,
    pub(super) records: Rc<Records>,
    pub(super) log: Log,
    pub(super) changes: Changes,
    pub(super) slots: RefCell<Vec<Rc<Slot>>>,
    /// Every worker that has not been reaped.
    children: RefCell<Vec<Rc<Child>>>,
    pub(super) orphans: Orphans,
    /// When it began, on the board's clock.
    pub(super) started: u64,
    /// Slots and retired workers that somebody still looks after.
    looked_after: Cell<usize>,
    /// How urgently it is to end.
    stopping: Cell<Urgency>,
    pub(super) roll_over: RollOver,
    /// Some worker has been ready.
    ever_ready: Cell<bool>,
    /// All have been, at the same time.
    all_ready: Cell<bool>,
    boot_failures: Cell<u32>,
    code: Cell<u8>,
}

impl Supervisor {
    pub(super) fn new(
        settings: Settings,
        origin: Origin,
        sockets: Sockets,
        records: Rc<Records>,
        log: Log,
        started: u64,
    ) -> Rc<Supervisor> {
        Rc::new(Supervisor {
            settings,
            origin,
            sockets: RefCell::new(sockets),
            records,
            log,
            changes: Changes::new(),
            slots: RefCell::default(),
            children: RefCell::default(),
            orphans: Orphans::default(),
            started,
            looked_after: Cell::new(0),
            stopping: Cell::new(Urgency::None),
            roll_over: RollOver::default(),
            ever_ready: Cell::new(false),
            all_ready: Cell::new(false),
            boot_failures: Cell::new(0),
            code: Cell::new(SUCCESS),
        })
    }

    /// Opens a slot, in which `first` may serve already.
    pub(super) fn open_slot(
        self: &Rc<Self>,
        id: usize,
        first: Option<Rc<Child>>,
    ) -> io::Result<()> {
        self.sockets.borrow().open_for(id)?;
        let slot = Rc::new(Slot::new(id));
        self.slots.borrow_mut().push(Rc::clone(&slot));
        if first.is_none() {
            // Connections come from the moment on that its sockets are open.
            self.orphans.add(self, id);
        }
        self.look_after(format!("slot {id}"), move |boss| slot.live(boss, first))
    }

    /// Runs `care` on a green thread of its own, for whose end the launcher waits.
    pub(super) fn look_after(
        self: &Rc<Self>,
        name: String,
        care: impl FnOnce(&Rc<Supervisor>) + 'static,
    ) -> io::Result<()> {
        let boss = Rc::clone(self);
        self.looked_after.set(self.looked_after.get() + 1);
        let spawned = Builder::new().name(name).spawn(move || {
            care(&boss);
            boss.looked_after.set(boss.looked_after.get() - 1);
            boss.changes.tell();
        });
        if spawned.is_err() {
            self.looked_after.set(self.looked_after.get() - 1);
        }
        spawned.map(drop)
    }

    pub(super) fn phase(&self) -> Phase {
        if self.is_stopping() {
            Phase::Stopping
        } else if self.roll_over.goes_on() {
            Phase::Reloading
        } else if self.all_ready.get() {
            Phase::Ready
        } else {
            Phase::Starting
        }
    }

    /// Whether a worker serves that does not turn.
    pub(super) fn is_stalled(&self, child: &Child) -> bool {
        self.orphans.contains(child.id)
    }

    /// Waits until each slot has a worker that serves; false if the launcher is to end instead.
    pub(super) fn wait_for_ready(&self) -> bool {
        self.changes.wait_until(|| {
            let slots = self.slots.borrow();
            self.is_stopping() || slots.iter().all(|slot| slot.serving().is_some())
        });
        self.all_ready.set(!self.is_stopping());
        self.changes.tell();
        self.all_ready.get()
    }

    /// Waits until nobody is left; the exit code.
    pub(super) fn wait_for_end(&self) -> u8 {
        let nobody = || self.looked_after.get() == 0 && self.children().is_empty();
        self.changes.wait_until(|| self.is_stopping() && nobody());
        self.code.get()
    }

    /// Every worker that has not been reaped.
    pub(super) fn children(&self) -> Vec<Rc<Child>> {
        let mut children = self.children.borrow_mut();
        children.retain(|child| !child.has_ended());
        children.clone()
    }

    /// Starts a worker.
    pub(super) fn spawn(&self, id: usize, program: Program) -> io::Result<Rc<Child>> {
        let child = spawn::spawn(
            &self.origin,
            program,
            id,
            self.settings.logs,
            &self.sockets.borrow(),
            &self.records,
            &self.changes,
        )?;
        self.keep(Rc::clone(&child));
        Ok(child)
    }

    /// Counts a worker among those that must be reaped.
    pub(super) fn keep(&self, child: Rc<Child>) {
        let mut children = self.children.borrow_mut();
        // Nobody else may look for a long time, and each that has ended holds descriptors.
        children.retain(|child| !child.has_ended());
        children.push(child);
    }

    /// The workers that serve, one for each slot that has one.
    pub(super) fn serving(&self) -> Vec<Rc<Child>> {
        let slots = self.slots.borrow();
        slots.iter().filter_map(|slot| slot.serving()).collect()
    }

    /// A worker serves now.
    pub(super) fn note_serving(&self, child: &Child) {
        self.ever_ready.set(true);
        self.orphans.remove(self, child.id);
        self.orphans.share(self, child);
        self.changes.tell();
    }

    /// A worker has not become ready.
    pub(super) fn boot_failed(self: &Rc<Self>, id: usize, why: &str) {
        self.log.say(format_args!("worker {id} {why}"));
        if self.ever_ready.get() {
            return;
        }
        self.boot_failures.set(self.boot_failures.get() + 1);
        if self.boot_failures.get() == BOOT_FAILURES && !self.is_stopping() {
            self.log.say(format_args!(
                "no worker was ever ready, and {BOOT_FAILURES} have failed: giving up"
            ));
            self.code.set(NEVER_READY);
            self.stop(Duration::ZERO, Duration::ZERO);
        }
    }

    /// Lets a worker finish, for so long.
    pub(super) fn retire(self: &Rc<Self>, child: Rc<Child>, patience: Duration) {
        child.hurry(Urgency::Drain);
        let name = format!("retires {}", child.name());
        // Without a green thread it has been told all the same, and is killed at the end.
        let _ = self.look_after(name, move |_| child.end(patience));
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get() > Urgency::None
    }

    /// Ends everything: after `delay`, workers may finish for `patience`. Told again, it goes one
    /// step further: the delay is cut short and green threads are cancelled, then workers are
    /// killed.
    pub(super) fn stop(self: &Rc<Self>, delay: Duration, patience: Duration) {
        let next = match self.stopping.get() {
            Urgency::None => Urgency::Drain,
            Urgency::Drain => Urgency::Cancel,
            Urgency::Cancel | Urgency::Kill => Urgency::Kill,
        };
        self.stopping.set(next);
        if next == Urgency::Drain {
            self.log.say("stopping");
        }
        self.changes.tell();
        if next > Urgency::Drain {
            self.log.say("told to stop again: not waiting any longer");
            self.code.set(FAILURE);
            self.end_slots(patience);
            for child in self.children() {
                child.hurry(next);
            }
        } else if delay.is_zero() || self.wait_and_stop(delay, patience).is_err() {
            self.end_slots(patience);
        }
    }

    /// Those who send connections here are to find out first.
    fn wait_and_stop(self: &Rc<Self>, delay: Duration, patience: Duration) -> io::Result<()> {
        for child in self.children() {
            let _ = child.tell(&Line::new("leave"), &[]);
        }
        self.look_after("pre-drain delay".into(), move |boss| {
            boss.changes
                .wait(delay, || boss.stopping.get() > Urgency::Drain);
            boss.end_slots(patience);
        })
    }

    /// Everybody drains at the same time.
    fn end_slots(self: &Rc<Self>, patience: Duration) {
        // A connection that nobody will accept is better refused. What is queued, the workers take:
        // they have the sockets too.
        self.sockets
            .replace(Sockets::new(Vec::new()))
            .remove_files();
        for slot in self.slots.take() {
            slot.end(self, patience);
        }
        for child in self.children() {
            self.retire(child, patience);
        }
    }

    /// One worker more; its number.
    pub(super) fn add(self: &Rc<Self>) -> Result<usize, String> {
        let id = self.slots.borrow().len();
        if self.is_stopping() {
            return Err("the launcher is stopping".into());
        }
        if id >= Workers::MOST {
            return Err(format!("there are {id} workers already"));
        }
        let opened = self.open_slot(id, None);
        opened.map_err(|error| format!("cannot add worker {id}: {error}"))?;
        self.log.say(format_args!("adding worker {id}"));
        Ok(id)
    }

    /// One worker fewer, but for the last one; its number.
    pub(super) fn remove(self: &Rc<Self>) -> Result<usize, String> {
        let slot = self.slots.borrow_mut().pop_if(|slot| slot.id > 0);
        let slot = slot.ok_or("the last worker stays")?;
        self.log.say(format_args!("removing worker {}", slot.id));
        slot.end(self, self.settings.drain_timeout);
        self.orphans.add(self, slot.id);
        Ok(slot.id)
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("settings", &self.settings)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}
