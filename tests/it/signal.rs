//! Signals: who hears them, how often, and what is refused. Each test has signals of its own, for
//! all tests share a process.

use std::cell::RefCell;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::rc::Rc;
use std::sync::mpsc;

use sedge::signal::{self, SIGCONT, SIGINT, SIGKILL, SIGSEGV, SIGSTOP, SIGTERM, SIGWINCH, Signals};
use sedge::{State, thread};

use crate::util::{FOREVER, ms, panic_of, run, until};

/// A signal that nobody else uses.
fn real_time(number: i32) -> i32 {
    libc::SIGRTMIN() + number
}

const PARKED: State = State::Parked(sedge::Reason::Read);

#[test]
fn a_signal_wakes_who_waits_for_it() {
    run(|| {
        let signals = Signals::new([SIGWINCH]).unwrap();
        let waiter = thread::spawn(move || signals.recv().unwrap());
        until(waiter.thread(), PARKED);
        signal::raise(SIGWINCH).unwrap();
        assert_eq!(waiter.join().unwrap(), SIGWINCH);
    });
}

#[test]
fn no_signal_is_lost_between_new_and_recv() {
    let (first, second) = (real_time(1), real_time(2));
    run(|| {
        let signals = Signals::new([first, second]).unwrap();
        assert_eq!(signals.try_recv(), None);
        signal::raise(second).unwrap();
        signal::raise(first).unwrap();
        let mut both = [signals.recv().unwrap(), signals.recv().unwrap()];
        both.sort_unstable();
        assert_eq!(both, [first, second]);
        assert_eq!(signals.try_recv(), None);
        // One that comes after another was taken is one more.
        signal::raise(first).unwrap();
        assert_eq!(signals.recv().unwrap(), first);
    });
}

#[test]
fn who_takes_one_of_two_signals_leaves_the_other_to_who_waits() {
    let (first, second) = (real_time(20), real_time(21));
    run(|| {
        let signals = Rc::new(Signals::new([first, second]).unwrap());
        let waits = Rc::clone(&signals);
        let waiter = thread::spawn(move || waits.recv().unwrap());
        until(waiter.thread(), PARKED);
        signal::raise(first).unwrap();
        signal::raise(second).unwrap();
        let taken = signals.try_recv().unwrap();
        let left = waiter.join_timeout(ms(2000)).unwrap().unwrap();
        assert_eq!(taken + left, first + second);
    });
}

#[test]
fn the_same_signal_many_times_comes_out_at_least_once() {
    let signal = real_time(3);
    run(|| {
        let signals = Signals::new([signal]).unwrap();
        // More than the socket has room for.
        for _ in 0..5000 {
            signal::raise(signal).unwrap();
        }
        assert_eq!(signals.recv().unwrap(), signal);
        while signals.try_recv().is_some() {}
        signal::raise(signal).unwrap();
        assert_eq!(signals.recv().unwrap(), signal);
    });
}

#[test]
fn every_receiver_gets_every_signal() {
    let signal = real_time(4);
    run(|| {
        let waiters: Vec<_> = (0..5)
            .map(|_| {
                let signals = Signals::new([signal]).unwrap();
                thread::spawn(move || signals.recv().unwrap())
            })
            .collect();
        for waiter in &waiters {
            until(waiter.thread(), PARKED);
        }
        signal::raise(signal).unwrap();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), signal);
        }
    });
}

#[test]
fn receivers_on_several_os_threads_get_every_signal() {
    let signal = real_time(5);
    let (ready, is_ready) = mpsc::channel();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let ready = ready.clone();
            std::thread::spawn(move || {
                run(|| {
                    let signals = Signals::new([signal]).unwrap();
                    ready.send(()).unwrap();
                    signals.recv().unwrap()
                })
            })
        })
        .collect();
    for _ in &threads {
        is_ready.recv().unwrap();
    }
    signal::raise(signal).unwrap();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), signal);
    }
}

#[test]
fn green_threads_that_share_a_receiver_share_the_signals() {
    let (first, second) = (real_time(6), real_time(7));
    run(|| {
        let signals = Rc::new(Signals::new([first, second]).unwrap());
        let log = Rc::new(RefCell::new(Vec::new()));
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let (signals, log) = (Rc::clone(&signals), Rc::clone(&log));
                thread::spawn(move || {
                    let signal = signals.recv().unwrap();
                    log.borrow_mut().push(signal);
                })
            })
            .collect();
        for waiter in &waiters {
            until(waiter.thread(), PARKED);
        }
        signal::raise(first).unwrap();
        signal::raise(second).unwrap();
        for waiter in waiters {
            waiter.join().unwrap();
        }
        log.borrow_mut().sort_unstable();
        assert_eq!(*log.borrow(), [first, second]);
    });
}

#[test]
fn who_is_cancelled_or_late_takes_no_signal_along() {
    let signal = real_time(8);
    run(|| {
        let signals = Rc::new(Signals::new([signal]).unwrap());
        assert!(sedge::timeout(ms(1), || signals.recv()).is_err());
        let ours = Rc::clone(&signals);
        let waiter = thread::spawn(move || ours.recv().unwrap());
        until(waiter.thread(), PARKED);
        signal::raise(signal).unwrap();
        waiter.cancel();
        assert!(waiter.join().unwrap_err().is_cancelled());
        assert_eq!(signals.recv().unwrap(), signal);
    });
}

#[test]
fn a_receiver_is_an_iterator_without_an_end() {
    let signal = real_time(9);
    run(|| {
        let mut signals = Signals::new([&signal]).unwrap();
        for _ in 0..3 {
            signal::raise(signal).unwrap();
            assert_eq!(signals.next().unwrap().unwrap(), signal);
        }
    });
}

#[test]
fn a_signal_can_be_added_later_and_twice() {
    let signal = real_time(10);
    run(|| {
        let signals = Signals::new(Vec::<i32>::new()).unwrap();
        signals.add_signal(signal).unwrap();
        signals.add_signal(signal).unwrap();
        signal::raise(signal).unwrap();
        assert_eq!(signals.recv().unwrap(), signal);
        assert_eq!(signals.try_recv(), None);
    });
}

#[test]
fn who_waits_for_a_signal_is_no_deadlock() {
    let signal = real_time(11);
    let watchdog = crate::util::Watchdog::new();
    // Without a `Remote` in the scheduler, so that a deadlock would be reported.
    sedge::run(|| {
        let signals = Signals::new([signal]).unwrap();
        std::thread::spawn(move || {
            std::thread::sleep(ms(20));
            signal::raise(signal).unwrap();
        });
        assert_eq!(signals.recv().unwrap(), signal);
    });
    drop(watchdog);
}

#[test]
fn what_cannot_be_received_is_an_error() {
    for signal in [SIGKILL, SIGSTOP, SIGSEGV, 0, -1, 65, 1000, i32::MIN, 32] {
        let error = Signals::new([signal]).unwrap_err();
        assert_eq!(
            error.kind(),
            io::ErrorKind::InvalidInput,
            "{signal}: {error}"
        );
    }
    let error = Signals::new([SIGKILL]).unwrap_err();
    assert_eq!(error.to_string(), "SIGKILL cannot be received");
}

#[test]
fn outside_run_only_what_has_come_is_received() {
    let signal = real_time(12);
    let signals = Signals::new([signal]).unwrap();
    signal::raise(signal).unwrap();
    assert_eq!(signals.recv().unwrap(), signal);
    assert!(panic_of(|| signals.recv()).contains("sedge::run"));
    // Nothing is left behind that a scheduler could trip over.
    signal::raise(signal).unwrap();
    assert_eq!(run(|| signals.recv().unwrap()), signal);
    assert!(panic_of(|| signals.recv()).contains("sedge::run"));
    let late = run(|| sedge::timeout(ms(1), || signals.recv()).is_err());
    assert!(late);
}

#[test]
fn nobody_waits_for_a_signal_while_unwinding() {
    struct Late(Signals, Rc<RefCell<Vec<io::ErrorKind>>>);

    impl Drop for Late {
        fn drop(&mut self) {
            let error = self.0.recv().unwrap_err();
            self.1.borrow_mut().push(error.kind());
        }
    }

    run(|| {
        let kinds = Rc::new(RefCell::new(Vec::new()));
        let late = Late(Signals::new([SIGWINCH]).unwrap(), Rc::clone(&kinds));
        let sleeper = thread::spawn(move || {
            let _late = late;
            sedge::sleep(FOREVER);
        });
        thread::yield_now();
        sleeper.cancel();
        assert!(sleeper.join().unwrap_err().is_cancelled());
        assert_eq!(*kinds.borrow(), [io::ErrorKind::WouldBlock]);
    });
}

#[test]
fn after_the_last_receiver_is_gone_the_signal_is_ignored() {
    let signal = real_time(13);
    drop(Signals::new([signal]).unwrap());
    signal::raise(signal).unwrap();
    let again = Signals::new([signal]).unwrap();
    assert_eq!(again.try_recv(), None);
}

#[test]
fn ctrl_c_waits_for_a_sigint() {
    let status = in_a_process("ctrl_c_waits_for_a_sigint", || {
        let waiter = thread::spawn(signal::ctrl_c);
        until(waiter.thread(), PARKED);
        signal::raise(SIGINT).unwrap();
        waiter.join().unwrap().unwrap();
        std::process::exit(7);
    });
    assert_eq!(status.code(), Some(7));
}

#[test]
fn default_action_ends_the_process_as_the_signal_would() {
    let name = "default_action_ends_the_process_as_the_signal_would";
    let status = in_a_process(name, || {
        let signals = Signals::new([SIGTERM, SIGCONT]).unwrap();
        signal::raise(SIGTERM).unwrap();
        assert_eq!(signals.recv().unwrap(), SIGTERM);
        signal::default_action(SIGTERM).unwrap();
    });
    assert_eq!(status.signal(), Some(SIGTERM));
}

/// In the child: plays the scene. In the parent: how the child has ended, which is this test again.
fn in_a_process(name: &str, scene: fn()) -> ExitStatus {
    const CHILD: &str = "SEDGE_TEST_SIGNALS";
    if std::env::var_os(CHILD).is_some() {
        run(scene);
        std::process::exit(0);
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([&format!("signal::{name}"), "--exact", "--nocapture"]);
    child
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .status()
        .unwrap()
}
