//! Replacing all workers, one after the other.
//!
//! The next one is ready before the old one drains, and the old one has ended before the next slot
//! has its turn: at any time as many workers serve as before, and at most one more is there. The
//! first that fails ends it, and the workers that are left stay: something is wrong with the
//! program, or the machine, and those serve.
//!
//! With a new program, the first slot is the test of it. When its worker is ready, the launcher
//! executes the new program in its own place ([`upgrade`]), which sees to the slots that are left.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::control_socket::Answer;
use super::spawn::Program;
use super::supervisor::Supervisor;
use super::upgrade;

/// What goes on, and what came of it.
#[derive(Debug, Default)]
pub(super) struct RollOver {
    goes_on: Cell<bool>,
    /// Another was wanted meanwhile.
    again: Cell<Option<Program>>,
    /// The last one has replaced all.
    succeeded: Cell<bool>,
    /// The new program is about to take this one's place, and nobody is left to answer then.
    hands_over: Cell<bool>,
}

/// For those who wait for an upgrade to be told how it has gone.
const ANSWER_TIME: Duration = Duration::from_millis(20);

impl RollOver {
    pub(super) fn goes_on(&self) -> bool {
        self.goes_on.get()
    }

    /// Begins to replace all workers. Told again meanwhile, it begins again when it is through.
    pub(super) fn start(&self, boss: &Rc<Supervisor>, program: Program) {
        match self.goes_on() {
            true => self.again.set(Some(program)),
            false => self.start_at(boss, program, 0),
        }
    }

    /// What is left to do in a new program: all workers but the first are the old one's.
    pub(super) fn finish_upgrade(&self, boss: &Rc<Supervisor>) {
        boss.log.say("this is the new program now");
        self.start_at(boss, Program::Same, upgrade::FIRST + 1);
    }

    /// Begins, and waits for the end.
    pub(super) fn run(&self, boss: &Rc<Supervisor>, program: Program) -> Answer {
        self.start(boss, program);
        boss.changes
            .wait_until(|| !self.goes_on() || self.hands_over.get());
        match self.succeeded.get() {
            _ if self.hands_over.get() => {
                Ok("the new program takes over, and replaces the rest".into())
            }
            true => Ok("all workers are replaced".into()),
            false => Err("a worker could not be replaced; the launcher's log says why".into()),
        }
    }

    fn start_at(&self, boss: &Rc<Supervisor>, program: Program, first: usize) {
        self.goes_on.set(true);
        self.succeeded.set(false);
        boss.changes.tell();
        let begun = boss.look_after("roll-over".into(), move |boss| {
            let this = &boss.roll_over;
            let mut next = Some((program, first));
            while let Some((program, first)) = next {
                this.succeeded.set(replace_all(boss, program, first));
                next = this.again.take().map(|program| (program, 0));
            }
            this.goes_on.set(false);
        });
        if let Err(error) = begun {
            self.goes_on.set(false);
            boss.log
                .say(format_args!("cannot replace workers: {error}"));
        }
    }
}

/// Whether all were replaced.
fn replace_all(boss: &Supervisor, program: Program, first: usize) -> bool {
    if boss.is_stopping() {
        boss.log.say("replacing nobody: the launcher is stopping");
        return false;
    }
    let slots = boss
        .slots
        .borrow()
        .get(first..)
        .unwrap_or_default()
        .to_vec();
    boss.log.say(format_args!(
        "replacing {} workers, one by one",
        slots.len()
    ));
    for slot in slots {
        if boss.is_stopping() {
            return false;
        }
        if !slot.replace(boss, program) {
            boss.log
                .say("the roll-over has ended: the workers that are left stay");
            return false;
        }
        if program == Program::New {
            boss.roll_over.hands_over.set(true);
            boss.changes.tell();
            crate::sleep(ANSWER_TIME);
            // Without a worker of it, if the launcher is to end.
            if boss.is_stopping() {
                return false;
            }
            let error = upgrade::execute(boss);
            boss.roll_over.hands_over.set(false);
            boss.log
                .say(format_args!("cannot execute the new program: {error}"));
            slot.replace(boss, Program::Same);
            return false;
        }
    }
    boss.log.say("all workers are replaced");
    true
}
