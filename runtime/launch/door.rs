//! Which role a process has, found out from its standard input alone.
//!
//! The launcher starts workers by executing its own program again, so `main` begins like any other
//! until it reaches `Launcher::run`. There the process looks at descriptor 0:
//!
//! ```text
//!   a SEQPACKET socket whose first message is "sedge-worker ...", made by the process that the
//!   message names, and that one is the parent  ──>  a worker: the message carries what it needs
//!   the same, "sedge-heir ...", made by this very process  ──>  a launcher that has executed a
//!                                                               new program in its own place
//!   the same, "sedge-pool ...", made by the parent  ──>  a worker of a `ProcessPool`
//!   anything else  ──>  a launcher
//! ```
//!
//! An environment variable would be inherited by whatever a worker starts, and anybody can set one;
//! a socket pair cannot be forged by somebody who is not the parent. The message is looked at
//! before it is taken, so a standard input that is somebody else's loses nothing. It was sent
//! before the process was started, so looking never waits.
//!
//! A worker's standard input is `/dev/null` from then on.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::sockopt::{socket_domain, socket_peercred, socket_type};
use rustix::net::{AddressFamily, RecvFlags, SocketType, recv};
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};
use rustix::stdio::{dup2_stdin, stdin};

use super::wire::{self, Line, Link, Message};

const WORKER: &str = "sedge-worker";
const HEIR: &str = "sedge-heir";
#[cfg(feature = "ipc")]
const POOL: &str = "sedge-pool";

/// What a process is to be.
#[derive(Debug)]
pub(super) enum Role {
    Launcher,
    Worker(Link, Message),
    Heir(Link, Message),
}

/// Begins the first message to a worker.
pub(super) fn to_worker() -> Line {
    Line::new(WORKER).field("launcher", getpid())
}

/// Begins the first message to the program that takes this one's place.
pub(super) fn to_heir() -> Line {
    Line::new(HEIR).field("launcher", getpid())
}

/// Begins the first message to a worker of a pool.
#[cfg(feature = "ipc")]
pub(crate) fn to_pool_worker() -> Line {
    Line::new(POOL).field("launcher", getpid())
}

/// As [`role`], for who only asks whether this is a worker of a pool.
#[cfg(feature = "ipc")]
pub(crate) fn pool_worker() -> io::Result<Option<(Link, Message)>> {
    match speaks() {
        Some((word, parent)) if word == POOL => take_line(parent, true).map(Some),
        _ => Ok(None),
    }
}

/// Finds out, and takes the line.
///
/// # Errors
///
/// If this is a worker whose launcher has died, or there are no descriptors left.
pub(super) fn role() -> io::Result<Role> {
    match speaks() {
        Some((word, launcher)) if word == WORKER => {
            let (link, hello) = take_line(launcher, true)?;
            Ok(Role::Worker(link, hello))
        }
        Some((word, launcher)) if word == HEIR => {
            let (link, hello) = take_line(launcher, false)?;
            Ok(Role::Heir(link, hello))
        }
        _ => Ok(Role::Launcher),
    }
}

/// Takes the line and its first message; who is to die with the parent does so from now on.
fn take_line(launcher: Pid, dies: bool) -> io::Result<(Link, Message)> {
    let link = Link::new(fcntl_dupfd_cloexec(stdin(), 3)?);
    let hello = link.recv_now()?.ok_or_else(|| wire::malformed("nothing"))?;
    dup2_stdin(File::open("/dev/null")?)?;
    if dies {
        // First the word, then the look: a parent that died before the first is seen by the second.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        if getppid() != Some(launcher) {
            return Err(io::Error::other(
                "the launcher died while this worker began",
            ));
        }
    }
    Ok((link, hello))
}

/// Who speaks to us over standard input, in the launcher's words: the first of them, and who.
fn speaks() -> Option<(String, Pid)> {
    let stdin = stdin();
    let is_line = socket_domain(stdin).ok()? == AddressFamily::UNIX
        && socket_type(stdin).ok()? == SocketType::SEQPACKET;
    if !is_line {
        return None;
    }
    let mut bytes = [0; 64];
    let peek = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    let (count, _) = recv(stdin, &mut bytes[..], peek).ok()?;
    let mut words = std::str::from_utf8(&bytes[..count]).ok()?.split(' ');
    let word = words.next()?;
    let launcher = words.next()?.strip_prefix("launcher=")?.parse().ok()?;
    let launcher = Pid::from_raw(launcher)?;
    let made_by = socket_peercred(stdin).ok()?.pid;
    let is_ours = match word {
        HEIR => launcher == getpid(),
        _ => launcher != getpid(),
    };
    (is_ours && made_by == launcher).then(|| (word.to_owned(), launcher))
}

/// Puts a line where [`role`] looks for it, and gives back what was there.
pub(super) fn put(end: impl AsFd) -> io::Result<OwnedFd> {
    let before = fcntl_dupfd_cloexec(stdin(), 3)?;
    dup2_stdin(end)?;
    Ok(before)
}
