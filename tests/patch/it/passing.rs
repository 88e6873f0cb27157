//! What goes straight to libc: what is not on a green thread, and what is sedge's own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use sedge_patch_tests::{echo, parks, run};

#[test]
fn another_os_thread_blocks_as_ever() {
    run(|| {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let reads = std::thread::spawn(move || {
            let mut text = String::new();
            near.read_to_string(&mut text).unwrap();
            (text, sedge::patch::calls().iter().count())
        });
        sedge::sleep(Duration::from_millis(20));
        far.write_all(b"text").unwrap();
        drop(far);
        assert_eq!(reads.join().unwrap(), ("text".to_owned(), 0));
    });
}

#[test]
fn outside_of_run_calls_block_as_ever() {
    sedge::patch::all();
    let (mut near, mut far) = UnixStream::pair().unwrap();
    let writes = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(10));
        far.write_all(b"text").unwrap();
    });
    assert_eq!(near.read(&mut [0; 8]).unwrap(), 4);
    writes.join().unwrap();
}

#[test]
fn sedge_s_own_sockets_park_in_sedge() {
    let address = echo();
    run(|| {
        let parked = parks(&["recv", "send", "connect", "poll"], || {
            let mut stream = sedge::net::TcpStream::connect(address).unwrap();
            for _ in 0..10 {
                stream.write_all(b"text").unwrap();
                stream.read_exact(&mut [0; 4]).unwrap();
            }
        });
        assert_eq!(parked, 0);
    });
}

#[test]
fn a_socket_may_change_hands_between_std_and_sedge() {
    let address = echo();
    run(|| {
        let mut stream = TcpStream::connect(address).unwrap();
        for _ in 0..3 {
            stream.write_all(b"std").unwrap();
            stream.read_exact(&mut [0; 3]).unwrap();
            let mut ours = sedge::net::TcpStream::from(stream);
            ours.write_all(b"sedge").unwrap();
            ours.read_exact(&mut [0; 5]).unwrap();
            stream = ours.into();
        }
    });
}

#[test]
fn println_on_green_threads_does_not_park() {
    run(|| {
        let parked = parks(&["write", "writev"], || {
            let print = |number| println!("line {number} of a green thread");
            let threads: Vec<_> = (0..10)
                .map(|number| sedge::spawn(move || print(number)))
                .collect();
            sedge::wait_all(&threads);
        });
        assert_eq!(parked, 0);
    });
}

#[test]
fn a_forked_child_goes_straight_to_libc() {
    run(|| {
        let (mut near, far) = UnixStream::pair().unwrap();
        // SAFETY: the child only makes system calls and leaves.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            // SAFETY: no memory is involved.
            unsafe { libc::usleep(20_000) };
            let active = i32::from(sedge::patch::is_active());
            let word = c"child";
            let fd = std::os::fd::AsRawFd::as_raw_fd(&far);
            // SAFETY: six bytes.
            unsafe { libc::write(fd, word.as_ptr().cast(), 5) };
            // SAFETY: it ends the child at once.
            unsafe { libc::_exit(active) };
        }
        drop(far);
        let mut text = String::new();
        near.read_to_string(&mut text).unwrap();
        assert_eq!(text, "child");
        let mut status = 0;
        // SAFETY: a place for the status.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0, "it found that nothing is patched");
    });
}

#[test]
fn one_who_never_has_to_wait_lets_others_run_all_the_same() {
    run(|| {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let other = sedge::spawn(|| ());
        let mut turns = 0;
        while !other.is_finished() {
            far.write_all(b"x").unwrap();
            near.read_exact(&mut [0]).unwrap();
            turns += 1;
        }
        assert!(turns < 100);
    });
}

#[test]
fn every_scheduler_waits_for_itself() {
    let threads = (0..4).map(|_| {
        std::thread::spawn(|| {
            run(|| {
                let (mut near, mut far) = UnixStream::pair().unwrap();
                let reads = sedge::spawn(move || near.read(&mut [0; 4]).unwrap());
                sedge::sleep(Duration::from_millis(5));
                far.write_all(b"four").unwrap();
                assert_eq!(reads.join().unwrap(), 4);
            });
            // Another one on the same OS thread finds nothing left of the first.
            run(|| {
                let (mut near, mut far) = UnixStream::pair().unwrap();
                let reads = sedge::spawn(move || near.read(&mut [0; 4]).unwrap());
                sedge::sleep(Duration::from_millis(5));
                far.write_all(b"four").unwrap();
                assert_eq!(reads.join().unwrap(), 4);
            });
        })
    });
    let threads: Vec<_> = threads.collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}
