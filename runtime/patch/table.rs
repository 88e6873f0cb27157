//! What is known of descriptors, for the whole process.
//!
//! A number alone does not say which open file is meant: it may have been closed, on another OS
//! thread too, and given to the next. So each number has a *generation* that changes whenever it is
//! closed or given out, and whatever is remembered of a descriptor is remembered with that.
//!
//! Modes and time limits are not kept here. The kernel keeps them with the open file, which several
//! descriptors and processes share, and can be asked in 100 ns by the few calls that must wait; a
//! copy would not see what was changed by a system call that is not made through libc.

use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use rustix::fs::{FileType, fstat};

use super::raw::Raw;

/// Numbers from this one on are not patched.
const MOST: usize = CHUNKS * CHUNK;
const CHUNKS: usize = 1024;
const CHUNK: usize = 4096;

/// The lowest bits of an entry say what kind of file it is; the rest is the generation.
const KIND_BITS: u32 = 8;

type Chunk = [AtomicU64; CHUNK];

/// Chunks are made by whoever first wants to remember something; closing makes none, so that it
/// allocates nothing in a forked child.
static TABLE: [AtomicPtr<Chunk>; CHUNKS] = [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS];

/// What sort of waiting a descriptor knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Socket,
    /// A pipe, a terminal, an event counter: epoll tells when it is ready.
    Stream,
    /// A file, a folder, `/dev/null`: there is nothing to wait for.
    File,
}

impl Kind {
    fn to_bits(self) -> u64 {
        self as u64 + 1
    }

    fn from_bits(entry: u64) -> Option<Kind> {
        match entry & ((1 << KIND_BITS) - 1) {
            1 => Some(Kind::Socket),
            2 => Some(Kind::Stream),
            3 => Some(Kind::File),
            _ => None,
        }
    }
}

/// Which of the files that had the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation(u64);

/// The entry of a descriptor, if anything was ever remembered near it.
#[inline]
fn entry(fd: RawFd) -> Option<&'static AtomicU64> {
    let fd = usize::try_from(fd).ok().filter(|fd| *fd < MOST)?;
    let chunk = TABLE[fd / CHUNK].load(Ordering::Acquire);
    // SAFETY: null, or a chunk that was leaked when it was put in.
    unsafe { chunk.as_ref() }.map(|chunk| &chunk[fd % CHUNK])
}

/// As [`entry`], and makes one; `None` if the number is too high.
#[cold]
fn make_entry(fd: RawFd) -> Option<&'static AtomicU64> {
    let place = &TABLE[usize::try_from(fd).ok().filter(|fd| *fd < MOST)? / CHUNK];
    let chunk: Box<Chunk> = Box::new([const { AtomicU64::new(0) }; CHUNK]);
    let chunk = Box::into_raw(chunk);
    let put = place.compare_exchange(ptr::null_mut(), chunk, Ordering::AcqRel, Ordering::Acquire);
    if put.is_err() {
        // SAFETY: it was made from a `Box` above, and somebody else has put another in its place.
        drop(unsafe { Box::from_raw(chunk) });
    }
    entry(fd)
}

/// Which file has the number now; `None` if the number is too high.
pub(super) fn generation(fd: RawFd) -> Option<Generation> {
    let entry = entry(fd).or_else(|| make_entry(fd))?;
    Some(Generation(entry.load(Ordering::Acquire) >> KIND_BITS))
}

/// The number is about to be closed, or was given out.
#[inline]
pub(super) fn renew(fd: RawFd) {
    if let Some(entry) = entry(fd) {
        let next = |entry: u64| Some(((entry >> KIND_BITS) + 1) << KIND_BITS);
        let _ = entry.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
    }
}

/// What kind of file it is; `File` if that cannot be found out.
#[inline]
pub(super) fn kind(fd: RawFd) -> Kind {
    match entry(fd).and_then(|entry| Kind::from_bits(entry.load(Ordering::Acquire))) {
        Some(kind) => kind,
        None => find_kind(fd),
    }
}

/// epoll does not take it, whatever it seemed to be.
pub(super) fn set_file(fd: RawFd) {
    if let Some(entry) = entry(fd) {
        remember(entry, entry.load(Ordering::Acquire), Kind::File);
    }
}

#[cold]
fn find_kind(fd: RawFd) -> Kind {
    let Some(entry) = entry(fd).or_else(|| make_entry(fd)) else {
        return Kind::File;
    };
    let before = entry.load(Ordering::Acquire);
    let Ok(stat) = fstat(Raw(fd)) else {
        return Kind::File;
    };
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Socket => Kind::Socket,
        FileType::RegularFile | FileType::Directory | FileType::BlockDevice => Kind::File,
        _ => Kind::Stream,
    };
    remember(entry, before, kind);
    kind
}

/// Not if the number was closed meanwhile.
fn remember(entry: &AtomicU64, before: u64, kind: Kind) {
    let after = (before >> KIND_BITS) << KIND_BITS | kind.to_bits();
    let _ = entry.compare_exchange(before, after, Ordering::AcqRel, Ordering::Relaxed);
}
