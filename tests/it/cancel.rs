//! Cancellation: from wherever a green thread waits, with its destructors, and no further than
//! asked.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use sedge::sync::Mutex;
use sedge::thread::{self, JoinError};
use sedge::{JoinHandle, Reason, State};

use crate::util::{self, FOREVER, Log, OnDrop, ms, until};

/// Cancels `wait` once it has parked for `reason`; it must unwind at once and drop what it holds.
fn is_cancelled_in(reason: Reason, wait: impl FnOnce() + 'static) {
    let log = Log::default();
    let dropped = log.on_drop("dropped");
    let after = log.clone();
    let thread = sedge::spawn(move || {
        let _dropped = dropped;
        wait();
        after.add("it went on");
    });
    until(thread.thread(), State::Parked(reason));
    assert_eq!(log.take(), [""; 0]);
    thread.cancel();
    let error = thread.join().unwrap_err();
    assert!(error.is_cancelled(), "{error}");
    assert!(error.to_string().ends_with("was cancelled"), "{error}");
    assert_eq!(error.message(), None);
    assert_eq!(log.take(), ["dropped"]);
}

#[test]
fn a_sleeper_is_cancelled() {
    util::run(|| {
        is_cancelled_in(Reason::Sleep, || sedge::sleep(FOREVER));
        is_cancelled_in(Reason::Sleep, || {
            sedge::sleep_until(Instant::now() + FOREVER)
        });
    });
}

#[test]
fn a_parked_thread_is_cancelled() {
    util::run(|| {
        is_cancelled_in(Reason::Park, thread::park);
        is_cancelled_in(Reason::Park, || thread::park_timeout(FOREVER));
    });
}

#[test]
fn a_joiner_is_cancelled_and_the_joined_goes_on() {
    util::run(|| {
        let threads: Vec<_> = (0..5).map(|_| sedge::spawn(thread::park)).collect();
        let handles: Vec<_> = threads
            .iter()
            .map(|thread| thread.thread().clone())
            .collect();
        let mut threads = threads.into_iter();
        let mut next = || threads.next().unwrap();
        let (a, b, c, d, e) = (next(), next(), next(), next(), next());
        is_cancelled_in(Reason::Join, || drop(a.join()));
        is_cancelled_in(Reason::Join, || drop(b.join_timeout(FOREVER)));
        is_cancelled_in(Reason::Join, || sedge::wait_all(&[c]));
        is_cancelled_in(Reason::Join, || _ = sedge::wait_any(&[d]));
        is_cancelled_in(Reason::Join, || drop(sedge::as_completed([e]).next()));
        for handle in handles {
            assert_eq!(handle.state(), State::Parked(Reason::Park));
            handle.unpark();
        }
    });
}

#[test]
fn who_waits_for_a_lock_is_cancelled_and_leaves_the_queue() {
    util::run(|| {
        let lock = Rc::new(Mutex::new(0));
        let guard = lock.lock().unwrap();
        let inner = Rc::clone(&lock);
        is_cancelled_in(Reason::Lock, move || drop(inner.lock()));
        drop(guard);
        assert!(!lock.is_poisoned());
        drop(lock.try_lock().expect("nobody is in the queue"));
    });
}

/// A green thread that waits for the lock, and says when it has had it and when it goes on.
fn locker(lock: &Rc<Mutex<()>>, log: &Log, name: &'static str) -> JoinHandle<()> {
    let (lock, log) = (Rc::clone(lock), log.clone());
    let thread = sedge::spawn(move || {
        drop(lock.lock().unwrap());
        log.add(format!("{name} had it"));
        sedge::yield_now();
        log.add(format!("{name} goes on"));
    });
    until(thread.thread(), State::Parked(Reason::Lock));
    thread
}

#[test]
fn a_lock_that_was_handed_over_is_kept_and_the_cancellation_comes_at_the_next_wait() {
    util::run(|| {
        let log = Log::default();
        let lock = Rc::new(Mutex::new(()));
        let guard = lock.lock().unwrap();
        let (first, second) = (locker(&lock, &log, "first"), locker(&lock, &log, "second"));
        drop(guard);
        first.cancel();
        assert!(first.join().unwrap_err().is_cancelled());
        second.join().unwrap();
        assert_eq!(
            log.take(),
            ["first had it", "second had it", "second goes on"]
        );
        assert!(!lock.is_poisoned());
    });
}

#[test]
fn a_lock_that_is_given_up_after_the_cancellation_of_a_waiter_goes_to_the_next() {
    util::run(|| {
        let log = Log::default();
        let lock = Rc::new(Mutex::new(()));
        let guard = lock.lock().unwrap();
        let (first, second) = (locker(&lock, &log, "first"), locker(&lock, &log, "second"));
        first.cancel();
        drop(guard);
        second.join().unwrap();
        assert!(first.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["second had it", "second goes on"]);
    });
}

#[test]
fn who_waits_for_a_descriptor_is_cancelled() {
    util::run(|| {
        let (reader, writer) = std::io::pipe().unwrap();
        let source = Rc::new(sedge::io::Source::new(reader));
        let inner = Rc::clone(&source);
        is_cancelled_in(Reason::Read, move || inner.wait_readable().unwrap());
        // The registration is intact: the next one is woken.
        let inner = Rc::clone(&source);
        let next = sedge::spawn(move || inner.wait_readable().unwrap());
        until(next.thread(), State::Parked(Reason::Read));
        (&writer).write_all(b"x").unwrap();
        next.join().unwrap();

        let (_reader, writer) = full_pipe();
        let source = sedge::io::Source::new(writer);
        is_cancelled_in(Reason::Write, move || source.wait_writable().unwrap());
    });
}

/// A pipe whose buffer is full.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
    while (&writer).write(&[0; 4096]).is_ok() {}
    (reader, writer)
}

#[test]
fn who_waits_for_a_blocking_job_is_cancelled_while_the_job_runs_on() {
    let (release, released) = mpsc::channel::<()>();
    let done = Arc::new(AtomicBool::new(false));
    let job = Arc::clone(&done);
    util::run(|| {
        is_cancelled_in(Reason::Blocking, move || {
            sedge::blocking(move || {
                let released = released.recv();
                job.store(released.is_ok(), Ordering::SeqCst);
            });
        });
    });
    assert!(!done.load(Ordering::SeqCst), "run waited for the job");
    release.send(()).unwrap();
    let deadline = Instant::now() + ms(10_000);
    while !done.load(Ordering::SeqCst) && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert!(done.load(Ordering::SeqCst), "the job was lost");
}

#[test]
fn a_thread_that_only_yields_is_cancelled() {
    util::run(|| {
        let thread = sedge::spawn(|| {
            loop {
                sedge::yield_now();
            }
        });
        sedge::yield_now();
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_thread_that_has_not_started_runs_nothing_but_drops_its_closure() {
    util::run(|| {
        let log = Log::default();
        let dropped = log.on_drop("closure dropped");
        let inner = log.clone();
        let thread = sedge::spawn(move || {
            let _dropped = dropped;
            inner.add("it ran");
        });
        thread.cancel();
        assert_eq!(log.take(), [""; 0], "dropped by whoever cancels");
        assert!(thread.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["closure dropped"]);
    });
}

#[test]
fn a_running_thread_goes_on_until_it_would_wait() {
    util::run(|| {
        let log = Log::default();
        let inner = log.clone();
        let thread = sedge::spawn(move || {
            thread::current().cancel();
            inner.add("goes on");
            sedge::yield_now();
            inner.add("too far");
        });
        assert!(thread.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["goes on"]);
    });
}

#[test]
fn cancelling_twice_or_after_the_end_does_nothing() {
    util::run(|| {
        let log = Log::default();
        let dropped = log.on_drop("dropped");
        let thread = sedge::spawn(move || {
            let _dropped = dropped;
            thread::park();
        });
        sedge::yield_now();
        thread.cancel();
        thread.cancel();
        sedge::yield_now();
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["dropped"]);
        let ended = sedge::spawn(|| 3);
        sedge::yield_now();
        ended.cancel();
        assert_eq!(ended.join().unwrap(), 3);
        // Whoever has its place in the table now is somebody else.
        let stale = sedge::spawn(|| ());
        let handle = stale.thread().clone();
        stale.join().unwrap();
        let next = sedge::spawn(sedge::yield_now);
        handle.cancel();
        assert!(next.join().is_ok());
    });
}

#[test]
fn who_catches_a_cancellation_meets_it_again_at_the_next_wait() {
    util::run(|| {
        let log = Log::default();
        let inner = log.clone();
        let thread = sedge::spawn(move || {
            let caught = catch_unwind(AssertUnwindSafe(thread::park));
            inner.add(format!("caught: {}", caught.is_err()));
            let again = catch_unwind(AssertUnwindSafe(|| sedge::sleep(FOREVER)));
            inner.add(format!("again: {}", again.is_err()));
            sedge::yield_now();
            inner.add("too far");
        });
        sedge::yield_now();
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["caught: true", "again: true"]);
    });
}

#[test]
fn a_body_that_catches_its_cancellation_may_still_return_a_value() {
    util::run(|| {
        let thread = sedge::spawn(|| catch_unwind(thread::park).is_err());
        sedge::yield_now();
        thread.cancel();
        assert!(thread.join().unwrap());
    });
}

#[test]
fn a_shield_puts_cancellation_off_to_the_next_wait_behind_it() {
    util::run(|| {
        let log = Log::default();
        let inner = log.clone();
        let thread = sedge::spawn(move || {
            sedge::shield(|| {
                sedge::shield(thread::park);
                inner.add("inner shield left");
                sedge::yield_now();
                sedge::sleep(ms(1));
            });
            inner.add("outer shield left");
            sedge::yield_now();
            inner.add("too far");
        });
        sedge::yield_now();
        thread.cancel();
        sedge::yield_now();
        assert_eq!(thread.thread().state(), State::Parked(Reason::Park));
        thread.thread().unpark();
        assert!(thread.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["inner shield left", "outer shield left"]);
    });
}

#[test]
fn a_shield_that_a_panic_leaves_protects_no_longer() {
    util::run(|| {
        let thread = sedge::spawn(|| {
            util::panic_of(|| sedge::shield(|| panic!("out of the shield")));
            thread::park();
        });
        sedge::yield_now();
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_destructor_that_sleeps_or_does_io_does_not_hold_up_the_cancellation() {
    util::run(|| {
        let log = Log::default();
        let inner = log.clone();
        let thread = sedge::spawn(move || {
            let (reader, _writer) = std::io::pipe().unwrap();
            let source = sedge::io::Source::new(reader);
            let _guard = OnDrop(move || {
                sedge::sleep(FOREVER);
                sedge::yield_now();
                inner.add(format!(
                    "io: {:?}",
                    source.wait_readable().unwrap_err().kind()
                ));
            });
            thread::park();
        });
        sedge::yield_now();
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["io: WouldBlock"]);
    });
}

#[test]
fn a_destructor_may_wait_for_a_lock_while_its_thread_is_cancelled() {
    util::run(|| {
        let log = Log::default();
        let lock = Rc::new(Mutex::new(()));
        let guard = lock.lock().unwrap();
        let (inner, events) = (Rc::clone(&lock), log.clone());
        let thread = sedge::spawn(move || {
            let _guard = OnDrop(|| {
                let _guard = inner.lock().unwrap();
                events.add("locked");
            });
            thread::park();
        });
        sedge::yield_now();
        thread.cancel();
        until(thread.thread(), State::Parked(Reason::Lock));
        thread.cancel();
        (0..5).for_each(|_| sedge::yield_now());
        log.add("unlock");
        drop(guard);
        assert!(thread.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["unlock", "locked"]);
    });
}

#[test]
fn a_guard_that_a_cancellation_drops_poisons_its_own_lock_only() {
    util::run(|| {
        let own = Rc::new(Mutex::new(()));
        let other = Rc::new(Mutex::new(()));
        let (a, b) = (Rc::clone(&own), Rc::clone(&other));
        let holder = sedge::spawn(move || {
            let _guard = b.lock().unwrap();
            (0..10).for_each(|_| sedge::yield_now());
        });
        let thread = sedge::spawn(move || {
            let _guard = a.lock().unwrap();
            thread::park();
        });
        sedge::yield_now();
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
        holder.join().unwrap();
        assert!(own.is_poisoned() && !other.is_poisoned());
        own.clear_poison();
        drop(own.lock().unwrap());
    });
}

#[test]
fn a_cancellation_between_a_wake_and_its_turn_unwinds_and_loses_no_token() {
    util::run(|| {
        let log = Log::default();
        let inner = log.clone();
        let thread = sedge::spawn(move || {
            let caught = catch_unwind(AssertUnwindSafe(thread::park));
            inner.add(format!("unwound: {}", caught.is_err()));
            // The token was not taken, so this does not wait.
            thread::park();
            inner.add("took the token");
        });
        sedge::yield_now();
        thread.thread().unpark();
        thread.cancel();
        assert!(thread.join().is_ok());
        assert_eq!(log.take(), ["unwound: true", "took the token"]);
    });
}

#[test]
fn a_child_that_its_cancelled_parent_joins_in_a_destructor_ends_first() {
    util::run(|| {
        let log = Log::default();
        let (outer, inner) = (log.clone(), log.clone());
        let parent = sedge::spawn(move || {
            let child = sedge::spawn(move || {
                sedge::sleep(ms(3));
                inner.add("child");
            });
            let child = RefCell::new(Some(child));
            let _guard = OnDrop(|| {
                child.take().unwrap().join().unwrap();
                outer.add("joined");
            });
            thread::park();
        });
        sedge::yield_now();
        parent.cancel();
        assert!(parent.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["child", "joined"]);
    });
}

#[test]
fn the_error_of_a_cancelled_child_is_not_the_cancellation_of_its_parent() {
    util::run(|| {
        let parent = sedge::spawn(|| {
            let child = sedge::spawn(thread::park);
            child.cancel();
            let error: JoinError = child.join().unwrap_err();
            std::panic::resume_unwind(error.into_panic());
        });
        let error = parent.join().unwrap_err();
        assert!(!error.is_cancelled(), "nobody cancelled the parent");
    });
}

#[test]
fn many_threads_cancelled_at_once_all_unwind() {
    util::run(|| {
        let dropped = Rc::new(Cell::new(0));
        let threads: Vec<_> = (0..1_000_u32)
            .map(|i| {
                let dropped = Rc::clone(&dropped);
                sedge::spawn(move || {
                    let _guard = OnDrop(|| dropped.set(dropped.get() + 1));
                    match i % 4 {
                        0 => sedge::sleep(FOREVER),
                        1 => thread::park(),
                        2 => drop(sedge::timeout(FOREVER, thread::park)),
                        _ => sedge::spawn(|| ()).join().unwrap(),
                    }
                    thread::park();
                })
            })
            .collect();
        (0..3).for_each(|_| sedge::yield_now());
        threads.iter().for_each(|thread| thread.cancel());
        for thread in threads {
            assert!(thread.join().unwrap_err().is_cancelled());
        }
        assert_eq!(dropped.get(), 1_000);
    });
}

#[test]
fn shields_hold_whatever_comes_between_their_begin_and_their_end() {
    util::run(|| {
        let reached = Rc::new(Cell::new(false));
        let inside = Rc::clone(&reached);
        let thread = sedge::spawn(move || {
            sedge::shield(|| {
                sedge::shield(|| sedge::sleep(ms(5))); // cancelled meanwhile
                sedge::sleep(ms(1));
                let late = sedge::timeout(ms(1), || sedge::sleep(FOREVER));
                assert!(late.is_err());
                sedge::shield(sedge::yield_now);
                inside.set(true);
            });
            sedge::sleep(FOREVER);
        });
        sedge::yield_now();
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
        assert!(reached.get());
    });
}
