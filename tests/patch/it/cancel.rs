//! Cancelling and timing out what is in the midst of a call of C.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use sedge_patch_tests::run;

const SOON: Duration = Duration::from_millis(5);

#[test]
fn a_cancelled_call_fails_and_the_next_wait_of_sedge_s_unwinds() {
    run(|| {
        let (mut near, _far) = UnixStream::pair().unwrap();
        let seen = Rc::new(Cell::new(None));
        let note = Rc::clone(&seen);
        let thread = sedge::spawn(move || {
            let first = near.read(&mut [0]).unwrap_err().raw_os_error();
            let second = near.read(&mut [0]).unwrap_err().raw_os_error();
            note.set(Some((first, second)));
            sedge::sleep(Duration::from_secs(3600));
            unreachable!("it was unwound");
        });
        sedge::sleep(SOON);
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
        let cancelled = Some(libc::ECANCELED);
        assert_eq!(seen.get(), Some((cancelled, cancelled)));
    });
}

#[test]
fn a_cancelled_accept_poll_and_wait_fail() {
    run(|| {
        let accepts = sedge::spawn(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.accept().unwrap_err().raw_os_error()
        });
        let polls = sedge::spawn(|| {
            let (reader, _writer) = std::io::pipe().unwrap();
            let mut entry = libc::pollfd {
                fd: std::os::fd::AsRawFd::as_raw_fd(&reader),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one entry.
            assert_eq!(unsafe { libc::poll(&raw mut entry, 1, -1) }, -1);
            std::io::Error::last_os_error().raw_os_error()
        });
        let waits = sedge::spawn(|| {
            let mut child = std::process::Command::new("sleep")
                .arg("3600")
                .spawn()
                .unwrap();
            let error = child.wait().unwrap_err();
            child.kill().unwrap();
            sedge::shield(|| child.wait()).unwrap();
            error.raw_os_error()
        });
        let threads = [accepts, polls, waits];
        sedge::sleep(10 * SOON);
        threads.iter().for_each(sedge::JoinHandle::cancel);
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Some(libc::ECANCELED));
        }
    });
}

#[test]
fn a_cancelled_sleep_is_over() {
    run(|| {
        let begun = Instant::now();
        let thread = sedge::spawn(|| std::thread::sleep(Duration::from_secs(3600)));
        sedge::sleep(SOON);
        thread.cancel();
        thread.join().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn a_timeout_ends_a_call() {
    run(|| {
        let (mut near, _far) = UnixStream::pair().unwrap();
        let result = sedge::timeout(SOON, || near.read(&mut [0]));
        assert_eq!(
            result.unwrap().unwrap_err().raw_os_error(),
            Some(libc::ECANCELED)
        );
        // It is over with the call that it was for.
        near.set_read_timeout(Some(SOON)).unwrap();
        let error = near.read(&mut [0]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));

        let result = sedge::timeout(SOON, || {
            near.set_read_timeout(None).unwrap();
            let _ = near.read(&mut [0]);
            sedge::yield_now();
        });
        assert!(result.is_err());
    });
}

#[test]
fn a_shield_keeps_a_call_going() {
    run(|| {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let thread = sedge::spawn(move || sedge::shield(|| near.read(&mut [0]).unwrap()));
        sedge::sleep(SOON);
        thread.cancel();
        sedge::sleep(SOON);
        far.write_all(b"x").unwrap();
        assert_eq!(thread.join().unwrap(), 1);
    });
}

#[test]
fn a_call_that_has_moved_a_part_says_so_first() {
    run(|| {
        let (mut near, far) = UnixStream::pair().unwrap();
        let thread = sedge::spawn(move || {
            let first = near.write(&vec![0; 10_000_000]).unwrap();
            (first, near.write(&[0; 1 << 20]).unwrap_err().raw_os_error())
        });
        sedge::sleep(SOON);
        thread.cancel();
        let (first, second) = thread.join().unwrap();
        assert!(0 < first && first < 10_000_000);
        assert_eq!(second, Some(libc::ECANCELED));
        drop(far);
    });
}

#[test]
fn a_destructor_that_calls_c_while_it_unwinds_goes_straight_to_libc() {
    struct Farewell(UnixStream);
    impl Drop for Farewell {
        fn drop(&mut self) {
            std::thread::sleep(Duration::from_millis(1));
            self.0.write_all(b"bye").unwrap();
        }
    }
    run(|| {
        let (near, mut far) = UnixStream::pair().unwrap();
        let thread = sedge::spawn(move || {
            let _farewell = Farewell(near);
            sedge::sleep(Duration::from_secs(3600));
        });
        sedge::yield_now();
        thread.cancel();
        let mut text = String::new();
        far.read_to_string(&mut text).unwrap();
        assert_eq!(text, "bye");
        assert!(thread.join().is_err());
    });
}

#[test]
fn one_who_tries_again_after_every_error_does_not_keep_others_from_running() {
    run(|| {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let tries = Rc::new(Cell::new(0));
        let count = Rc::clone(&tries);
        let thread = sedge::spawn(move || {
            while near.read(&mut [0]).is_err() {
                count.set(count.get() + 1);
            }
        });
        sedge::sleep(SOON);
        thread.cancel();
        sedge::sleep(SOON);
        assert!(tries.get() > 1);
        far.write_all(b"x").unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn a_generator_may_wait_in_a_call_of_c() {
    run(|| {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let reads = sedge::spawn(move || {
            let bytes = sedge::generator::Generator::new(move |yielder| {
                let mut byte = [0];
                while near.read(&mut byte).unwrap() > 0 {
                    yielder.yield_(byte[0]);
                }
            });
            bytes.collect::<Vec<_>>()
        });
        for byte in b"abc" {
            sedge::sleep(Duration::from_millis(1));
            far.write_all(&[*byte]).unwrap();
        }
        drop(far);
        assert_eq!(reads.join().unwrap(), b"abc");
    });
}
