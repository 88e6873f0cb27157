//! The word `Shutdown`, without a server.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sedge::server::Shutdown;
use sedge::{Reason, State};

use crate::util::{self, FOREVER, Log, ms, until};

#[test]
fn all_who_wait_hear_the_word() {
    util::run(|| {
        let shutdown = Shutdown::new();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let shutdown = shutdown.clone();
                sedge::spawn(move || shutdown.wait())
            })
            .collect();
        for thread in &threads {
            until(thread.thread(), State::Parked(Reason::Event));
        }
        shutdown.set();
        shutdown.set();
        for thread in threads {
            thread.join().unwrap();
        }
        shutdown.wait();
    });
}

#[test]
fn a_wait_for_the_word_can_be_limited_and_cancelled() {
    util::run(|| {
        let shutdown = Shutdown::new();
        assert!(!shutdown.wait_timeout(ms(1)));
        let word = shutdown.clone();
        let thread = sedge::spawn(move || word.wait());
        until(thread.thread(), State::Parked(Reason::Event));
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
        shutdown.set();
        assert!(shutdown.wait_timeout(ms(0)));
    });
}

#[test]
fn the_word_can_be_used_outside_of_run() {
    let shutdown = Shutdown::new();
    assert!(!shutdown.is_set());
    let message = util::panic_of(|| shutdown.wait());
    assert!(message.contains("sedge::run"), "{message}");
    shutdown.set();
    shutdown.wait();
    assert!(shutdown.wait_timeout(FOREVER));
}

#[test]
fn a_call_is_unwound_by_the_word_and_its_destructors_run() {
    util::run(|| {
        let (log, shutdown) = (Log::default(), Shutdown::new());
        let (events, word) = (log.clone(), shutdown.clone());
        let thread = sedge::spawn(move || {
            let cut = word.run_until_set(|| {
                let _dropped = events.on_drop("dropped");
                sedge::sleep(FOREVER);
            });
            events.add("goes on");
            sedge::sleep(ms(1));
            cut
        });
        until(thread.thread(), State::Parked(Reason::Sleep));
        shutdown.set();
        assert_eq!(thread.join().unwrap(), None);
        assert_eq!(log.take(), ["dropped", "goes on"]);
    });
}

#[test]
fn a_call_under_a_word_that_is_set_ends_where_it_would_wait() {
    util::run(|| {
        let shutdown = Shutdown::new();
        shutdown.set();
        assert_eq!(shutdown.run_until_set(|| 1), Some(1));
        assert_eq!(shutdown.run_until_set(sedge::yield_now), None);
    });
}

#[test]
fn a_value_is_kept_though_the_word_came() {
    util::run(|| {
        let shutdown = Shutdown::new();
        let value = shutdown.run_until_set(|| {
            shutdown.set();
            1
        });
        assert_eq!(value, Some(1));
        sedge::sleep(ms(1));
    });
}

#[test]
fn words_and_time_limits_unwind_to_their_own_frames() {
    util::run(|| {
        let (outer, inner) = (Shutdown::new(), Shutdown::new());
        let late = sedge::timeout(ms(1), || outer.run_until_set(|| sedge::sleep(FOREVER)));
        assert!(late.is_err());
        let cut = outer.run_until_set(|| {
            let cut = inner.run_until_set(|| {
                inner.set();
                sedge::sleep(FOREVER);
            });
            assert_eq!(cut, None);
            sedge::sleep(ms(1));
            2
        });
        assert_eq!(cut, Some(2));
        let both = outer.run_until_set(|| {
            inner.run_until_set(|| {
                outer.set();
                sedge::sleep(FOREVER);
            });
            unreachable!("the outer one is unwound to");
        });
        assert_eq!(both, None);
    });
}

#[test]
fn a_cancellation_and_a_panic_pass_through() {
    util::run(|| {
        let shutdown = Shutdown::new();
        let word = shutdown.clone();
        let thread = sedge::spawn(move || word.run_until_set(|| sedge::sleep(FOREVER)));
        until(thread.thread(), State::Parked(Reason::Sleep));
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
        let call = || shutdown.run_until_set(|| panic!("this panic is part of a test"));
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
        shutdown.set();
        sedge::sleep(ms(1));
    });
}

#[test]
fn a_shield_keeps_the_word_out() {
    util::run(|| {
        let shutdown = Shutdown::new();
        let cut = shutdown.run_until_set(|| {
            sedge::shield(|| {
                shutdown.set();
                sedge::sleep(ms(1));
            });
            sedge::sleep(FOREVER);
        });
        assert_eq!(cut, None);
    });
}
