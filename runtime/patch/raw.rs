//! Small things of C: a descriptor that is somebody else's, and errno.

use std::ffi::c_int;
use std::os::fd::{AsFd, BorrowedFd, RawFd};

/// A number that a caller of libc has given. It may be closed or never have been open; then the
/// kernel says so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw(pub(super) RawFd);

impl AsFd for Raw {
    fn as_fd(&self) -> BorrowedFd<'_> {
        debug_assert!(self.0 >= 0);
        // SAFETY: not -1, which every caller has looked at. It is the caller of libc who owes that
        // the descriptor is open and his; what is done with it here he has asked for, and a number
        // that is not open gives an error and nothing worse.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }
}

/// The error of the last call that failed.
#[inline(always)]
pub(super) fn errno() -> c_int {
    // SAFETY: always safe to call; the address belongs to this OS thread.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: it is valid as long as the OS thread runs.
    unsafe { *place }
}

#[inline(always)]
pub(super) fn set_errno(error: c_int) {
    // SAFETY: as above.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: as above, and nobody holds a reference to it.
    unsafe { *place = error };
}
