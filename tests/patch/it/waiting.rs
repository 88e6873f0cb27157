//! `poll`, `ppoll`, `select` and `epoll_wait`.

use std::io::{PipeReader, PipeWriter, Write, pipe};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::{Duration, Instant};

use libc::{POLLHUP, POLLIN, POLLNVAL, POLLOUT, pollfd};
use sedge_patch_tests::{parks, run};

fn entry(fd: i32, events: i16) -> pollfd {
    pollfd {
        fd,
        events,
        revents: 0,
    }
}

fn poll(fds: &mut [pollfd], timeout: i32) -> i32 {
    // SAFETY: so many are there.
    unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as u64, timeout) }
}

/// A pipe into which a byte comes after a while.
fn soon() -> (PipeReader, sedge::JoinHandle<PipeWriter>) {
    let (reader, mut writer) = pipe().unwrap();
    let writes = sedge::spawn(move || {
        sedge::sleep(Duration::from_millis(20));
        writer.write_all(b"x").unwrap();
        writer
    });
    (reader, writes)
}

#[test]
fn poll_waits_for_the_first_of_several() {
    run(|| {
        let (idle, _writer) = pipe().unwrap();
        let (reader, _writes) = soon();
        let mut fds = [
            entry(idle.as_raw_fd(), POLLIN),
            entry(-1, POLLIN),
            entry(reader.as_raw_fd(), POLLIN),
        ];
        assert_eq!(parks(&["poll"], || assert_eq!(poll(&mut fds, -1), 1)), 1);
        assert_eq!(fds.map(|entry| entry.revents), [0, 0, POLLIN]);
    });
}

#[test]
fn poll_gives_up_when_its_time_has_passed() {
    run(|| {
        let (idle, writer) = pipe().unwrap();
        let begun = Instant::now();
        assert_eq!(poll(&mut [entry(idle.as_raw_fd(), POLLIN)], 30), 0);
        assert!(begun.elapsed() >= Duration::from_millis(30));
        assert_eq!(poll(&mut [], 5), 0);
        assert_eq!(poll(&mut [entry(idle.as_raw_fd(), POLLIN)], 0), 0);
        assert_eq!(poll(&mut [entry(writer.as_raw_fd(), POLLOUT)], -1), 1);
    });
}

#[test]
fn poll_hears_of_the_end_and_of_what_is_closed() {
    run(|| {
        let (reader, writer) = pipe().unwrap();
        let fd = reader.as_raw_fd();
        let waits = sedge::spawn(move || {
            let mut fds = [entry(fd, 0)];
            (poll(&mut fds, -1), fds[0].revents)
        });
        sedge::sleep(Duration::from_millis(1));
        drop(writer);
        assert_eq!(waits.join().unwrap(), (1, POLLHUP));

        let (reader, _writer) = pipe().unwrap();
        let fd = reader.as_raw_fd();
        let waits = sedge::spawn(move || {
            let mut fds = [entry(fd, POLLIN)];
            (poll(&mut fds, -1), fds[0].revents)
        });
        sedge::sleep(Duration::from_millis(1));
        drop(reader);
        assert_eq!(waits.join().unwrap(), (1, POLLNVAL));
    });
}

#[test]
fn ppoll_and_select_wait_too() {
    run(|| {
        let (reader, _writes) = soon();
        let mut fds = [entry(reader.as_raw_fd(), POLLIN)];
        // SAFETY: one entry; no limit, no mask.
        let mut ready = || unsafe { libc::ppoll(&raw mut fds[0], 1, ptr::null(), ptr::null()) };
        assert_eq!(parks(&["ppoll"], || assert_eq!(ready(), 1)), 1);

        let (reader, _writes) = soon();
        let fd = reader.as_raw_fd();
        // SAFETY: zeros are an empty set.
        let mut set: libc::fd_set = unsafe { std::mem::zeroed() };
        // SAFETY: a set, and a number that it has a bit for.
        unsafe { libc::FD_SET(fd, &raw mut set) };
        let mut time = libc::timeval {
            tv_sec: 5,
            tv_usec: 0,
        };
        let none = ptr::null_mut();
        // SAFETY: a set and a time.
        let mut ready = || unsafe { libc::select(fd + 1, &raw mut set, none, none, &raw mut time) };
        assert_eq!(parks(&["select"], || assert_eq!(ready(), 1)), 1);
        // SAFETY: as above.
        assert!(unsafe { libc::FD_ISSET(fd, &raw const set) });
        assert!(time.tv_sec == 4, "Linux says how much is left");
    });
}

#[test]
fn a_loop_of_somebody_else_s_waits_in_its_epoll() {
    run(|| {
        // SAFETY: no memory is involved.
        let epoll = unsafe { libc::epoll_create1(0) };
        // SAFETY: it was just made, and is nobody else's.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        let (reader, _writes) = soon();
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: 7,
        };
        let (fd, add) = (reader.as_raw_fd(), libc::EPOLL_CTL_ADD);
        // SAFETY: an event.
        let added = unsafe { libc::epoll_ctl(epoll.as_raw_fd(), add, fd, &raw mut event) };
        assert_eq!(added, 0);
        let mut wait = |timeout| {
            // SAFETY: room for one event.
            unsafe { libc::epoll_wait(epoll.as_raw_fd(), &raw mut event, 1, timeout) }
        };
        assert_eq!(wait(5), 0);
        assert_eq!(parks(&["epoll_wait"], || assert_eq!(wait(-1), 1)), 1);
        assert_eq!({ event.u64 }, 7);
    });
}
