//! `pool`: maps and the lazy iterators.

use std::cell::Cell;
use std::rc::Rc;

use sedge::pool::Pool;
use sedge::{channel, timeout};

use crate::seeds::{cancel_at_each_moment, seeds};
use crate::util::{self, Dice, FOREVER, Log, ms, panic_of};

/// A value that counts how many of its kind there are.
struct Probe(Rc<Counts>);

#[derive(Default)]
struct Counts {
    alive: Cell<usize>,
    most: Cell<usize>,
    made: Cell<usize>,
}

impl Probe {
    fn new(counts: &Rc<Counts>) -> Probe {
        counts.made.set(counts.made.get() + 1);
        counts.alive.set(counts.alive.get() + 1);
        counts.most.set(counts.most.get().max(counts.alive.get()));
        Probe(Rc::clone(counts))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.alive.set(self.0.alive.get() - 1);
    }
}

#[test]
fn map_keeps_the_order_of_its_items() {
    seeds(|seed| {
        let mut dice = Dice::new(seed);
        let turns: Vec<_> = (0..20).map(|_| dice.throw(5)).collect();
        let pool = Pool::new(1 + dice.throw(5) as usize);
        let wait = |turns| {
            (0..turns).for_each(|_| sedge::yield_now());
            turns
        };
        assert_eq!(pool.map(wait, turns.clone()), turns);
        assert!(pool.imap(wait, turns.clone()).eq(turns.clone()));
        let mut unordered: Vec<_> = pool.imap_unordered(wait, turns.clone()).collect();
        let mut sorted = turns;
        sorted.sort_unstable();
        unordered.sort_unstable();
        assert_eq!(unordered, sorted);
    });
}

#[test]
fn map_ends_with_the_first_panic_and_cancels_the_rest() {
    util::run(|| {
        let (pool, log) = (Pool::new(3), Log::default());
        let note = log.clone();
        let job = move |number| match number {
            1 => panic!("number one"),
            _ => {
                let _end = note.on_drop("unwound");
                sedge::sleep(FOREVER);
            }
        };
        assert_eq!(panic_of(|| pool.map(job, 0..10)), "number one");
        pool.join();
        assert_eq!(log.take(), ["unwound"; 2]);
        let half = |n: u32| {
            if n.is_multiple_of(2) {
                Ok(n / 2)
            } else {
                Err(n)
            }
        };
        assert_eq!(pool.try_map(half, [2, 4]), Ok(vec![1, 2]));
        assert_eq!(pool.try_map(half, [2, 3, 4]), Err(3));
        assert_eq!(pool.starmap(|a, b, c| a + b * c, [(1, 2, 3)]), [7]);
    });
}

#[test]
fn a_map_that_is_cancelled_at_any_moment_leaves_no_job_behind() {
    cancel_at_each_moment(|aim| {
        let pool = Pool::new(2);
        let inner = pool.clone();
        let victim = sedge::spawn(move || inner.map(|_| sedge::yield_now(), 0..4).len());
        aim.at(&victim);
        if let Ok(count) = victim.join() {
            assert_eq!(count, 4);
        }
        pool.join();
        assert_eq!(pool.free_count(), 2);
    });
}

#[test]
fn an_imap_that_is_cancelled_at_any_moment_leaves_no_job_behind() {
    cancel_at_each_moment(|aim| {
        let pool = Pool::new(2);
        let counts = Rc::new(Counts::default());
        let (inner, make) = (pool.clone(), Rc::clone(&counts));
        let victim = sedge::spawn(move || {
            let items = (0..4).map(move |_| Probe::new(&make));
            inner.imap(|_| sedge::yield_now(), items).count()
        });
        aim.at(&victim);
        if let Ok(count) = victim.join() {
            assert_eq!(count, 4);
        }
        pool.join();
        while counts.alive.get() > 0 {
            sedge::yield_now();
        }
        assert_eq!(pool.free_count(), 2);
    });
}

#[test]
fn a_million_items_pass_in_constant_memory() {
    let count = if cfg!(debug_assertions) {
        100_000
    } else {
        1_000_000
    };
    util::run(|| {
        let pool = Pool::new(8);
        for ordered in [true, false] {
            let counts = Rc::new(Counts::default());
            let make = Rc::clone(&counts);
            let items = (0..count).map(move |number| (number, Probe::new(&make)));
            let job = |(number, probe): (u64, Probe)| (number, probe);
            let results = if ordered {
                pool.imap(job, items)
            } else {
                pool.imap_unordered(job, items)
            };
            let sum: u64 = results.map(|(number, _probe)| number).sum();
            assert_eq!(sum, (0..count).sum());
            // One more may be in the consumer's hands.
            assert!(counts.most.get() <= 9, "{} at once", counts.most.get());
            assert_eq!(counts.alive.get(), 0);
        }
    });
}

#[test]
fn nothing_is_pulled_before_the_first_next_nor_further_ahead_than_was_said() {
    util::run(|| {
        let (pool, counts) = (Pool::new(2), Rc::new(Counts::default()));
        let make = Rc::clone(&counts);
        let items = std::iter::repeat_with(move || Probe::new(&make));
        let mut results = pool.imap(|_| (), items).ahead(5);
        sedge::sleep(ms(1));
        assert_eq!(counts.made.get(), 0);
        results.next();
        sedge::sleep(ms(1));
        assert_eq!(counts.made.get(), 6);
        results.next();
        drop(results);
        sedge::sleep(ms(1));
        assert!(counts.made.get() <= 7);
        assert_eq!(counts.alive.get(), 0);
    });
}

#[test]
fn an_iterator_dropped_half_way_cancels_what_is_in_flight() {
    util::run(|| {
        let (pool, log) = (Pool::new(3), Log::default());
        let note = log.clone();
        let job = move |number| {
            let _end = note.on_drop("ended");
            if number > 0 {
                sedge::sleep(FOREVER);
            }
        };
        let mut results = pool.imap_unordered(job, 0..);
        results.next();
        sedge::sleep(ms(1));
        assert_eq!(log.take(), ["ended"]);
        drop(results);
        pool.join();
        assert_eq!(log.take(), ["ended"; 3]);
    });
}

#[test]
fn results_come_while_the_input_waits_for_them() {
    util::run(|| {
        let pool = Pool::new(4);
        let (sender, receiver) = channel::unbounded();
        sender.send(1).unwrap();
        let results = pool.imap(|number| number * 2, receiver);
        let mut seen = Vec::new();
        for result in results {
            seen.push(result);
            if result > 10 {
                break;
            }
            sender.send(result).unwrap();
        }
        assert_eq!(seen, [2, 4, 8, 16]);
    });
}

#[test]
fn a_panic_of_the_input_comes_out_after_the_results_before_it() {
    util::run(|| {
        let pool = Pool::new(4);
        for ordered in [true, false] {
            let items = (0..).inspect(|&number| assert!(number < 3, "the input broke"));
            let mut results = if ordered {
                pool.imap(|number| number, items)
            } else {
                pool.imap_unordered(|number| number, items)
            };
            assert_eq!(results.by_ref().take(3).collect::<Vec<_>>(), [0, 1, 2]);
            assert_eq!(panic_of(|| results.next()), "the input broke");
            assert_eq!(results.next(), None);
        }
        let items = (0..).inspect(|&number| assert!(number < 3, "the input broke"));
        assert_eq!(
            panic_of(|| pool.map(|number| number, items)),
            "the input broke"
        );
    });
}

#[test]
fn a_panic_of_a_job_comes_out_in_its_turn_and_the_others_follow() {
    util::run(|| {
        let job = |number| {
            assert_ne!(number, 1, "not one");
            number
        };
        let mut results = Pool::new(2).imap(job, 0..3);
        assert_eq!(results.next(), Some(0));
        assert!(panic_of(|| results.next()).contains("not one"));
        assert_eq!(results.collect::<Vec<_>>(), [2]);
    });
}

#[test]
fn a_time_limit_round_next_loses_no_result() {
    util::run(|| {
        let job = |number| {
            sedge::sleep(ms(10));
            number
        };
        let mut results = Pool::new(2).imap(job, 0..4);
        let mut seen = Vec::new();
        loop {
            match timeout(ms(3), || results.next()) {
                Ok(Some(number)) => seen.push(number),
                Ok(None) => break,
                Err(_) => {}
            }
        }
        assert_eq!(seen, [0, 1, 2, 3]);
    });
}

#[test]
fn an_iterator_inside_a_job_of_its_full_pool_goes_on() {
    util::run(|| {
        let pool = Pool::new(1);
        let inner = pool.clone();
        let sum = pool.apply(move || {
            let deep = inner.clone();
            let job = move |number: u32| deep.apply(move || number * 2);
            let ordered: u32 = inner.imap(job.clone(), 0..4).sum();
            ordered + inner.imap_unordered(job, 0..4).sum::<u32>()
        });
        assert_eq!(sum, 24);
        assert_eq!(pool.free_count(), 1);
    });
}
