//! `green_local!`: a value per green thread, with a destructor at its end.

use std::cell::{Cell, RefCell};

use sedge::thread;

use crate::util::{self, FOREVER, Log};

sedge::green_local! {
    static COUNT: Cell<u32> = const { Cell::new(0) };
    static TEXT: RefCell<String> = RefCell::new("initial".to_owned());
    static FIRST: RefCell<Option<Noisy>> = const { RefCell::new(None) };
    static SECOND: RefCell<Option<Noisy>> = const { RefCell::new(None) };
}

/// Says when it is dropped, and what it can see then.
struct Noisy {
    log: Log,
    on_drop: fn(&Log),
}

impl Drop for Noisy {
    fn drop(&mut self) {
        (self.on_drop)(&self.log);
    }
}

#[test]
fn every_thread_has_its_own_value() {
    util::run(|| {
        COUNT.set(1);
        let threads: Vec<_> = (2..6)
            .map(|i| {
                sedge::spawn(move || {
                    assert_eq!(COUNT.get(), 0);
                    COUNT.set(i);
                    sedge::yield_now();
                    COUNT.get()
                })
            })
            .collect();
        let seen: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        assert_eq!((seen, COUNT.get()), (vec![2, 3, 4, 5], 1));
    });
    util::run(|| assert_eq!(COUNT.get(), 0, "an earlier run's main has left its value"));
}

#[test]
fn the_methods_are_those_of_std() {
    util::run(|| {
        assert_eq!(COUNT.replace(3), 0);
        assert_eq!(COUNT.take(), 3);
        TEXT.with_borrow_mut(|text| text.push('!'));
        assert_eq!(TEXT.with_borrow(String::len), 8);
        assert_eq!(TEXT.replace("new".to_owned()), "initial!");
        assert_eq!(TEXT.take(), "new");
        TEXT.set("set".to_owned());
        assert_eq!(TEXT.with(|text| text.borrow().clone()), "set");
        assert_eq!(COUNT.try_with(Cell::get), Ok(0));
    });
}

#[test]
fn a_std_thread_local_is_shared() {
    thread_local!(static SHARED: Cell<u32> = const { Cell::new(0) });
    util::run(|| {
        SHARED.set(1);
        sedge::spawn(|| SHARED.set(SHARED.get() + 1))
            .join()
            .unwrap();
        assert_eq!(SHARED.get(), 2);
    });
    SHARED.set(0);
}

#[test]
fn a_value_is_dropped_at_the_end_before_a_join_returns_also_when_cancelled_or_panicking() {
    util::run(|| {
        let log = Log::default();
        for end in ["returns", "panics", "cancelled"] {
            let inner = log.clone();
            let thread = sedge::spawn(move || {
                FIRST.set(Some(Noisy {
                    log: inner,
                    on_drop: |log| log.add("dropped"),
                }));
                sedge::yield_now();
                match end {
                    "returns" => {}
                    "panics" => panic!("with a local"),
                    _ => sedge::sleep(FOREVER),
                }
            });
            sedge::yield_now();
            if end == "cancelled" {
                sedge::yield_now();
                thread.cancel();
            }
            assert_eq!(thread.join().is_ok(), end == "returns");
            log.add(end);
        }
        assert_eq!(
            log.take(),
            [
                "dropped",
                "returns",
                "dropped",
                "panics",
                "dropped",
                "cancelled"
            ]
        );
    });
}

#[test]
fn destructors_see_older_values_may_wait_and_may_make_new_ones() {
    util::run(|| {
        let log = Log::default();
        let inner = log.clone();
        let thread = sedge::spawn(move || {
            let older = |log: &Log| {
                let gone = SECOND.try_with(|_| ()).is_err();
                log.add(format!("first dropped, the second is gone: {gone}"));
                sedge::yield_now();
                log.add(format!("a new one: {}", COUNT.get()));
            };
            let newer = |log: &Log| {
                let there = FIRST.with_borrow(Option::is_some);
                log.add(format!("second dropped, the first is there: {there}"));
                sedge::spawn(sedge::yield_now).join().unwrap();
            };
            FIRST.set(Some(Noisy {
                log: inner.clone(),
                on_drop: older,
            }));
            SECOND.set(Some(Noisy {
                log: inner,
                on_drop: newer,
            }));
        });
        thread.join().unwrap();
        assert_eq!(
            log.take(),
            [
                "second dropped, the first is there: true",
                "first dropped, the second is gone: true",
                "a new one: 0",
            ]
        );
    });
}

#[test]
fn a_destructor_that_panics_does_not_keep_the_others_from_running_on_the_thread() {
    util::run(|| {
        let log = Log::default();
        let inner = log.clone();
        let thread = sedge::spawn(move || {
            let older = |log: &Log| log.add(thread::current().name().unwrap_or("nameless"));
            FIRST.set(Some(Noisy {
                log: inner.clone(),
                on_drop: older,
            }));
            SECOND.set(Some(Noisy {
                log: inner,
                on_drop: |_| panic!("in a local"),
            }));
            5
        });
        assert_eq!(thread.join().unwrap(), 5);
        assert_eq!(log.take(), ["nameless"]);
    });
}

#[test]
fn a_local_that_the_value_makes_in_its_destructor_is_dropped_on_the_thread_too() {
    util::run(|| {
        let log = Log::default();
        let value = Noisy {
            log: log.clone(),
            on_drop: |log| {
                log.add("value dropped");
                let late = |log: &Log| {
                    sedge::yield_now();
                    log.add("late local dropped");
                };
                FIRST.set(Some(Noisy {
                    log: log.clone(),
                    on_drop: late,
                }));
            },
        };
        drop(sedge::spawn(move || value));
        (0..5).for_each(|_| sedge::yield_now());
        assert_eq!(log.take(), ["value dropped", "late local dropped"]);
    });
}

#[test]
fn a_local_outside_of_run_says_what_is_missing() {
    let text = util::panic_of(|| COUNT.get());
    assert!(text.contains("call this inside sedge::run"), "{text}");
}
