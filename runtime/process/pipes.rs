//! The ends of the pipes to a child.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::process::{self, Stdio};

use crate::io::{PipeReader, PipeWriter};

/// What a child reads as its standard input; as [`std::process::ChildStdin`]. Dropping it is the
/// end of the input.
pub struct ChildStdin(PipeWriter);

/// What a child prints; as [`std::process::ChildStdout`].
pub struct ChildStdout(PipeReader);

/// What a child prints as errors; as [`std::process::ChildStderr`].
pub struct ChildStderr(PipeReader);

impl Write for ChildStdin {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Write for &ChildStdin {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&self.0).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.0).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&self.0).flush()
    }
}

macro_rules! reads {
    ($end:ident) => {
        impl Read for $end {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.0.read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.0.read_vectored(bufs)
            }
        }
    };
}

macro_rules! child_end {
    ($end:ident, $pipe:ident) => {
        impl From<process::$end> for $end {
            fn from(end: process::$end) -> $end {
                OwnedFd::from(end).into()
            }
        }

        impl From<$end> for process::$end {
            fn from(end: $end) -> process::$end {
                OwnedFd::from(end).into()
            }
        }

        impl From<OwnedFd> for $end {
            fn from(fd: OwnedFd) -> $end {
                $end(fd.into())
            }
        }

        impl From<$end> for OwnedFd {
            fn from(end: $end) -> OwnedFd {
                end.0.into()
            }
        }

        impl From<$end> for $pipe {
            fn from(end: $end) -> $pipe {
                end.0
            }
        }

        impl From<$end> for Stdio {
            fn from(end: $end) -> Stdio {
                end.0.into()
            }
        }

        impl IntoRawFd for $end {
            fn into_raw_fd(self) -> RawFd {
                self.0.into_raw_fd()
            }
        }

        impl AsFd for $end {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl AsRawFd for $end {
            fn as_raw_fd(&self) -> RawFd {
                self.0.as_raw_fd()
            }
        }

        impl fmt::Debug for $end {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($end)).field(&self.0).finish()
            }
        }
    };
}

reads!(ChildStdout);
reads!(ChildStderr);
child_end!(ChildStdin, PipeWriter);
child_end!(ChildStdout, PipeReader);
child_end!(ChildStderr, PipeReader);
