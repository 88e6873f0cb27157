//! Memory that processes share: a record at its head, and then others of one kind.
//!
//! The memory is a memfd, sparse, so room that nobody uses costs nothing. It is sealed: nobody can
//! shorten it, so no access can end in `SIGBUS`, and [`SharedMemory::open`] takes nothing that is
//! not sealed, or is of another length than so many records have.
//!
//! What the records are made of, [`Shared`] says: atomics, for another process may change them at
//! any moment, to anything.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicI64;

use rustix::fs::{
    MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create,
};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// What may stand in memory that another process writes to.
///
/// # Safety
///
/// It is an atomic, or a `repr(C)` struct or an array of such, and nothing else: any bytes are a
/// value of it, and they may change under a shared reference. It needs no `Drop`, and an alignment
/// of at most a page.
pub(crate) unsafe trait Shared {}

// SAFETY: an atomic.
unsafe impl Shared for AtomicI64 {}

const SEALS: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::SEAL);

/// The mapping, and the descriptor to send to others.
pub(crate) struct SharedMemory<H: Shared, T: Shared> {
    fd: OwnedFd,
    start: NonNull<H>,
    count: usize,
    records: PhantomData<(H, T)>,
}

impl<H: Shared, T: Shared> SharedMemory<H, T> {
    /// Zeroes, for a head and `count` records; the name is for `/proc/<pid>/maps`.
    ///
    /// # Errors
    ///
    /// If the process is out of descriptors or memory.
    pub(crate) fn create(name: &str, count: usize) -> io::Result<SharedMemory<H, T>> {
        let fd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        // A count that overflows would be mapped shorter than `records` says.
        let bytes = Self::checked_bytes(count).ok_or(io::ErrorKind::OutOfMemory)?;
        ftruncate(&fd, bytes as u64)?;
        fcntl_add_seals(&fd, SEALS)?;
        Self::map(fd, count)
    }

    /// The memory behind a descriptor that came from somebody else.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidData`] if it is not sealed, or its size is not that of a head and
    /// some records.
    pub(crate) fn open(fd: OwnedFd) -> io::Result<SharedMemory<H, T>> {
        let is_sealed = fcntl_get_seals(&fd).is_ok_and(|seals| seals.contains(SEALS));
        let size = usize::try_from(fstat(&fd)?.st_size).unwrap_or(0);
        let count = size.saturating_sub(size_of::<H>()) / size_of::<T>();
        if !is_sealed || size != Self::bytes(count) {
            let message = "it is no sealed memory of the right size";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Self::map(fd, count)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// What stands before the records.
    pub(crate) fn head(&self) -> &H {
        // SAFETY: mapped and writable as long as `self` lives, and never shorter (sealed). Aligned,
        // for the mapping is to a page. Any bytes are a value, which others may change meanwhile
        // (`Shared`).
        unsafe { self.start.as_ref() }
    }

    pub(crate) fn records(&self) -> &[T] {
        // SAFETY: the records stand behind the head, inside the mapping or, if there are none, at
        // its end.
        let first = unsafe { self.start.add(1) }.cast::<T>();
        // SAFETY: mapped, writable and sealed as in `head`; `checked_bytes` has counted so many,
        // and asserts that the first one is aligned. They may be changed by others (`Shared`).
        unsafe { std::slice::from_raw_parts(first.as_ptr(), self.count) }
    }

    /// How much that is; of a count that is mapped, or was computed from a size.
    fn bytes(count: usize) -> usize {
        Self::checked_bytes(count).expect("a count that fits")
    }

    fn checked_bytes(count: usize) -> Option<usize> {
        const {
            assert!(size_of::<H>().is_multiple_of(align_of::<T>()) && align_of::<H>() <= 4096);
            assert!(size_of::<H>() > 0 && size_of::<T>() > 0);
        }
        count
            .checked_mul(size_of::<T>())?
            .checked_add(size_of::<H>())
    }

    fn map(fd: OwnedFd, count: usize) -> io::Result<SharedMemory<H, T>> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let anywhere = std::ptr::null_mut();
        let len = Self::bytes(count);
        // SAFETY: a fresh mapping, at an address that the kernel chooses, touches nothing.
        let start = unsafe { mmap(anywhere, len, access, MapFlags::SHARED, &fd, 0) }?;
        let start = NonNull::new(start).expect("a mapping is not at address zero");
        Ok(SharedMemory {
            fd,
            start: start.cast(),
            count,
            records: PhantomData,
        })
    }
}

impl<H: Shared, T: Shared> Drop for SharedMemory<H, T> {
    fn drop(&mut self) {
        // SAFETY: mapped with this length by `map`, and what `head` and `records` gave out has
        // ended, for it borrowed `self`.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), Self::bytes(self.count)) };
        debug_assert!(unmapped.is_ok(), "a mapping of our own");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    type Memory = SharedMemory<AtomicI64, AtomicI64>;

    fn again(memory: &Memory) -> OwnedFd {
        memory.fd().try_clone_to_owned().unwrap()
    }

    #[test]
    fn both_see_what_either_writes() {
        let ours = Memory::create("test", 3).unwrap();
        let theirs = Memory::open(again(&ours)).unwrap();
        ours.head().store(7, Relaxed);
        theirs.records()[2].store(8, Relaxed);
        assert_eq!(theirs.head().load(Relaxed), 7);
        assert_eq!(
            (ours.records().len(), ours.records()[2].load(Relaxed)),
            (3, 8)
        );
    }

    #[test]
    fn there_may_be_a_head_alone() {
        let memory = Memory::create("test", 0).unwrap();
        assert!(memory.records().is_empty());
        assert_eq!(Memory::open(again(&memory)).unwrap().records().len(), 0);
    }

    #[test]
    fn what_is_not_sealed_or_of_another_size_is_refused() {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let open = memfd_create("test", flags).unwrap();
        ftruncate(&open, 12).unwrap();
        assert!(Memory::open(open).is_err());
        for size in [0, 7, 13, 17] {
            let odd = memfd_create("test", flags).unwrap();
            ftruncate(&odd, size).unwrap();
            fcntl_add_seals(&odd, SEALS).unwrap();
            assert!(Memory::open(odd).is_err(), "{size}");
        }
        assert!(Memory::open(std::fs::File::open("/dev/null").unwrap().into()).is_err());
    }

    #[test]
    fn more_records_than_there_are_addresses_are_an_error() {
        for count in [usize::MAX / 8 + 1, usize::MAX / 8, usize::MAX / 16 + 1] {
            assert!(Memory::create("test", count).is_err(), "{count}");
        }
    }

    #[test]
    fn nobody_can_shorten_it() {
        let memory = Memory::create("test", 1).unwrap();
        assert!(ftruncate(memory.fd(), 0).is_err());
    }
}
