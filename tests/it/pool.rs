//! `pool`: groups and pools of green threads.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use sedge::pool::{Group, Pool, Shutdown};
use sedge::thread;
use sedge::{Config, Reason, State};

use crate::seeds::{cancel_at_each_moment, seeds};
use crate::util::{self, Dice, FOREVER, Log, OnDrop, ms, panic_of, until};

#[test]
fn a_group_holds_those_who_run_and_nobody_else() {
    util::run(|| {
        let group = Group::new();
        let short = group.spawn(|| 1);
        let long = group.spawn(|| sedge::sleep(FOREVER));
        let guest = sedge::spawn(|| sedge::sleep(FOREVER));
        group.add(&guest);
        assert_eq!(group.len(), 3);
        assert!(group.contains(short.thread()) && group.contains(guest.thread()));
        assert_eq!(short.join().unwrap(), 1);
        assert_eq!(group.len(), 2);
        assert!(!group.join_timeout(ms(1)));
        assert!(group.discard(guest.thread()));
        group.cancel();
        group.join();
        assert!(group.is_empty() && long.is_finished() && !guest.is_finished());
        guest.cancel();
    });
}

#[test]
fn a_group_forgets_members_that_never_began_and_guests_that_end() {
    util::run(|| {
        let group = Group::new();
        let never = group.spawn(|| panic!("it began"));
        let guest = sedge::spawn(|| ());
        group.add(&guest);
        never.cancel();
        group.join();
        assert!(never.join().unwrap_err().is_cancelled());
        let ended = sedge::spawn(|| ());
        sedge::wait_all([&ended]);
        group.add(&ended);
        assert!(group.is_empty());
    });
}

#[test]
fn who_joins_a_group_or_a_pool_that_he_is_in_is_told_so() {
    util::run(|| {
        let group = Group::new();
        let inner = group.clone();
        let error = group.spawn(move || inner.join()).join().unwrap_err();
        assert!(error.to_string().contains("would wait for itself"));
        let pool = Pool::new(1);
        let inner = pool.clone();
        let error = pool.spawn(move || inner.join()).result().unwrap_err();
        assert!(error.to_string().contains("would wait for itself"));
        assert_eq!(pool.free_count(), 1);
    });
}

#[test]
fn spawn_parks_while_the_pool_is_full_and_places_go_round_in_turn() {
    util::run(|| {
        let (pool, log) = (Pool::new(2), Log::default());
        let spawner = |name: &'static str| {
            let (pool, log) = (pool.clone(), log.clone());
            sedge::spawn(move || {
                let job = pool.spawn(move || {
                    log.add(name);
                    sedge::sleep(ms(1));
                });
                job.result().unwrap();
            })
        };
        let spawners = ["a", "b", "c", "d"].map(spawner);
        until(spawners[3].thread(), State::Parked(Reason::Pool));
        assert!(pool.is_full());
        assert_eq!(
            (pool.size(), pool.free_count(), pool.threads().len()),
            (2, 0, 2)
        );
        pool.join();
        sedge::wait_all(&spawners);
        assert_eq!(log.take(), ["a", "b", "c", "d"]);
        assert_eq!(pool.free_count(), 2);
    });
}

#[test]
fn a_spawn_in_a_full_pool_by_one_of_its_jobs_runs_in_place() {
    util::run(|| {
        let pool = Pool::new(1);
        let inner = pool.clone();
        let outer = pool.spawn(move || {
            let here = thread::current().id();
            let there = inner.spawn(move || (thread::current().id() == here, 7));
            assert!(there.done());
            let nested = inner.clone();
            let deep = inner.spawn(move || nested.spawn(|| 1).result().unwrap() + 1);
            let failed = inner.spawn(|| panic!("in place"));
            assert_eq!(failed.result().unwrap_err().message(), Some("in place"));
            assert_eq!(inner.map(|n| n * 2, 0..4), [0, 2, 4, 6]);
            (there.result().unwrap(), deep.result().unwrap())
        });
        assert_eq!(outer.result().unwrap(), ((true, 7), 2));
        assert_eq!(pool.free_count(), 1);
    });
}

#[test]
fn a_job_in_place_does_not_swallow_the_cancellation_of_its_caller() {
    util::run(|| {
        let (pool, log) = (Pool::new(1), Log::default());
        let (inner, note) = (pool.clone(), log.clone());
        let outer = pool.spawn(move || {
            let job = inner.spawn(|| sedge::sleep(FOREVER));
            note.add("not reached");
            job.result().unwrap();
        });
        sedge::yield_now();
        assert!(outer.cancel());
        assert!(outer.result().unwrap_err().is_cancelled());
        assert_eq!(log.take(), [""; 0]);
        pool.join();
    });
}

#[test]
fn a_panic_of_a_job_is_its_result_and_frees_its_place() {
    let panics = Rc::new(Cell::new(0));
    let count = Rc::clone(&panics);
    let config = Config::new().on_panic(move |_, _| count.set(count.get() + 1));
    util::run_with(config, || {
        let pool = Pool::new(1);
        let error = pool.spawn(|| panic!("one")).result().unwrap_err();
        assert_eq!(error.message(), Some("one"));
        assert_eq!(error.submitted_at().file(), file!());
        assert_eq!(panic_of(|| pool.apply(|| panic!("two"))), "two");
        let text = panic_of(|| pool.map(|number| assert_eq!(number, 0), [1]));
        assert!(text.contains("left: 1"), "{text}");
        drop(pool.spawn(|| panic!("nobody looks")));
        pool.join();
        assert_eq!(pool.apply(|| 3), 3);
    });
    assert_eq!(panics.get(), 4);
}

#[test]
fn a_job_that_is_cancelled_before_it_begins_never_does() {
    util::run(|| {
        let (pool, log) = (Pool::new(1), Log::default());
        let dropped = log.on_drop("dropped");
        let job = pool.spawn(move || {
            let _dropped = dropped;
            unreachable!("it began")
        });
        assert!(job.cancel());
        assert!(job.result().unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["dropped"]);
        assert_eq!(pool.free_count(), 1);
    });
}

#[test]
fn cancel_unwinds_the_jobs_and_spares_those_who_wait_for_a_place() {
    util::run(|| {
        let pool = Pool::new(1);
        let running = pool.spawn(|| sedge::sleep(FOREVER));
        let inner = pool.clone();
        let next = sedge::spawn(move || inner.apply(|| 5));
        until(next.thread(), State::Parked(Reason::Pool));
        pool.cancel();
        assert_eq!(next.join().unwrap(), 5);
        assert!(running.result().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_pool_that_was_shut_down_finishes_what_it_has_and_refuses_more() {
    util::run(|| {
        let (pool, log) = (Pool::new(1), Log::default());
        let spawners: Vec<_> = (0..3)
            .map(|number: u32| {
                let (pool, log) = (pool.clone(), log.clone());
                sedge::spawn(move || pool.spawn(move || log.add(number.to_string())).result())
            })
            .collect();
        until(spawners[2].thread(), State::Parked(Reason::Pool));
        pool.shutdown(Shutdown::Wait);
        assert_eq!(log.take(), ["0", "1", "2"]);
        assert!(panic_of(|| pool.spawn(|| ())).contains("was shut down"));
        for spawner in spawners {
            spawner.join().unwrap().unwrap();
        }
    });
}

#[test]
fn a_shutdown_that_cancels_leaves_futures_that_say_so() {
    util::run(|| {
        let pool = Pool::new(1);
        let running = pool.spawn(|| sedge::sleep(FOREVER));
        let inner = pool.clone();
        let waiting = sedge::spawn(move || inner.spawn(|| unreachable!("it began")).result());
        until(waiting.thread(), State::Parked(Reason::Pool));
        pool.shutdown(Shutdown::Cancel);
        assert!(running.result().unwrap_err().is_cancelled());
        assert!(waiting.join().unwrap().unwrap_err().is_cancelled());
        assert_eq!(pool.free_count(), 1);
    });
}

#[test]
fn no_place_is_lost_whenever_a_job_or_who_waits_for_a_place_is_cancelled() {
    cancel_at_each_moment(|aim| {
        let pool = Pool::new(1);
        let spawner = || {
            let pool = pool.clone();
            sedge::spawn(move || {
                for _ in 0..2 {
                    pool.apply(sedge::yield_now);
                }
            })
        };
        let (first, victim, last) = (spawner(), spawner(), spawner());
        aim.at(&victim);
        first.join().unwrap();
        let _ = victim.join();
        last.join().unwrap();
        pool.join();
        assert_eq!(pool.free_count(), 1);
    });
}

#[test]
fn no_place_is_lost_whenever_a_job_with_another_in_place_is_cancelled() {
    cancel_at_each_moment(|aim| {
        let pool = Pool::new(1);
        let inner = pool.clone();
        let job = pool.spawn(move || {
            let deep = inner.clone();
            let twice = move |_| deep.map(|_| sedge::yield_now(), 0..2).len();
            inner.imap_unordered(twice, 0..2).sum::<usize>()
        });
        aim.at_thread(pool.threads().remove(0));
        if let Ok(count) = job.result() {
            assert_eq!(count, 4);
        }
        pool.join();
        assert_eq!((pool.free_count(), pool.threads().len()), (1, 0));
    });
}

#[test]
fn never_more_jobs_run_than_the_pool_has_places() {
    seeds(|seed| {
        let mut dice = Dice::new(seed);
        let size = 1 + dice.throw(4) as usize;
        let (pool, running) = (Pool::new(size), Rc::new(Cell::new(0)));
        let ended = Rc::new(RefCell::new(0));
        sedge::scope(|s| {
            for _ in 0..4 {
                let (pool, running, mut dice) = (&pool, &running, dice.child());
                let ended = &ended;
                s.spawn(move || {
                    for _ in 0..4 {
                        let (now, ended) = (Rc::clone(running), Rc::clone(ended));
                        let turns = dice.throw(4);
                        let job = pool.spawn(move || {
                            now.set(now.get() + 1);
                            let _leave = OnDrop(|| now.set(now.get() - 1));
                            assert!(now.get() <= size);
                            (0..turns).for_each(|_| sedge::yield_now());
                            *ended.borrow_mut() += 1;
                        });
                        if dice.throw(2) == 0 {
                            job.result().unwrap();
                        }
                    }
                });
            }
        });
        pool.join();
        assert_eq!((*ended.borrow(), pool.free_count()), (16, size));
    });
}
