//! systemd: what the launcher tells it, and the sockets it hands over. Without systemd all of this
//! does nothing.
//!
//! ```text
//!    let systemd = Systemd::from_env();        first thing in the launcher
//!    let sockets = take_sockets()?;            then these, once; Balance::Shared is for them
//!    command.env_remove(..) for each of VARIABLES        for each worker: it must not talk
//!    command.env_remove(..) for each of ACTIVATION       at an upgrade by exec: they are taken
//!
//!    systemd.ready("2 workers")                when enough workers are ready, also after a reload
//!    systemd.reloading()                       when a reload begins (Type=notify-reload)
//!    systemd.stopping()                        when draining begins
//!    systemd.extend(limit)                     while it goes on, each time for so long from then
//!    systemd.status("1 of 2 workers ready")    whenever that changes
//!    systemd.watchdog()                        every `watchdog_interval()`, as long as the loop
//!                                              turns and a worker's heartbeat is fresh
//! ```
//!
//! Only the launcher talks. The environment is read and never changed, for that is unsafe once
//! there are threads: what workers must not see is removed from what they are given.
//!
//! A message is one datagram, sent without waiting. If it cannot be sent, the caller logs that and
//! goes on.

use std::env;
use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::ioctl_fionbio;
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};
use sd_notify::NotifyState;

/// What systemd says of the sockets it hands over: to this process, and to nobody after it.
pub(crate) const ACTIVATION: [&str; 4] = [
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
];
/// Everything that systemd says and that a worker must not see.
pub(crate) const VARIABLES: [&str; 7] = [
    ACTIVATION[0],
    ACTIVATION[1],
    ACTIVATION[2],
    ACTIVATION[3],
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
];

/// Where systemd listens, if it has started us and wants to know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Systemd {
    socket: Option<OsString>,
    watchdog: Option<Duration>,
}

impl Systemd {
    /// As the environment says.
    pub(crate) fn from_env() -> Systemd {
        Systemd {
            socket: env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()),
            watchdog: sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()),
        }
    }

    /// Whether somebody listens. If not, every call here is `Ok`.
    pub(crate) fn listens(&self) -> bool {
        self.socket.is_some()
    }

    /// Started, or reloaded; and a line for `systemctl status`.
    pub(crate) fn ready(&self, status: &str) -> io::Result<()> {
        let status = one_line(status);
        self.send(&[NotifyState::Ready, NotifyState::Status(&status)])
    }

    /// A reload begins; `ready` ends it.
    pub(crate) fn reloading(&self) -> io::Result<()> {
        // systemd must see that this is of now, and not from before it asked.
        let now = NotifyState::monotonic_usec_now()?;
        self.send(&[NotifyState::Reloading, now])
    }

    /// The end begins.
    pub(crate) fn stopping(&self) -> io::Result<()> {
        self.send(&[NotifyState::Stopping])
    }

    /// A line for `systemctl status`.
    pub(crate) fn status(&self, status: &str) -> io::Result<()> {
        self.send(&[NotifyState::Status(&one_line(status))])
    }

    /// Whatever goes on now may take so much longer, counted from now.
    pub(crate) fn extend(&self, limit: Duration) -> io::Result<()> {
        let limit = u32::try_from(limit.as_micros()).unwrap_or(u32::MAX);
        self.send(&[NotifyState::ExtendTimeoutUsec(limit)])
    }

    /// All is well.
    pub(crate) fn watchdog(&self) -> io::Result<()> {
        self.send(&[NotifyState::Watchdog])
    }

    /// How often the watchdog wants to be told: twice as often as it looks.
    pub(crate) fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    fn send(&self, states: &[NotifyState<'_>]) -> io::Result<()> {
        let Some(path) = &self.socket else {
            return Ok(());
        };
        let address = match path.as_bytes() {
            // The library takes no abstract names, which containers use.
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
            _ => SocketAddr::from_pathname(path),
        }?;
        let message: String = states.iter().map(|state| format!("{state}\n")).collect();
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.send_to_addr(message.as_bytes(), &address).map(drop)
    }
}

/// A line break would begin another message.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

/// A socket that systemd has opened, with the name that its unit gives it (`FileDescriptorName=`,
/// else the unit's own).
#[derive(Debug)]
pub(crate) struct Activated {
    pub(crate) name: String,
    pub(crate) socket: ActivatedSocket,
}

#[derive(Debug)]
pub(crate) enum ActivatedSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The sockets that systemd hands over, in the order of its unit; none if there are none, or they
/// are taken. They are in blocking mode and stay behind at an exec.
///
/// # Errors
///
/// If one is no listening stream socket (`Accept=yes` makes such), or the variables are nonsense.
pub(crate) fn take_sockets() -> io::Result<Vec<Activated>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let fds: Vec<(RawFd, String)> = sd_notify::listen_fds_with_names()?.collect();
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let own = |(fd, name): (RawFd, String)| {
        // SAFETY: this descriptor is open (it was just set to close at an exec), and ours to own:
        // LISTEN_PID says that whoever executed this process passed it for us to take, so nothing
        // here has opened it; and TAKEN that nobody has taken it before.
        (unsafe { OwnedFd::from_raw_fd(fd) }, fd, name)
    };
    // All of them at first: those behind one that is refused are closed as well.
    let owned: Vec<_> = fds.into_iter().map(own).collect();
    owned
        .into_iter()
        .map(|(socket, fd, name)| activated(socket, fd, name))
        .collect()
}

fn activated(socket: OwnedFd, fd: RawFd, name: String) -> io::Result<Activated> {
    let is_ours =
        socket_acceptconn(&socket) == Ok(true) && socket_type(&socket) == Ok(SocketType::STREAM);
    let family = is_ours.then(|| socket_domain(&socket).ok()).flatten();
    let socket = match family {
        Some(AddressFamily::INET | AddressFamily::INET6) => {
            ActivatedSocket::Tcp(blocking(socket)?.into())
        }
        Some(AddressFamily::UNIX) => ActivatedSocket::Unix(blocking(socket)?.into()),
        _ => {
            let message = format!(
                "descriptor {fd} ({name}) from systemd is no listening socket that sedge knows: \
                 use ListenStream= and Accept=no"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
    };
    Ok(Activated { name, socket })
}

/// Whatever it was; sedge takes the mode it finds for its user's wish.
fn blocking(socket: OwnedFd) -> io::Result<OwnedFd> {
    ioctl_fionbio(&socket, false)?;
    Ok(socket)
}

#[cfg(test)]
mod tests;
