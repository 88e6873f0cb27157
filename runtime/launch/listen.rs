//! The sockets, which the launcher opens, hands out and keeps.
//!
//! ```text
//!   bind("0.0.0.0:80")    [slot 0] [slot 1] [slot 2]   one SO_REUSEPORT socket for each slot
//!   bind_unix("/run/s")   [         shared         ]   one for all
//! ```
//!
//! The queue of connections that are not accepted yet belongs to the socket, and is reset when its
//! last descriptor is closed. So the launcher keeps one of each: a worker that crashes or is
//! replaced loses no queued connection, and the next one in its slot goes on with the same queue.
//! A slot that is removed keeps its sockets too, for the kernel goes on putting connections into
//! them; siblings take those.
//!
//! With `SO_REUSEPORT` a second launcher of the same user could listen on the same port without an
//! error and get half of the connections. So the first socket is bound once without it, as a probe.
//!
//! A shared socket is waited for as any other, not with `EPOLLEXCLUSIVE`: that would save the
//! wake-ups of workers that find the connection gone (13 of 100), but under light load it gives one
//! of eight workers 63 % of the connections, and another none.

use std::cell::{Ref, RefCell};
use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use socket2::{Domain, Protocol, Socket, Type};

use super::config::{Balance, Kind, Opened};
use super::control_socket::check_stale;

/// Connections that the kernel queues per socket; it takes its own limit (`net.core.somaxconn`) if
/// that is lower.
const BACKLOG: i32 = 4096;

/// Begins the name of a Unix socket that has a file.
const UNIX: &str = "unix:";

/// All sockets, in the order of `bind`.
#[derive(Debug)]
pub(super) struct Sockets(Vec<Bound>);

/// What was opened for one `bind`.
#[derive(Debug)]
pub(super) struct Bound {
    /// As the user has said it; what finds it again after an upgrade.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Where it listens.
    pub(super) addr: String,
    queues: Queues,
}

#[derive(Debug)]
enum Queues {
    Shared(OwnedFd),
    /// By slot, and the address for more of them.
    PerSlot(SocketAddr, RefCell<Vec<OwnedFd>>),
}

impl Sockets {
    pub(super) fn new(bound: Vec<Bound>) -> Sockets {
        Sockets(bound)
    }

    pub(super) fn all(&self) -> &[Bound] {
        &self.0
    }

    /// Where the launcher listens.
    pub(super) fn addrs(&self) -> Vec<String> {
        self.0.iter().map(|bound| bound.addr.clone()).collect()
    }

    /// Opens what is missing for that slot.
    pub(super) fn open_for(&self, slot: usize) -> io::Result<()> {
        for bound in &self.0 {
            bound
                .open_for(slot)
                .map_err(|error| cannot_listen(&bound.name, &error))?;
        }
        Ok(())
    }

    /// For how many slots there are sockets.
    pub(super) fn queues(&self) -> usize {
        let count = |bound: &Bound| match bound.queues.borrow() {
            Borrowed::Shared(_) => 0,
            Borrowed::PerSlot(fds) => fds.len(),
        };
        self.0.iter().map(count).max().unwrap_or(0)
    }

    /// Calls `with` with the sockets of a slot, in the order of `bind`.
    pub(super) fn with_slot<R>(&self, slot: usize, with: impl FnOnce(&[BorrowedFd<'_>]) -> R) -> R {
        let queues: Vec<_> = self.0.iter().map(|bound| bound.queues.borrow()).collect();
        let fds = queues.iter().map(|queue| match queue {
            Borrowed::Shared(fd) => fd.as_fd(),
            Borrowed::PerSlot(fds) => fds[slot].as_fd(),
        });
        with(&fds.collect::<Vec<_>>())
    }

    /// Calls `with` with the sockets that belong to a slot alone, and which those are in the order
    /// of `bind`.
    pub(super) fn with_queues_of(&self, slot: usize, with: impl FnOnce(String, &[BorrowedFd<'_>])) {
        let queues: Vec<_> = self.0.iter().map(|bound| bound.queues.borrow()).collect();
        let own = queues
            .iter()
            .enumerate()
            .filter_map(|(index, queue)| match queue {
                Borrowed::Shared(_) => None,
                Borrowed::PerSlot(fds) => Some((index.to_string(), fds.get(slot)?.as_fd())),
            });
        let (indices, fds): (Vec<_>, Vec<_>) = own.unzip();
        with(indices.join(","), &fds);
    }

    /// Removes the files of Unix sockets, so that who comes finds nobody, not a dead end.
    pub(super) fn remove_files(&self) {
        for path in self
            .0
            .iter()
            .filter_map(|bound| bound.name.strip_prefix(UNIX))
        {
            // Somebody may have removed it before.
            let _ = fs::remove_file(path);
        }
    }

    /// The kinds of the sockets, as a worker is told of them.
    pub(super) fn kinds(&self) -> String {
        let letter = |bound: &Bound| match bound.kind {
            Kind::Tcp => 'T',
            Kind::Unix => 'U',
        };
        self.0.iter().map(letter).collect()
    }
}

/// The queues while they are handed out.
enum Borrowed<'a> {
    Shared(&'a OwnedFd),
    PerSlot(Ref<'a, Vec<OwnedFd>>),
}

impl Queues {
    fn borrow(&self) -> Borrowed<'_> {
        match self {
            Queues::Shared(fd) => Borrowed::Shared(fd),
            Queues::PerSlot(_, fds) => Borrowed::PerSlot(fds.borrow()),
        }
    }
}

impl Bound {
    /// Listens on a TCP address.
    ///
    /// # Errors
    ///
    /// One clear line that names what was to be opened.
    pub(super) fn tcp(name: &str, balance: Balance) -> io::Result<Bound> {
        open_tcp(name, balance).map_err(|error| cannot_listen(name, &error))
    }

    /// Listens on a Unix socket.
    ///
    /// # Errors
    ///
    /// As [`tcp`](Bound::tcp).
    pub(super) fn unix(path: &Path) -> io::Result<Bound> {
        let name = unix_name(path);
        let listener = open_unix(path).map_err(|error| cannot_listen(&name, &error))?;
        Ok(Bound::shared(name, Kind::Unix, listener.into()))
    }

    /// What somebody else has opened.
    pub(super) fn open(name: String, opened: io::Result<Opened>) -> io::Result<Bound> {
        let Opened(fd, kind) = opened.map_err(|error| cannot_listen(&name, &error))?;
        Ok(Bound::shared(name, kind, fd))
    }

    /// What another launcher has opened, with as many queues as there are descriptors.
    pub(super) fn inherit(name: String, kind: Kind, mut fds: Vec<OwnedFd>) -> io::Result<Bound> {
        let (Some(first), Kind::Tcp) = (fds.first(), kind) else {
            let fd = fds
                .pop()
                .ok_or_else(|| io::Error::other("a listener is missing"))?;
            return Ok(Bound::shared(name, kind, fd));
        };
        match tcp_addr(first) {
            Some(addr) if reuses_port(first) => Ok(Bound {
                name,
                kind,
                addr: addr.to_string(),
                queues: Queues::PerSlot(addr, RefCell::new(fds)),
            }),
            _ => Ok(Bound::shared(name, kind, fds.remove(0))),
        }
    }

    fn shared(name: String, kind: Kind, fd: OwnedFd) -> Bound {
        let addr = match kind {
            Kind::Tcp => tcp_addr(&fd).map(|addr| addr.to_string()),
            Kind::Unix => None,
        };
        Bound {
            addr: addr.unwrap_or_else(|| name.clone()),
            name,
            kind,
            queues: Queues::Shared(fd),
        }
    }

    fn open_for(&self, slot: usize) -> io::Result<()> {
        let Queues::PerSlot(addr, fds) = &self.queues else {
            return Ok(());
        };
        let mut fds = fds.borrow_mut();
        while fds.len() <= slot {
            fds.push(listen_tcp(*addr, true)?);
        }
        Ok(())
    }

    /// Calls `with` with all descriptors.
    pub(super) fn with_fds<R>(&self, with: impl FnOnce(&[BorrowedFd<'_>]) -> R) -> R {
        match &self.queues {
            Queues::Shared(fd) => with(&[fd.as_fd()]),
            Queues::PerSlot(_, fds) => {
                let fds = fds.borrow();
                with(&fds.iter().map(AsFd::as_fd).collect::<Vec<_>>())
            }
        }
    }
}

/// Listens on the first of the addresses that can be bound, as std's `bind`.
fn open_tcp(name: &str, balance: Balance) -> io::Result<Bound> {
    let mut failure = io::Error::new(io::ErrorKind::InvalidInput, "there is no such address");
    for addr in name.to_socket_addrs()? {
        match open_tcp_at(addr, balance) {
            Ok((addr, queues)) => {
                return Ok(Bound {
                    name: name.to_owned(),
                    kind: Kind::Tcp,
                    addr: addr.to_string(),
                    queues,
                });
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn open_tcp_at(addr: SocketAddr, balance: Balance) -> io::Result<(SocketAddr, Queues)> {
    if balance == Balance::Shared {
        let fd = listen_tcp(addr, false)?;
        let addr = tcp_addr(&fd).unwrap_or(addr);
        return Ok((addr, Queues::Shared(fd)));
    }
    // The kernel chooses no port that others have, with or without SO_REUSEPORT.
    if addr.port() != 0 {
        drop(listen_tcp(addr, false)?);
    }
    let first = listen_tcp(addr, true)?;
    let addr = tcp_addr(&first).unwrap_or(addr);
    Ok((addr, Queues::PerSlot(addr, RefCell::new(vec![first]))))
}

fn listen_tcp(addr: SocketAddr, reuse_port: bool) -> io::Result<OwnedFd> {
    let kind = Type::STREAM.cloexec().nonblocking();
    let socket = Socket::new(Domain::for_address(addr), kind, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn tcp_addr(fd: &impl AsFd) -> Option<SocketAddr> {
    socket2::SockRef::from(fd).local_addr().ok()?.as_socket()
}

fn reuses_port(fd: &impl AsFd) -> bool {
    socket2::SockRef::from(fd).reuse_port().unwrap_or(false)
}

/// The name under which a Unix socket is kept.
pub(super) fn unix_name(path: &Path) -> String {
    format!("{UNIX}{}", path.display())
}

/// A socket file that nobody listens on is left over from a program that was killed, and is
/// replaced; one that somebody listens on is in use.
fn open_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            check_stale(path)?;
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        result => result,
    }
}

/// An error that says what was to be opened.
fn cannot_listen(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("cannot listen on {name}: {}", plain(error)),
    )
}

/// The system's words, without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}
