//! Calls on a descriptor that must neither block the OS thread nor change a flag.
//!
//! `RWF_NOWAIT` asks for that per call. Pipes, sockets and most file systems know it; terminals and
//! named pipes do not, nor do pipes before Linux 6.4. On a regular file it reads what is in memory
//! already.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsFd;

use rustix::event::epoll;
use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev2};

/// For the kernel: at the file's own position, and move that.
const HERE: u64 = u64::MAX;

/// What became of a call that was not to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attempt {
    /// It took place, with so many bytes.
    Done(usize),
    /// It would have had to wait.
    NotYet,
    /// This descriptor cannot be asked like that.
    Unsupported,
}

/// Reads at `offset`, or at the file's own position.
pub(crate) fn read_now(
    fd: impl AsFd,
    bufs: &mut [IoSliceMut<'_>],
    offset: Option<u64>,
) -> io::Result<Attempt> {
    loop {
        let offset = offset.unwrap_or(HERE);
        match preadv2(&fd, bufs, offset, ReadWriteFlags::NOWAIT) {
            Err(Errno::INTR) => {}
            result => return outcome(result),
        }
    }
}

/// Writes at the file's own position.
pub(crate) fn write_now(fd: impl AsFd, bufs: &[IoSlice<'_>]) -> io::Result<Attempt> {
    loop {
        match pwritev2(&fd, bufs, HERE, ReadWriteFlags::NOWAIT) {
            Err(Errno::INTR) => {}
            result => return outcome(result),
        }
    }
}

fn outcome(result: rustix::io::Result<usize>) -> io::Result<Attempt> {
    match result {
        Ok(count) => Ok(Attempt::Done(count)),
        Err(Errno::AGAIN) => Ok(Attempt::NotYet),
        // EINVAL may be meant for the call itself; then the plain call says so once more.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(Attempt::Unsupported),
        Err(error) => Err(error.into()),
    }
}

/// Whether epoll tells when a descriptor is ready. Of files it does not, nor of devices such as
/// `/dev/null`.
pub(crate) fn can_wait(fd: impl AsFd) -> bool {
    let Ok(stat) = fstat(&fd) else { return false };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo | FileType::Socket => true,
        FileType::RegularFile | FileType::Directory | FileType::BlockDevice => false,
        _ => epoll_takes(fd),
    }
}

fn epoll_takes(fd: impl AsFd) -> bool {
    epoll::create(epoll::CreateFlags::CLOEXEC).is_ok_and(|epoll| {
        let nothing = epoll::EventData::new_u64(0);
        epoll::add(&epoll, fd, nothing, epoll::EventFlags::empty()).is_ok()
    })
}
