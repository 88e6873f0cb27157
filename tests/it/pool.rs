//! `pool::Pool`: places, order, panics, cancellation, bounds.

use std::cell::Cell;
use std::rc::Rc;

use sedge::pool::{self, Group, Pool, Until};

use crate::seeds::{cancel_at_each_moment, seeds};
use crate::util::{self, FOREVER, Log, OnDrop, ms, panic_of};

#[test]
fn no_more_jobs_run_at_once_than_there_are_places() {
    util::run(|| {
        let (now, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let pool = Pool::new(3);
        for _ in 0..20 {
            let (now, most) = (now.clone(), most.clone());
            pool.spawn(move || {
                now.set(now.get() + 1);
                most.set(most.get().max(now.get()));
                sedge::yield_now();
                now.set(now.get() - 1);
            });
        }
        pool.join();
        assert_eq!((now.get(), most.get(), pool.free_count()), (0, 3, 3));
    });
}

#[test]
fn a_job_that_spawns_into_its_full_pool_runs_it_in_place() {
    util::run(|| {
        fn depth(pool: &Pool, left: u32) -> u32 {
            let inner = pool.clone();
            match left {
                0 => 0,
                _ => 1 + pool.apply(move || depth(&inner, left - 1)),
            }
        }
        let pool = Pool::new(2);
        assert_eq!(depth(&pool, 20), 20);
        let inner = pool.clone();
        let error = pool.apply(move || {
            let _other = inner.spawn(sedge::yield_now);
            inner.spawn(|| panic!("in place")).result().unwrap_err()
        });
        assert_eq!(error.message(), Some("in place"));
    });
}

#[test]
fn a_panic_of_a_job_is_its_result_and_frees_its_place() {
    util::run(|| {
        let pool = Pool::new(1);
        let error = pool.spawn(|| -> u8 { panic!("job") }).result().unwrap_err();
        assert!(!error.is_cancelled());
        assert_eq!(
            panic_of(|| pool.apply(|| -> u8 { panic!("again") })),
            "again"
        );
        assert_eq!(pool.apply(|| 7), 7);
        assert_eq!(
            panic_of(|| pool.map(0..9, |i| assert_ne!(i, 4, "five")))
                .lines()
                .count(),
            3
        );
        pool.join();
        assert_eq!(pool.free_count(), 1);
    });
}

#[test]
fn cancel_unwinds_a_job_at_each_moment_and_frees_its_place() {
    util::run(|| {
        for turns in 0..4 {
            let pool = Pool::new(1);
            let log = Log::default();
            let dropped = log.on_drop("dropped");
            let job = pool.spawn(move || {
                let _dropped = dropped;
                sedge::sleep(FOREVER);
            });
            let next = sedge::spawn({
                let pool = pool.clone();
                move || pool.apply(|| 5)
            });
            (0..turns).for_each(|_| sedge::yield_now());
            assert!(job.cancel());
            assert!(job.result().unwrap_err().is_cancelled());
            assert_eq!(log.take(), ["dropped"]);
            assert_eq!(next.join().unwrap(), 5);
            assert_eq!(pool.free_count(), 1);
        }
    });
}

#[test]
fn one_cancelled_in_line_leaves_the_place_to_the_next() {
    util::run(|| {
        let pool = Pool::new(1);
        let first = pool.spawn(|| sedge::sleep(ms(2)));
        let spawner = |value| {
            let pool = pool.clone();
            sedge::spawn(move || pool.apply(move || value))
        };
        let (gone, next) = (spawner(1), spawner(2));
        sedge::yield_now();
        gone.cancel();
        first.result().unwrap();
        assert!(gone.join().unwrap_err().is_cancelled());
        assert_eq!(next.join().unwrap(), 2);
        assert_eq!(pool.free_count(), 1);
    });
}

#[test]
fn a_million_items_stay_few_at_a_time() {
    util::run(|| {
        let alive = Rc::new(Cell::new(0_usize));
        let most = Rc::new(Cell::new(0));
        let probe = || {
            let alive = alive.clone();
            alive.set(alive.get() + 1);
            most.set(most.get().max(alive.get()));
            OnDrop(move || alive.set(alive.get() - 1))
        };
        let pool = Pool::new(10);
        let items = (0..1_000_000).map(|i| (i, probe()));
        let mut count = 0;
        for (expected, (i, _probe)) in pool.imap(items, |item| item).enumerate() {
            assert_eq!(i, expected);
            count += 1;
        }
        assert_eq!((count, alive.get()), (1_000_000, 0));
        assert!(most.get() <= 21, "{} at once", most.get());
    });
}

#[test]
fn a_dropped_imap_cancels_what_is_in_flight_and_pulls_no_more() {
    util::run(|| {
        let log = Log::default();
        let pulled = Rc::new(Cell::new(0));
        let count = pulled.clone();
        let items = (0..).inspect(move |_| count.set(count.get() + 1));
        let pool = Pool::new(2);
        let events = log.clone();
        let mut imap = pool.imap_unordered(items, move |i| {
            let _dropped = events.on_drop("ended");
            if i > 0 {
                sedge::sleep(FOREVER);
            }
            i
        });
        assert_eq!(imap.next(), Some(0));
        let pulls = pulled.get();
        drop(imap);
        pool.join();
        assert!(pulls <= 5 && pulled.get() == pulls);
        assert!(log.take().len() <= 3);
    });
}

#[test]
fn a_panic_of_the_input_comes_out_of_next() {
    util::run(|| {
        let items = (0..3).inspect(|i| assert!(*i < 2, "input"));
        assert_eq!(panic_of(|| Pool::new(2).map(items, |i| i)), "input");
    });
}

#[test]
fn a_panic_in_a_callback_keeps_neither_the_others_nor_the_result() {
    util::run(|| {
        let log = Log::default();
        let job = Pool::new(1).spawn(|| 3);
        let (first, late) = (log.clone(), log.clone());
        job.add_done_callback(|_| panic!("callback"));
        job.add_done_callback(move |result| first.add(format!("{}", result.as_ref().unwrap())));
        assert!(pool::wait(std::slice::from_ref(&job), Until::All, None));
        job.add_done_callback(move |_| late.add("late"));
        assert_eq!(job.result().unwrap(), 3);
        assert_eq!(log.take(), ["3", "late"]);
    });
}

#[test]
fn one_cancelled_at_any_moment_costs_the_pool_no_place() {
    cancel_at_each_moment(|aim| {
        let pool = Pool::new(1);
        let first = pool.spawn(sedge::yield_now);
        let worker = pool.clone();
        let victim = sedge::spawn(move || worker.apply(sedge::yield_now));
        aim.at(&victim);
        let next = pool.clone();
        let next = sedge::spawn(move || next.apply(|| 5));
        assert_eq!(next.join().unwrap(), 5);
        first.result().unwrap();
        let _ = victim.join();
        pool.join();
        assert_eq!(pool.free_count(), 1);
    });
}

#[test]
fn maps_keep_their_order_in_any_order_of_running() {
    seeds(|seed| {
        let pool = Pool::new(1 + seed as usize % 4);
        let work = |i: usize| {
            (0..i % 3).for_each(|_| sedge::yield_now());
            i
        };
        let all: Vec<_> = (0..30).collect();
        assert_eq!(pool.map(0..30, work), all);
        let inner = pool.clone();
        let nested = pool.map(0..5, move |i| inner.map(0..i, work).len());
        assert_eq!(nested, [0, 1, 2, 3, 4]);
        let mut unordered: Vec<_> = pool.imap_unordered(0..30, work).collect();
        unordered.sort_unstable();
        assert_eq!(unordered, all);
        pool.join();
        assert!(pool.is_empty());
    });
}

#[test]
fn a_group_is_joined_when_its_last_has_ended() {
    seeds(|_| {
        let group = Group::new();
        let ended = Rc::new(Cell::new(0));
        for _ in 0..5 {
            let ended = ended.clone();
            group.spawn(move || {
                sedge::yield_now();
                ended.set(ended.get() + 1);
            });
        }
        let stuck = sedge::spawn(|| sedge::sleep(FOREVER));
        group.add(&stuck);
        assert_eq!(group.len(), 6);
        stuck.cancel();
        group.join();
        assert_eq!((ended.get(), group.len()), (5, 0));
        assert!(stuck.is_finished());
    });
}
