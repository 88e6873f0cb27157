//! Standard input and output, pipes, and waiting for descriptors of others; std's words for the
//! rest.
//!
//! Everything of [`std::io`] is here under its name, so that `use std::io` becomes `use sedge::io`.
//! What would stop the OS thread is sedge's own: [`stdin`], [`stdout`], [`stderr`] and [`pipe`]
//! block the green thread and nobody else. [`Source`] waits for descriptors that sedge has no type
//! for.
//!
//! ```
//! use sedge::io::{self, Read, Write};
//!
//! sedge::run(|| {
//!     let (mut reader, mut writer) = io::pipe()?;
//!     sedge::spawn(move || writer.write_all(b"through the pipe"));
//!     let mut text = String::new();
//!     reader.read_to_string(&mut text)?;
//!     sedge::println!("{text}");
//!     assert_eq!(text, "through the pipe");
//!     io::Result::Ok(())
//! })
//! .unwrap();
//! ```
//!
//! # Nobody else's flags
//!
//! The mode that makes calls fail instead of wait (`O_NONBLOCK`) belongs to the open file, which
//! descriptors 0, 1 and 2 share with the shell and with other programs. So it is never changed
//! here, nor is any other flag. What can wait (a terminal, a pipe, a socket) is waited for with
//! epoll, and then called in a way that does not block (`RWF_NOWAIT`). Where the kernel has no such
//! way (a terminal, a named pipe), and for what cannot be waited for (a file), the call is made on
//! the OS threads of [`blocking`](crate::blocking()).
//!
//! # Lines stay whole
//!
//! [`stdout`] and [`stderr`] have one lock each, which is held across a wait: another green thread,
//! or another OS thread, that wants to print parks until it is free. A line that was handed over
//! comes out whole, even if its green thread is cancelled half-way: the rest comes with what is
//! printed next, or at the end of the process.
//!
//! # What differs from std
//!
//! * [`IsTerminal`] cannot be implemented outside std; its method is there all the same.
//! * `print!` and `println!` of std write to std's own buffer and stop the OS thread when the
//!   reader is slow. [`sedge::print!`](crate::print!) and its brothers do not. Mixed, whole lines
//!   come in the order in which they were printed; the parts of an unfinished one may not.
//! * libtest does not capture what is printed here.
//! * Outside [`run`](crate::run), and while a green thread unwinds, the standard streams block the
//!   OS thread, as std's do. Pipes do so outside `run`; while unwinding they refuse to wait, as
//!   sockets do.

#[expect(unsafe_code, reason = "registers what libc is to call at the end")]
mod at_exit;
mod attempt;
mod limit;
mod lock;
mod offload;
mod output;
mod pipe;
pub(crate) mod source;
mod stdin;
mod stdout;

pub use std::io::*;

pub(crate) use self::attempt::{Attempt, can_wait, read_now, write_now};
pub(crate) use self::offload::{may_wait, offload};
pub use self::pipe::{PipeReader, PipeWriter, pipe};
pub use self::source::Source;
pub use self::stdin::{Stdin, StdinLock, stdin};
#[doc(hidden)]
pub use self::stdout::{_eprint, _print};
pub use self::stdout::{Stderr, StderrLock, Stdout, StdoutLock, stderr, stdout};
