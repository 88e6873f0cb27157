//! Calls that C programs make and std does not.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use libc::{c_void, iovec, msghdr};
use sedge_patch_tests::run;

fn message(parts: &mut [iovec]) -> msghdr {
    // SAFETY: zeros are an empty message.
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts.as_mut_ptr();
    message.msg_iovlen = parts.len();
    message
}

fn part(bytes: &mut [u8]) -> iovec {
    iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    }
}

/// Sends eight bytes, in two parts with a pause between.
fn slowly(mut stream: UnixStream) {
    for text in [b"slow", b"poke"] {
        sedge::sleep(Duration::from_millis(2));
        stream.write_all(text).unwrap();
    }
}

#[test]
fn a_call_that_wants_all_waits_for_all() {
    run(|| {
        let (near, far) = UnixStream::pair().unwrap();
        sedge::spawn(move || slowly(far));
        let mut bytes = [0; 8];
        let place = bytes.as_mut_ptr().cast::<c_void>();
        // SAFETY: room for eight bytes.
        let count = unsafe { libc::recv(near.as_raw_fd(), place, 8, libc::MSG_WAITALL) };
        assert_eq!((count, &bytes), (8, b"slowpoke"));

        let (near, far) = UnixStream::pair().unwrap();
        sedge::spawn(move || slowly(far));
        let (mut one, mut two) = ([0; 3], [0; 5]);
        let mut parts = [part(&mut one), part(&mut two)];
        let mut message = message(&mut parts);
        let all = libc::MSG_WAITALL;
        // SAFETY: a message with room for eight bytes.
        let count = unsafe { libc::recvmsg(near.as_raw_fd(), &raw mut message, all) };
        assert_eq!((count, &one, &two), (8, b"slo", b"wpoke"));
    });
}

#[test]
fn a_message_is_sent_whole() {
    run(|| {
        let (near, mut far) = UnixStream::pair().unwrap();
        let reads = sedge::spawn(move || {
            let mut bytes = Vec::new();
            far.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let (mut one, mut two) = (vec![1; 700_000], vec![2; 700_000]);
        let mut parts = [part(&mut one), part(&mut two)];
        let message = message(&mut parts);
        // SAFETY: a message of these bytes.
        let count = unsafe { libc::sendmsg(near.as_raw_fd(), &raw const message, 0) };
        assert_eq!(count, 1_400_000);
        drop(near);
        assert_eq!(reads.join().unwrap(), [one, two].concat());
    });
}

#[test]
fn a_call_that_must_not_wait_does_not() {
    run(|| {
        let (near, _far) = UnixStream::pair().unwrap();
        let place = [0u8; 8].as_mut_ptr().cast();
        // SAFETY: room for eight bytes.
        let count = unsafe { libc::recv(near.as_raw_fd(), place, 8, libc::MSG_DONTWAIT) };
        assert_eq!(count, -1);
        assert_eq!(
            std::io::Error::last_os_error().raw_os_error(),
            Some(libc::EAGAIN)
        );
    });
}

#[test]
fn errno_is_the_green_thread_s_own() {
    fn errno() -> i32 {
        std::io::Error::last_os_error().raw_os_error().unwrap()
    }
    run(|| {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let reads = sedge::spawn(move || {
            // SAFETY: no memory is involved; there is no such descriptor.
            unsafe { libc::fcntl(-1, libc::F_GETFD) };
            assert_eq!(errno(), libc::EBADF);
            assert_eq!(near.read(&mut [0]).unwrap(), 1);
            assert_eq!(errno(), libc::EBADF);
        });
        sedge::yield_now();
        // SAFETY: no memory is involved; there is no such process.
        unsafe { libc::kill(i32::MAX, 0) };
        far.write_all(b"x").unwrap();
        assert_eq!(errno(), libc::ESRCH);
        reads.join().unwrap();
    });
}

#[test]
fn closing_a_descriptor_wakes_who_waits_for_it() {
    run(|| {
        let (near, _far) = UnixStream::pair().unwrap();
        let fd = near.as_raw_fd();
        let waits = sedge::spawn(move || {
            // SAFETY: room for a byte.
            let count = unsafe { libc::recv(fd, [0u8].as_mut_ptr().cast(), 1, 0) };
            (count, std::io::Error::last_os_error().raw_os_error())
        });
        sedge::sleep(Duration::from_millis(1));
        drop(near);
        // Whoever gets the number next is somebody else.
        let (_other, mut writer) = UnixStream::pair().unwrap();
        writer.write_all(b"not for you").unwrap();
        assert_eq!(waits.join().unwrap(), (-1, Some(libc::EBADF)));
    });
}

#[test]
fn a_number_that_is_used_again_is_a_new_file() {
    run(|| {
        for _ in 0..100 {
            let (mut near, mut far) = UnixStream::pair().unwrap();
            let reads = sedge::spawn(move || near.read(&mut [0; 4]).unwrap());
            sedge::yield_now();
            far.write_all(b"four").unwrap();
            assert_eq!(reads.join().unwrap(), 4);
        }
    });
}

#[test]
fn a_number_that_another_os_thread_has_closed_is_a_new_file() {
    run(|| {
        for _ in 0..50 {
            let (mut near, mut far) = UnixStream::pair().unwrap();
            let reads = sedge::spawn(move || {
                near.read_exact(&mut [0; 4]).unwrap();
                near
            });
            sedge::yield_now();
            far.write_all(b"four").unwrap();
            let near = reads.join().unwrap();
            sedge::blocking(move || drop((near, far)));
        }
    });
}
