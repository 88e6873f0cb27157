//! `sync::Mutex` with a cancellation at each moment, and in many orders.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::PoisonError;
use std::time::Duration;

use sedge::sync::{Mutex, RwLock};
use sedge::{JoinHandle, timeout};

use crate::seeds::{cancel_at_each_moment, seeds};
use crate::util::Dice;

#[test]
fn whenever_who_wants_a_lock_is_cancelled_the_next_one_gets_it() {
    cancel_at_each_moment(|aim| {
        let lock = Rc::new(Mutex::new(0));
        let rounds = Rc::new(Cell::new(0));
        let wants = || {
            let (lock, rounds) = (Rc::clone(&lock), Rc::clone(&rounds));
            sedge::spawn(move || {
                for _ in 0..3 {
                    let mut count = lock.lock().unwrap_or_else(PoisonError::into_inner);
                    *count += 1;
                    sedge::yield_now();
                    assert!(lock.try_lock().is_err());
                    rounds.set(rounds.get() + 1);
                    drop(count);
                }
            })
        };
        let first = wants();
        let victim = wants();
        aim.at(&victim);
        let last = wants();
        first.join().unwrap();
        last.join().unwrap();
        let held_lock = victim.join().is_err() && lock.is_poisoned();
        let count = *lock.lock().unwrap_or_else(PoisonError::into_inner);
        // Who was unwound while it held the lock has poisoned it, and counted once more.
        assert_eq!(count, rounds.get() + i32::from(held_lock));
    });
}

#[test]
fn a_lock_is_held_by_one_at_a_time_in_any_order_whoever_gives_up() {
    seeds(|seed| {
        let mut dice = Dice::new(seed);
        let lock = Rc::new(Mutex::new(()));
        let inside = Rc::new(Cell::new(false));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (lock, inside) = (Rc::clone(&lock), Rc::clone(&inside));
                let mut dice = dice.child();
                sedge::spawn(move || {
                    for _ in 0..4 {
                        let steps = dice.throw(3);
                        let hold = || {
                            let _guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
                            assert!(!inside.replace(true), "two hold it");
                            let _leave = crate::util::OnDrop(|| inside.set(false));
                            (0..steps).for_each(|_| sedge::yield_now());
                        };
                        match dice.throw(3) {
                            0 => drop(timeout(Duration::ZERO, hold)),
                            _ => hold(),
                        }
                    }
                })
            })
            .collect();
        (0..dice.throw(20)).for_each(|_| sedge::yield_now());
        threads.iter().take(2).for_each(JoinHandle::cancel);
        sedge::wait_all(&threads);
        lock.clear_poison();
        assert!(lock.try_lock().is_ok());
    });
}

/// Takes locks in their order, in one way or another; the end of each child waits for its owner.
fn climb(locks: &[(Mutex<()>, RwLock<()>)], mut dice: Dice) {
    let Some(((mutex, rwlock), rest)) = locks.split_first() else {
        return sedge::yield_now();
    };
    let (way, limit) = (dice.throw(8), Duration::from_micros(dice.throw(50)));
    let (child, next) = (dice.child(), dice.child());
    let go_on = || {
        (0..dice.throw(2)).for_each(|_| sedge::yield_now());
        climb(rest, next);
    };
    match way {
        0 | 1 => {
            let _guard = mutex.lock();
            go_on();
        }
        2 | 3 => {
            let _guard = rwlock.read();
            go_on();
        }
        4 => {
            let _guard = rwlock.write();
            go_on();
        }
        5 => {
            let _ = timeout(limit, || {
                let _guard = rwlock.write();
                go_on();
            });
        }
        6 => {
            let _guard = mutex.try_lock_for(limit);
            go_on();
        }
        _ => sedge::scope(|s| {
            s.spawn(|| climb(rest, child));
            go_on();
        }),
    }
}

#[test]
fn whoever_takes_locks_in_their_order_is_in_no_cycle() {
    seeds(|seed| {
        let mut dice = Dice::new(seed);
        let locks: Rc<Vec<_>> = Rc::new((0..4).map(|_| Default::default()).collect());
        let threads: Vec<_> = (0..10)
            .map(|_| {
                let (locks, mut dice) = (Rc::clone(&locks), dice.child());
                sedge::spawn(move || (0..6).for_each(|_| climb(&locks, dice.child())))
            })
            .collect();
        for thread in threads.iter().step_by(4) {
            (0..dice.throw(9)).for_each(|_| sedge::yield_now());
            thread.cancel();
        }
        for thread in threads {
            let error = thread.join().err();
            assert!(error.is_none_or(|error| error.is_cancelled()));
        }
    });
}
