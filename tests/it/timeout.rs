//! Time limits: each unwinds its own call, whatever they are nested in.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use sedge::sync::Mutex;
use sedge::thread;
use sedge::{Elapsed, Reason, State, shield, timeout};

use crate::util::{self, FOREVER, Log, ms, until};

#[test]
fn a_call_within_its_limit_returns_its_value() {
    util::run(|| {
        assert_eq!(timeout(FOREVER, || 42), Ok(42));
        let slept = timeout(FOREVER, || sedge::sleep(ms(1)));
        assert_eq!(slept, Ok(()));
        // A limit that was met must not come to pass later.
        assert_eq!(timeout(ms(2), || ()), Ok(()));
        sedge::sleep(ms(6));
    });
}

#[test]
fn a_call_beyond_its_limit_is_unwound_and_never_early() {
    util::run(|| {
        let log = Log::default();
        let begin = Instant::now();
        let late = timeout(ms(5), || {
            let _guard = log.on_drop("unwound");
            sedge::sleep(FOREVER);
        });
        assert!(begin.elapsed() >= ms(5));
        let error: Elapsed = late.unwrap_err();
        assert_eq!(
            (error.limit, log.take()),
            (ms(5), vec!["unwound".to_owned()])
        );
        assert_eq!(error.to_string(), "not done within 5ms");
        // The green thread goes on as if nothing had been.
        sedge::sleep(ms(1));
        assert_eq!(sedge::spawn(|| 1).join().unwrap(), 1);
    });
}

#[test]
fn a_limit_of_zero_runs_until_the_first_wait() {
    util::run(|| {
        let log = Log::default();
        assert_eq!(timeout(Duration::ZERO, || 1), Ok(1));
        let late = timeout(Duration::ZERO, || {
            log.add("runs");
            sedge::yield_now();
            log.add("too far");
        });
        assert!(late.is_err());
        let tiny = timeout(Duration::ZERO, || {
            sedge::sleep(Duration::from_nanos(1));
            log.add("the shortest sleep is a wait too");
        });
        assert!(tiny.is_err());
        assert_eq!(log.take(), ["runs"]);
    });
}

#[test]
fn the_outer_limit_that_passes_first_unwinds_both() {
    util::run(|| {
        let log = Log::default();
        let outer = timeout(ms(2), || {
            let inner = timeout(ms(50), || {
                let _guard = log.on_drop("inner unwound");
                sedge::sleep(FOREVER);
            });
            log.add(format!("the inner one took it: {inner:?}"));
        });
        assert_eq!(outer.unwrap_err().limit, ms(2));
        assert_eq!(log.take(), ["inner unwound"]);
        // The inner one's timer has gone too.
        sedge::sleep(ms(60));
    });
}

#[test]
fn the_inner_limit_that_passes_first_leaves_the_outer_call_alone() {
    util::run(|| {
        let outer = timeout(FOREVER, || {
            let inner = timeout(ms(1), || sedge::sleep(FOREVER));
            sedge::sleep(ms(1));
            inner.unwrap_err().limit
        });
        assert_eq!(outer, Ok(ms(1)));
    });
}

#[test]
fn limits_that_pass_together_unwind_to_the_outermost() {
    util::run(|| {
        let log = Log::default();
        let outer = timeout(ms(2), || {
            let inner = timeout(ms(1), || {
                let until = Instant::now() + ms(4);
                while Instant::now() < until {}
                thread::park();
            });
            log.add(format!("inner: {inner:?}"));
        });
        assert!(outer.is_err());
        assert_eq!(log.take(), [""; 0]);
    });
}

#[test]
fn a_value_that_was_returned_is_not_given_up() {
    util::run(|| {
        let value = timeout(ms(1), || {
            let until = Instant::now() + ms(3);
            while Instant::now() < until {}
            7
        });
        assert_eq!(value, Ok(7));
        let kept = timeout(ms(1), || {
            let caught = catch_unwind(|| sedge::sleep(FOREVER));
            caught.is_err()
        });
        assert_eq!(kept, Ok(true));
        sedge::sleep(ms(2));
    });
}

#[test]
fn who_catches_an_expiry_meets_it_again_inside_the_limit_only() {
    util::run(|| {
        let log = Log::default();
        let late = timeout(ms(1), || {
            let caught = catch_unwind(AssertUnwindSafe(thread::park));
            log.add(format!("caught: {}", caught.is_err()));
            thread::park();
            log.add("too far");
        });
        assert!(late.is_err());
        sedge::sleep(ms(1));
        assert_eq!(log.take(), ["caught: true"]);
    });
}

#[test]
fn an_expiry_that_was_caught_is_nobody_elses_when_it_is_resumed() {
    util::run(|| {
        let mut caught = None;
        let first = timeout(ms(1), || {
            caught = catch_unwind(thread::park).err();
        });
        assert_eq!(first, Ok(()));
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            timeout(FOREVER, || resume_unwind(caught.take().unwrap()))
        }));
        assert!(
            outcome.is_err(),
            "a limit of an hour said it had passed: {outcome:?}"
        );
    });
}

#[test]
fn cancellation_goes_through_every_limit() {
    util::run(|| {
        let log = Log::default();
        let inner = log.clone();
        let thread = sedge::spawn(move || {
            let late = timeout(FOREVER, || timeout(FOREVER, thread::park));
            inner.add(format!("took it for its own: {late:?}"));
        });
        until(thread.thread(), State::Parked(Reason::Park));
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), [""; 0]);
    });
}

#[test]
fn a_panic_goes_through_a_limit_with_its_payload() {
    util::run(|| {
        let text = util::panic_of(|| timeout(ms(1), || panic!("not in time")));
        assert_eq!(text, "not in time");
        sedge::sleep(ms(3));
    });
}

#[test]
fn a_limit_inside_a_shield_works_and_one_outside_waits_for_it() {
    util::run(|| {
        let log = Log::default();
        let outer = timeout(ms(1), || {
            shield(|| {
                sedge::sleep(ms(3));
                log.add("the outer limit waits");
                let inner = timeout(ms(1), || sedge::sleep(FOREVER));
                log.add(format!("the inner one passes: {}", inner.is_err()));
            });
            log.add("shield left");
            sedge::yield_now();
            log.add("too far");
        });
        assert!(outer.is_err());
        assert_eq!(
            log.take(),
            [
                "the outer limit waits",
                "the inner one passes: true",
                "shield left"
            ]
        );
    });
}

#[test]
fn a_cancellation_behind_a_shield_is_met_after_an_inner_limit_has_passed() {
    util::run(|| {
        let log = Log::default();
        let inner = log.clone();
        let thread = sedge::spawn(move || {
            shield(|| {
                let late = timeout(ms(1), || sedge::sleep(FOREVER));
                inner.add(format!("late: {}", late.is_err()));
                sedge::sleep(ms(1));
                inner.add("still shielded");
            });
            sedge::yield_now();
            inner.add("too far");
        });
        sedge::yield_now();
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["late: true", "still shielded"]);
    });
}

#[test]
fn every_wait_ends_with_its_limit() {
    util::run(|| {
        let lock = Mutex::new(());
        let held = lock.lock().unwrap();
        let parked = sedge::spawn(thread::park);
        let (reader, _writer) = std::io::pipe().unwrap();
        let source = sedge::io::Source::new(reader);
        assert!(timeout(ms(1), thread::park).is_err());
        assert!(timeout(ms(1), || drop(lock.lock())).is_err());
        assert!(timeout(ms(1), || source.wait_readable()).is_err());
        assert!(timeout(ms(1), || sedge::wait_all([&parked])).is_err());
        assert!(timeout(ms(1), || sedge::blocking(|| std::thread::sleep(ms(30)))).is_err());
        assert!(
            timeout(ms(1), || loop {
                sedge::yield_now()
            })
            .is_err()
        );
        drop(held);
        drop(lock.lock().unwrap());
        parked.thread().unpark();
        parked.join().unwrap();
    });
}

#[test]
fn limits_of_different_threads_do_not_meet() {
    util::run(|| {
        let threads: Vec<_> = (1..=50_u64)
            .map(|i| {
                sedge::spawn(move || {
                    let limit = ms(i % 7 + 1);
                    let begin = Instant::now();
                    let outer = timeout(FOREVER, || timeout(limit, || sedge::sleep(FOREVER)));
                    (outer, limit, begin.elapsed())
                })
            })
            .collect();
        for thread in threads {
            let (outer, limit, elapsed) = thread.join().unwrap();
            assert_eq!(outer.unwrap().unwrap_err().limit, limit);
            assert!(elapsed >= limit);
        }
    });
}

#[test]
fn a_limit_in_a_destructor_that_runs_while_unwinding_does_no_harm() {
    util::run(|| {
        let log = Log::default();
        let inner = log.clone();
        let thread = sedge::spawn(move || {
            let _guard = util::OnDrop(|| {
                let outcome = timeout(Duration::ZERO, || sedge::sleep(FOREVER));
                inner.add(format!("{outcome:?}"));
            });
            thread::park();
        });
        sedge::yield_now();
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["Ok(())"]);
    });
}

#[test]
fn a_limit_may_pass_while_its_thread_waits_in_the_scope_of_another() {
    util::run(|| {
        let log = Log::default();
        let shared = Rc::new(Mutex::new(0));
        let late = timeout(ms(2), || {
            sedge::scope(|s| {
                s.spawn(|| {
                    let _guard = log.on_drop("child unwound");
                    let _lock = shared.lock();
                    sedge::sleep(FOREVER);
                });
            });
        });
        log.add(format!("late: {}", late.is_err()));
        assert_eq!(log.take(), ["child unwound", "late: true"]);
    });
}
