//! `sync::Condvar`: std's promises, and that no notification is lost.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use sedge::sync::{Condvar, Mutex};
use sedge::{JoinHandle, Reason, State, thread, timeout};

use crate::seeds::{cancel_at_each_moment, seeds};
use crate::util::{self, FOREVER, Log, ms, panic_of, until};

type Pair = Rc<(Mutex<i32>, Condvar)>;

fn pair() -> Pair {
    Rc::new((Mutex::new(0), Condvar::new()))
}

/// Waits for one notification, then logs `name` and adds 1.
fn waiter(pair: &Pair, log: &Log, name: &'static str) -> JoinHandle<()> {
    let (pair, log) = (Rc::clone(pair), log.clone());
    let thread = sedge::spawn(move || {
        let (lock, condvar) = &*pair;
        let mut count = condvar.wait(lock.lock().unwrap()).unwrap();
        *count += 1;
        log.add(name);
    });
    until(thread.thread(), State::Parked(Reason::Condvar));
    thread
}

#[test]
fn a_notification_is_for_the_one_that_has_waited_for_longest() {
    util::run(|| {
        let (pair, log) = (pair(), Log::default());
        let threads = ["first", "second", "third"].map(|name| waiter(&pair, &log, name));
        pair.1.notify_one();
        pair.1.notify_one();
        sedge::wait_all(&threads[..2]);
        assert_eq!(log.take(), ["first", "second"]);
        assert_eq!(threads[2].thread().state(), State::Parked(Reason::Condvar));
        pair.1.notify_one();
    });
}

#[test]
fn notify_all_is_for_all_that_wait_now() {
    util::run(|| {
        let (pair, log) = (pair(), Log::default());
        let threads = ["first", "second", "third"].map(|name| waiter(&pair, &log, name));
        pair.1.notify_all();
        let late = waiter(&pair, &log, "late");
        sedge::wait_all(&threads);
        assert_eq!(log.take(), ["first", "second", "third"]);
        assert_eq!(*pair.0.lock().unwrap(), 3);
        assert_eq!(late.thread().state(), State::Parked(Reason::Condvar));
        pair.1.notify_all();
    });
}

#[test]
fn a_notification_that_nobody_waits_for_is_gone() {
    util::run(|| {
        let (lock, condvar) = &*pair();
        condvar.notify_one();
        condvar.notify_all();
        let (_guard, result) = condvar.wait_timeout(lock.lock().unwrap(), ms(1)).unwrap();
        assert!(result.timed_out());
    });
}

#[test]
fn wait_while_waits_as_long_as_the_condition_holds() {
    util::run(|| {
        let pair = pair();
        let inner = Rc::clone(&pair);
        let thread = sedge::spawn(move || {
            let guard = inner.0.lock().unwrap();
            *inner.1.wait_while(guard, |count| *count < 3).unwrap()
        });
        for _ in 0..3 {
            until(thread.thread(), State::Parked(Reason::Condvar));
            *pair.0.lock().unwrap() += 1;
            pair.1.notify_one();
        }
        assert_eq!(thread.join().unwrap(), 3);
        let guard = pair.0.lock().unwrap();
        drop(pair.1.wait_while(guard, |_| false));
    });
}

#[test]
fn a_wait_with_a_limit_says_whether_the_time_was_up_and_has_the_lock() {
    util::run(|| {
        let pair = pair();
        let begin = Instant::now();
        let guard = pair.0.lock().unwrap();
        let (guard, result) = pair.1.wait_timeout(guard, ms(3)).unwrap();
        assert!(result.timed_out() && begin.elapsed() >= ms(3));
        assert!(pair.0.try_lock().is_err());
        drop(guard);

        let inner = Rc::clone(&pair);
        let thread = sedge::spawn(move || {
            let guard = inner.0.lock().unwrap();
            let (guard, result) = inner.1.wait_timeout(guard, FOREVER).unwrap();
            (*guard, result.timed_out())
        });
        until(thread.thread(), State::Parked(Reason::Condvar));
        *pair.0.lock().unwrap() = 7;
        pair.1.notify_one();
        assert_eq!(thread.join().unwrap(), (7, false));
    });
}

#[test]
fn a_wait_while_with_a_limit_fails_only_if_the_condition_still_holds() {
    util::run(|| {
        let pair = pair();
        let wait = |limit, until: i32| {
            let guard = pair.0.lock().unwrap();
            let wait = pair
                .1
                .wait_timeout_while(guard, limit, |count| *count < until);
            let (count, result) = wait.unwrap();
            (*count, result.timed_out())
        };
        assert_eq!(wait(Duration::ZERO, 0), (0, false));
        assert_eq!(wait(Duration::ZERO, 1), (0, true));
        assert_eq!(wait(ms(2), 1), (0, true));
        let inner = Rc::clone(&pair);
        sedge::spawn(move || {
            for _ in 0..2 {
                sedge::yield_now();
                *inner.0.lock().unwrap() += 1;
                inner.1.notify_all();
            }
        });
        assert_eq!(wait(FOREVER, 2), (2, false));
    });
}

#[test]
fn a_wait_ends_with_the_poison_of_its_mutex() {
    util::run(|| {
        let pair = pair();
        let poison = |inner: Pair| {
            sedge::spawn(move || {
                let _guard = inner.0.lock();
                inner.1.notify_one();
                panic!("while it holds the lock");
            })
        };
        let guard = pair.0.lock().unwrap();
        drop(poison(Rc::clone(&pair)));
        drop(pair.1.wait(guard).unwrap_err().into_inner());
        pair.0.clear_poison();
        let guard = pair.0.lock().unwrap();
        drop(poison(Rc::clone(&pair)));
        let error = pair.1.wait_timeout(guard, FOREVER).unwrap_err();
        assert!(!error.into_inner().1.timed_out());
    });
}

#[test]
fn an_interrupted_wait_leaves_the_mutex_free_and_sound() {
    util::run(|| {
        let (pair, log) = (pair(), Log::default());
        let thread = waiter(&pair, &log, "cancelled");
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
        let late = timeout(ms(1), || {
            drop(pair.1.wait(pair.0.lock().unwrap()));
        });
        assert!(late.is_err());
        assert!(pair.0.try_lock().is_ok());
        // Neither is in the queue any more.
        let next = waiter(&pair, &log, "next");
        pair.1.notify_one();
        next.join().unwrap();
        assert_eq!(log.take(), ["next"]);
    });
}

#[test]
fn who_is_cancelled_behind_its_notification_has_the_lock_and_unwinds_at_the_next_wait() {
    util::run(|| {
        let (pair, log) = (pair(), Log::default());
        let inner = Rc::clone(&pair);
        let notes = log.clone();
        let thread = sedge::spawn(move || {
            let guard = inner.1.wait(inner.0.lock().unwrap()).unwrap();
            assert!(inner.0.try_lock().is_err());
            notes.add("notified");
            drop(guard);
            sedge::yield_now();
            notes.add("too far");
        });
        until(thread.thread(), State::Parked(Reason::Condvar));
        pair.1.notify_one();
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["notified"]);
        assert!(!pair.0.is_poisoned());
    });
}

#[test]
fn who_is_cancelled_before_it_has_the_lock_again_passes_its_notification_on() {
    util::run(|| {
        let (pair, log) = (pair(), Log::default());
        let threads = ["cancelled", "next", "last"].map(|name| waiter(&pair, &log, name));
        let guard = pair.0.lock().unwrap();
        pair.1.notify_one();
        until(threads[0].thread(), State::Parked(Reason::Lock));
        threads[0].cancel();
        until(threads[1].thread(), State::Parked(Reason::Lock));
        drop(guard);
        let [cancelled, next, last] = threads;
        assert!(cancelled.join().unwrap_err().is_cancelled());
        next.join().unwrap();
        assert_eq!(log.take(), ["next"]);
        assert_eq!(last.thread().state(), State::Parked(Reason::Condvar));
        pair.1.notify_one();
    });
}

#[test]
fn what_was_for_all_is_not_passed_on() {
    util::run(|| {
        let (pair, log) = (pair(), Log::default());
        let cancelled = waiter(&pair, &log, "cancelled");
        let guard = pair.0.lock().unwrap();
        pair.1.notify_all();
        until(cancelled.thread(), State::Parked(Reason::Lock));
        drop(guard);
        let late = waiter(&pair, &log, "late");
        let _ = log.take();
        cancelled.cancel();
        let _ = cancelled.join();
        assert_eq!(late.thread().state(), State::Parked(Reason::Condvar));
        pair.1.notify_one();
    });
}

#[test]
fn a_destructor_that_runs_while_unwinding_may_wait() {
    util::run(|| {
        let (pair, log) = (pair(), Log::default());
        let (inner, notes) = (Rc::clone(&pair), log.clone());
        let thread = sedge::spawn(move || {
            let _wait = util::OnDrop(|| {
                let guard = inner.0.lock().unwrap();
                drop(inner.1.wait_while(guard, |count| *count == 0).unwrap());
                notes.add("waited");
            });
            thread::park();
        });
        until(thread.thread(), State::Parked(Reason::Park));
        thread.cancel();
        until(thread.thread(), State::Parked(Reason::Condvar));
        *pair.0.lock().unwrap() = 1;
        pair.1.notify_one();
        assert!(thread.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["waited"]);
        assert!(!pair.0.is_poisoned());
    });
}

#[test]
fn outside_of_run_only_a_wait_panics() {
    let (lock, condvar) = &*pair();
    condvar.notify_one();
    condvar.notify_all();
    drop(condvar.wait_while(lock.lock().unwrap(), |_| false));
    let text = panic_of(|| drop(condvar.wait(lock.lock().unwrap())));
    assert!(text.contains("no sedge scheduler"), "{text}");
    assert!(lock.try_lock().is_ok());
}

/// A bounded buffer made of one mutex and two conditions.
#[derive(Default)]
struct Buffer {
    items: Mutex<VecDeque<u64>>,
    filled: Condvar,
    emptied: Condvar,
}

impl Buffer {
    const ROOM: usize = 2;

    fn put(&self, item: u64) {
        let items = self.items.lock().unwrap();
        let mut items = self
            .emptied
            .wait_while(items, |items| items.len() == Buffer::ROOM)
            .unwrap();
        items.push_back(item);
        self.filled.notify_one();
    }

    fn take(&self) -> u64 {
        let items = self.items.lock().unwrap();
        let mut items = self
            .filled
            .wait_while(items, |items| items.is_empty())
            .unwrap();
        let item = items.pop_front().unwrap();
        self.emptied.notify_one();
        item
    }
}

#[test]
fn a_taker_that_is_cancelled_at_any_moment_takes_nothing_with_it() {
    cancel_at_each_moment(|aim| {
        let buffer = Rc::new(Buffer::default());
        let taken = Rc::new(Cell::new(0));
        let take = |count| {
            let (buffer, taken) = (Rc::clone(&buffer), Rc::clone(&taken));
            sedge::spawn(move || {
                for _ in 0..count {
                    let item = buffer.take();
                    taken.set(taken.get() + item);
                    sedge::yield_now();
                }
            })
        };
        let victim = take(3);
        aim.at(&victim);
        let inner = Rc::clone(&buffer);
        let giver = sedge::spawn(move || (0..6).for_each(|i| inner.put(1 << i)));
        // Others that hold the lock across a wait.
        for _ in 0..2 {
            let inner = Rc::clone(&buffer);
            sedge::spawn(move || {
                let _guard = inner.items.lock().unwrap();
                sedge::yield_now();
            });
        }
        let other = take(3);
        other.join().unwrap();
        let _ = victim.join();
        while taken.get() != 0b11_1111 {
            let item = buffer.take();
            taken.set(taken.get() + item);
        }
        giver.join().unwrap();
        assert!(buffer.items.lock().unwrap().is_empty());
    });
}

#[test]
fn givers_and_takers_lose_nothing_in_any_order() {
    const EACH: u64 = 8;
    seeds(|seed| {
        let buffer = Rc::new(Buffer::default());
        let taken = Rc::new(Cell::new(0));
        let givers: Vec<_> = (0..3)
            .map(|giver| {
                let buffer = Rc::clone(&buffer);
                sedge::spawn(move || (0..EACH).for_each(|i| buffer.put(giver * EACH + i)))
            })
            .collect();
        let takers: Vec<_> = (0..4)
            .map(|_| {
                let (buffer, taken) = (Rc::clone(&buffer), Rc::clone(&taken));
                sedge::spawn(move || {
                    loop {
                        let item = buffer.take();
                        taken.set(taken.get() + (1 << item));
                    }
                })
            })
            .collect();
        let victim = &takers[(seed % 2) as usize];
        (0..seed % 40).for_each(|_| sedge::yield_now());
        victim.cancel();
        givers.into_iter().for_each(|giver| giver.join().unwrap());
        while taken.get() != (1 << (3 * EACH)) - 1 {
            sedge::yield_now();
        }
        takers.iter().for_each(JoinHandle::cancel);
        sedge::wait_all(&takers);
        assert!(!buffer.items.is_poisoned());
    });
}
