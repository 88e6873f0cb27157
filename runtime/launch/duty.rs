//! What a worker process does beside the user's closure: obey the launcher, hear signals, beat.
//!
//! Three daemons do that. From outside a worker obeys `SIGTERM` alone, and drains. A terminal sends
//! Ctrl-C to the launcher's whole process group; what that means, the launcher says. Signals are
//! ignored by being heard, not by `SIG_IGN`, which the programs that a worker starts would inherit.
//!
//! When the line ends, the launcher is dead: everything is cancelled. (The kernel has been asked to
//! kill the worker then, too, for one that does not listen.)

use std::ffi::CString;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;

use super::beat;
use super::board::Slot;
use super::held;
use super::master::SIGNALS;
use super::wire::{self, Link, Message};
use super::worker::Worker;
use crate::scheduler::{self, Scheduler};
use crate::server::Outcome;
use crate::signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, Signals};
use crate::thread::{Builder, Config, catch, is_interrupt, resume};

/// The life of a worker process.
pub(super) fn run<F, R>(link: Link, hello: Message, serve: F) -> io::Result<ExitCode>
where
    F: FnOnce(Worker) -> R,
    R: Outcome,
{
    let link = Rc::new(link);
    let (worker, record) = Worker::new(&link, hello)?;
    name_process(worker.id());
    // A launcher that is about to be replaced holds them, and what it starts then has its mask.
    held::release(&SIGNALS);
    let ended = Config::new().try_run(|| {
        attend(&worker, link, record)?;
        Ok(finish(&worker, serve))
    });
    ended?
}

/// What `ps` and `top` show as the command; the arguments, which they show too, begin with the
/// program's name.
fn name_process(id: usize) {
    if let Ok(name) = CString::new(format!("w{id}")) {
        // It is for the eye alone.
        let _ = rustix::thread::set_name(&name);
    }
}

/// Begins the daemons.
fn attend(worker: &Worker, link: Rc<Link>, record: &'static Slot) -> io::Result<()> {
    let daemon = |name: &str| Builder::new().name(name.into()).daemon(true);
    let signals = [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];
    let signals = Signals::new(signals)?;
    let (hearer, obeyer) = (worker.clone(), worker.clone());
    daemon("hears signals").spawn(move || hear(&hearer, &signals))?;
    daemon("obeys the launcher").spawn(move || obey(&obeyer, &link))?;
    beat::hog::answer(record)?;
    let counter = worker.clone();
    beat::start(record, move || counter.count_connections())?;
    Ok(())
}

fn hear(worker: &Worker, signals: &Signals) {
    while let Ok(signal) = signals.recv() {
        if signal == SIGTERM {
            worker.drain();
        }
    }
}

fn obey(worker: &Worker, link: &Link) {
    while let Ok(Some((Message { text, fds }, is_cut))) = link.hear() {
        let done = match text.split(' ').next() {
            // Who has asked is told.
            Some("shared" | "unshared") => {
                let text = text.clone();
                (worker.questions().0).answered(Message { text, fds }, is_cut)
            }
            // Sockets that it shall serve: one that has them all takes its place.
            _ if is_cut => break,
            Some("drain") => {
                worker.drain();
                Ok(())
            }
            Some("leave") => {
                worker.leave();
                Ok(())
            }
            Some("cancel") => break,
            Some("adopt") => adopt(worker, &text, fds),
            Some("release") => wire::number(&text, "slot").map(|slot| worker.release(slot)),
            // From a launcher of another version, which can do without.
            _ => Ok(()),
        };
        if let Err(error) = done {
            let _ = writeln!(crate::io::stderr(), "sedge: {text:?}: {error}");
        }
    }
    cancel_all();
}

fn adopt(worker: &Worker, text: &str, fds: Vec<OwnedFd>) -> io::Result<()> {
    let slot = wire::number(text, "slot")?;
    let indices = wire::field(text, "sockets")?.split(',');
    for (index, fd) in indices.zip(fds) {
        let index = index.parse().map_err(|_| wire::malformed(text))?;
        worker.adopt(slot, index, fd)?;
    }
    Ok(())
}

/// Unwinds every green thread of this process, also those that are spawned from now on.
pub(super) fn cancel_all() {
    scheduler::with(Scheduler::close);
}

/// Runs the closure to its end, which may be a cancellation: that is the launcher's doing, and
/// nobody else is left to hear of it.
pub(super) fn finish<F, R>(worker: &Worker, serve: F) -> ExitCode
where
    F: FnOnce(Worker) -> R,
    R: Outcome,
{
    let served = catch(|| serve(worker.clone()).into_result());
    // Green threads may be left, which `run` waits for; but nobody accepts any more.
    worker.drain();
    match served {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            // Nothing can be done about a standard error that is closed.
            let _ = writeln!(
                crate::io::stderr(),
                "worker {} failed: {error}",
                worker.id()
            );
            ExitCode::FAILURE
        }
        Err(payload) if is_interrupt(&payload) => ExitCode::SUCCESS,
        Err(payload) => resume(payload),
    }
}
