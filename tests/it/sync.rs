//! `sync::Mutex`: std's promises, and first come, first served.

mod condvar;
mod meet;
mod once;
mod rwlock;
mod seeds;
mod semaphore;

use std::cell::Cell;
use std::rc::Rc;

use sedge::sync::{Mutex, TryLockError};
use sedge::{Reason, State};

use crate::util::{self, Log, ms, until};

#[test]
fn a_lock_excludes_across_waits() {
    util::run(|| {
        let lock = Rc::new(Mutex::new(0));
        let inside = Rc::new(Cell::new(0));
        let threads: Vec<_> = (0..20)
            .map(|_| {
                let (lock, inside) = (Rc::clone(&lock), Rc::clone(&inside));
                sedge::spawn(move || {
                    let mut guard = lock.lock().unwrap();
                    assert_eq!(inside.replace(1), 0, "two hold the lock");
                    let seen = *guard;
                    sedge::yield_now();
                    *guard = seen + 1;
                    inside.set(0);
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*lock.lock().unwrap(), 20);
    });
}

#[test]
fn a_lock_goes_to_the_one_that_has_waited_for_longest() {
    util::run(|| {
        let log = Log::default();
        let lock = Rc::new(Mutex::new(()));
        let guard = lock.lock().unwrap();
        for name in ["first", "second", "third"] {
            let (lock, log) = (Rc::clone(&lock), log.clone());
            let thread = sedge::spawn(move || {
                let _guard = lock.lock().unwrap();
                log.add(name);
            });
            until(thread.thread(), State::Parked(Reason::Lock));
        }
        drop(guard);
        assert!(
            matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
            "nobody barges in"
        );
        drop(lock.lock().unwrap());
        assert_eq!(log.take(), ["first", "second", "third"]);
    });
}

#[test]
fn a_panic_of_the_holder_poisons_and_the_value_is_still_there() {
    util::run(|| {
        let lock = Rc::new(Mutex::new(1));
        let inner = Rc::clone(&lock);
        let waiting = Rc::clone(&lock);
        let holder = sedge::spawn(move || {
            let mut guard = inner.lock().unwrap();
            *guard = 2;
            sedge::sleep(ms(1));
            panic!("while it holds the lock");
        });
        let waiter = sedge::spawn(move || waiting.lock().is_err());
        assert!(holder.join().is_err());
        assert!(waiter.join().unwrap(), "the waiter was not told");
        assert!(lock.is_poisoned());
        assert_eq!(*lock.lock().unwrap_err().into_inner(), 2);
        assert!(matches!(lock.try_lock(), Err(TryLockError::Poisoned(_))));
        lock.clear_poison();
        assert_eq!(*lock.lock().unwrap(), 2);
    });
}

#[test]
fn a_free_lock_needs_no_scheduler() {
    let mut lock = Mutex::new(1);
    *lock.lock().unwrap() += 1;
    *lock.get_mut().unwrap() += 1;
    assert!(!format!("{lock:?}").contains("locked"));
    assert_eq!(lock.into_inner().unwrap(), 3);
}

#[test]
fn formatting_a_lock_whose_value_waits_while_it_is_formatted_keeps_the_others_out() {
    struct Slow;
    impl std::fmt::Debug for Slow {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            sedge::sleep(ms(2));
            f.write_str("Slow")
        }
    }
    util::run(|| {
        let lock = Rc::new(Mutex::new(Slow));
        let inner = Rc::clone(&lock);
        let text = sedge::spawn(move || format!("{inner:?}"));
        until(text.thread(), State::Parked(Reason::Sleep));
        assert!(format!("{lock:?}").contains("<locked>"));
        drop(lock.lock().unwrap());
        assert!(text.join().unwrap().contains("data: Slow"));
    });
}
