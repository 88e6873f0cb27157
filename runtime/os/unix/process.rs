//! What processes have on Unix, in the words of [`std::os::unix::process`].
//!
//! [`ExitStatusExt`] and [`parent_id`] are std's own.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt as _;

pub use std::os::unix::process::{ExitStatusExt, parent_id};

use crate::process::Command;

/// What only Unix knows of a [`Command`]; as [`std::os::unix::process::CommandExt`], without the
/// unsafe `pre_exec`, for which there is [`Command::as_std_mut`].
///
/// ```
/// use sedge::os::unix::process::CommandExt;
/// use sedge::process::Command;
///
/// sedge::run(|| {
///     let output = Command::new("sh").arg0("another-name").args(["-c", "echo $0"]).output()?;
///     assert_eq!(output.stdout, b"another-name\n");
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub trait CommandExt: sealed::Sealed {
    /// The user the child is to be. It makes `spawn` [slower](crate::process#what-blocks).
    fn uid(&mut self, id: u32) -> &mut Command;

    /// The group the child is to be in. It makes `spawn` [slower](crate::process#what-blocks).
    fn gid(&mut self, id: u32) -> &mut Command;

    /// What the child finds as its own name, in the place of the program's.
    fn arg0<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command;

    /// The process group the child is to be in; 0 for a new one, which a Ctrl-C at the terminal
    /// does not reach.
    fn process_group(&mut self, pgroup: i32) -> &mut Command;

    /// Makes this process run the program, in the place of everything that runs now: all green
    /// threads end without unwinding. It returns only if that fails. As with std's, its working
    /// directory and its standard streams may have changed then, and a `SIGPIPE` has its default
    /// action: a write to a connection that the other side has closed ends the process.
    fn exec(&mut self) -> io::Error;
}

impl CommandExt for Command {
    fn uid(&mut self, id: u32) -> &mut Command {
        self.as_std_mut().uid(id);
        self
    }

    fn gid(&mut self, id: u32) -> &mut Command {
        self.as_std_mut().gid(id);
        self
    }

    fn arg0<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command {
        self.as_std_mut().arg0(arg);
        self
    }

    fn process_group(&mut self, pgroup: i32) -> &mut Command {
        self.as_std_mut().process_group(pgroup);
        self
    }

    fn exec(&mut self) -> io::Error {
        self.as_std_mut().exec()
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "nobody else may implement the extension")]
    pub trait Sealed {}

    impl Sealed for super::Command {}
}
