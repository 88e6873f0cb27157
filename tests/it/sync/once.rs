//! `sync::{Once, OnceLock, LazyLock}`: std's promises, while closures wait and are unwound.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use sedge::sync::{LazyLock, Once, OnceLock};
use sedge::{Reason, State, thread, timeout};

use crate::seeds::{cancel_at_each_moment, seeds};
use crate::util::{self, Dice, Log, ms, panic_of, until};

#[test]
fn a_closure_that_waits_runs_once_and_everybody_waits_for_its_end() {
    util::run(|| {
        let (once, log) = (Rc::new(Once::new()), Log::default());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (once, log) = (Rc::clone(&once), log.clone());
                sedge::spawn(move || {
                    once.call_once(|| {
                        log.add("begins");
                        sedge::sleep(ms(1));
                        log.add("ends");
                    });
                    log.add("goes on");
                })
            })
            .collect();
        until(threads[3].thread(), State::Parked(Reason::Lock));
        assert!(!once.is_completed());
        once.wait();
        assert!(once.is_completed());
        sedge::wait_all(&threads);
        let order = ["begins", "ends", "goes on", "goes on", "goes on", "goes on"];
        assert_eq!(log.take(), order);
    });
}

#[test]
fn a_once_needs_no_scheduler_unless_it_waits() {
    let once = Once::new();
    let text = panic_of(|| once.wait());
    assert!(text.contains("no sedge scheduler"), "{text}");
    let calls = Cell::new(0);
    once.call_once(|| calls.set(1));
    once.call_once(|| calls.set(2));
    once.call_once_force(|_| calls.set(3));
    once.wait();
    once.wait_force();
    assert_eq!(calls.get(), 1);
}

#[test]
fn a_panic_poisons_until_a_forced_call_succeeds() {
    util::run(|| {
        let once = Rc::new(Once::new());
        let inner = Rc::clone(&once);
        let first = sedge::spawn(move || inner.call_once(|| panic!("in the closure")));
        assert_eq!(first.join().unwrap_err().message(), Some("in the closure"));
        assert!(panic_of(|| once.call_once(|| ())).contains("poisoned"));
        assert!(panic_of(|| once.wait()).contains("poisoned"));
        let inner = Rc::clone(&once);
        let patient = sedge::spawn(move || inner.wait_force());
        until(patient.thread(), State::Parked(Reason::Lock));
        let again = AssertUnwindSafe(|| once.call_once_force(|_| panic!("again")));
        assert!(catch_unwind(again).is_err());
        once.call_once_force(|state| assert!(state.is_poisoned()));
        patient.join().unwrap();
        once.call_once(|| unreachable!());
    });
}

#[test]
fn a_cancellation_poisons_as_a_panic_does_and_those_who_wait_are_told() {
    util::run(|| {
        let once = Rc::new(Once::new());
        let inner = Rc::clone(&once);
        let first = sedge::spawn(move || inner.call_once(thread::park));
        until(first.thread(), State::Parked(Reason::Park));
        let waiter = |wait: fn(&Once)| {
            let inner = Rc::clone(&once);
            let thread = sedge::spawn(move || wait(&inner));
            until(thread.thread(), State::Parked(Reason::Lock));
            thread
        };
        let waits = waiter(Once::wait);
        let calls = waiter(|once| once.call_once(|| ()));
        first.cancel();
        assert!(waits.join().unwrap_err().to_string().contains("poisoned"));
        assert!(calls.join().unwrap_err().to_string().contains("poisoned"));
        let forces = sedge::spawn(move || once.call_once_force(|s| assert!(s.is_poisoned())));
        forces.join().unwrap();
    });
}

#[test]
fn a_closure_that_waits_for_itself_is_told_so() {
    const TEXT: &str = "waits for itself";
    let once = Once::new();
    assert!(panic_of(|| once.call_once(|| once.call_once(|| ()))).contains(TEXT));
    util::run(|| {
        let once = Once::new();
        assert!(panic_of(|| once.call_once(|| once.wait())).contains(TEXT));
        let lock = OnceLock::new();
        assert!(panic_of(|| _ = lock.get_or_init(|| *lock.get_or_init(|| 1))).contains(TEXT));
        assert_eq!(lock.set(2), Ok(()));
    });
}

#[test]
fn a_value_is_set_once_and_the_second_one_comes_back() {
    let mut lock = OnceLock::new();
    assert_eq!(lock.get_mut(), None);
    assert_eq!(format!("{lock:?}"), "OnceLock(<uninit>)");
    assert_eq!(lock.set(1), Ok(()));
    assert_eq!(lock.set(2), Err(2));
    assert_eq!(lock.get_or_init(|| 3), &1);
    assert_eq!(lock.wait(), &1);
    *lock.get_mut().unwrap() = 4;
    assert_eq!(format!("{lock:?}"), "OnceLock(4)");
    assert_eq!(lock.clone(), lock);
    assert_eq!(OnceLock::from(4), lock);
    assert_eq!(OnceLock::from(4).set(5), Err(5));
    assert_ne!(OnceLock::default(), lock);
    assert_eq!(lock.take(), Some(4));
    assert_eq!(lock.set(6), Ok(()));
    assert_eq!(lock.into_inner(), Some(6));
}

#[test]
fn a_maker_that_waits_makes_others_wait_and_one_that_fails_leaves_it_to_the_next() {
    util::run(|| {
        let lock: Rc<OnceLock<&str>> = Rc::default();
        let wants = |make: fn() -> &'static str| {
            let lock = Rc::clone(&lock);
            sedge::spawn(move || *lock.get_or_init(make))
        };
        let panics = wants(|| {
            sedge::yield_now();
            panic!("no value")
        });
        let inner = Rc::clone(&lock);
        let waits = sedge::spawn(move || *inner.wait());
        let cancelled = wants(|| {
            thread::park();
            "too far"
        });
        until(cancelled.thread(), State::Parked(Reason::Park));
        let inner = Rc::clone(&lock);
        let sets = sedge::spawn(move || inner.set("set"));
        until(sets.thread(), State::Parked(Reason::Lock));
        assert_eq!(lock.get(), None);
        cancelled.cancel();
        assert!(panics.join().is_err());
        assert_eq!(sets.join().unwrap(), Ok(()));
        assert_eq!(waits.join().unwrap(), "set");
        assert!(timeout(ms(1), || *lock.get_or_init(|| "late")) == Ok("set"));
    });
}

#[test]
fn a_lazy_value_is_made_on_first_use() {
    let calls = Cell::new(0);
    let mut lazy = LazyLock::new(|| {
        calls.set(calls.get() + 1);
        5
    });
    assert_eq!(LazyLock::get(&lazy), None);
    assert_eq!(format!("{lazy:?}"), "LazyLock(<uninit>)");
    assert_eq!((*lazy, *lazy), (5, 5));
    assert_eq!(LazyLock::force(&lazy), &5);
    *lazy += 1;
    assert_eq!(LazyLock::get_mut(&mut lazy), Some(&mut 6));
    assert_eq!(format!("{lazy:?}"), "LazyLock(6)");
    assert_eq!(calls.get(), 1);
    let mut lazy = LazyLock::new(|| 1);
    *LazyLock::force_mut(&mut lazy) += 1;
    assert_eq!(*lazy, 2);
    assert_eq!(*LazyLock::<String>::default(), "");
}

#[test]
fn a_lazy_value_whose_closure_waits_is_waited_for_and_one_that_fails_is_poisoned() {
    util::run(|| {
        let lazy = Rc::new(LazyLock::new(|| {
            sedge::sleep(ms(1));
            7
        }));
        let threads = [(); 3].map(|()| {
            let lazy = Rc::clone(&lazy);
            sedge::spawn(move || **lazy)
        });
        for thread in threads {
            assert_eq!(thread.join().unwrap(), 7);
        }
        let lazy: Rc<LazyLock<i32>> = Rc::new(LazyLock::new(|| {
            thread::park();
            8
        }));
        let inner = Rc::clone(&lazy);
        let maker = sedge::spawn(move || **inner);
        until(maker.thread(), State::Parked(Reason::Park));
        let inner = Rc::clone(&lazy);
        let waiter = sedge::spawn(move || **inner);
        until(waiter.thread(), State::Parked(Reason::Lock));
        maker.cancel();
        let text = "LazyLock instance has previously been poisoned";
        assert_eq!(waiter.join().unwrap_err().message(), Some(text));
        assert_eq!(panic_of(|| **lazy), text);
    });
}

#[test]
fn the_locks_may_be_used_in_catch_unwind_as_stds() {
    fn unwind_safe<T: std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    unwind_safe::<(Once, OnceLock<String>, LazyLock<String>)>();
    unwind_safe::<(sedge::sync::Condvar, sedge::sync::Barrier)>();
    unwind_safe::<(sedge::sync::Semaphore, sedge::sync::Event)>();
    unwind_safe::<sedge::sync::WaitGroup>();
}

#[test]
fn whenever_a_maker_is_cancelled_somebody_else_makes_the_value() {
    cancel_at_each_moment(|aim| {
        let (lock, made) = (Rc::new(OnceLock::new()), Rc::new(Cell::new(0)));
        let wants = || {
            let (lock, made) = (Rc::clone(&lock), Rc::clone(&made));
            sedge::spawn(move || {
                *lock.get_or_init(|| {
                    (0..3).for_each(|_| sedge::yield_now());
                    made.set(made.get() + 1);
                    9
                })
            })
        };
        let victim = wants();
        aim.at(&victim);
        let others = [wants(), wants()];
        assert_eq!(lock.wait(), &9);
        for other in others {
            assert_eq!(other.join().unwrap(), 9);
        }
        assert!(matches!(victim.join(), Ok(9) | Err(_)));
        assert_eq!(made.get(), 1);
    });
}

#[test]
fn one_value_is_made_in_any_order_whoever_fails() {
    seeds(|seed| {
        let mut dice = Dice::new(seed);
        let (lock, made) = (Rc::new(OnceLock::new()), Rc::new(Cell::new(0)));
        let threads: Vec<_> = (0..8)
            .map(|i| {
                let (lock, made, mut dice) = (Rc::clone(&lock), Rc::clone(&made), dice.child());
                sedge::spawn(move || {
                    let get = AssertUnwindSafe(|| {
                        lock.get_or_init(|| {
                            (0..dice.throw(3)).for_each(|_| sedge::yield_now());
                            if dice.throw(2) == 0 {
                                // Without the hook: it would print thousands.
                                std::panic::resume_unwind(Box::new("no value"));
                            }
                            made.set(made.get() + 1);
                            i
                        });
                    });
                    drop(catch_unwind(get));
                })
            })
            .collect();
        let victim = &threads[dice.throw(8) as usize];
        (0..dice.throw(5)).for_each(|_| sedge::yield_now());
        victim.cancel();
        sedge::wait_all(&threads);
        let value = *lock.get_or_init(|| 100);
        assert_eq!(lock.get(), Some(&value));
        assert_eq!(made.get(), usize::from(value != 100));
    });
}
