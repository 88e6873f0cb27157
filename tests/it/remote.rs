//! `Remote` and `Unparker`: the doors for other OS threads and for signal handlers.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};

use sedge::thread::{self, Ended, Remote, Unparker};
use sedge::{Reason, State};

use crate::util::{self, OnDrop, Watchdog, ms, panic_of, until};

#[test]
fn another_os_thread_spawns_and_unparks() {
    util::run(|| {
        thread_local!(static RAN: Cell<u32> = const { Cell::new(0) });
        let remote = Remote::new();
        let me = thread::current().id();
        let worker = std::thread::spawn(move || {
            for _ in 0..100 {
                remote.spawn(|| RAN.set(RAN.get() + 1)).unwrap();
            }
            remote.spawn(move || {
                let main = thread::all()
                    .into_iter()
                    .find(|thread| thread.id() == me)
                    .unwrap();
                main.unpark();
            })
        });
        thread::park();
        assert_eq!(RAN.get(), 100);
        assert_eq!(worker.join().unwrap(), Ok(()));
    });
}

#[test]
fn an_unpark_from_outside_is_never_lost() {
    util::run(|| {
        let remote = Remote::new();
        let me = thread::current().id();
        let (turn, turns) = mpsc::channel();
        let worker = std::thread::spawn(move || {
            for () in turns {
                remote.unpark(me).unwrap();
            }
        });
        for _ in 0..10_000 {
            turn.send(()).unwrap();
            thread::park();
        }
        drop(turn);
        worker.join().unwrap();
    });
}

#[test]
fn an_unpark_of_somebody_who_has_ended_is_harmless() {
    util::run(|| {
        let ended = sedge::spawn(|| thread::current().id()).join().unwrap();
        let next = sedge::spawn(thread::park);
        until(next.thread(), State::Parked(Reason::Park));
        let remote = Remote::new();
        let worker = std::thread::spawn(move || remote.unpark(ended));
        sedge::sleep(ms(5));
        assert_eq!(worker.join().unwrap(), Ok(()));
        assert_eq!(next.thread().state(), State::Parked(Reason::Park));
        next.cancel();
    });
}

#[test]
fn a_scheduler_that_has_ended_refuses_and_drops_what_is_sent() {
    let (remote, id) = util::run(|| (Remote::new(), thread::current().id()));
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dropped);
    let guard = OnDrop(move || _ = count.fetch_add(1, Ordering::SeqCst));
    let refused: Ended = remote.spawn(move || drop(guard)).unwrap_err();
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    assert_eq!(remote.unpark(id), Err(refused));
    remote.unparker(id).unpark();
    assert!(refused.to_string().contains("has ended"));
}

#[test]
fn a_body_that_came_too_late_is_dropped() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dropped);
    let _watchdog = Watchdog::new();
    sedge::run(|| {
        let guard = OnDrop(move || _ = count.fetch_add(1, Ordering::SeqCst));
        // Main ends without another look at the inbox.
        Remote::new().spawn(move || drop(guard)).unwrap();
    });
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn a_panic_of_a_remote_body_harms_nobody() {
    util::run(|| {
        Remote::new().spawn(|| panic!("nobody joins this")).unwrap();
        sedge::sleep(ms(2));
        assert_eq!(sedge::spawn(|| 1).join().unwrap(), 1);
    });
}

#[test]
fn a_signal_handler_unparks() {
    static WAITER: OnceLock<Unparker> = OnceLock::new();

    extern "C" fn on_signal(_: libc::c_int) {
        if let Some(waiter) = WAITER.get() {
            waiter.unpark();
        }
    }

    util::run(|| {
        let unparker = Remote::new().unparker(thread::current().id());
        assert_eq!(unparker.id(), thread::current().id());
        WAITER.set(unparker).unwrap();
        let handler = on_signal as extern "C" fn(libc::c_int);
        // SAFETY: the handler is async-signal-safe, as `Unparker::unpark` promises to be.
        #[expect(unsafe_code, reason = "a real signal handler")]
        let previous = unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
        assert_ne!(previous, libc::SIG_ERR);
        let raise = || {
            // SAFETY: the signal has a handler.
            #[expect(unsafe_code, reason = "a real signal")]
            let raised = unsafe { libc::raise(libc::SIGUSR1) };
            assert_eq!(raised, 0);
        };
        for _ in 0..100 {
            raise();
            thread::park();
        }
        // Raised by another OS thread, while this one sleeps in the kernel.
        let parks = sedge::stats().parks[Reason::Park];
        let other = std::thread::spawn(move || {
            std::thread::sleep(ms(10));
            raise();
        });
        thread::park();
        assert_eq!(sedge::stats().parks[Reason::Park], parks + 1);
        other.join().unwrap();
    });
}

#[test]
fn an_open_remote_holds_a_deadlock_report_back_and_the_last_one_lets_it_go() {
    let _watchdog = Watchdog::new();
    let (opened, open) = mpsc::channel();
    let text = panic_of(|| {
        sedge::run(|| {
            let remote = Remote::new();
            let second = remote.clone();
            let me = thread::current().id();
            std::thread::spawn(move || {
                std::thread::sleep(ms(20));
                remote.unpark(me).unwrap();
                drop(remote);
                std::thread::sleep(ms(20));
                opened.send(()).unwrap();
                drop(second);
            });
            thread::park();
            // Woken, so nobody took the first wait for a deadlock; this one is.
            thread::park();
        });
    });
    assert!(text.starts_with("deadlock: 1 green thread waits"), "{text}");
    assert_eq!(
        open.try_recv(),
        Ok(()),
        "the report came while a Remote was open"
    );
}

#[test]
fn an_unparker_holds_a_deadlock_report_back_too() {
    let _watchdog = Watchdog::new();
    sedge::run(|| {
        let unparker = Remote::new().unparker(thread::current().id());
        std::thread::spawn(move || {
            std::thread::sleep(ms(20));
            unparker.unpark();
        });
        thread::park();
    });
}

#[test]
fn a_last_message_counts_although_many_descriptors_are_ready_before_it() {
    use std::io::Write;

    let _watchdog = Watchdog::new();
    sedge::run(|| {
        let pipes: Vec<_> = (0..300)
            .map(|_| {
                let (reader, writer) = std::io::pipe().unwrap();
                let source = sedge::io::Source::new(reader);
                // Registers the descriptor and waits for it no longer.
                assert!(
                    sedge::timeout(std::time::Duration::ZERO, || source.wait_readable()).is_err()
                );
                (source, writer)
            })
            .collect();
        let unparker = Remote::new().unparker(thread::current().id());
        for (_, writer) in &pipes {
            (&*writer).write_all(b"x").unwrap();
        }
        std::thread::spawn(move || unparker.unpark())
            .join()
            .unwrap();
        // More events than one poll takes come before the waker's; no Remote is left.
        thread::park();
    });
}
