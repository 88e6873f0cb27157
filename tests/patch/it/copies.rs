//! Calls that have the kernel move the bytes, as `std::io::copy` of pipes does; and the names that
//! C programs of distributions call.

use std::fs::File;
use std::io::{Read, Write, copy, pipe};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use sedge_patch_tests::{parks, run};

const LEN: usize = 20_000_000;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// Reads to the end, after a while in which the writer has filled all there is to fill.
fn late(mut stream: TcpStream) -> sedge::JoinHandle<usize> {
    sedge::spawn(move || {
        sedge::sleep(Duration::from_millis(20));
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0));
        bytes.len()
    })
}

#[test]
fn a_file_is_sent_to_a_socket_whose_reader_is_late() {
    run(|| {
        let path = std::env::temp_dir().join(format!("sedge-copy-{}", std::process::id()));
        File::create(&path).unwrap().set_len(LEN as u64).unwrap();
        let (near, far) = pair();
        let reads = late(far);
        let parked = parks(&["sendfile"], || {
            let file = File::open(&path).unwrap();
            let (to, from, mut sent) = (near.as_raw_fd(), file.as_raw_fd(), 0);
            while sent < LEN {
                let here = std::ptr::null_mut();
                // SAFETY: no offset: the file's own position.
                let count = unsafe { libc::sendfile(to, from, here, LEN - sent) };
                sent += usize::try_from(count).unwrap();
            }
        });
        std::fs::remove_file(path).unwrap();
        drop(near);
        assert!(parked > 0);
        assert_eq!(reads.join().unwrap(), LEN);
    });
}

#[test]
fn a_pipe_is_copied_to_a_socket_whose_reader_is_late() {
    run(|| {
        let (mut near, far) = pair();
        let (mut reader, mut writer) = pipe().unwrap();
        sedge::spawn(move || writer.write_all(&vec![0; LEN]).unwrap());
        let reads = late(far);
        let parked = parks(&["splice"], || {
            assert_eq!(copy(&mut reader, &mut near).unwrap(), LEN as u64);
        });
        drop(near);
        assert!(parked > 0);
        assert_eq!(reads.join().unwrap(), LEN);
    });
}

unsafe extern "C" {
    fn __recv_chk(
        fd: libc::c_int,
        buf: *mut libc::c_void,
        len: usize,
        room: usize,
        flags: libc::c_int,
    ) -> isize;
    fn __read_chk(fd: libc::c_int, buf: *mut libc::c_void, len: usize, room: usize) -> isize;
}

#[test]
fn what_checks_its_buffer_waits_too() {
    run(|| {
        let (near, mut far) = UnixStream::pair().unwrap();
        let reads = sedge::spawn(move || {
            let mut bytes = [0u8; 8];
            let place = bytes.as_mut_ptr().cast();
            // SAFETY: room for eight bytes.
            let first = unsafe { __recv_chk(near.as_raw_fd(), place, 4, 8, 0) };
            // SAFETY: as above.
            let second = unsafe { __read_chk(near.as_raw_fd(), place, 8, 8) };
            (first, second)
        });
        for text in [&b"four"[..], b"eleven"] {
            sedge::sleep(Duration::from_millis(5));
            assert!(!reads.is_finished());
            far.write_all(text).unwrap();
        }
        assert_eq!(reads.join().unwrap(), (4, 6));
    });
}
