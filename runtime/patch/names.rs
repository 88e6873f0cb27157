//! `getaddrinfo`, `getnameinfo`, `gethostbyname` and `gethostbyname_r`: on the OS threads of
//! [`blocking`](crate::blocking()).
//!
//! libc asks the name server by calls of its own that cannot be interposed. Nothing of the caller's
//! is touched by the other OS thread: it has copies, for the caller may be interrupted and gone
//! when the answer comes.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int};
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::ptr;

use libc::{addrinfo, hostent, size_t, sockaddr, sockaddr_storage, socklen_t};

use super::count::Symbol;
use super::gate::{Family, may_park};
use super::raw::{errno, set_errno};
use super::real::{self, libc};
use super::wait::{self, Refusal};

/// What a lookup may need for its answer, and the most that it gets.
const FIRST_BUFFER: usize = 1024;
const LARGEST_BUFFER: usize = 1 << 20;

/// Runs a lookup on another OS thread, with the `errno` that it leaves. `None` if it must be made
/// here; an interrupt leaves `ECANCELED`.
fn elsewhere<T: Send + 'static>(
    symbol: Symbol,
    lookup: impl FnOnce() -> T + Send + 'static,
) -> Option<Result<T, ()>> {
    let before = errno();
    let answer = wait::guard(|| {
        symbol.count_parked();
        Ok(crate::blocking(move || (lookup(), errno())))
    });
    match answer {
        Ok((answer, error)) => {
            set_errno(error);
            Some(Ok(answer))
        }
        Err(Refusal::Impossible) => {
            symbol.count_passed();
            set_errno(before);
            None
        }
        Err(refusal) => {
            set_errno(refusal.errno());
            Some(Err(()))
        }
    }
}

/// A copy of a string of C's.
///
/// # Safety
///
/// Null, or one that ends with a zero.
unsafe fn copy(text: *const c_char) -> Option<CString> {
    // SAFETY: the caller answers for it.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_owned())
}

fn address(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(ptr::null(), |text| text.as_ptr())
}

/// Whether finding an address for that needs nobody to be asked.
fn is_literal(node: &Option<CString>, flags: c_int) -> bool {
    let Some(node) = node else { return true };
    flags & libc::AI_NUMERICHOST != 0
        || node
            .to_str()
            .is_ok_and(|node| node.parse::<IpAddr>().is_ok())
}

/// The answer of `getaddrinfo`, freed if nobody takes it.
struct Found(*mut addrinfo);

// SAFETY: it is a list in memory of `malloc`, to which nobody else has a pointer.
unsafe impl Send for Found {}

impl Found {
    fn take(self) -> *mut addrinfo {
        let list = self.0;
        std::mem::forget(self);
        list
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: `getaddrinfo` has made it, and nobody has taken it.
            unsafe { libc::freeaddrinfo(self.0) };
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    result: *mut *mut addrinfo,
) -> c_int {
    if !may_park(Family::DNS) {
        return libc!(getaddrinfo(node, service, hints, result));
    }
    // SAFETY: the caller's string, which libc would read.
    let name = unsafe { copy(node) };
    // SAFETY: as above.
    let port = unsafe { copy(service) };
    // SAFETY: the caller's: null, or valid.
    let wishes = unsafe { hints.as_ref() }.map(|hints| Wishes {
        flags: hints.ai_flags,
        family: hints.ai_family,
        kind: hints.ai_socktype,
        protocol: hints.ai_protocol,
    });
    if is_literal(&name, wishes.map_or(0, |wishes| wishes.flags)) {
        Symbol::Getaddrinfo.count_at_once();
        return libc!(getaddrinfo(node, service, hints, result));
    }
    match elsewhere(Symbol::Getaddrinfo, move || look_up(&name, &port, wishes)) {
        None => libc!(getaddrinfo(node, service, hints, result)),
        Some(Err(())) => libc::EAI_SYSTEM,
        Some(Ok((0, found))) => {
            // SAFETY: where the caller wants to have it.
            unsafe { result.write(found.take()) };
            0
        }
        Some(Ok((error, _))) => error,
    }
}

/// What of `addrinfo` is a wish.
#[derive(Clone, Copy)]
struct Wishes {
    flags: c_int,
    family: c_int,
    kind: c_int,
    protocol: c_int,
}

fn look_up(
    name: &Option<CString>,
    port: &Option<CString>,
    wishes: Option<Wishes>,
) -> (c_int, Found) {
    let wishes = wishes.map(|wishes| addrinfo {
        ai_flags: wishes.flags,
        ai_family: wishes.family,
        ai_socktype: wishes.kind,
        ai_protocol: wishes.protocol,
        ai_addrlen: 0,
        ai_addr: ptr::null_mut(),
        ai_canonname: ptr::null_mut(),
        ai_next: ptr::null_mut(),
    });
    let wishes = wishes.as_ref().map_or(ptr::null(), ptr::from_ref);
    let mut found = Found(ptr::null_mut());
    // SAFETY: strings, wishes and the place for the answer live until the end of this function.
    let error =
        unsafe { real::getaddrinfo(address(name), address(port), wishes, &raw mut found.0) };
    if error != 0 {
        // What was written then, if anything, is nobody's.
        found.0 = ptr::null_mut();
    }
    (error, found)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn getnameinfo(
    address: *const sockaddr,
    address_len: socklen_t,
    host: *mut c_char,
    host_len: socklen_t,
    service: *mut c_char,
    service_len: socklen_t,
    flags: c_int,
) -> c_int {
    let real = || {
        let (host, service) = ((host, host_len), (service, service_len));
        libc!(getnameinfo(
            address,
            address_len,
            host.0,
            host.1,
            service.0,
            service.1,
            flags
        ))
    };
    let len = usize::try_from(address_len).unwrap_or(usize::MAX);
    if !may_park(Family::DNS) {
        return real();
    }
    if flags & libc::NI_NUMERICHOST != 0 || len > size_of::<sockaddr_storage>() {
        Symbol::Getnameinfo.count_at_once();
        return real();
    }
    let mut copy = MaybeUninit::<sockaddr_storage>::zeroed();
    // SAFETY: the caller's address has so many bytes, and the copy has room for them.
    unsafe { ptr::copy_nonoverlapping(address.cast::<u8>(), copy.as_mut_ptr().cast(), len) };
    // SAFETY: integers, all of which are initialised.
    let copy = unsafe { copy.assume_init() };
    let lens = (host_len, service_len);
    let look_up = move || reverse(&copy, address_len, lens, flags);
    match elsewhere(Symbol::Getnameinfo, look_up) {
        None => real(),
        Some(Err(())) => libc::EAI_SYSTEM,
        Some(Ok((error, names))) => {
            if error == 0 {
                // SAFETY: the caller has room for so many bytes, which these are.
                unsafe { put(&names.0, host) };
                // SAFETY: as above.
                unsafe { put(&names.1, service) };
            }
            error
        }
    }
}

fn reverse(
    address: &sockaddr_storage,
    len: socklen_t,
    (host_len, service_len): (socklen_t, socklen_t),
    flags: c_int,
) -> (c_int, (Vec<u8>, Vec<u8>)) {
    let mut host = vec![0; host_len as usize];
    let mut service = vec![0; service_len as usize];
    // SAFETY: an address of that length, and buffers of those.
    let error = unsafe {
        real::getnameinfo(
            ptr::from_ref(address).cast(),
            len,
            host.as_mut_ptr().cast(),
            host_len,
            service.as_mut_ptr().cast(),
            service_len,
            flags,
        )
    };
    (error, (host, service))
}

/// # Safety
///
/// The place is null, or has room for these bytes.
unsafe fn put(bytes: &[u8], place: *mut c_char) {
    if !place.is_null() {
        // SAFETY: the caller answers for the room; the bytes were just made elsewhere.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), place.cast(), bytes.len()) };
    }
}

/// What a name stands for, with all that it points to.
struct Host {
    entry: hostent,
    /// What the pointers in `entry` point to, and which therefore must not move.
    _buffer: Vec<u8>,
}

// SAFETY: it points into memory of its own only.
unsafe impl Send for Host {}

/// The answer and the error of `gethostbyname_r`: a number for `errno`, and one of its own.
type HostAnswer = (Option<Host>, c_int, c_int);

fn find_host(name: &CStr) -> HostAnswer {
    let mut buffer = vec![0u8; FIRST_BUFFER];
    loop {
        let mut entry = MaybeUninit::<hostent>::zeroed();
        let mut found = ptr::null_mut();
        let mut host_error = 0;
        // SAFETY: a string, and places and a buffer that live until the end of this turn.
        let error = unsafe {
            real::gethostbyname_r(
                name.as_ptr(),
                entry.as_mut_ptr(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &raw mut found,
                &raw mut host_error,
            )
        };
        if error == libc::ERANGE && buffer.len() < LARGEST_BUFFER {
            buffer = vec![0; buffer.len() * 2];
            continue;
        }
        // SAFETY: pointers and integers, for which zeros do, if libc has written nothing.
        let entry = unsafe { entry.assume_init() };
        let host = (error == 0 && !found.is_null()).then_some(Host {
            entry,
            _buffer: buffer,
        });
        return (host, error, host_error);
    }
}

thread_local! {
    /// What `gethostbyname` has returned last.
    static LAST: RefCell<Option<Host>> = const { RefCell::new(None) };
}

unsafe extern "C" {
    fn __h_errno_location() -> *mut c_int;
}

fn set_host_error(error: c_int) {
    // SAFETY: always safe to call; the address belongs to this OS thread.
    let place = unsafe { __h_errno_location() };
    // SAFETY: it is valid as long as the OS thread runs.
    unsafe { *place = error };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gethostbyname(name: *const c_char) -> *mut hostent {
    if !may_park(Family::DNS) || name.is_null() {
        return libc!(gethostbyname(name));
    }
    // SAFETY: the caller's string, which libc would read.
    let asked = unsafe { CStr::from_ptr(name) }.to_owned();
    match elsewhere(Symbol::Gethostbyname, move || find_host(&asked)) {
        None => libc!(gethostbyname(name)),
        Some(Err(())) => {
            set_host_error(TRY_AGAIN);
            ptr::null_mut()
        }
        Some(Ok((host, _, error))) => {
            set_host_error(error);
            LAST.with_borrow_mut(|last| {
                *last = host;
                last.as_mut()
                    .map_or(ptr::null_mut(), |host| &raw mut host.entry)
            })
        }
    }
}

/// netdb.h's.
const TRY_AGAIN: c_int = 2;

#[unsafe(no_mangle)]
unsafe extern "C" fn gethostbyname_r(
    name: *const c_char,
    entry: *mut hostent,
    buf: *mut c_char,
    len: size_t,
    result: *mut *mut hostent,
    error: *mut c_int,
) -> c_int {
    if !may_park(Family::DNS) || name.is_null() {
        return libc!(gethostbyname_r(name, entry, buf, len, result, error));
    }
    // SAFETY: the caller's string, which libc would read.
    let asked = unsafe { CStr::from_ptr(name) }.to_owned();
    let answer = match elsewhere(Symbol::GethostbynameR, move || find_host(&asked)) {
        None => return libc!(gethostbyname_r(name, entry, buf, len, result, error)),
        Some(Err(())) => (None, libc::ECANCELED, TRY_AGAIN),
        Some(Ok(answer)) => answer,
    };
    let (host, code, host_error) = answer;
    // SAFETY: where the caller wants to have it.
    unsafe { error.write(host_error) };
    // SAFETY: as above.
    unsafe { result.write(ptr::null_mut()) };
    let Some(host) = host else { return code };
    // SAFETY: the caller's buffer, of that length.
    let buffer = unsafe { std::slice::from_raw_parts_mut(buf.cast::<MaybeUninit<u8>>(), len) };
    // SAFETY: `find_host` has filled the entry, and what it points to is in `host`.
    let Some(copied) = (unsafe { super::hostent::copy(&host.entry, buffer) }) else {
        return libc::ERANGE;
    };
    // SAFETY: where the caller wants to have them.
    unsafe { entry.write(copied) };
    // SAFETY: as above.
    unsafe { result.write(entry) };
    0
}
