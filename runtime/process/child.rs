//! A child that runs, and the wait for its end.

use std::fmt;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::process::{self, ExitStatus, Output};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::pipes::{ChildStderr, ChildStdin, ChildStdout};
use super::reaper;
use crate::io::Source;
use crate::io::source::{Patience, must_not_wait};
use crate::reactor::Direction;
use crate::scheduler;
use crate::thread::{self, Builder};

/// A child process; as [`std::process::Child`].
///
/// One that is dropped goes on, unless [`kill_on_drop`](super::Command::kill_on_drop) was set, and
/// [leaves no zombie](super#no-zombies) when it ends.
///
/// It stays on its OS thread; turn it into std's to carry it to another.
pub struct Child {
    /// Where to write what it reads, if that is a pipe.
    pub stdin: Option<ChildStdin>,
    /// Where to read what it prints, if that is a pipe.
    pub stdout: Option<ChildStdout>,
    /// Where to read what it prints as errors, if that is a pipe.
    pub stderr: Option<ChildStderr>,
    // Apart, for what has a destructor cannot be taken to pieces.
    process: Process,
}

impl Child {
    pub(super) fn new(mut child: process::Child, kill_on_drop: bool) -> Child {
        Child {
            stdin: child.stdin.take().map(ChildStdin::from),
            stdout: child.stdout.take().map(ChildStdout::from),
            stderr: child.stderr.take().map(ChildStderr::from),
            process: Process {
                child: Some(child),
                end: None,
                kill_on_drop,
            },
        }
    }

    /// Its process id. Not anybody else's before it was waited for.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.get().id()
    }

    /// Kills it with `SIGKILL`; one that was waited for is not there any more, which is no error.
    /// It must still be waited for, or dropped.
    ///
    /// # Errors
    ///
    /// If this process may not do that.
    pub fn kill(&mut self) -> io::Result<()> {
        self.process.get_mut().kill()
    }

    /// Closes its standard input, waits for its end, and says how it ended; says the same again
    /// whenever it is asked.
    ///
    /// A wait that is cancelled, or runs out of time, has no effect on the child.
    ///
    /// # Errors
    ///
    /// If the process ignores `SIGCHLD`, or somebody else has waited for the child; if there are no
    /// descriptors left, or it must wait while this green thread unwinds;
    /// [`io::ErrorKind::Unsupported`] before Linux 5.3.
    ///
    /// # Panics
    ///
    /// If it must wait outside [`run`](crate::run).
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        let status = self.process.wait(None)?;
        Ok(status.expect("without a limit it waits until the end"))
    }

    /// As [`wait`](Child::wait), for at most `limit`; `None` if the child has not ended by then. It
    /// can be waited for again, but its standard input is closed.
    ///
    /// std has no twin; the name is that of Python's argument, and of the crate `wait-timeout`.
    ///
    /// ```
    /// use sedge::process::Command;
    /// use std::time::Duration;
    ///
    /// sedge::run(|| {
    ///     let mut sleep = Command::new("sleep").arg("3600").spawn()?;
    ///     assert_eq!(sleep.wait_timeout(Duration::from_millis(5))?, None);
    ///     sleep.kill()?;
    ///     assert!(!sleep.wait()?.success());
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// As [`wait`](Child::wait).
    ///
    /// # Panics
    ///
    /// As [`wait`](Child::wait).
    pub fn wait_timeout(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        drop(self.stdin.take());
        self.process.wait(Some(limit))
    }

    /// How it has ended, if it has. It leaves the standard input open, and does not wait; asked
    /// again and again it lets the others run.
    ///
    /// # Errors
    ///
    /// As std's: if somebody else has waited for the child.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        super::spend_budget();
        self.process.try_wait()
    }

    /// Closes its standard input, reads what it prints on both pipes, as far as there are any, and
    /// waits for its end.
    ///
    /// Who also has something to write to it takes [`stdin`](Child::stdin) out before and writes in
    /// another green thread: each of the two may be waiting for the other.
    ///
    /// # Errors
    ///
    /// As [`wait`](Child::wait), and those of reading.
    ///
    /// # Panics
    ///
    /// As [`wait`](Child::wait).
    #[track_caller]
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        match (self.stdout.take(), self.stderr.take()) {
            (None, None) => {}
            (Some(mut pipe), None) => drop(pipe.read_to_end(&mut stdout)?),
            (None, Some(mut pipe)) => drop(pipe.read_to_end(&mut stderr)?),
            (Some(out), Some(err)) => read_both(out, &mut stdout, err, &mut stderr)?,
        }
        let status = self.wait()?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }
}

/// A child that waits for room in one pipe does not go on with the other: each has its reader.
#[track_caller]
fn read_both(
    mut out: ChildStdout,
    stdout: &mut Vec<u8>,
    mut err: ChildStderr,
    stderr: &mut Vec<u8>,
) -> io::Result<()> {
    if scheduler::is_unwinding() {
        // The scope would wait for the reader, although nobody here may.
        return Err(must_not_wait());
    }
    thread::scope(|scope| {
        let builder = Builder::new().name("stderr of a child".to_owned());
        let errors = builder.spawn_scoped(scope, move || err.read_to_end(stderr))?;
        let read = out.read_to_end(stdout);
        // If that failed, the child could wait for room in it for ever.
        drop(out);
        let errors = errors.join().map_err(io::Error::other)?;
        read.and(errors).map(drop)
    })
}

/// A child that std has started. [`Command::kill_on_drop`](super::Command::kill_on_drop) is false.
impl From<process::Child> for Child {
    fn from(child: process::Child) -> Child {
        Child::new(child, false)
    }
}

/// Gives it to std: now it is neither killed nor waited for when it is dropped.
impl From<Child> for process::Child {
    fn from(mut child: Child) -> process::Child {
        let mut std = child.process.take().expect(TAKEN);
        std.stdin = child.stdin.take().map(Into::into);
        std.stdout = child.stdout.take().map(Into::into);
        std.stderr = child.stderr.take().map(Into::into);
        std
    }
}

// As std's: no call leaves the cells inside half changed.
impl UnwindSafe for Child {}
impl RefUnwindSafe for Child {}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("id", &self.id())
            .field("stdin", &self.stdin)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .finish_non_exhaustive()
    }
}

const TAKEN: &str = "who takes the child out does not keep the rest";

/// A child without its pipes.
struct Process {
    /// `None` once it was taken out, at the end.
    child: Option<process::Child>,
    /// Readable when it has ended; there from the first wait on, until that is over.
    end: Option<Source<OwnedFd>>,
    kill_on_drop: bool,
}

impl Process {
    fn get(&self) -> &process::Child {
        self.child.as_ref().expect(TAKEN)
    }

    fn get_mut(&mut self) -> &mut process::Child {
        self.child.as_mut().expect(TAKEN)
    }

    fn take(&mut self) -> Option<process::Child> {
        self.child.take()
    }

    fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.get_mut().try_wait()?;
        if status.is_some() {
            self.end = None;
        }
        Ok(status)
    }

    fn wait(&mut self, limit: Option<Duration>) -> io::Result<Option<ExitStatus>> {
        let known = self.try_wait()?;
        if known.is_some() || limit.is_some_and(|limit| limit.is_zero()) {
            return Ok(known);
        }
        let Process { child, end, .. } = self;
        let child = child.as_mut().expect(TAKEN);
        let source = match end {
            Some(source) => source,
            None => end.insert(Source::new(open(child)?)),
        };
        let ended = source.call(Direction::Read, Patience::UpTo(limit), |_| {
            child.try_wait()?.ok_or(Errno::AGAIN.into())
        });
        match ended {
            Ok(status) => {
                self.end = None;
                Ok(Some(status))
            }
            // Not that of a green thread which must not wait: it has the kind, but not the code.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::AGAIN) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(mut child) = self.take() else { return };
        if self.kill_on_drop {
            // It fails only for one that this process may not kill, which then goes on.
            let _ = child.kill();
        }
        reaper::adopt(child, self.end.take().map(Source::into_inner));
    }
}

/// A descriptor that becomes readable when the child ends. Nobody else can have got its id, for it
/// has not been waited for.
pub(super) fn open(child: &process::Child) -> io::Result<OwnedFd> {
    pidfd_open(Pid::from_child(child), PidfdFlags::empty()).map_err(|error| match error {
        Errno::NOSYS => io::Error::new(
            io::ErrorKind::Unsupported,
            "to wait for a child process, sedge needs pidfd_open, which Linux has since 5.3",
        ),
        error => error.into(),
    })
}
