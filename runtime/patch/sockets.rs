//! `recv` and `send`, with all their brothers.
//!
//! `MSG_DONTWAIT` makes one call non-blocking, and no mode is touched.

use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;

use libc::{msghdr, size_t, sockaddr, socklen_t, ssize_t};

use super::call::{Target, call};
use super::count::Symbol;
use super::gate::{Family, may_park};
use super::real::libc;
use super::transfer::{Parts, go_on, is_short};
use crate::reactor::Direction;

const DONTWAIT: c_int = libc::MSG_DONTWAIT;
/// Sending that never waits, and that which connects first and must wait for that itself.
const SEND_AT_ONCE: c_int = libc::MSG_DONTWAIT | libc::MSG_FASTOPEN;
/// For the rest of what is sent: who is told of a part gets no signal, but at the next call.
const REST: c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
/// Calls that never wait: to receive an error or an urgent byte, there must be one.
const AT_ONCE: c_int = libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE | libc::MSG_OOB;

#[inline(always)]
fn may_wait(symbol: Symbol, flags: c_int, at_once: c_int) -> bool {
    if !may_park(Family::SOCKETS) {
        return false;
    }
    if flags & at_once != 0 {
        symbol.count_passed();
        return false;
    }
    true
}

/// Whether a call that got less than it has room for goes on. A peek would see the same again.
fn wants_all(flags: c_int) -> bool {
    flags & (libc::MSG_WAITALL | libc::MSG_PEEK) == libc::MSG_WAITALL
}

#[inline(always)]
fn reading(symbol: Symbol, fd: RawFd) -> Target {
    Target {
        symbol,
        fd,
        direction: Direction::Read,
    }
}

#[inline(always)]
fn writing(symbol: Symbol, fd: RawFd) -> Target {
    Target {
        symbol,
        fd,
        direction: Direction::Write,
    }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn recv(
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    if !may_wait(Symbol::Recv, flags, AT_ONCE) {
        return libc!(recv(fd, buf, len, flags));
    }
    receive(Symbol::Recv, fd, buf, len, flags)
}

/// What `recv` does, and `read` of a socket.
#[inline(always)]
pub(super) fn receive(
    symbol: Symbol,
    fd: RawFd,
    buf: *mut c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    let target = reading(symbol, fd);
    let attempt = || libc!(recv(fd, buf, len, flags | DONTWAIT));
    let count = call(target, attempt, || libc!(recv(fd, buf, len, flags)));
    if wants_all(flags) && is_short(count, len) {
        return go_on(target, count, len, &|from| {
            let rest = buf.wrapping_byte_add(from);
            libc!(recv(fd, rest, len - from, flags | DONTWAIT))
        });
    }
    count
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn recvfrom(
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    flags: c_int,
    address: *mut sockaddr,
    address_len: *mut socklen_t,
) -> ssize_t {
    if !may_wait(Symbol::Recvfrom, flags, AT_ONCE) {
        return libc!(recvfrom(fd, buf, len, flags, address, address_len));
    }
    let target = reading(Symbol::Recvfrom, fd);
    let with = |flags| libc!(recvfrom(fd, buf, len, flags, address, address_len));
    let count = call(target, || with(flags | DONTWAIT), || with(flags));
    if wants_all(flags) && is_short(count, len) {
        return go_on(target, count, len, &|from| {
            let rest = buf.wrapping_byte_add(from);
            libc!(recv(fd, rest, len - from, flags | DONTWAIT))
        });
    }
    count
}

#[unsafe(no_mangle)]
unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    if !may_wait(Symbol::Recvmsg, flags, AT_ONCE) {
        return libc!(recvmsg(fd, message, flags));
    }
    let target = reading(Symbol::Recvmsg, fd);
    let with = |flags| libc!(recvmsg(fd, message, flags));
    let count = call(target, || with(flags | DONTWAIT), || with(flags));
    if wants_all(flags) && count > 0 {
        // SAFETY: the caller's message, which a call that has succeeded has read.
        let parts = unsafe { parts_of(message) };
        if is_short(count, parts.len()) {
            return go_on(target, count, parts.len(), &|from| {
                let mut rest = parts.after(from);
                let mut message = plain_message(&mut rest);
                libc!(recvmsg(fd, &raw mut message, flags | DONTWAIT))
            });
        }
    }
    count
}

#[unsafe(no_mangle)]
unsafe extern "C" fn send(fd: c_int, buf: *const c_void, len: size_t, flags: c_int) -> ssize_t {
    if !may_wait(Symbol::Send, flags, SEND_AT_ONCE) {
        return libc!(send(fd, buf, len, flags));
    }
    transmit(Symbol::Send, fd, buf, len, flags)
}

/// What `send` does, and `write` to a socket.
#[inline(always)]
pub(super) fn transmit(
    symbol: Symbol,
    fd: RawFd,
    buf: *const c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    let target = writing(symbol, fd);
    let attempt = || libc!(send(fd, buf, len, flags | DONTWAIT));
    let count = call(target, attempt, || libc!(send(fd, buf, len, flags)));
    if is_short(count, len) {
        return go_on(target, count, len, &|from| {
            let rest = buf.wrapping_byte_add(from);
            libc!(send(fd, rest, len - from, flags | REST))
        });
    }
    count
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendto(
    fd: c_int,
    buf: *const c_void,
    len: size_t,
    flags: c_int,
    address: *const sockaddr,
    address_len: socklen_t,
) -> ssize_t {
    if !may_wait(Symbol::Sendto, flags, SEND_AT_ONCE) {
        return libc!(sendto(fd, buf, len, flags, address, address_len));
    }
    let target = writing(Symbol::Sendto, fd);
    let with = |flags| libc!(sendto(fd, buf, len, flags, address, address_len));
    let count = call(target, || with(flags | DONTWAIT), || with(flags));
    if is_short(count, len) {
        return go_on(target, count, len, &|from| {
            let rest = buf.wrapping_byte_add(from);
            libc!(send(fd, rest, len - from, flags | REST))
        });
    }
    count
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    if !may_wait(Symbol::Sendmsg, flags, SEND_AT_ONCE) {
        return libc!(sendmsg(fd, message, flags));
    }
    transmit_message(Symbol::Sendmsg, fd, message, flags)
}

/// What `sendmsg` does, and `writev` to a socket.
pub(super) fn transmit_message(
    symbol: Symbol,
    fd: RawFd,
    message: *const msghdr,
    flags: c_int,
) -> ssize_t {
    let target = writing(symbol, fd);
    let with = |flags| libc!(sendmsg(fd, message, flags));
    let count = call(target, || with(flags | DONTWAIT), || with(flags));
    if count > 0 {
        // SAFETY: the caller's message, which a call that has succeeded has read.
        let parts = unsafe { parts_of(message) };
        if is_short(count, parts.len()) {
            return go_on(target, count, parts.len(), &|from| {
                let mut rest = parts.after(from);
                let message = plain_message(&mut rest);
                libc!(sendmsg(fd, &raw const message, flags | REST))
            });
        }
    }
    count
}

/// # Safety
///
/// The message is valid, and stays so for as long as the result is used.
unsafe fn parts_of<'a>(message: *const msghdr) -> Parts<'a> {
    // SAFETY: the caller answers for it.
    let message = unsafe { &*message };
    // SAFETY: a valid message has so many.
    unsafe { Parts::new(message.msg_iov, message.msg_iovlen) }
}

/// A message of these pieces, without an address or anything else.
pub(super) fn plain_message(parts: &mut [libc::iovec]) -> msghdr {
    msghdr {
        msg_name: std::ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: parts.as_mut_ptr(),
        msg_iovlen: parts.len(),
        msg_control: std::ptr::null_mut(),
        msg_controllen: 0,
        msg_flags: 0,
    }
}
