//! Scopes: children borrow from a frame, so the frame must outlive them whatever happens.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use sedge::thread::{self, Builder};
use sedge::{Reason, State, scope, shield, timeout};

use crate::util::{self, FOREVER, Log, OnDrop, ms, panic_of, until};

#[test]
fn children_borrow_and_have_ended_when_the_scope_returns() {
    util::run(|| {
        let mut numbers = vec![1, 2, 3];
        let sum = Cell::new(0);
        let value = scope(|s| {
            for number in &numbers {
                let sum = &sum;
                s.spawn(move || {
                    sedge::sleep(ms(1));
                    sum.set(sum.get() + number);
                });
            }
            "value"
        });
        numbers.clear();
        assert_eq!((value, sum.get()), ("value", 6));
    });
}

#[test]
fn a_scoped_join_gives_the_value_and_the_error() {
    util::run(|| {
        let text = "borrowed".to_owned();
        scope(|s| {
            let value = s.spawn(|| text.as_str());
            assert_eq!(value.thread().state(), State::Ready);
            assert_eq!(value.join().unwrap(), "borrowed");
            let named = Builder::new().name("bad".to_owned());
            let bad = named.spawn_scoped(s, || panic!("in the scope")).unwrap();
            let error = bad.join().unwrap_err();
            assert_eq!(
                (error.name(), error.message()),
                (Some("bad"), Some("in the scope"))
            );
            let cancelled = s.spawn(thread::park);
            cancelled.cancel();
            assert!(cancelled.join().unwrap_err().is_cancelled());
        });
    });
}

#[test]
fn a_panic_that_is_not_joined_comes_out_of_the_scope() {
    util::run(|| {
        let log = Log::default();
        let text = panic_of(|| {
            scope(|s| {
                s.spawn(|| panic!("nobody joins"));
                s.spawn(|| {
                    sedge::sleep(ms(2));
                    log.add("the sibling ended first");
                });
            });
        });
        assert_eq!(text, "a scoped thread panicked");
        assert_eq!(log.take(), ["the sibling ended first"]);
        // A handle that is dropped, before the end or after it, is not joined either.
        for early in [true, false] {
            let text = panic_of(|| {
                scope(|s| {
                    let child = s.spawn(|| panic!("nobody joins"));
                    while !early && !child.is_finished() {
                        sedge::yield_now();
                    }
                    drop(child);
                });
            });
            assert_eq!(text, "a scoped thread panicked");
        }
    });
}

#[test]
fn a_body_that_panics_waits_for_its_children_and_lets_them_finish() {
    util::run(|| {
        let log = Log::default();
        let frame = RefCell::new(String::from("alive"));
        let text = panic_of(|| {
            let _frame = log.on_drop("frame gone");
            scope(|s| {
                s.spawn(|| {
                    (0..5).for_each(|_| sedge::yield_now());
                    sedge::sleep(ms(3));
                    log.add(frame.borrow().as_str());
                });
                panic!("of the body");
            });
        });
        assert_eq!(text, "of the body");
        assert_eq!(log.take(), ["alive", "frame gone"]);
    });
}

#[test]
fn a_cancelled_scope_cancels_its_children_and_outlives_them() {
    for in_body in [true, false] {
        util::run(|| {
            let log = Log::default();
            let inner = log.clone();
            let owner = sedge::spawn(move || {
                let frame = String::from("alive");
                let _frame = inner.on_drop("frame gone");
                scope(|s| {
                    s.spawn(|| {
                        let _guard = OnDrop(|| inner.add(frame.as_str()));
                        thread::park();
                    });
                    if in_body {
                        sedge::sleep(FOREVER);
                    }
                });
                inner.add("too far");
            });
            until(
                owner.thread(),
                State::Parked(if in_body { Reason::Sleep } else { Reason::Join }),
            );
            owner.cancel();
            assert!(owner.join().unwrap_err().is_cancelled());
            assert_eq!(log.take(), ["alive", "frame gone"]);
        });
    }
}

#[test]
fn a_cancelled_scope_waits_for_a_shielded_child() {
    util::run(|| {
        let log = Log::default();
        let inner = log.clone();
        let owner = sedge::spawn(move || {
            let frame = String::from("alive");
            let _frame = inner.on_drop("frame gone");
            scope(|s| {
                s.spawn(|| {
                    shield(|| {
                        sedge::sleep(ms(5));
                        inner.add(frame.as_str());
                    });
                    sedge::yield_now();
                    inner.add("too far");
                });
            });
        });
        until(owner.thread(), State::Parked(Reason::Join));
        owner.cancel();
        sedge::yield_now();
        owner.cancel();
        assert!(owner.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["alive", "frame gone"]);
    });
}

#[test]
fn a_limit_that_passes_in_a_scope_cancels_the_children() {
    util::run(|| {
        let log = Log::default();
        let frame = String::from("alive");
        let late = timeout(ms(2), || {
            scope(|s| {
                s.spawn(|| {
                    let _guard = OnDrop(|| log.add(frame.as_str()));
                    sedge::sleep(FOREVER);
                });
            });
        });
        assert!(late.is_err());
        assert_eq!(log.take(), ["alive"]);
        sedge::sleep(ms(1));
    });
}

#[test]
fn a_shielded_scope_is_not_cut_short() {
    util::run(|| {
        let log = Log::default();
        let inner = log.clone();
        let owner = sedge::spawn(move || {
            shield(|| {
                scope(|s| {
                    s.spawn(|| {
                        sedge::sleep(ms(3));
                        inner.add("child done");
                    });
                });
                inner.add("scope done");
            });
            sedge::yield_now();
            inner.add("too far");
        });
        until(owner.thread(), State::Parked(Reason::Join));
        owner.cancel();
        assert!(owner.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["child done", "scope done"]);
    });
}

#[test]
fn children_of_children_are_waited_for() {
    util::run(|| {
        let count = Cell::new(0);
        scope(|s| {
            for _ in 0..5 {
                s.spawn(|| {
                    sedge::yield_now();
                    for _ in 0..5 {
                        s.spawn(|| {
                            sedge::sleep(ms(1));
                            count.set(count.get() + 1);
                        });
                    }
                });
            }
        });
        assert_eq!(count.get(), 25);
    });
}

/// The value of a scope's body, with a destructor that panics.
struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("in the destructor of the value");
    }
}

#[test]
fn a_value_whose_destructor_panics_does_not_let_the_frame_go_before_the_children() {
    util::run(|| {
        let log = Log::default();
        let inner = log.clone();
        let owner = sedge::spawn(move || {
            let _frame = inner.on_drop("frame gone");
            scope(|s| {
                s.spawn(|| {
                    let _guard = inner.on_drop("child gone");
                    shield(|| sedge::sleep(ms(5)));
                    thread::park();
                });
                PanicsInDrop
            });
        });
        until(owner.thread(), State::Parked(Reason::Join));
        owner.cancel();
        assert!(owner.join().is_err());
        assert_eq!(log.take(), ["child gone", "frame gone"]);
    });
}

#[test]
fn a_value_whose_destructor_waits_does_not_let_the_frame_go_before_the_children() {
    util::run(|| {
        let log = Log::default();
        let inner = log.clone();
        let owner = sedge::spawn(move || {
            let _frame = inner.on_drop("frame gone");
            scope(|s| {
                s.spawn(|| {
                    let _guard = inner.on_drop("child gone");
                    thread::park();
                });
                OnDrop(|| sedge::sleep(FOREVER))
            });
        });
        until(owner.thread(), State::Parked(Reason::Join));
        owner.cancel();
        assert!(owner.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["child gone", "frame gone"]);
    });
}

#[test]
fn a_value_that_nobody_takes_is_dropped_before_the_scope_ends() {
    util::run(|| {
        let log = Log::default();
        let frame = RefCell::new(0);
        scope(|s| {
            s.spawn(|| {
                let frame = &frame;
                let log = &log;
                OnDrop(move || {
                    sedge::sleep(ms(2));
                    *frame.borrow_mut() += 1;
                    log.add("value dropped");
                })
            });
        });
        log.add("scope left");
        assert_eq!(
            (frame.into_inner(), log.take().join(", ")),
            (1, "value dropped, scope left".into())
        );
    });
}

#[test]
fn a_cancelled_child_whose_value_waits_in_its_destructor_is_no_panic() {
    util::run(|| {
        scope(|s| {
            let child = s.spawn(|| OnDrop(|| sedge::sleep(FOREVER)));
            let thread = child.thread().clone();
            drop(child);
            until(&thread, State::Parked(Reason::Sleep));
            thread.cancel();
        });
    });
}

#[test]
fn a_scope_in_a_destructor_works_while_the_thread_unwinds() {
    util::run(|| {
        let log = Log::default();
        let inner = log.clone();
        let thread = sedge::spawn(move || {
            let _guard = OnDrop(|| {
                let value = Cell::new(0);
                scope(|s| {
                    s.spawn(|| {
                        sedge::sleep(ms(2));
                        value.set(5);
                    });
                });
                inner.add(format!("{}", value.get()));
            });
            thread::park();
        });
        sedge::yield_now();
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["5"]);
    });
}

#[test]
fn a_body_that_fails_to_spawn_drops_its_closure_and_the_scope_ends() {
    util::run(|| {
        let log = Log::default();
        scope(|s| {
            let dropped = log.on_drop("dropped");
            let failed = Builder::new()
                .stack_size(1)
                .spawn_scoped(s, move || drop(dropped));
            assert!(failed.is_err());
        });
        assert_eq!(log.take(), ["dropped"]);
    });
}

#[test]
fn a_join_of_a_sibling_from_another_child_works() {
    util::run(|| {
        let shared = Rc::new(Cell::new(0));
        let total = scope(|s| {
            let first = s.spawn(|| {
                sedge::sleep(ms(1));
                shared.set(1);
                10
            });
            let second = s.spawn(|| first.join().unwrap() + shared.get());
            second.join().unwrap()
        });
        assert_eq!(total, 11);
    });
}

#[test]
fn a_child_that_is_born_while_the_scope_stops_is_cancelled_too() {
    util::run(|| {
        let log = Log::default();
        let inner = log.clone();
        let owner = sedge::spawn(move || {
            scope(|s| {
                s.spawn(|| {
                    shield(|| sedge::sleep(ms(2)));
                    s.spawn(|| {
                        sedge::sleep(FOREVER);
                        inner.add("too far");
                    });
                });
            });
        });
        sedge::yield_now();
        sedge::yield_now();
        owner.cancel();
        assert!(owner.join().unwrap_err().is_cancelled());
        assert!(log.take().is_empty());
    });
}
