//! How a call on a file is made: in place if it does not block, else on the pool.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::{AtFlags, OFlags, StatxFlags, fcntl_getfl, statx, tell};

use super::{File, Shared};
use crate::io::{Attempt, Source, can_wait, offload, read_now, write_now};
use crate::thread;

/// Bytes that one call reads or writes on the pool: the user's buffer must not be lent to an OS
/// thread that may outlive the caller, so they are copied.
pub(super) const MOST_PER_CALL: usize = 256 << 10;

/// A call on the pool that uses the position.
struct AtPosition(Arc<Shared>);

impl AtPosition {
    fn new(shared: &Arc<Shared>) -> AtPosition {
        shared.at_position.fetch_add(1, Ordering::Relaxed);
        AtPosition(Arc::clone(shared))
    }
}

impl Drop for AtPosition {
    fn drop(&mut self) {
        self.0.at_position.fetch_sub(1, Ordering::Relaxed);
    }
}

impl File {
    /// A call that does not use the position.
    #[track_caller]
    pub(super) fn offload<T: Send + 'static>(
        &self,
        call: impl FnOnce(&std::fs::File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let shared = Arc::clone(&self.0);
        offload(move || call(&shared.io))
    }

    /// A call that uses the position if it has no offset of its own.
    #[track_caller]
    pub(super) fn offload_at<T: Send + 'static>(
        &self,
        offset: Option<u64>,
        call: impl FnOnce(&std::fs::File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        if offset.is_some() {
            return self.offload(call);
        }
        let shared = AtPosition::new(&self.0);
        offload(move || call(&shared.0.io))
    }

    /// Whether a call in place may use the position.
    pub(super) fn position_is_free(&self) -> bool {
        self.0.at_position.load(Ordering::Relaxed) == 0
    }

    /// Reads at `offset`, or at the position.
    pub(super) fn read_with(
        &self,
        bufs: &mut [IoSliceMut<'_>],
        offset: Option<u64>,
    ) -> io::Result<usize> {
        thread::spend_budget();
        let room: usize = bufs.iter().map(|buf| buf.len()).sum();
        loop {
            let attempt = if offset.is_some() || self.position_is_free() {
                read_now(self, bufs, offset)?
            } else {
                Attempt::Unsupported
            };
            match attempt {
                Attempt::Done(0) if room > 0 && !self.is_end(offset) => {}
                Attempt::Done(count) => return Ok(count),
                Attempt::NotYet | Attempt::Unsupported if !can_wait(self) => {}
                _ if self.is_nonblocking() => return read_plain(&self.0.io, bufs, offset),
                Attempt::NotYet => {
                    Source::new(self.as_fd()).wait_readable()?;
                    continue;
                }
                Attempt::Unsupported => {
                    Source::new(self.as_fd()).wait_readable()?;
                    // It was ready a moment ago. Not on the pool, where bytes would be lost if this
                    // green thread were unwound.
                    return read_plain(&self.0.io, bufs, offset);
                }
            }
            let bytes = self.offload_at(offset, move |io| {
                let mut bytes = vec![0; room.min(MOST_PER_CALL)];
                let count = read_plain(io, &mut [IoSliceMut::new(&mut bytes)], offset)?;
                bytes.truncate(count);
                Ok(bytes)
            })?;
            return Ok(scatter(&bytes, bufs));
        }
    }

    /// Writes at `offset`, or at the position.
    pub(super) fn write_with(
        &self,
        bufs: &[IoSlice<'_>],
        offset: Option<u64>,
    ) -> io::Result<usize> {
        let mut most = MOST_PER_CALL;
        if offset.is_none() && can_wait(self) {
            thread::spend_budget();
            if self.is_nonblocking() {
                return write_plain(&self.0.io, bufs, offset);
            }
            loop {
                let attempt = write_now(self, bufs)?;
                if let Attempt::Done(count) = attempt {
                    return Ok(count);
                }
                Source::new(self.as_fd()).wait_writable()?;
                if matches!(attempt, Attempt::Unsupported) {
                    // What is ready takes so many bytes without blocking; on the pool all the same,
                    // for another process may be faster.
                    most = libc::PIPE_BUF;
                    break;
                }
            }
        }
        let bytes = gather(bufs, most);
        self.offload_at(offset, move |io| {
            write_plain(io, &[IoSlice::new(&bytes)], offset)
        })
    }

    fn is_nonblocking(&self) -> bool {
        fcntl_getfl(self).is_ok_and(|flags| flags.contains(OFlags::NONBLOCK))
    }

    /// Whether a read in place that brought nothing was at the end. Linux 5.9 and 5.10 may bring
    /// nothing elsewhere, so the size is looked at; the server of a network file system is not
    /// asked for it.
    fn is_end(&self, offset: Option<u64>) -> bool {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let Ok(size) = statx(self, "", flags, StatxFlags::SIZE).map(|stat| stat.stx_size) else {
            return false;
        };
        let position = offset.or_else(|| tell(self).ok());
        // What has no position, as a pipe, has ended.
        position.is_none_or(|position| position >= size)
    }

    /// What there is to read from the position on, as far as is known.
    pub(super) fn left(&self) -> usize {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let size = statx(self, "", flags, StatxFlags::SIZE).map_or(0, |stat| stat.stx_size);
        let position = match self.position_is_free() {
            true => tell(self).unwrap_or(0),
            false => 0,
        };
        usize::try_from(size.saturating_sub(position)).unwrap_or(0)
    }
}

fn read_plain(
    mut io: &std::fs::File,
    bufs: &mut [IoSliceMut<'_>],
    offset: Option<u64>,
) -> io::Result<usize> {
    match offset {
        None => io.read_vectored(bufs),
        Some(offset) => {
            let first = bufs.iter_mut().find(|buf| !buf.is_empty());
            io.read_at(first.map_or(&mut [], |buf| &mut **buf), offset)
        }
    }
}

fn write_plain(
    mut io: &std::fs::File,
    bufs: &[IoSlice<'_>],
    offset: Option<u64>,
) -> io::Result<usize> {
    match offset {
        None => io.write_vectored(bufs),
        Some(offset) => {
            let first = bufs.iter().find(|buf| !buf.is_empty());
            io.write_at(first.map_or(&[], |buf| &**buf), offset)
        }
    }
}

/// Copies `bytes` into the buffers, which have room for them.
fn scatter(mut bytes: &[u8], bufs: &mut [IoSliceMut<'_>]) -> usize {
    let count = bytes.len();
    for buf in bufs {
        let (here, rest) = bytes.split_at(buf.len().min(bytes.len()));
        buf[..here.len()].copy_from_slice(here);
        bytes = rest;
    }
    count
}

/// A copy of the first `most` bytes of the buffers.
fn gather(bufs: &[IoSlice<'_>], most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for buf in bufs {
        let room = most - bytes.len();
        bytes.extend_from_slice(&buf[..buf.len().min(room)]);
    }
    bytes
}
