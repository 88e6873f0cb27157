//! Name lookups.

use std::ffi::CStr;
use std::net::{Ipv4Addr, ToSocketAddrs};

use sedge_patch_tests::{parks, run};

#[test]
fn a_hundred_lookups_are_made_on_other_os_threads() {
    run(|| {
        let look_up = || {
            let mut found = ("localhost", 80).to_socket_addrs().unwrap();
            assert!(found.any(|address| address.ip().is_loopback()));
        };
        let parked = parks(&["getaddrinfo"], || {
            let threads: Vec<_> = (0..100).map(|_| sedge::spawn(look_up)).collect();
            threads
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
        });
        assert_eq!(parked, 100);
    });
}

#[test]
fn a_name_that_is_not_there_is_an_error() {
    run(|| {
        let found = ("no-such-name.invalid", 80).to_socket_addrs();
        assert!(found.is_err());
    });
}

unsafe extern "C" {
    fn gethostbyname(name: *const libc::c_char) -> *mut libc::hostent;
    fn gethostbyname_r(
        name: *const libc::c_char,
        entry: *mut libc::hostent,
        buf: *mut libc::c_char,
        len: libc::size_t,
        result: *mut *mut libc::hostent,
        error: *mut libc::c_int,
    ) -> libc::c_int;
}

/// The first address of an entry.
fn first(entry: &libc::hostent) -> Ipv4Addr {
    assert_eq!((entry.h_addrtype, entry.h_length), (libc::AF_INET, 4));
    // SAFETY: the list of a filled entry has an address.
    let address = unsafe { *entry.h_addr_list };
    // SAFETY: it is of that length.
    let bytes = unsafe { address.cast::<[u8; 4]>().read() };
    bytes.into()
}

#[test]
fn gethostbyname_finds_what_it_finds_without_a_patch() {
    run(|| {
        // SAFETY: a string.
        let found = unsafe { gethostbyname(c"localhost".as_ptr()) };
        // SAFETY: null, or filled until the next call.
        let entry = unsafe { found.as_ref() }.unwrap();
        assert!(first(entry).is_loopback());

        // SAFETY: zeros are valid.
        let mut entry: libc::hostent = unsafe { std::mem::zeroed() };
        let (mut buffer, mut result, mut error) = ([0; 1024], std::ptr::null_mut(), 0);
        let mut find = |len| {
            // SAFETY: everything is valid until the call returns.
            unsafe {
                gethostbyname_r(
                    c"localhost".as_ptr(),
                    &raw mut entry,
                    buffer.as_mut_ptr(),
                    len,
                    &raw mut result,
                    &raw mut error,
                )
            }
        };
        assert_eq!(find(8), libc::ERANGE);
        assert_eq!(find(1024), 0);
        assert_eq!(result, &raw mut entry);
        assert!(first(&entry).is_loopback());
        // SAFETY: the name of a filled entry.
        assert_eq!(unsafe { CStr::from_ptr(entry.h_name) }, c"localhost");
        assert!(buffer.as_ptr_range().contains(&entry.h_name.cast_const()));
    });
}
