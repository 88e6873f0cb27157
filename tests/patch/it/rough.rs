//! Callers who give what makes no sense, and ends that come in the midst of a call.

use std::cell::Cell;
use std::io::{Error, Write, pipe};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::ptr;
use std::time::Duration;

use libc::{c_int, c_void, iovec};
use sedge_patch_tests::run;

fn errno() -> c_int {
    Error::last_os_error().raw_os_error().unwrap()
}

#[test]
fn a_number_that_is_no_descriptor_gives_an_error() {
    run(|| {
        // SAFETY: nothing is written for a descriptor that is not open.
        let accepted = unsafe { libc::accept(-1, ptr::null_mut(), ptr::null_mut()) };
        assert_eq!((accepted, errno()), (-1, libc::EBADF));
        // SAFETY: as above.
        let connected = unsafe { libc::connect(-1, ptr::null(), 0) };
        assert_eq!((connected, errno()), (-1, libc::EBADF));
        for _ in 0..100 {
            // SAFETY: as above.
            let count = unsafe { libc::recv(-1, ptr::null_mut(), 0, 0) };
            assert_eq!((count, errno()), (-1, libc::EBADF));
        }
    });
}

#[test]
fn pieces_that_are_nowhere_give_an_error() {
    run(|| {
        let (_reader, writer) = pipe().unwrap();
        let nowhere = ptr::without_provenance::<iovec>(64);
        // SAFETY: the kernel looks whether it may read there.
        let count = unsafe { libc::writev(writer.as_raw_fd(), nowhere, 2) };
        assert_eq!((count, errno()), (-1, libc::EFAULT));
    });
}

#[test]
fn select_touches_no_more_of_a_set_than_it_is_asked_for() {
    run(|| {
        let (reader, mut writer) = pipe().unwrap();
        let fd = reader.as_raw_fd();
        let asked = fd as usize / 64;
        // As programs make one that allocate so many words as they need.
        let words = Box::into_raw(Box::new([0u64; 16]));
        let word = words.cast::<u64>();
        // SAFETY: there are more words, here and below.
        unsafe { *word.wrapping_add(asked) = 1 << (fd % 64) };
        // SAFETY: as above.
        let behind = unsafe { word.add(asked + 1) };
        let address = behind.expose_provenance();
        let writes = sedge::spawn(move || {
            // SAFETY: as above.
            unsafe { *ptr::with_exposed_provenance_mut::<u64>(address) = 7 };
            writer.write_all(b"x").unwrap();
        });
        let none = ptr::null_mut();
        // SAFETY: the set has the words that are asked for.
        let ready = unsafe { libc::select(fd + 1, words.cast(), none, none, ptr::null_mut()) };
        writes.join().unwrap();
        assert_eq!(ready, 1);
        // SAFETY: as above.
        assert_eq!(unsafe { *behind }, 7);
        // SAFETY: it was made from a `Box` above.
        drop(unsafe { Box::from_raw(words) });
    });
}

thread_local! {
    static BROKEN: Cell<u32> = const { Cell::new(0) };
}

#[test]
fn a_send_that_ends_midway_says_so_without_a_signal() {
    extern "C" fn note(_: c_int) {
        BROKEN.set(BROKEN.get() + 1);
    }
    let note: extern "C" fn(c_int) = note;
    // SAFETY: the handler counts, and nothing else.
    unsafe { libc::signal(libc::SIGPIPE, note as libc::sighandler_t) };
    run(|| {
        let (near, far) = UnixStream::pair().unwrap();
        sedge::spawn(move || {
            sedge::sleep(Duration::from_millis(5));
            drop(far);
        });
        let bytes = vec![0u8; 1 << 22];
        let send = || {
            let place = bytes.as_ptr().cast::<c_void>();
            // SAFETY: the bytes are there.
            unsafe { libc::send(near.as_raw_fd(), place, bytes.len(), 0) }
        };
        let sent = send();
        assert!(0 < sent && sent < 1 << 22, "{sent}");
        assert_eq!(BROKEN.get(), 0);
        assert_eq!((send(), errno()), (-1, libc::EPIPE));
        assert_eq!(BROKEN.get(), 1);
    });
    // SAFETY: as it was.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

#[test]
fn a_reset_after_a_part_is_not_taken_for_the_end() {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        sedge::spawn(move || {
            far.write_all(b"half").unwrap();
            sedge::sleep(Duration::from_millis(5));
            let reset = libc::linger {
                l_onoff: 1,
                l_linger: 0,
            };
            let (place, len) = (&raw const reset, size_of_val(&reset) as u32);
            let fd = far.as_raw_fd();
            // SAFETY: the option and its length are there.
            unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, place.cast(), len) };
        });
        let mut bytes = [0; 8];
        let place = bytes.as_mut_ptr().cast::<c_void>();
        // SAFETY: there is room for so many.
        let all = || unsafe { libc::recv(near.as_raw_fd(), place, 8, libc::MSG_WAITALL) };
        assert_eq!(all(), 4);
        assert_eq!((all(), errno()), (-1, libc::ECONNRESET));
    });
}

#[test]
fn a_wait_for_a_child_is_not_for_what_had_the_number_before() {
    run(|| {
        let mut child = Command::new("sleep").arg("0.05").spawn().unwrap();
        let (near, mut far) = UnixStream::pair().unwrap();
        let writes = sedge::spawn(move || far.write_all(b"x"));
        let mut byte = 0u8;
        // SAFETY: there is room for one.
        let read = || unsafe { libc::recv(near.as_raw_fd(), (&raw mut byte).cast(), 1, 0) };
        assert_eq!({ read }(), 1);
        writes.join().unwrap().unwrap();
        let number = near.as_raw_fd();
        std::mem::forget(near);
        // Unseen, as `fclose` is.
        // SAFETY: nobody uses it any more.
        unsafe { libc::syscall(libc::SYS_close, number) };
        let status = sedge::timeout(Duration::from_secs(5), || child.wait());
        assert!(status.unwrap().unwrap().success());
    });
}

#[test]
fn a_file_is_not_taken_for_the_socket_that_had_its_number() {
    use std::io::Read;
    run(|| {
        let (near, mut far) = UnixStream::pair().unwrap();
        far.write_all(b"x").unwrap();
        let number = near.as_raw_fd();
        let mut byte = 0u8;
        // SAFETY: there is room for one.
        let count = unsafe { libc::read(number, (&raw mut byte).cast(), 1) };
        assert_eq!(count, 1);
        std::mem::forget(near);
        // SAFETY: nobody uses it any more.
        unsafe { libc::syscall(libc::SYS_close, number) };
        let files = (0..64).map(|_| std::fs::File::open("/proc/self/stat").unwrap());
        for mut file in files.collect::<Vec<_>>() {
            assert_eq!(file.read(&mut [0; 4]).unwrap(), 4);
        }
    });
}
