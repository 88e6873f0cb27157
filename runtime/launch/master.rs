//! The launcher's way from `run` to its exit code.

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use super::commands::{self, status};
use super::config::{Bind, Misconfigured, Settings};
use super::listen::{Bound, Sockets};
use super::output::Log;
use super::records::Records;
use super::spawn::{Origin, Program};
use super::supervisor::{FAILURE, MISCONFIGURED, Supervisor};
use super::watch;
use crate::signal::{
    SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, Signals,
};
use crate::thread::Builder;

/// Called once, when all workers are ready.
pub(super) type OnReady = Box<dyn FnOnce(&[String])>;

/// Why there is nothing to supervise.
#[derive(Debug)]
pub(super) enum Refusal {
    Misconfigured(Misconfigured),
    Failed(io::Error),
}

impl From<Misconfigured> for Refusal {
    fn from(error: Misconfigured) -> Refusal {
        Refusal::Misconfigured(error)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::Failed(error)
    }
}

impl Refusal {
    /// Says why, in one line, and with which code to end.
    pub(super) fn report(&self) -> ExitCode {
        let (text, code) = match self {
            Refusal::Misconfigured(error) => (error.to_string(), MISCONFIGURED),
            Refusal::Failed(error) => (error.to_string(), FAILURE),
        };
        // Nothing can be done about a standard error that is closed.
        let _ = writeln!(io::stderr(), "sedge: {text}");
        ExitCode::from(code)
    }
}

/// What is found out and opened before the first worker is started.
pub(super) struct Prepared {
    settings: Settings,
    origin: Origin,
    sockets: Sockets,
    workers: usize,
}

/// Opens what must be there before anything runs.
pub(super) fn prepare(settings: Settings, binds: Vec<Bind>) -> Result<Prepared, Refusal> {
    let workers = settings.workers.count()?;
    alone()?;
    let origin = Origin::find()?;
    let balance = settings.balance;
    let bound: io::Result<_> = binds
        .into_iter()
        .map(|bind| Bound::open(bind, balance))
        .collect();
    let sockets = Sockets::new(bound?);
    for slot in 0..workers {
        sockets.open_for(slot)?;
    }
    Ok(Prepared {
        settings,
        origin,
        sockets,
        workers,
    })
}

/// Workers are tied to the OS thread that starts them: the kernel kills them when that one ends.
/// And what other OS threads do in a launcher, they do in each worker again, for `main` begins anew
/// there.
fn alone() -> Result<(), Misconfigured> {
    // Without /proc there would be no way to start a worker either; that is said then.
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads == 1 {
        return Ok(());
    }
    Err(Misconfigured(format!(
        "Launcher::run must be reached before the program starts OS threads, and there are \
         {threads}: start them in the closure, where they belong to a worker"
    )))
}

/// Supervises until the end.
pub(super) fn run(prepared: Prepared, on_ready: OnReady) -> io::Result<ExitCode> {
    crate::run(|| {
        let Prepared {
            settings,
            origin,
            sockets,
            workers,
        } = prepared;
        let log = Log::start()?;
        let boss = Supervisor::new(settings, origin, sockets, Records::new()?, log);
        hear_signals(&boss)?;
        watch::start(&boss)?;
        let control_socket = commands::listen(&boss)?;
        for id in 0..workers {
            boss.open_slot(id, None)?;
        }
        if boss.wait_for_ready() {
            let addrs = boss.sockets.borrow().addrs();
            on_ready(&addrs);
        }
        let code = boss.wait_for_end();
        drop(control_socket);
        boss.log.flush();
        Ok(ExitCode::from(code))
    })
}

fn hear_signals(boss: &Rc<Supervisor>) -> io::Result<()> {
    let signals = Signals::new([
        SIGTERM, SIGQUIT, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU,
    ])?;
    let boss = Rc::clone(boss);
    let has_terminal = terminal_is_there();
    let hearer = Builder::new().name("hears signals".into()).daemon(true);
    hearer.spawn(move || {
        while let Ok(signal) = signals.recv() {
            obey(&boss, signal, has_terminal);
        }
    })?;
    Ok(())
}

fn obey(boss: &Rc<Supervisor>, signal: i32, had_terminal: bool) {
    let settings = &boss.settings;
    match signal {
        SIGTERM | SIGQUIT => boss.stop(settings.pre_drain_delay, settings.drain_timeout),
        SIGINT => boss.stop(Duration::ZERO, settings.interrupt_drain),
        // Who closes the terminal window wants the program to end, not to begin anew.
        SIGHUP if had_terminal && !terminal_is_there() => {
            boss.stop(Duration::ZERO, settings.interrupt_drain);
        }
        SIGHUP => boss.reload(Program::Same),
        SIGUSR2 => boss.reload(Program::New),
        SIGUSR1 => boss.log.say(status(boss)),
        SIGTTIN => say_failure(boss, boss.add()),
        SIGTTOU => say_failure(boss, boss.remove()),
        _ => {}
    }
}

fn say_failure(boss: &Supervisor, result: Result<usize, String>) {
    if let Err(why) = result {
        boss.log.say(why);
    }
}

/// Whether this process has a controlling terminal that has not hung up.
fn terminal_is_there() -> bool {
    fs::File::open("/dev/tty").is_ok()
}
