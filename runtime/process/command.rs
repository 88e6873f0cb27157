//! What to run, and how.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::{self, CommandArgs, CommandEnvs, ExitStatus, Output, Stdio};

use super::Child;
use super::reaper;
use crate::scheduler;

/// A program to run, with its arguments, environment and standard streams; as
/// [`std::process::Command`].
///
/// ```
/// use sedge::process::{Command, Stdio};
/// use std::io::{Read, Write};
///
/// sedge::run(|| {
///     let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
///     let mut stdin = cat.stdin.take().unwrap();
///     sedge::spawn(move || stdin.write_all(b"what goes in").unwrap());
///     assert_eq!(cat.wait_with_output()?.stdout, b"what goes in");
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub struct Command {
    inner: process::Command,
    /// Which of the standard streams were chosen here: for the others the default depends on how
    /// the child is started.
    chosen: Chosen,
    kill_on_drop: bool,
}

#[derive(Clone, Copy, Default)]
struct Chosen {
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

impl Command {
    /// Runs `program`, which is looked for in `PATH` unless it has a slash in it.
    pub fn new<S: AsRef<OsStr>>(program: S) -> Command {
        process::Command::new(program).into()
    }

    /// One more argument.
    pub fn arg<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command {
        self.inner.arg(arg);
        self
    }

    /// More arguments.
    pub fn args<I, S>(&mut self, args: I) -> &mut Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.inner.args(args);
        self
    }

    /// Sets a variable of the child's environment, which is otherwise this process's.
    pub fn env<K, V>(&mut self, key: K, val: V) -> &mut Command
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.inner.env(key, val);
        self
    }

    /// Sets several.
    pub fn envs<I, K, V>(&mut self, vars: I) -> &mut Command
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.inner.envs(vars);
        self
    }

    /// Leaves one out.
    pub fn env_remove<K: AsRef<OsStr>>(&mut self, key: K) -> &mut Command {
        self.inner.env_remove(key);
        self
    }

    /// Leaves all out.
    pub fn env_clear(&mut self) -> &mut Command {
        self.inner.env_clear();
        self
    }

    /// Where the child begins.
    pub fn current_dir<P: AsRef<Path>>(&mut self, dir: P) -> &mut Command {
        self.inner.current_dir(dir);
        self
    }

    /// The child's standard input. By default this process's, and nothing for
    /// [`output`](Command::output).
    pub fn stdin<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.inner.stdin(cfg);
        self.chosen.stdin = true;
        self
    }

    /// The child's standard output. By default this process's, and a pipe for
    /// [`output`](Command::output).
    pub fn stdout<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.inner.stdout(cfg);
        self.chosen.stdout = true;
        self
    }

    /// The child's standard error. By default this process's, and a pipe for
    /// [`output`](Command::output).
    pub fn stderr<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.inner.stderr(cfg);
        self.chosen.stderr = true;
        self
    }

    /// Whether a [`Child`] that is dropped before it has ended is killed; at first it is not. Then
    /// a [`timeout`](crate::timeout) around [`status`](Command::status) or
    /// [`output`](Command::output), or a cancellation, ends the child too.
    ///
    /// std has no twin; the name is tokio's.
    ///
    /// ```
    /// use sedge::process::Command;
    /// use std::time::Duration;
    ///
    /// sedge::run(|| {
    ///     let mut sleep = Command::new("sleep");
    ///     sleep.arg("3600").kill_on_drop(true);
    ///     assert!(sedge::timeout(Duration::from_millis(5), || sleep.status()).is_err());
    /// });
    /// ```
    pub fn kill_on_drop(&mut self, kill_on_drop: bool) -> &mut Command {
        self.kill_on_drop = kill_on_drop;
        self
    }

    /// Starts the child. [The module](super#what-blocks) says what that costs.
    ///
    /// # Errors
    ///
    /// As std's: if there is no such program, or it may not be run; if there are no descriptors or
    /// processes left.
    pub fn spawn(&mut self) -> io::Result<Child> {
        super::spend_budget();
        reaper::sweep();
        Ok(Child::new(self.inner.spawn()?, self.kill_on_drop))
    }

    /// Starts the child and waits for its end.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Command::spawn) and [`Child::wait`].
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    #[track_caller]
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        must_be_inside();
        self.spawn()?.wait()
    }

    /// Starts the child, waits for its end, and returns what it has printed.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Command::spawn) and [`Child::wait_with_output`].
    ///
    /// # Panics
    ///
    /// Outside [`run`](crate::run).
    #[track_caller]
    pub fn output(&mut self) -> io::Result<Output> {
        must_be_inside();
        self.set_defaults(Stdio::null, Stdio::piped);
        let child = self.spawn();
        self.set_defaults(Stdio::inherit, Stdio::inherit);
        child?.wait_with_output()
    }

    /// Sets what was not chosen.
    fn set_defaults(&mut self, stdin: fn() -> Stdio, output: fn() -> Stdio) {
        if !self.chosen.stdin {
            self.inner.stdin(stdin());
        }
        if !self.chosen.stdout {
            self.inner.stdout(output());
        }
        if !self.chosen.stderr {
            self.inner.stderr(output());
        }
    }

    /// The program.
    #[must_use]
    pub fn get_program(&self) -> &OsStr {
        self.inner.get_program()
    }

    /// The arguments.
    pub fn get_args(&self) -> CommandArgs<'_> {
        self.inner.get_args()
    }

    /// The variables that were set, or left out.
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        self.inner.get_envs()
    }

    /// Where the child is to begin, if that was set.
    #[must_use]
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.inner.get_current_dir()
    }

    /// std's command, for what only that has, such as `pre_exec`. What is set on it counts, but
    /// [`output`](Command::output) does not see which standard streams were chosen there, and takes
    /// its own.
    pub fn as_std_mut(&mut self) -> &mut process::Command {
        &mut self.inner
    }
}

/// As with [`Command::as_std_mut`], choose its standard streams afterwards.
impl From<process::Command> for Command {
    fn from(inner: process::Command) -> Command {
        Command {
            inner,
            chosen: Chosen::default(),
            kill_on_drop: false,
        }
    }
}

/// As std's.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// Panics outside of `run`, before there is a child that nobody could wait for.
#[track_caller]
fn must_be_inside() {
    scheduler::with(|_| ());
}
