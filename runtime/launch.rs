//! One worker process per core, each with a scheduler of its own, and a launcher that looks after
//! them.
//!
//! Green threads of one scheduler share one core. A [`Launcher`] runs the same server once for each
//! core, in a process each, and is to them what nginx's master is: it opens the sockets, starts the
//! workers, starts them again when they end, replaces them without losing a connection, and ends
//! them in order. It touches no connection itself.
//!
//! ```no_run
//! use sedge::launch::Launcher;
//! use sedge::net::TcpStream;
//! use sedge::server::Server;
//! use std::io::{self, Read, Write};
//! use std::process::ExitCode;
//!
//! fn main() -> io::Result<ExitCode> {
//!     Launcher::new()
//!         .bind("0.0.0.0:7000")
//!         .run(|worker| worker.serve(Server::new(worker.listener(0), echo)))
//! }
//!
//! fn echo(mut stream: TcpStream) -> io::Result<()> {
//!     let mut buffer = [0; 4096];
//!     loop {
//!         match stream.read(&mut buffer)? {
//!             0 => return Ok(()),
//!             count => stream.write_all(&buffer[..count])?,
//!         }
//!     }
//! }
//! ```
//!
//! # `main` runs in every process
//!
//! A worker is this program, executed once more with the same arguments. It begins at `main`, and
//! at [`run`](Launcher::run) it finds out that it is a worker. So what stands before `run` is done
//! by everybody: read arguments there, but open no files for writing, print nothing, start no OS
//! threads. What stands behind it is done by everybody too, at the end. (The name of a worker, its
//! first argument, ends in `: w0`.)
//!
//! ```text
//!                     main ──> Launcher::run ──┬── is the launcher: opens sockets, and executes
//!                                              │   the program again for each worker ──┐
//!        ┌─────────────────────────────────────┼─────────────────────────┬─────────────┘
//!        v                                     v                         v
//!   main ──> Launcher::run, is worker 0   main ──> ... worker 1     main ──> ... worker 2
//!            closure(worker)                       closure(worker)           closure(worker)
//! ```
//!
//! # Signals to the launcher
//!
//! | signal | what the launcher does |
//! |---|---|
//! | `TERM`, `QUIT` | ends: workers accept no more, and have 25 s to finish |
//! | `INT` (Ctrl-C) | the same, with 5 s |
//! | `HUP` | replaces the workers, one by one; if the terminal was closed: as `INT` |
//! | `USR2` | replaces itself and the workers by the program that is now under its path |
//! | `TTIN`, `TTOU` | one worker more, one fewer |
//! | `USR1` | prints the status |
//!
//! At the end of their time, the green threads of a worker are cancelled, so that destructors run;
//! 2 s later it is killed. A second `TERM` or `INT` cancels at once, a third one kills.
//!
//! A worker is replaced by starting the next one, waiting until that is
//! [ready](Worker::ready), and then letting the old one finish. If the next one fails, the old one
//! stays, and so do those that would have been replaced after it. So it is with a new program:
//! the launcher executes it in its own place, under the same process id and with the same sockets,
//! when one worker of it is ready.
//!
//! Workers obey `TERM`, and drain; the launcher starts another then.
//!
//! # Exit codes
//!
//! 0 after an end in order; 1 if the system refused something, such as an address in use, said in
//! one line; 3 if no worker ever became ready; 4 if the settings are wrong, such as `WORKERS`.
//!
//! # The control socket
//!
//! takes a line and answers: `status` (a table), `metrics` (for Prometheus), `reload`, `upgrade`,
//! `stop`, `add`, `remove`, `kill ID`. `cargo run --example sedgectl -- status` asks it.
//!
//! # What it does not do
//!
//! It does not daemonise, drop privileges or write log files: systemd and its like do. It has no
//! `fork`, for a copy of a process with a scheduler in it would steal the events of the original.

mod beat;
#[expect(unsafe_code, reason = "says what the records on it are made of")]
mod board;
mod changes;
mod child;
mod commands;
mod config;
mod control_socket;
pub(crate) mod door;
mod duty;
mod here;
mod listen;
mod master;
#[cfg_attr(
    not(feature = "ipc"),
    expect(dead_code, reason = "what is shared by name is made by `ipc`")
)]
mod names;
mod notify;
mod orphans;
mod output;
mod pid_file;
mod reap;
mod records;
mod recycle;
mod roll_over;
#[cfg(feature = "ipc")]
mod share;
mod slot;
pub(crate) mod spawn;
mod status;
mod supervisor;
#[expect(unsafe_code, reason = "takes the descriptors that systemd passes")]
mod systemd;
mod upgrade;
mod watch;
pub(crate) mod wire;
mod worker;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

pub use self::board::State;
pub use self::config::{Balance, Logs, Opened, Workers};
pub use self::control_socket::default_control_path;
pub use self::status::{Status, WorkerStatus};
pub use self::worker::Worker;

use self::config::{Bind, Settings};
use self::door::Role;
use self::master::OnReady;
use self::upgrade::Inheritance;
use crate::server::Outcome;

/// Runs a server in several processes, and looks after them. [The module](self) tells more.
#[must_use = "a Launcher does nothing until it runs"]
pub struct Launcher {
    settings: Settings,
    binds: Vec<Bind>,
    on_ready: OnReady,
}

impl Launcher {
    /// One with the defaults that each method names.
    pub fn new() -> Launcher {
        Launcher {
            settings: Settings::default(),
            binds: Vec::new(),
            on_ready: Box::new(|_| ()),
        }
    }

    /// Listens on a TCP address, `host:port`; on the first of its addresses if the host has
    /// several. Port 0 is any free port. Workers get it as [`Worker::listener`], where bind calls
    /// of all kinds are counted from 0.
    pub fn bind(mut self, addr: impl fmt::Display) -> Launcher {
        self.binds.push(Bind::Tcp(addr.to_string()));
        self
    }

    /// Listens on a Unix socket, whose file is replaced if nobody listens there. Workers get it as
    /// [`Worker::unix_listener`]. It is always [shared](Balance::Shared).
    pub fn bind_unix(mut self, path: impl Into<PathBuf>) -> Launcher {
        self.binds.push(Bind::Unix(path.into()));
        self
    }

    /// Listens on what `open` opens: a [`std::net::TcpListener`] or a
    /// [`std::os::unix::net::UnixListener`]. It is called in the launcher alone; a listener that
    /// `main` opens itself would be opened again by every worker. It is always
    /// [shared](Balance::Shared).
    ///
    /// ```no_run
    /// # use sedge::launch::Launcher;
    /// let launcher = Launcher::new().bind_with(|| std::net::TcpListener::bind("[::1]:7000"));
    /// ```
    pub fn bind_with<L: Into<Opened>>(
        mut self,
        open: impl FnOnce() -> io::Result<L> + 'static,
    ) -> Launcher {
        self.binds
            .push(Bind::Open(Box::new(|| open().map(L::into))));
        self
    }

    /// Listens on the sockets that systemd hands over, in the order of its unit; on none if it has
    /// not started this program by a socket unit. They are always [shared](Balance::Shared).
    pub fn bind_activated(mut self) -> Launcher {
        self.binds.push(Bind::Activated);
        self
    }

    /// How many workers. Default: [`Workers::PerCore`]. The environment variable `WORKERS`, a
    /// number, has the last word.
    pub fn workers(mut self, workers: Workers) -> Launcher {
        self.settings.workers = workers;
        self
    }

    /// How connections come to workers. Default: [`Balance::PerWorker`].
    pub fn balance(mut self, balance: Balance) -> Launcher {
        self.settings.balance = balance;
        self
    }

    /// Where the lines go that workers print. Default: [`Logs::Prefixed`].
    pub fn logs(mut self, logs: Logs) -> Launcher {
        self.settings.logs = logs;
        self
    }

    /// How long a worker may take until it says that it is [ready](Worker::ready). Default: 60 s.
    pub fn ready_timeout(mut self, limit: Duration) -> Launcher {
        self.settings.ready_timeout = limit;
        self
    }

    /// How long workers may finish what is begun, after `TERM` or `QUIT` and when they are
    /// replaced. Default: 25 s, which is below the 30 s after which Kubernetes kills.
    pub fn drain_timeout(mut self, limit: Duration) -> Launcher {
        self.settings.drain_timeout = limit;
        self
    }

    /// The same after `INT`, for somebody who sits at the terminal. Default: 5 s.
    pub fn interrupt_drain(mut self, limit: Duration) -> Launcher {
        self.settings.interrupt_drain = limit;
        self
    }

    /// After how long a worker whose loop has not turned is aborted. The launcher says which green
    /// thread keeps it from turning. Default: 30 s.
    pub fn hang_timeout(mut self, limit: Duration) -> Launcher {
        self.settings.hang_timeout = limit;
        self
    }

    /// The pause before a worker that has ended is started again, and the longest: each is twice
    /// the one before, up to a fifth more or less, and they begin anew after one that has lived for
    /// five times the shortest. Default: 0.1 s to 10 s.
    pub fn backoff(mut self, shortest: Duration, longest: Duration) -> Launcher {
        self.settings.backoff = (shortest, longest.max(shortest));
        self
    }

    /// Replaces a worker after so many requests, up to a tenth more or less, as counted by
    /// [`Worker::count_request`]. The next one is ready before it drains. Default: never.
    pub fn max_requests(mut self, requests: u64) -> Launcher {
        self.settings.recycling.requests = Some(requests);
        self
    }

    /// Replaces a worker of that age, up to a tenth more or less. Default: never.
    pub fn max_age(mut self, age: Duration) -> Launcher {
        self.settings.recycling.age = Some(age);
        self
    }

    /// Replaces a worker that has so many bytes of memory (resident), up to a tenth more or less.
    /// Default: never.
    pub fn max_memory(mut self, bytes: u64) -> Launcher {
        self.settings.recycling.memory = Some(bytes);
        self
    }

    /// Where the launcher can be [asked and told](self#the-control-socket), by its owner alone.
    /// Default: `sedge.sock` in systemd's `RUNTIME_DIRECTORY` or the user's `XDG_RUNTIME_DIR`, if
    /// there is one of them and no other launcher is there.
    pub fn control_socket(mut self, path: impl Into<PathBuf>) -> Launcher {
        self.settings.control_socket = Some(path.into());
        self
    }

    /// A file that holds the launcher's process id while it runs, and a lock, so that a second
    /// launcher with the same file does not start. Default: none.
    pub fn pid_file(mut self, path: impl Into<PathBuf>) -> Launcher {
        self.settings.pid_file = Some(path.into());
        self
    }

    /// How long workers go on accepting after `TERM` or `QUIT`, so that a load balancer finds out
    /// first. Default: none; 5 s in Kubernetes (if `KUBERNETES_SERVICE_HOST` is set), which removes
    /// endpoints at the same time as it sends `TERM`.
    pub fn pre_drain_delay(mut self, delay: Duration) -> Launcher {
        self.settings.pre_drain_delay = delay;
        self
    }

    /// Called in the launcher, once, when all workers are ready, with the addresses it listens on,
    /// in the order of the bind calls. Default: nothing.
    pub fn on_ready(mut self, hook: impl FnOnce(&[String]) + 'static) -> Launcher {
        self.on_ready = Box::new(hook);
        self
    }

    /// Runs `serve` in each worker, inside [`sedge::run`](crate::run). It comes back in every
    /// process: in a worker when `serve` has returned and its green threads have ended, in the
    /// launcher when no worker is left. Give what it returns back from `main`.
    ///
    /// `serve` should return when the worker [drains](Worker::draining). If it returns earlier, or
    /// with an error, which is printed, the worker is started again.
    ///
    /// # Errors
    ///
    /// If the system gives no epoll, memory or descriptors. What can be wrong with the settings or
    /// the addresses is said in one line on standard error, and becomes an exit code.
    ///
    /// # Panics
    ///
    /// In a worker, with the panic of `serve`; inside [`sedge::run`](crate::run).
    pub fn run<F, R>(self, serve: F) -> io::Result<ExitCode>
    where
        F: FnOnce(Worker) -> R,
        R: Outcome,
    {
        match door::role()? {
            Role::Worker(link, hello) => {
                if wire::number::<u8>(&hello.text, "rehearses")? == 1 {
                    if let Err(refusal) = master::rehearse(&self.settings) {
                        return Ok(refusal.report());
                    }
                }
                duty::run(link, hello, serve)
            }
            Role::Launcher => master::run(self.settings, self.binds, self.on_ready, None),
            Role::Heir(link, hello) => {
                let inheritance = Inheritance::read(&link, hello)?;
                master::run(self.settings, self.binds, self.on_ready, Some(inheritance))
            }
        }
    }

    /// Runs `serve` in this process, as worker 0, without a launcher: for a debugger or a profiler.
    /// `TERM` and `INT` drain it, as they would through the launcher.
    ///
    /// # Errors
    ///
    /// As [`run`](Launcher::run).
    ///
    /// # Panics
    ///
    /// With the panic of `serve`; inside [`sedge::run`](crate::run).
    pub fn run_here<F, R>(self, serve: F) -> io::Result<ExitCode>
    where
        F: FnOnce(Worker) -> R,
        R: Outcome,
    {
        match here::prepare(self.binds) {
            Ok(sockets) => here::run(&self.settings, sockets, self.on_ready, serve),
            Err(refusal) => Ok(refusal.report()),
        }
    }
}

impl Default for Launcher {
    fn default() -> Launcher {
        Launcher::new()
    }
}

impl fmt::Debug for Launcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launcher")
            .field("settings", &self.settings)
            .field("binds", &self.binds)
            .finish_non_exhaustive()
    }
}
