//! Starting a worker: the same program once more, with the line to the launcher as its standard
//! input.
//!
//! Nothing is set between fork and exec, so std takes the way of `posix_spawn`, which does not copy
//! the launcher's page tables: about a millisecond, however large the launcher is. What a worker
//! must know and have is in the first message on the line, which is sent before it is started.
//!
//! `/proc/self/exe` names the file that this process was started from, even if another has taken
//! its place since, so that all workers are of the launcher's build. Only an upgrade asks for the
//! path.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, waitpid};

use super::board::{self, State};
use super::changes::Changes;
use super::child::Child;
use super::config::Logs;
use super::door;
use super::listen::Sockets;
use super::output::Stream;
use super::records::Records;
use super::systemd;
use super::wire;
use crate::io::PipeReader;

/// Which program a worker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// The launcher's own.
    Same,
    /// What is there now under the path that the launcher was started by.
    New,
}

/// How this program was started.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(super) path: PathBuf,
    arguments: Vec<OsString>,
}

impl Origin {
    /// To be asked before the file can have been replaced.
    pub(crate) fn find() -> io::Result<Origin> {
        let arguments: Vec<OsString> = env::args_os().collect();
        let path = arguments.first().and_then(|name| path_of(Path::new(name)));
        Ok(Origin {
            path: path.map_or_else(env::current_exe, Ok)?,
            arguments,
        })
    }

    /// The program again, with the same arguments; `role` is added to its name.
    pub(crate) fn command(&self, program: Program, role: &str) -> Command {
        let mut command = Command::new(match program {
            Program::Same => Path::new("/proc/self/exe"),
            Program::New => &self.path,
        });
        let mut arguments = self.arguments.iter().cloned();
        let mut name = arguments.next().unwrap_or_default();
        name.push(role);
        command.arg0(name).args(arguments);
        command
    }
}

/// The path by which this program was named, if it leads to this program. Unlike the kernel's word
/// for it, it has the symbolic links in it by which one version takes the place of another.
fn path_of(name: &Path) -> Option<PathBuf> {
    let exe = fs::metadata("/proc/self/exe").ok()?;
    let is_this = |path: &PathBuf| {
        let file = fs::metadata(path);
        file.is_ok_and(|file| (file.dev(), file.ino()) == (exe.dev(), exe.ino()))
    };
    if name.components().count() > 1 {
        return Some(env::current_dir().ok()?.join(name)).filter(is_this);
    }
    let folders = env::var_os("PATH")?;
    let mut paths = env::split_paths(&folders).map(|folder| folder.join(name));
    paths.find(is_this)
}

/// Starts a worker of that slot.
pub(super) fn spawn(
    origin: &Origin,
    program: Program,
    id: usize,
    logs: Logs,
    sockets: &Sockets,
    records: &Rc<Records>,
    changes: &Changes,
) -> io::Result<Rc<Child>> {
    let record = records.any()?;
    record.started.store(board::now(), Relaxed);
    record.set_state(State::Starting);
    let (link, theirs) = wire::pair()?;
    let hello = door::to_worker()
        .field("id", id)
        .field("record", record.index)
        .field("rehearses", u8::from(program == Program::New))
        .field("sockets", sockets.kinds());
    sockets.with_slot(id, |listeners| {
        let mut fds = vec![records.board.fd()];
        fds.extend_from_slice(listeners);
        link.send(hello.text(), &fds)
    })?;

    let mut command = origin.command(program, &format!(": w{id}"));
    for name in systemd::VARIABLES {
        command.env_remove(name);
    }
    let mut outputs = Vec::new();
    if logs == Logs::Prefixed {
        command.stdout(output(Stream::Stdout, &mut outputs)?);
        command.stderr(output(Stream::Stderr, &mut outputs)?);
    }
    let child = command.stdin(theirs).spawn()?;
    // `command` has the other ends of the pipes, which must not stay open here.
    drop(command);
    let pid = Pid::from_child(&child);
    record.pid.store(child.id(), Relaxed);
    let process = pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from);
    let adopted = process.and_then(|process| {
        Child::adopt(id, (pid, process), record, link, outputs, changes.clone())
    });
    adopted.inspect_err(|_| {
        // Nobody would watch it. It is not waited for long: it dies of this.
        let _ = kill_process(pid, Signal::KILL);
        let _ = waitpid(Some(pid), WaitOptions::empty());
    })
}

fn output(stream: Stream, outputs: &mut Vec<(Stream, Rc<PipeReader>)>) -> io::Result<Stdio> {
    let (reader, writer) = io::pipe()?;
    outputs.push((stream, Rc::new(PipeReader::from(reader))));
    Ok(Stdio::from(OwnedFd::from(writer)))
}
