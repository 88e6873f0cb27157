//! The names that C programs call which are compiled with `_FORTIFY_SOURCE`, as those of
//! distributions are: the same functions, told how large the buffer is.
//!
//! A call that would write beyond its buffer is left to libc, which ends the process.

use std::ffi::{c_int, c_void};

use libc::{nfds_t, pollfd, sigset_t, size_t, sockaddr, socklen_t, ssize_t, timespec};

use super::real::libc;
use super::{readiness, sockets, streams};

macro_rules! checked {
    ($(
        $checked:ident is $module:ident::$plain:ident
        ($($argument:ident: $type:ty),*) -> $result:ty, if $fits:expr, in $room:ident;
    )*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $checked($($argument: $type,)* $room: size_t) -> $result {
            if $fits {
                // SAFETY: the caller's arguments, of the same function without the check.
                unsafe { $module::$plain($($argument),*) }
            } else {
                libc!($checked($($argument,)* $room))
            }
        }
    )*};
}

fn fit(count: nfds_t, room: size_t) -> bool {
    usize::try_from(count).is_ok_and(|count| count <= room / size_of::<pollfd>())
}

checked! {
    __read_chk is streams::read(fd: c_int, buf: *mut c_void, len: size_t) -> ssize_t,
        if len <= room, in room;
    __poll_chk is readiness::poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int,
        if fit(count, room), in room;
    __ppoll_chk is readiness::ppoll(fds: *mut pollfd, count: nfds_t, timeout: *const timespec,
        mask: *const sigset_t) -> c_int,
        if fit(count, room), in room;
}

// Of these the room does not stand last.

#[unsafe(no_mangle)]
unsafe extern "C" fn __recv_chk(
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    room: size_t,
    flags: c_int,
) -> ssize_t {
    if len > room {
        return libc!(__recv_chk(fd, buf, len, room, flags));
    }
    // SAFETY: the caller's arguments, of the same function without the check.
    unsafe { sockets::recv(fd, buf, len, flags) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __recvfrom_chk(
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    room: size_t,
    flags: c_int,
    address: *mut sockaddr,
    address_len: *mut socklen_t,
) -> ssize_t {
    if len > room {
        return libc!(__recvfrom_chk(
            fd,
            buf,
            len,
            room,
            flags,
            address,
            address_len
        ));
    }
    // SAFETY: the caller's arguments, of the same function without the check.
    unsafe { sockets::recvfrom(fd, buf, len, flags, address, address_len) }
}
