//! The control socket: a Unix socket at which the launcher can be asked and told.
//!
//! One command for each connection: the client writes a line, the launcher answers and closes. The
//! answer's first line is `ok` or `error: ` and why; what follows `ok` is for the user.
//!
//! ```text
//!    $ echo status | nc -U /run/user/1000/sedge.sock
//!    ok
//!    launcher 4711, up 3 h 12 min, 2 workers
//!    ID   PID  STATE ...
//! ```
//!
//! For the launcher: [`ControlSocket::bind`] takes a path and a function from [`Command`] to the
//! answer. It is called in a green thread of the connection, so it may wait, as `reload` does for
//! its end; if the client goes away meanwhile it runs on. Dropping the `ControlSocket` ends it all
//! and removes the file.
//!
//! **Nobody but the owner ever gets in.** The mode 0600 is given to the socket before it is bound
//! (Linux makes the file with the socket's mode), so there is no moment at which the file has
//! another, and no umask is touched, which belongs to the whole process.
//!
//! **A dead launcher's file is replaced, a live one's is not.** What refuses connections is stale.
//! What answers is another launcher, and what is no socket is not ours to remove. Two launchers
//! that come at once take turns by a lock on the directory. At the end the file is removed only if
//! it is still the one that was made.

use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::str::FromStr;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, fchmod, flock};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

use crate::os::unix::net::{UnixListener, UnixStream};
use crate::server::{Server, ServerHandle};

/// How long a client has to say what it wants, and to take the answer.
const CLIENT_TIME: Duration = Duration::from_secs(10);
const CLIENTS: usize = 32;
const LONGEST_LINE: u64 = 4096;
const BACKLOG: i32 = 16;
/// How long to wait for another launcher that binds in the same directory.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// What the launcher can be asked and told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// The table of workers.
    Status,
    /// The same for Prometheus.
    Metrics,
    /// Replace the workers one by one.
    Reload,
    /// Drain and end.
    Stop,
    /// One worker more.
    Add,
    /// One worker less.
    Remove,
    /// Kill the worker with this number; another takes its place.
    Kill(usize),
    /// Replace the program.
    Upgrade,
}

impl FromStr for Command {
    type Err = String;

    fn from_str(line: &str) -> Result<Command, String> {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        Ok(match words[..] {
            ["status"] => Command::Status,
            ["metrics"] => Command::Metrics,
            ["reload"] => Command::Reload,
            ["stop"] => Command::Stop,
            ["add"] => Command::Add,
            ["remove"] => Command::Remove,
            ["upgrade"] => Command::Upgrade,
            ["kill"] => return Err("kill whom? kill ID, as status shows it".to_owned()),
            ["kill", id] => match id.parse() {
                Ok(id) => Command::Kill(id),
                Err(_) => return Err(format!("{id:?} is no worker's number")),
            },
            [] => return Err(format!("no command; there are {COMMANDS}")),
            _ => return Err(format!("no command {line:?}; there are {COMMANDS}")),
        })
    }
}

const COMMANDS: &str = "status, metrics, reload, stop, add, remove, kill ID, upgrade";

/// What a command has led to: words for the user, or why it could not be done.
pub(crate) type Answer = Result<String, String>;

/// Where a launcher listens, and its client asks, if nobody has said another place: `sedge.sock` in
/// systemd's `RUNTIME_DIRECTORY` or the user's `XDG_RUNTIME_DIR`. None if there is neither: a name
/// in `/tmp` anybody could take first.
#[must_use]
pub fn default_control_path() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = folder("RUNTIME_DIRECTORY").or_else(|| folder("XDG_RUNTIME_DIR"))?;
    // systemd separates several by colons, and makes the first one first.
    let folder = folder.to_string_lossy().split(':').next()?.to_owned();
    Some(PathBuf::from(folder).join("sedge.sock"))
}

/// A control socket that is served until this is dropped.
pub(crate) struct ControlSocket {
    path: PathBuf,
    /// Device and inode of the file.
    file: (u64, u64),
    server: ServerHandle<crate::os::unix::net::SocketAddr>,
}

impl ControlSocket {
    /// Makes the socket and serves it.
    ///
    /// # Errors
    ///
    /// In words that name the path: if another launcher is there, or no socket can be made.
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    pub(crate) fn bind(
        path: &Path,
        answer: impl Fn(Command) -> Answer + 'static,
    ) -> io::Result<ControlSocket> {
        let named = |error: io::Error| {
            let message = format!("control socket {}: {error}", path.display());
            io::Error::new(error.kind(), message)
        };
        let (fd, file) = make(path).map_err(named)?;
        let answer = Rc::new(answer);
        let server = Server::new(UnixListener::from(fd), move |stream: UnixStream| {
            serve(stream, &*answer)
        });
        // A client that goes away is no failure of ours.
        let server = server.max_connections(CLIENTS).on_error(|_| ());
        Ok(ControlSocket {
            path: path.to_owned(),
            file,
            server: server.start().map_err(named)?,
        })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.server.stop();
        if file_id(&self.path).is_ok_and(|file| file == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl fmt::Debug for ControlSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlSocket")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// One command and its answer.
fn serve(mut stream: UnixStream, answer: &dyn Fn(Command) -> Answer) -> io::Result<()> {
    stream.set_read_timeout(Some(CLIENT_TIME))?;
    stream.set_write_timeout(Some(CLIENT_TIME))?;
    let mut line = String::new();
    BufReader::new((&stream).take(LONGEST_LINE)).read_line(&mut line)?;
    let text = match line.parse().and_then(answer) {
        Ok(words) => format!("ok\n{words}"),
        // One line, whatever it says.
        Err(why) => format!("error: {}", why.trim().replace('\n', "; ")),
    };
    writeln!(stream, "{}", text.trim_end())
}

/// A socket that listens at `path`, and which file that is.
fn make(path: &Path) -> io::Result<(OwnedFd, (u64, u64))> {
    let address = SocketAddrUnix::new(path)?;
    let _turn = lock_folder_of(path);
    let fd = match bind_private(&address) {
        Err(Errno::ADDRINUSE) => {
            check_stale(path)?;
            fs::remove_file(path)?;
            bind_private(&address)
        }
        result => result,
    }?;
    listen(&fd, BACKLOG)?;
    Ok((fd, file_id(path)?))
}

/// A socket that nobody but the owner may connect to.
fn bind_private(address: &SocketAddrUnix) -> rustix::io::Result<OwnedFd> {
    let fd = stream(SocketFlags::CLOEXEC)?;
    fchmod(&fd, Mode::RUSR | Mode::WUSR)?;
    bind(&fd, address)?;
    Ok(fd)
}

/// Whether nobody listens there any more.
pub(super) fn check_stale(path: &Path) -> io::Result<()> {
    let refused = |why| Err(io::Error::new(io::ErrorKind::AddrInUse, why));
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return refused("a file that is no socket stands there");
    }
    let client = stream(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    match connect(client, &SocketAddrUnix::new(path)?) {
        Err(Errno::CONNREFUSED) => Ok(()),
        // A queue that is full is somebody's.
        Ok(()) | Err(Errno::AGAIN) => refused("somebody answers there"),
        Err(error) => Err(error.into()),
    }
}

fn stream(flags: SocketFlags) -> rustix::io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// Holds others off from binding in the same directory, as long as it is kept. If somebody does not
/// give it back we go on without: it guards against two launchers at the same moment only.
fn lock_folder_of(path: &Path) -> Option<fs::File> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = fs::File::open(folder.unwrap_or(Path::new("."))).ok()?;
    for _ in 0..LOCK_TRIES {
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(folder),
            Err(_) => crate::sleep(LOCK_PAUSE),
        }
    }
    None
}

fn file_id(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests;
