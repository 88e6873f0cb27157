//! The launcher's way from `run` to its exit code.

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use super::board;
use super::commands::{self, status};
use super::config::{Balance, Bind, Misconfigured, Opened, Settings};
use super::listen::{Bound, Sockets, unix_name};
use super::output::Log;
use super::pid_file::PidFile;
use super::records::Records;
use super::spawn::{Origin, Program};
use super::supervisor::{FAILURE, MISCONFIGURED, Supervisor};
use super::systemd::{self, Activated, ActivatedSocket};
use super::upgrade::Inheritance;
use super::{notify, reap, watch};
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
struct Prepared {
    origin: Origin,
    sockets: Sockets,
    workers: usize,
    _pid_file: Option<PidFile>,
}

/// The life of a launcher: with what it has inherited, if another was there before.
pub(super) fn run(
    settings: Settings,
    binds: Vec<Bind>,
    on_ready: OnReady,
    mut inheritance: Option<Inheritance>,
) -> io::Result<ExitCode> {
    let ended = prepare(&settings, binds, inheritance.as_mut()).and_then(|prepared| {
        let supervised = || supervise(settings, prepared, on_ready, inheritance);
        crate::run(supervised).map_err(Refusal::Failed)
    });
    Ok(ended.unwrap_or_else(|refusal| refusal.report()))
}

/// Opens what must be there before anything runs.
fn prepare(
    settings: &Settings,
    binds: Vec<Bind>,
    mut inheritance: Option<&mut Inheritance>,
) -> Result<Prepared, Refusal> {
    let workers = settings.workers.count()?;
    alone()?;
    let origin = Origin::find()?;
    let pid_file = settings
        .pid_file
        .as_deref()
        .map(PidFile::lock)
        .transpose()?;
    let mut bound = Vec::new();
    for (index, bind) in binds.into_iter().enumerate() {
        bound.extend(open(
            index,
            bind,
            settings.balance,
            inheritance.as_deref_mut(),
        )?);
    }
    let sockets = Sockets::new(bound);
    for slot in 0..workers {
        sockets.open_for(slot)?;
    }
    Ok(Prepared {
        origin,
        sockets,
        workers,
        _pid_file: pid_file,
    })
}

/// Opens a socket, unless it is open already.
pub(super) fn open(
    index: usize,
    bind: Bind,
    balance: Balance,
    mut inheritance: Option<&mut Inheritance>,
) -> io::Result<Vec<Bound>> {
    if let (Bind::Activated, Some(before)) = (&bind, &mut inheritance) {
        return Ok(before.take_all_bound(ACTIVATED));
    }
    let inherited = |name: &str| inheritance.and_then(|before| before.take_bound(name));
    let bound = match bind {
        Bind::Tcp(name) => match inherited(&name) {
            Some(bound) => bound,
            None => Bound::tcp(&name, balance)?,
        },
        Bind::Unix(path) => match inherited(&unix_name(&path)) {
            Some(bound) => bound,
            None => Bound::unix(&path)?,
        },
        Bind::Open(open) => {
            let name = format!("listener {index}");
            match inherited(&name) {
                Some(bound) => bound,
                None => Bound::open(name, open())?,
            }
        }
        Bind::Activated => return activated(),
    };
    Ok(vec![bound])
}

/// Begins the names of sockets that systemd has handed over.
const ACTIVATED: &str = "systemd socket ";

fn activated() -> io::Result<Vec<Bound>> {
    let sockets = systemd::take_sockets()?.into_iter();
    let bound = sockets.map(|Activated { name, socket }| {
        let opened = match socket {
            ActivatedSocket::Tcp(listener) => Opened::from(listener),
            ActivatedSocket::Unix(listener) => Opened::from(listener),
        };
        Bound::open(format!("{ACTIVATED}{name}"), Ok(opened))
    });
    bound.collect()
}

/// What a launcher would refuse, said by the first worker of a new program: after the launcher has
/// executed that in its own place it is too late.
pub(super) fn rehearse(settings: &Settings) -> Result<(), Refusal> {
    settings.workers.count()?;
    Ok(alone()?)
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
fn supervise(
    settings: Settings,
    prepared: Prepared,
    on_ready: OnReady,
    inheritance: Option<Inheritance>,
) -> io::Result<ExitCode> {
    let Prepared {
        origin,
        sockets,
        workers,
        _pid_file,
    } = prepared;
    let log = Log::start()?;
    let records = match &inheritance {
        Some(before) => before.records()?,
        None => Records::new()?,
    };
    let started = inheritance
        .as_ref()
        .map_or_else(board::now, |before| before.started);
    let boss = Supervisor::new(settings, origin, sockets, Rc::clone(&records), log, started);
    hear_signals(&boss)?;
    watch::start(&boss)?;
    reap::start(&boss)?;
    notify::start(&boss)?;
    let control_socket = commands::listen(&boss)?;
    match inheritance {
        Some(before) => {
            before.take_over(&records, &boss)?;
            boss.wait_for_ready();
            boss.roll_over.finish_upgrade(&boss);
        }
        None => {
            for id in 0..workers {
                boss.open_slot(id, None)?;
            }
            if boss.wait_for_ready() {
                let addrs = boss.sockets.borrow().addrs();
                on_ready(&addrs);
            }
        }
    }
    let code = boss.wait_for_end();
    drop(control_socket);
    boss.log.flush();
    Ok(ExitCode::from(code))
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
        SIGHUP => boss.roll_over.start(boss, Program::Same),
        SIGUSR2 => boss.roll_over.start(boss, Program::New),
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
