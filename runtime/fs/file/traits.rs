//! `Read`, `Write`, `Seek` and the conversions.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::process::Stdio;
use std::sync::Arc;

use super::calls::MOST_PER_CALL;
use super::{File, Shared};
use crate::io::may_wait;

impl Read for &File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(buf)])
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if may_wait() {
            self.read_with(bufs, None)
        } else {
            (&self.0.io).read_vectored(bufs)
        }
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        if !may_wait() {
            return (&self.0.io).read_to_end(buf);
        }
        buf.try_reserve(self.left())?;
        let before = buf.len();
        let mut end = Filling { buf, len: before };
        loop {
            match end.read_from(self) {
                Ok(0) => return Ok(end.len - before),
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "stream did not contain valid UTF-8",
            )
        })?;
        buf.push_str(text);
        Ok(bytes.len())
    }
}

/// A vector that is read into behind its first `len` bytes. What is behind them goes away with
/// this, also if a read is unwound.
struct Filling<'a> {
    buf: &'a mut Vec<u8>,
    len: usize,
}

impl Filling<'_> {
    fn read_from(&mut self, mut file: &File) -> io::Result<usize> {
        /// What a vector without room grows by, once it is known that there is more.
        const STEP: usize = 8 << 10;
        let room = (self.buf.capacity() - self.len).min(MOST_PER_CALL);
        let count = if room == 0 {
            // So that a vector that holds all does not grow for the end.
            let mut probe = [0; 32];
            let count = file.read(&mut probe)?;
            self.buf.reserve(if count > 0 { STEP } else { 0 });
            self.buf.extend_from_slice(&probe[..count]);
            count
        } else {
            self.buf.resize(self.len + room, 0);
            let count = file.read(&mut self.buf[self.len..])?;
            self.buf.truncate(self.len + count);
            count
        };
        self.len += count;
        Ok(count)
    }
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        self.buf.truncate(self.len);
    }
}

impl Write for &File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if may_wait() {
            self.write_with(bufs, None)
        } else {
            (&self.0.io).write_vectored(bufs)
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for &File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        // Only the end may have to be asked for.
        let in_place = !matches!(to, SeekFrom::End(_)) && self.position_is_free();
        if in_place || !may_wait() {
            return (&self.0.io).seek(to);
        }
        self.offload_at(None, move |mut io| io.seek(to))
    }
}

impl Read for File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        (&*self).read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        (&*self).read_to_string(buf)
    }
}

impl Write for File {
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

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        (&*self).seek(to)
    }
}

impl FileExt for File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        // Such an offset is an error, and the highest one would mean the position.
        if may_wait() && i64::try_from(offset).is_ok() {
            self.read_with(&mut [IoSliceMut::new(buf)], Some(offset))
        } else {
            self.0.io.read_at(buf, offset)
        }
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        if may_wait() {
            self.write_with(&[IoSlice::new(buf)], Some(offset))
        } else {
            self.0.io.write_at(buf, offset)
        }
    }
}

impl From<std::fs::File> for File {
    fn from(io: std::fs::File) -> File {
        File(Arc::new(Shared {
            io,
            at_position: Arc::default(),
        }))
    }
}

/// If a call of which the green thread was unwound still goes on, it keeps the descriptor, and this
/// is a new one to the same open file.
///
/// # Panics
///
/// If it needs a new descriptor and there is none left.
impl From<File> for std::fs::File {
    fn from(file: File) -> std::fs::File {
        match Arc::try_unwrap(file.0) {
            Ok(shared) => shared.io,
            Err(shared) => shared
                .io
                .try_clone()
                .expect("a call that was cancelled needs the descriptor, and there is no other"),
        }
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        std::fs::File::from(fd).into()
    }
}

impl From<File> for OwnedFd {
    fn from(file: File) -> OwnedFd {
        std::fs::File::from(file).into()
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Stdio {
        std::fs::File::from(file).into()
    }
}

impl IntoRawFd for File {
    fn into_raw_fd(self) -> RawFd {
        std::fs::File::from(self).into_raw_fd()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.io.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.0.io.as_raw_fd()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.io.fmt(f)
    }
}
