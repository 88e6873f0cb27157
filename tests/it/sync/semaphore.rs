//! `sync::Semaphore`: permits are counted right, and given out first come, first served.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use sedge::sync::Semaphore;
use sedge::{JoinHandle, Reason, State, timeout};

use crate::seeds::{cancel_at_each_moment, seeds};
use crate::util::{self, Dice, FOREVER, Log, ms, panic_of, until};

/// Takes so many permits, logs `name` and keeps them.
fn taker(semaphore: &Rc<Semaphore>, log: &Log, name: &'static str, count: usize) -> JoinHandle<()> {
    let (semaphore, log) = (Rc::clone(semaphore), log.clone());
    let thread = sedge::spawn(move || {
        semaphore.acquire_many(count).forget();
        log.add(name);
    });
    until(thread.thread(), State::Parked(Reason::Semaphore));
    thread
}

#[test]
fn no_more_have_permits_than_there_are() {
    util::run(|| {
        let semaphore = Rc::new(Semaphore::new(3));
        let (inside, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let threads: Vec<_> = (0..20)
            .map(|_| {
                let (semaphore, inside) = (Rc::clone(&semaphore), Rc::clone(&inside));
                let most = Rc::clone(&most);
                sedge::spawn(move || {
                    let permit = semaphore.acquire();
                    assert_eq!(permit.count(), 1);
                    inside.set(inside.get() + 1);
                    most.set(most.get().max(inside.get()));
                    sedge::yield_now();
                    inside.set(inside.get() - 1);
                })
            })
            .collect();
        sedge::wait_all(&threads);
        assert_eq!((most.get(), semaphore.available()), (3, 3));
    });
}

#[test]
fn a_large_request_is_not_overtaken_by_small_ones() {
    util::run(|| {
        let log = Log::default();
        let semaphore = Rc::new(Semaphore::new(2));
        let threads = [
            taker(&semaphore, &log, "large", 3),
            taker(&semaphore, &log, "small", 1),
        ];
        assert!(semaphore.try_acquire().is_none(), "nobody barges in");
        assert!(semaphore.acquire_timeout(ms(1)).is_err());
        assert_eq!(semaphore.available(), 2);
        semaphore.release(1);
        semaphore.release(1);
        sedge::wait_all(&threads);
        assert_eq!(log.take(), ["large", "small"]);
        assert_eq!(semaphore.available(), 0);
    });
}

#[test]
fn a_large_request_that_goes_away_lets_those_behind_pass() {
    util::run(|| {
        let log = Log::default();
        let semaphore = Rc::new(Semaphore::new(2));
        let large = taker(&semaphore, &log, "large", 3);
        let small = taker(&semaphore, &log, "small", 1);
        large.cancel();
        small.join().unwrap();
        assert_eq!(log.take(), ["small"]);
        // The same when its time is up.
        let inner = Rc::clone(&semaphore);
        let large = sedge::spawn(move || inner.acquire_many_timeout(3, ms(2)).is_ok());
        until(large.thread(), State::Parked(Reason::Semaphore));
        let small = taker(&semaphore, &log, "small", 1);
        assert!(!large.join().unwrap());
        small.join().unwrap();
        assert_eq!(semaphore.available(), 0);
    });
}

#[test]
fn one_release_wakes_one_of_a_hundred_thousand_and_looks_at_nobody_else() {
    const WAITERS: usize = 100_000;
    util::run(|| {
        let semaphore = Rc::new(Semaphore::new(0));
        let threads: Vec<_> = (0..WAITERS)
            .map(|_| {
                let semaphore = Rc::clone(&semaphore);
                sedge::spawn(move || semaphore.acquire().forget())
            })
            .collect();
        until(
            threads[WAITERS - 1].thread(),
            State::Parked(Reason::Semaphore),
        );
        for (number, thread) in threads.iter().enumerate().take(1000) {
            let before = sedge::stats();
            semaphore.release(1);
            sedge::yield_now();
            let after = sedge::stats();
            assert!(thread.is_finished(), "{number} was not the first");
            assert_eq!(after.wakes - before.wakes, 1);
            // The one that was woken, and the caller.
            assert_eq!(after.switches - before.switches, 2);
        }
        semaphore.release(WAITERS - 1000);
        sedge::wait_all(&threads);
    });
}

#[test]
fn a_forgotten_permit_is_gone_until_it_is_released() {
    let semaphore = Semaphore::bounded(2);
    semaphore.acquire_many(2).forget();
    assert_eq!(semaphore.available(), 0);
    semaphore.release(2);
    assert_eq!(semaphore.available(), 2);
    let unbounded = Semaphore::new(0);
    unbounded.release(5);
    assert_eq!(unbounded.available(), 5);
}

#[test]
fn a_bounded_semaphore_has_never_more_permits_than_at_its_start() {
    let semaphore = Semaphore::bounded(2);
    assert!(panic_of(|| semaphore.release(1)).contains("at most 2"));
    let permit = semaphore.acquire();
    // The guard will give it back, so it is the release that is wrong.
    assert!(panic_of(|| semaphore.release(1)).contains("at most 2"));
    drop(permit);
    assert_eq!(semaphore.available(), 2);
    util::run(move || {
        let text = panic_of(|| drop(semaphore.acquire_many(3)));
        assert!(text.contains("for ever"), "{text}");
        assert!(semaphore.try_acquire_many(3).is_none());
    });
    assert!(panic_of(|| Semaphore::new(1).release(usize::MAX)).contains("at most"));
}

#[test]
fn free_permits_need_no_scheduler() {
    let semaphore = Semaphore::new(2);
    let two = semaphore.acquire_many(2);
    assert!(semaphore.try_acquire().is_none());
    assert!(semaphore.try_acquire_many(0).is_some());
    let text = panic_of(|| drop(semaphore.acquire()));
    assert!(text.contains("no sedge scheduler"), "{text}");
    drop(two);
    assert!(semaphore.acquire_timeout(Duration::ZERO).is_ok());
    assert_eq!(format!("{semaphore:?}"), "Semaphore { available: 2, .. }");
}

#[test]
fn permits_that_were_granted_are_kept_and_given_back_by_who_is_cancelled_then() {
    util::run(|| {
        let semaphore = Rc::new(Semaphore::new(0));
        let log = Log::default();
        let (inner, notes) = (Rc::clone(&semaphore), log.clone());
        let thread = sedge::spawn(move || {
            let permit = inner.acquire_many(2);
            notes.add(format!("has {}", permit.count()));
            sedge::yield_now();
            notes.add("too far");
        });
        until(thread.thread(), State::Parked(Reason::Semaphore));
        semaphore.release(2);
        assert_eq!(semaphore.available(), 0);
        thread.cancel();
        assert!(thread.join().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["has 2"]);
        assert_eq!(semaphore.available(), 2);
        assert!(timeout(FOREVER, || semaphore.acquire_many(2).count()) == Ok(2));
    });
}

#[test]
fn whenever_a_taker_is_cancelled_all_permits_come_back() {
    cancel_at_each_moment(|aim| {
        let semaphore = Rc::new(Semaphore::bounded(3));
        let take = |count: usize| {
            let semaphore = Rc::clone(&semaphore);
            sedge::spawn(move || {
                for _ in 0..3 {
                    let _permit = semaphore.acquire_many(count);
                    sedge::yield_now();
                }
            })
        };
        let others = [take(1), take(2)];
        let victim = take(3);
        aim.at(&victim);
        let late = [take(2), take(1)];
        others.into_iter().for_each(|other| other.join().unwrap());
        late.into_iter().for_each(|other| other.join().unwrap());
        let _ = victim.join();
        assert_eq!(semaphore.available(), 3);
        assert!(semaphore.try_acquire_many(3).is_some());
    });
}

/// The obvious semaphore: a queue of requests.
#[derive(Default)]
struct Model {
    available: usize,
    waiting: VecDeque<(usize, usize)>,
    served: Vec<usize>,
}

impl Model {
    fn serve(&mut self) {
        while let Some(&(name, count)) = self.waiting.front() {
            if count > self.available {
                return;
            }
            self.available -= count;
            self.waiting.pop_front();
            self.served.push(name);
        }
    }
}

#[test]
fn random_programs_serve_whom_the_model_serves() {
    seeds(|seed| {
        let mut dice = Dice::new(seed);
        let semaphore = Rc::new(Semaphore::new(0));
        let served: Rc<RefCell<Vec<usize>>> = Rc::default();
        let mut model = Model::default();
        let mut threads: Vec<(usize, JoinHandle<()>)> = Vec::new();
        for name in 0..60 {
            match dice.throw(4) {
                0 => {
                    let count = dice.throw(5) as usize;
                    semaphore.release(count);
                    model.available += count;
                    model.serve();
                }
                1 if !threads.is_empty() => {
                    // Cancelled while it waits, or kept because it has been served.
                    let pick = dice.throw(threads.len() as u64) as usize;
                    let (name, thread) = threads.swap_remove(pick);
                    thread.cancel();
                    let was_served = thread.join().is_ok();
                    assert_eq!(was_served, model.served.contains(&name));
                    model.waiting.retain(|&(other, _)| other != name);
                    model.serve();
                }
                _ => {
                    let count = dice.throw(4) as usize;
                    let (inner, log) = (Rc::clone(&semaphore), Rc::clone(&served));
                    let thread = sedge::spawn(move || {
                        inner.acquire_many(count).forget();
                        log.borrow_mut().push(name);
                    });
                    while thread.thread().state() == State::Ready {
                        sedge::yield_now();
                    }
                    threads.push((name, thread));
                    model.waiting.push_back((name, count));
                    model.serve();
                }
            }
            assert_eq!(semaphore.available(), model.available);
        }
        for (name, thread) in threads {
            thread.cancel();
            let _ = thread.join();
            model.waiting.retain(|&(other, _)| other != name);
            model.serve();
        }
        let mut served = served.take();
        // Those that were served together may have run in any order.
        served.sort_unstable();
        model.served.sort_unstable();
        assert_eq!(served, model.served);
    });
}

#[test]
fn all_permits_come_back_in_any_order_whichever_limits_pass() {
    seeds(|seed| {
        let mut dice = Dice::new(seed);
        let semaphore = Rc::new(Semaphore::bounded(3));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (semaphore, mut dice) = (Rc::clone(&semaphore), dice.child());
                sedge::spawn(move || {
                    for _ in 0..6 {
                        let count = dice.throw(4) as usize;
                        let limit = Duration::from_micros(dice.throw(3) * 10);
                        let permit = match dice.throw(4) {
                            0 => semaphore.acquire_many_timeout(count, limit).ok(),
                            1 => timeout(limit, || semaphore.acquire_many(count)).ok(),
                            2 => semaphore.try_acquire_many(count),
                            _ => Some(semaphore.acquire_many(count)),
                        };
                        (0..dice.throw(3)).for_each(|_| sedge::yield_now());
                        drop(permit);
                    }
                })
            })
            .collect();
        (0..dice.throw(20)).for_each(|_| sedge::yield_now());
        threads[0].cancel();
        sedge::wait_all(&threads);
        assert_eq!(semaphore.available(), 3);
    });
}
