//! The functions of libc behind the ones that are interposed.
//!
//! `dlsym(RTLD_NEXT)` finds the definition that would have been called without this one: libc's, or
//! that of another library which stands in between, a sanitizer's say. It is asked once for each.

use std::ffi::{CStr, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The address of one of them.
pub(super) struct Symbol {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
}

impl Symbol {
    pub(super) const fn new(name: &'static CStr) -> Symbol {
        Symbol {
            name,
            address: AtomicPtr::new(ptr::null_mut()),
        }
    }

    #[inline(always)]
    pub(super) fn address(&self) -> *mut c_void {
        let address = self.address.load(Ordering::Relaxed);
        if address.is_null() {
            self.resolve()
        } else {
            address
        }
    }

    #[cold]
    fn resolve(&self) -> *mut c_void {
        // SAFETY: the name ends with a zero.
        let address = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        if address.is_null() {
            // Nothing that could say more is safe to call from here.
            std::process::abort();
        }
        self.address.store(address, Ordering::Relaxed);
        address
    }
}

/// Declares functions of libc, each under its name, as it is without this crate.
macro_rules! real {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty;)*) => {
        /// Finds all of them, so that none is looked for in the midst of a call.
        pub(super) fn resolve_all() {
            $($name::SYMBOL.address();)*
        }

        $(
            mod $name {
                use super::Symbol;

                pub(super) static SYMBOL: Symbol = {
                    let name = concat!(stringify!($name), "\0").as_bytes();
                    match std::ffi::CStr::from_bytes_with_nul(name) {
                        Ok(name) => Symbol::new(name),
                        Err(_) => panic!("a name has no zero inside"),
                    }
                };
            }

            /// # Safety
            ///
            /// That of the function of libc.
            #[inline(always)]
            pub(super) unsafe fn $name($($argument: $type),*) -> $result {
                let address = $name::SYMBOL.address();
                type Function = unsafe extern "C" fn($($type),*) -> $result;
                // SAFETY: it is libc's function of that name, which has this type.
                let function = unsafe { std::mem::transmute::<*mut c_void, Function>(address) };
                // SAFETY: the caller answers for the arguments.
                unsafe { function($($argument),*) }
            }
        )*
    };
}

use libc::{
    addrinfo, c_char, c_int, c_long, c_uint, epoll_event, fd_set, hostent, id_t, idtype_t, iovec,
    msghdr, nfds_t, off_t, pid_t, pollfd, pthread_t, rusage, siginfo_t, sigset_t, size_t, sockaddr,
    socklen_t, ssize_t, timespec, timeval, useconds_t,
};

real! {
    fn recv(fd: c_int, buf: *mut c_void, len: size_t, flags: c_int) -> ssize_t;
    fn recvfrom(fd: c_int, buf: *mut c_void, len: size_t, flags: c_int, address: *mut sockaddr,
        address_len: *mut socklen_t) -> ssize_t;
    fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t;
    fn send(fd: c_int, buf: *const c_void, len: size_t, flags: c_int) -> ssize_t;
    fn sendto(fd: c_int, buf: *const c_void, len: size_t, flags: c_int, address: *const sockaddr,
        address_len: socklen_t) -> ssize_t;
    fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t;
    fn accept(fd: c_int, address: *mut sockaddr, address_len: *mut socklen_t) -> c_int;
    fn accept4(fd: c_int, address: *mut sockaddr, address_len: *mut socklen_t, flags: c_int)
        -> c_int;
    fn connect(fd: c_int, address: *const sockaddr, address_len: socklen_t) -> c_int;

    fn read(fd: c_int, buf: *mut c_void, len: size_t) -> ssize_t;
    fn readv(fd: c_int, iov: *const iovec, count: c_int) -> ssize_t;
    fn write(fd: c_int, buf: *const c_void, len: size_t) -> ssize_t;
    fn writev(fd: c_int, iov: *const iovec, count: c_int) -> ssize_t;
    fn sendfile(to: c_int, from: c_int, offset: *mut off_t, len: size_t) -> ssize_t;
    fn sendfile64(to: c_int, from: c_int, offset: *mut off_t, len: size_t) -> ssize_t;
    fn splice(from: c_int, from_offset: *mut off_t, to: c_int, to_offset: *mut off_t, len: size_t,
        flags: c_uint) -> ssize_t;

    fn __read_chk(fd: c_int, buf: *mut c_void, len: size_t, room: size_t) -> ssize_t;
    fn __recv_chk(fd: c_int, buf: *mut c_void, len: size_t, room: size_t, flags: c_int) -> ssize_t;
    fn __recvfrom_chk(fd: c_int, buf: *mut c_void, len: size_t, room: size_t, flags: c_int,
        address: *mut sockaddr, address_len: *mut socklen_t) -> ssize_t;
    fn __poll_chk(fds: *mut pollfd, count: nfds_t, timeout: c_int, room: size_t) -> c_int;
    fn __ppoll_chk(fds: *mut pollfd, count: nfds_t, timeout: *const timespec,
        mask: *const sigset_t, room: size_t) -> c_int;

    fn poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int;
    fn ppoll(fds: *mut pollfd, count: nfds_t, timeout: *const timespec, mask: *const sigset_t)
        -> c_int;
    fn select(count: c_int, read: *mut fd_set, write: *mut fd_set, except: *mut fd_set,
        timeout: *mut timeval) -> c_int;
    fn epoll_wait(epoll: c_int, events: *mut epoll_event, most: c_int, timeout: c_int) -> c_int;
    fn epoll_pwait(epoll: c_int, events: *mut epoll_event, most: c_int, timeout: c_int,
        mask: *const sigset_t) -> c_int;

    fn nanosleep(duration: *const timespec, left: *mut timespec) -> c_int;
    fn clock_nanosleep(clock: c_int, flags: c_int, time: *const timespec, left: *mut timespec)
        -> c_int;
    fn usleep(duration: useconds_t) -> c_int;
    fn sleep(duration: c_uint) -> c_uint;
    fn sched_yield() -> c_int;

    fn getaddrinfo(node: *const c_char, service: *const c_char, hints: *const addrinfo,
        result: *mut *mut addrinfo) -> c_int;
    fn getnameinfo(address: *const sockaddr, address_len: socklen_t, host: *mut c_char,
        host_len: socklen_t, service: *mut c_char, service_len: socklen_t, flags: c_int) -> c_int;
    fn gethostbyname(name: *const c_char) -> *mut hostent;
    fn gethostbyname_r(name: *const c_char, entry: *mut hostent, buf: *mut c_char, len: size_t,
        result: *mut *mut hostent, error: *mut c_int) -> c_int;

    fn waitpid(pid: pid_t, status: *mut c_int, options: c_int) -> pid_t;
    fn wait4(pid: pid_t, status: *mut c_int, options: c_int, usage: *mut rusage) -> pid_t;
    fn waitid(kind: idtype_t, id: id_t, info: *mut siginfo_t, options: c_int) -> c_int;

    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn socketpair(domain: c_int, kind: c_int, protocol: c_int, pair: *mut c_int) -> c_int;
    fn pipe(pair: *mut c_int) -> c_int;
    fn pipe2(pair: *mut c_int, flags: c_int) -> c_int;
    fn dup(fd: c_int) -> c_int;
    fn dup2(old: c_int, new: c_int) -> c_int;
    fn dup3(old: c_int, new: c_int, flags: c_int) -> c_int;
    fn fcntl(fd: c_int, command: c_int, argument: usize) -> c_int;
    fn fcntl64(fd: c_int, command: c_int, argument: usize) -> c_int;
    fn close(fd: c_int) -> c_int;

    fn syscall(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize)
        -> c_long;
    fn pthread_join(thread: pthread_t, value: *mut *mut c_void) -> c_int;
}

/// Calls a function of libc in the place of somebody who has called the one that stands before it.
macro_rules! libc {
    ($name:ident($($argument:expr),* $(,)?)) => {
        // SAFETY: the arguments are those of a call to the function of this name, or of one that
        // does the same to the same memory, or less of it. Who made that call answers for them, and
        // for the memory until it returns; it has not, for this is where it is.
        unsafe { $crate::patch::real::$name($($argument),*) }
    };
}

pub(super) use libc;
