//! Pipes, in the words of [`std::io::pipe`].

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::process::Stdio;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::attempt::{Attempt, read_now, write_now};
use super::source::{Patience, Source};
use crate::coroutine;
use crate::reactor::Direction;

/// A pipe, as [`std::io::pipe`]: what is written into one end comes out of the other.
///
/// The ends stay in blocking mode, so they can be handed to a child process, or turned into std's,
/// at any time.
///
/// ```
/// use sedge::io::{self, Read, Write};
///
/// sedge::run(|| {
///     let (mut reader, mut writer) = io::pipe()?;
///     sedge::spawn(move || writer.write_all(&[7; 1_000_000]).unwrap());
///     let mut bytes = Vec::new();
///     reader.read_to_end(&mut bytes)?; // until the writer is dropped
///     assert_eq!(bytes.len(), 1_000_000);
///     io::Result::Ok(())
/// })
/// .unwrap();
/// ```
///
/// # Errors
///
/// If there are no descriptors left.
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), writer.into()))
}

/// The end of a pipe that is read; as [`std::io::PipeReader`].
///
/// It stays on its OS thread; turn it into std's to carry it to another.
pub struct PipeReader(Source<io::PipeReader>);

/// The end of a pipe that is written; as [`std::io::PipeWriter`].
///
/// It stays on its OS thread; turn it into std's to carry it to another.
pub struct PipeWriter(Source<io::PipeWriter>);

impl Read for &PipeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(buf)])
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if !coroutine::is_running() {
            return self.0.get_ref().read_vectored(bufs);
        }
        self.0.call(
            Direction::Read,
            Patience::UpTo(None),
            |mut pipe| match read_now(pipe, bufs, None)? {
                Attempt::Done(count) => Ok(count),
                Attempt::Unsupported if is_ready(pipe, PollFlags::IN)? => pipe.read_vectored(bufs),
                Attempt::NotYet | Attempt::Unsupported => Err(io::ErrorKind::WouldBlock.into()),
            },
        )
    }
}

impl Write for &PipeWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if !coroutine::is_running() {
            return self.0.get_ref().write_vectored(bufs);
        }
        self.0
            .call(Direction::Write, Patience::UpTo(None), |mut pipe| {
                match write_now(pipe, bufs)? {
                    Attempt::Done(count) => Ok(count),
                    Attempt::Unsupported if is_ready(pipe, PollFlags::OUT)? => {
                        // A pipe that is ready takes so many bytes without blocking, not more.
                        let first = bufs.iter().find(|buf| !buf.is_empty());
                        let first = first.map_or(&[][..], |buf| &**buf);
                        pipe.write(&first[..first.len().min(libc::PIPE_BUF)])
                    }
                    Attempt::NotYet | Attempt::Unsupported => Err(io::ErrorKind::WouldBlock.into()),
                }
            })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for PipeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

impl Write for PipeWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_ready(pipe: impl AsFd, direction: PollFlags) -> io::Result<bool> {
    let now = Timespec::default();
    let ready = poll(&mut [PollFd::new(&pipe, direction)], Some(&now))?;
    Ok(ready > 0)
}

macro_rules! pipe_end {
    ($end:ident) => {
        impl $end {
            /// Another handle to the same end.
            ///
            /// # Errors
            ///
            /// If there is no descriptor left.
            pub fn try_clone(&self) -> io::Result<$end> {
                self.0.get_ref().try_clone().map($end::from)
            }
        }

        impl From<io::$end> for $end {
            fn from(pipe: io::$end) -> $end {
                $end(Source::new(pipe))
            }
        }

        impl From<$end> for io::$end {
            fn from(pipe: $end) -> io::$end {
                pipe.0.into_inner()
            }
        }

        impl From<OwnedFd> for $end {
            fn from(fd: OwnedFd) -> $end {
                io::$end::from(fd).into()
            }
        }

        impl From<$end> for OwnedFd {
            fn from(pipe: $end) -> OwnedFd {
                pipe.0.into_inner().into()
            }
        }

        impl From<$end> for Stdio {
            fn from(pipe: $end) -> Stdio {
                OwnedFd::from(pipe).into()
            }
        }

        impl IntoRawFd for $end {
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }

        impl AsFd for $end {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl AsRawFd for $end {
            fn as_raw_fd(&self) -> RawFd {
                self.as_fd().as_raw_fd()
            }
        }

        // As std's: no call leaves the cells inside half changed.
        impl UnwindSafe for $end {}
        impl RefUnwindSafe for $end {}

        impl fmt::Debug for $end {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.get_ref().fmt(f)
            }
        }
    };
}

pipe_end!(PipeReader);
pipe_end!(PipeWriter);
