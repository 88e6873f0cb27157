//! Child processes, in the words of [`std::process`].
//!
//! Who waits for a child, or reads what it prints, parks its green thread and nobody else. Each
//! child is watched through a descriptor (`pidfd`) in the reactor, so thousands run at once without
//! an OS thread for each, and no handler of `SIGCHLD` is needed.
//!
//! ```
//! use sedge::process::Command;
//!
//! sedge::run(|| {
//!     let hello = sedge::spawn(|| Command::new("echo").arg("hello").output());
//!     let sleep = sedge::spawn(|| Command::new("sleep").arg("0.01").status());
//!     assert_eq!(hello.join().unwrap()?.stdout, b"hello\n");
//!     assert!(sleep.join().unwrap()?.success());
//!     std::io::Result::Ok(())
//! })
//! .unwrap();
//! ```
//!
//! # What blocks
//!
//! [`Command::spawn`] itself stops the OS thread for about a millisecond, until the child has begun
//! its program. It is not made elsewhere: a child that asks to be told of its parent's death
//! (`PR_SET_PDEATHSIG`) is told of the end of the *OS thread* that spawned it, which must not be
//! one that comes and goes. std's fast way (`vfork` and `exec`) costs the same however much memory
//! the program has, but a `uid`, a `gid` or a `pre_exec` takes the slow one, which copies the page
//! tables: 40 ms with 1 GiB.
//!
//! # No zombies
//!
//! As with std, a [`Child`] that is dropped is not killed, unless [`Command::kill_on_drop`] says
//! so. But it is waited for: by one OS thread of the process, which exists while there are such
//! children. So nothing is left in the process table whether the program forgot the child, was
//! cancelled while it waited, or has left [`run`](crate::run).
//!
//! # Cancellation
//!
//! A wait that is cut short has no effect: the child can be waited for again, and its status is
//! kept once it is known. [`Command::status`], [`Command::output`] and [`Child::wait_with_output`]
//! own the child, so unwinding drops it, with what they have read.
//!
//! # No `fork`
//!
//! There is none, nor will there be: the child would have a copy of every green thread, each of
//! which would go on there a second time, and would share the parent's epoll, from which it takes
//! events that the parent then never sees. Run the program again with another argument
//! (`Command::new("/proc/self/exe")`): that costs a millisecond and begins clean.
//!
//! # What differs from std
//!
//! * Outside of [`run`](crate::run), what would have to wait for a child panics; the pipes to it
//!   block the OS thread, as [those of `io`](crate::io::pipe) do.
//! * [`Child::wait_timeout`] and [`Command::kill_on_drop`] are new.
//! * [`Command`] has no `pre_exec`, which is unsafe and which few need: what it is called on runs
//!   between `fork` and `exec`, where hardly anything is allowed. [`Command::as_std_mut`] leads to
//!   std's.

mod child;
mod command;
mod pipes;
mod reaper;

use crate::coroutine;
use crate::scheduler;
use crate::thread;

pub use std::process::{
    CommandArgs, CommandEnvs, ExitCode, ExitStatus, Output, Stdio, Termination, abort, exit, id,
};

pub use self::child::Child;
pub use self::command::Command;
pub use self::pipes::{ChildStderr, ChildStdin, ChildStdout};

/// Lets others run now and then, if anybody does.
fn spend_budget() {
    let is_inside = || scheduler::try_with(|_| ()).is_some();
    if coroutine::is_running() && is_inside() {
        thread::spend_budget();
    }
}
