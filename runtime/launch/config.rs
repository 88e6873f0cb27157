//! What a launcher is told before it runs, and what the environment says to it.

use std::env;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use super::control::Control;

/// How many workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Workers {
    /// One for each core that this process may use: the cores of its affinity mask, or fewer if the
    /// quota of its cgroup allows fewer, rounded down.
    #[default]
    PerCore,
    /// So many, from 1 to [`MOST_WORKERS`](Workers::MOST).
    Exactly(usize),
}

impl Workers {
    /// As many as a launcher takes.
    pub const MOST: usize = 128;

    /// The number, in which `WORKERS` of the environment has the last word.
    pub(super) fn count(self) -> Result<usize, Misconfigured> {
        let said = env::var_os("WORKERS").filter(|said| !said.is_empty());
        if let Some(said) = said {
            let count = said.to_str().and_then(|said| said.trim().parse().ok());
            return count.filter(is_possible).ok_or_else(|| {
                let most = Workers::MOST;
                Misconfigured(format!(
                    "WORKERS={} in the environment is no number from 1 to {most}",
                    said.display()
                ))
            });
        }
        match self {
            Workers::PerCore => Ok(available_parallelism()
                .map_or(1, |count| count.get())
                .min(Workers::MOST)),
            Workers::Exactly(count) if is_possible(&count) => Ok(count),
            Workers::Exactly(count) => Err(Misconfigured(format!(
                "{count} workers are not from 1 to {}",
                Workers::MOST
            ))),
        }
    }
}

fn is_possible(count: &usize) -> bool {
    (1..=Workers::MOST).contains(count)
}

/// How connections come to workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Balance {
    /// Each worker has a queue of its own, and the kernel puts each connection into one of them, by
    /// a hash of its addresses (`SO_REUSEPORT`): even shares, no crowd at a connection. A
    /// connection that came to a busy worker waits for that one; to a worker that does not run at
    /// all, its siblings see.
    #[default]
    PerWorker,
    /// All workers take from one queue, whoever comes first. For handlers that compute for long:
    /// nobody waits for a busy worker while another idles. But shares are uneven, and several
    /// workers wake up for one connection. Unix sockets and sockets that were opened elsewhere are
    /// always shared.
    Shared,
}

/// Where the lines go that workers print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Logs {
    /// Through the launcher, which puts `[w3 1234] ` before each: the worker's number and process
    /// id.
    #[default]
    Prefixed,
    /// To the launcher's own standard output and error, as they are.
    Inherited,
}

/// What somebody must set right before anything can run; exit code 4.
#[derive(Debug)]
pub(super) struct Misconfigured(pub(super) String);

impl fmt::Display for Misconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something to listen on.
pub(super) enum Bind {
    /// `host:port`.
    Tcp(String),
    Unix(PathBuf),
    /// What the user's function opens.
    Open(Box<dyn FnOnce() -> io::Result<Opened>>),
    /// What the process was given.
    Given(Opened),
    /// What systemd hands over.
    Activated,
}

/// An open listener; what [`Launcher::bind_std`](super::Launcher::bind_std) takes.
#[derive(Debug)]
pub struct Opened(pub(super) OwnedFd, pub(super) Kind);

impl From<std::net::TcpListener> for Opened {
    fn from(listener: std::net::TcpListener) -> Opened {
        Opened(listener.into(), Kind::Tcp)
    }
}

impl From<std::os::unix::net::UnixListener> for Opened {
    fn from(listener: std::os::unix::net::UnixListener) -> Opened {
        Opened(listener.into(), Kind::Unix)
    }
}

impl fmt::Debug for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bind::Tcp(addr) => f.debug_tuple("Tcp").field(addr).finish(),
            Bind::Unix(path) => f.debug_tuple("Unix").field(path).finish(),
            Bind::Open(_) => f.write_str("Open"),
            Bind::Given(given) => f.debug_tuple("Given").field(given).finish(),
            Bind::Activated => f.write_str("Activated"),
        }
    }
}

/// The type of listener that a worker makes of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tcp,
    Unix,
}

/// When a worker is replaced although it is well; `None` is never.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recycling {
    pub(super) requests: Option<u64>,
    pub(super) age: Option<Duration>,
    pub(super) memory: Option<u64>,
}

/// All that does not change while a launcher runs.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) workers: Workers,
    pub(super) balance: Balance,
    pub(super) logs: Logs,
    pub(super) ready_timeout: Duration,
    pub(super) drain_timeout: Duration,
    pub(super) interrupt_drain: Duration,
    pub(super) hang_timeout: Duration,
    pub(super) backoff: (Duration, Duration),
    pub(super) recycling: Recycling,
    pub(super) pre_drain_delay: Duration,
    pub(super) pid_file: Option<PathBuf>,
    pub(super) control: Control,
    pub(super) control_socket: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Settings {
        let in_kubernetes = env::var_os("KUBERNETES_SERVICE_HOST").is_some();
        Settings {
            workers: Workers::PerCore,
            balance: Balance::PerWorker,
            logs: Logs::Prefixed,
            ready_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(25),
            interrupt_drain: Duration::from_secs(5),
            hang_timeout: Duration::from_secs(30),
            backoff: (Duration::from_millis(100), Duration::from_secs(10)),
            recycling: Recycling::default(),
            pre_drain_delay: Duration::from_secs(if in_kubernetes { 5 } else { 0 }),
            pid_file: None,
            control: Control::default(),
            control_socket: None,
        }
    }
}
