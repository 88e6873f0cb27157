//! Standard output and error, and the macros that print.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::process::Stdio;

use super::at_exit;
use super::output::Output;

static STDOUT: Output = Output::new(rustix::stdio::stdout, true);
static STDERR: Output = Output::new(rustix::stdio::stderr, false);

/// The standard output of the process, as [`std::io::stdout`].
///
/// It keeps a line until its end is written, or until a [`flush`](Write::flush); what is left at
/// the end of the process is written then. The buffer is not std's. A call takes 64 KiB over at
/// most, so that a cancellation may cut off what is longer.
///
/// ```
/// use sedge::io::{self, Write};
///
/// sedge::run(|| {
///     let mut out = io::stdout().lock();
///     out.write_all(b"two words that ")?;
///     sedge::yield_now(); // others who print wait
///     writeln!(out, "stay together")
/// })
/// .unwrap();
/// ```
#[must_use]
pub fn stdout() -> Stdout {
    Stdout(())
}

/// The standard error of the process, as [`std::io::stderr`]. Nothing is kept: each call writes.
///
/// ```
/// use sedge::io::Write;
///
/// sedge::run(|| writeln!(sedge::io::stderr(), "something to look at")).unwrap();
/// ```
#[must_use]
pub fn stderr() -> Stderr {
    Stderr(())
}

/// Writes what is left in the buffer of standard output, if it can be done at once.
pub(super) fn flush_at_exit() {
    STDOUT.flush_at_exit();
}

fn begin(output: &'static Output) -> &'static Output {
    if std::ptr::eq(output, &STDOUT) {
        at_exit::flush_stdout();
    }
    output
}

/// The text of one call to `write!`. It is put together before anything is locked, so that it goes
/// out in one piece, and the user's code in it may wait and print.
fn with_text<R>(
    args: fmt::Arguments<'_>,
    print: impl FnOnce(&str) -> io::Result<R>,
) -> io::Result<R> {
    if let Some(text) = args.as_str() {
        return print(text);
    }
    let mut text = String::new();
    match fmt::write(&mut text, args) {
        Ok(()) => print(&text),
        Err(fmt::Error) => Err(io::Error::other("formatter error")),
    }
}

macro_rules! standard_output {
    ($(#[$doc:meta])* $handle:ident, $guard:ident, $output:ident) => {
        $(#[$doc])*
        pub struct $handle(());

        /// The right to print; dropping it lets the next one. It stays on its OS thread, as std's
        /// does.
        ///
        /// The same green thread may lock again while it holds this.
        #[must_use = "if unused the lock is given up at once"]
        pub struct $guard<'a> {
            output: &'static Output,
            stays: PhantomData<(&'a (), *mut ())>,
        }

        impl $handle {
            /// Waits until nobody else prints.
            pub fn lock(&self) -> $guard<'static> {
                let output = begin(&$output);
                output.lock.lock();
                $guard {
                    output,
                    stays: PhantomData,
                }
            }

            /// Whether it is a terminal. [`IsTerminal`] cannot be implemented outside std.
            pub fn is_terminal(&self) -> bool {
                self.as_fd().is_terminal()
            }
        }

        impl $guard<'_> {
            /// As the method of the handle.
            pub fn is_terminal(&self) -> bool {
                self.as_fd().is_terminal()
            }
        }

        impl Drop for $guard<'_> {
            fn drop(&mut self) {
                self.output.lock.unlock();
            }
        }

        impl Write for $guard<'_> {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.output.write(buf)
            }

            fn flush(&mut self) -> io::Result<()> {
                self.output.flush()
            }

            fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
                with_text(args, |text| self.write_all(text.as_bytes()))
            }
        }

        impl Write for &$handle {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.lock().write(buf)
            }

            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                self.lock().write_all(buf)
            }

            fn flush(&mut self) -> io::Result<()> {
                self.lock().flush()
            }

            fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
                with_text(args, |text| self.lock().write_all(text.as_bytes()))
            }
        }

        impl Write for $handle {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                (&*self).write(buf)
            }

            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                (&*self).write_all(buf)
            }

            fn flush(&mut self) -> io::Result<()> {
                (&*self).flush()
            }

            fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
                (&*self).write_fmt(args)
            }
        }

        impl AsFd for $handle {
            fn as_fd(&self) -> BorrowedFd<'_> {
                $output.fd()
            }
        }

        impl AsFd for $guard<'_> {
            fn as_fd(&self) -> BorrowedFd<'_> {
                $output.fd()
            }
        }

        impl AsRawFd for $handle {
            fn as_raw_fd(&self) -> RawFd {
                $output.fd().as_raw_fd()
            }
        }

        impl AsRawFd for $guard<'_> {
            fn as_raw_fd(&self) -> RawFd {
                $output.fd().as_raw_fd()
            }
        }

        impl fmt::Debug for $handle {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($handle)).finish_non_exhaustive()
            }
        }

        impl fmt::Debug for $guard<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($guard)).finish_non_exhaustive()
            }
        }
    };
}

standard_output! {
    /// A handle to standard output, from [`stdout`]; as [`std::io::Stdout`]. What is written
    /// through it without a [`lock`](Stdout::lock) goes out call by call, each in one piece.
    Stdout, StdoutLock, STDOUT
}
standard_output! {
    /// A handle to standard error, from [`stderr`]; as [`std::io::Stderr`]. What is written
    /// through it without a [`lock`](Stderr::lock) goes out call by call, each in one piece.
    Stderr, StderrLock, STDERR
}

/// The child gets the descriptor; what is in the buffer is not written first.
impl From<Stdout> for Stdio {
    fn from(_: Stdout) -> Stdio {
        io::stdout().into()
    }
}

/// The child gets the descriptor.
impl From<Stderr> for Stdio {
    fn from(_: Stderr) -> Stdio {
        io::stderr().into()
    }
}

/// Prints to [`stdout`](crate::io::stdout), as std's `print!`, and parks if it must wait.
///
/// # Panics
///
/// If it cannot be written.
///
/// ```
/// sedge::run(|| sedge::print!("{} and {}\n", 1, 2));
/// ```
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => { $crate::io::_print(::std::format_args!($($arg)*)) };
}

/// Prints a line to [`stdout`](crate::io::stdout), as std's `println!`, and parks if it must wait.
///
/// # Panics
///
/// If it cannot be written.
///
/// ```
/// use sedge::println;
///
/// sedge::run(|| {
///     let threads: Vec<_> = (0..3).map(|i| sedge::spawn(move || println!("line {i}"))).collect();
///     sedge::wait_all(&threads);
/// });
/// ```
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($arg:tt)*) => {
        $crate::io::_print(::std::format_args!("{}\n", ::std::format_args!($($arg)*)))
    };
}

/// Prints to [`stderr`](crate::io::stderr), as std's `eprint!`, and parks if it must wait.
///
/// # Panics
///
/// If it cannot be written.
#[macro_export]
macro_rules! eprint {
    ($($arg:tt)*) => { $crate::io::_eprint(::std::format_args!($($arg)*)) };
}

/// Prints a line to [`stderr`](crate::io::stderr), as std's `eprintln!`, and parks if it must wait.
///
/// # Panics
///
/// If it cannot be written.
#[macro_export]
macro_rules! eprintln {
    () => { $crate::eprint!("\n") };
    ($($arg:tt)*) => {
        $crate::io::_eprint(::std::format_args!("{}\n", ::std::format_args!($($arg)*)))
    };
}

#[doc(hidden)]
#[track_caller]
pub fn _print(args: fmt::Arguments<'_>) {
    if let Err(error) = stdout().write_fmt(args) {
        panic!("failed printing to stdout: {error}");
    }
}

#[doc(hidden)]
#[track_caller]
pub fn _eprint(args: fmt::Arguments<'_>) {
    if let Err(error) = stderr().write_fmt(args) {
        panic!("failed printing to stderr: {error}");
    }
}
