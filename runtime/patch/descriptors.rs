//! What makes and closes descriptors: calls that do not wait, and are watched so that nothing is
//! taken for a file that had the number before.
//!
//! Not all are seen: libc closes the descriptor of a `FILE` by itself, and others make system calls
//! without libc. So a number is looked after at both ends of its life; to go wrong, both must be
//! unseen.

use std::ffi::c_int;
use std::os::fd::RawFd;

use super::gate;
use super::real::libc;
use super::wait::renew;

/// The number was given out.
#[inline]
pub(super) fn opened(fd: RawFd) {
    if gate::active() != 0 && fd >= 0 {
        renew(fd);
    }
}

/// # Safety
///
/// A successful call has put two descriptors there.
unsafe fn opened_pair(pair: *const c_int) {
    // SAFETY: the caller answers for it.
    let pair = unsafe { pair.cast::<[c_int; 2]>().read() };
    pair.into_iter().for_each(opened);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn close(fd: c_int) -> c_int {
    if gate::active() != 0 && fd >= 0 {
        // Before it is: after it, the number may be somebody else's.
        renew(fd);
    }
    libc!(close(fd))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    let fd = libc!(socket(domain, kind, protocol));
    opened(fd);
    fd
}

#[unsafe(no_mangle)]
unsafe extern "C" fn socketpair(
    domain: c_int,
    kind: c_int,
    protocol: c_int,
    pair: *mut c_int,
) -> c_int {
    let result = libc!(socketpair(domain, kind, protocol, pair));
    if result == 0 {
        // SAFETY: it has succeeded.
        unsafe { opened_pair(pair) };
    }
    result
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pipe(pair: *mut c_int) -> c_int {
    let result = libc!(pipe(pair));
    if result == 0 {
        // SAFETY: it has succeeded.
        unsafe { opened_pair(pair) };
    }
    result
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pipe2(pair: *mut c_int, flags: c_int) -> c_int {
    let result = libc!(pipe2(pair, flags));
    if result == 0 {
        // SAFETY: it has succeeded.
        unsafe { opened_pair(pair) };
    }
    result
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dup(fd: c_int) -> c_int {
    let new = libc!(dup(fd));
    opened(new);
    new
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dup2(old: c_int, new: c_int) -> c_int {
    if old != new {
        // What had the number is closed.
        opened(new);
    }
    libc!(dup2(old, new))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dup3(old: c_int, new: c_int, flags: c_int) -> c_int {
    opened(new);
    libc!(dup3(old, new, flags))
}

// In C it takes one argument or none behind the command. On x86-64 and AArch64 an integer or a
// pointer comes in the register where it would be without the dots, and without one there is
// something in that register that the kernel does not look at.
#[unsafe(no_mangle)]
unsafe extern "C" fn fcntl(fd: c_int, command: c_int, argument: usize) -> c_int {
    duplicated(command, libc!(fcntl(fd, command, argument)))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fcntl64(fd: c_int, command: c_int, argument: usize) -> c_int {
    duplicated(command, libc!(fcntl64(fd, command, argument)))
}

#[inline(always)]
fn duplicated(command: c_int, result: c_int) -> c_int {
    if command == libc::F_DUPFD || command == libc::F_DUPFD_CLOEXEC {
        opened(result);
    }
    result
}
