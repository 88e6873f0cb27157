//! What can be asked and told over the control socket, and what the launcher answers.

use std::io;
use std::rc::Rc;

use rustix::process::Signal;

use super::board::State;
use super::control_socket::{Answer, Command, ControlSocket, default_control_path};
use super::slot::Slot;
use super::spawn::Program;
use super::status::{Status, WorkerStatus};
use super::supervisor::Supervisor;

/// Listens for commands. Where nobody has said, at the default place if there is one; that another
/// launcher of the same user is there already is no reason not to start then.
pub(super) fn listen(boss: &Rc<Supervisor>) -> io::Result<Option<ControlSocket>> {
    let answerer = Rc::clone(boss);
    let answer = move |command| answer(&answerer, command);
    match (&boss.settings.control_socket, default_control_path()) {
        (Some(path), _) => ControlSocket::bind(path, answer).map(Some),
        (None, None) => Ok(None),
        (None, Some(path)) => Ok(ControlSocket::bind(&path, answer)
            .inspect_err(|error| boss.log.say(format_args!("going on without: {error}")))
            .ok()),
    }
}

fn answer(boss: &Rc<Supervisor>, command: Command) -> Answer {
    let settings = &boss.settings;
    match command {
        Command::Status => Ok(status(boss).to_string()),
        Command::Metrics => Ok(status(boss).metrics()),
        Command::Stop => {
            boss.stop(settings.pre_drain_delay, settings.drain_timeout);
            Ok(String::new())
        }
        Command::Add => boss.add().map(|id| format!("worker {id} is started")),
        Command::Remove => boss.remove().map(|id| format!("worker {id} drains")),
        Command::Kill(id) => kill(boss, id),
        Command::Reload => boss.roll_over.run(boss, Program::Same),
        Command::Upgrade => boss.roll_over.run(boss, Program::New),
    }
}

fn kill(boss: &Supervisor, id: usize) -> Answer {
    let slots = boss.slots.borrow().clone();
    let slot = slots.get(id).ok_or(format!("there is no worker {id}"))?;
    let child = slot.serving().ok_or(format!("worker {id} does not run"))?;
    child.signal(Signal::KILL);
    Ok(format!("{} is killed", child.name()))
}

/// The workers that serve, and those whose place is empty.
pub(super) fn status(boss: &Supervisor) -> Status {
    let slots = boss.slots.borrow().clone();
    let of = |slot: &Rc<Slot>| match slot.serving() {
        None => WorkerStatus::resting(slot.id, slot.restarts()),
        Some(child) => {
            let mut status = WorkerStatus::read(slot.id, &child.record);
            if boss.is_stalled(&child) && status.state == State::Ready {
                status.state = State::Stalled;
            }
            status
        }
    };
    Status::of(slots.iter().map(of).collect(), boss.started)
}
