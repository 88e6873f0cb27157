//! `pool::Resources`: no place is lost whatever happens to who has it, and nobody barges in.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use sedge::pool::{Resources, ResourcesBuilder, Taken};
use sedge::{JoinHandle, Reason, State, timeout};

use crate::seeds::{cancel_at_each_moment, seeds};
use crate::util::{self, Dice, FOREVER, Log, ms, panic_of, until};

type Pool<E = Infallible> = Resources<Item, E>;

/// Numbered by the order in which they were made; knows how many there are.
#[derive(Debug)]
struct Item {
    number: usize,
    alive: Rc<Cell<usize>>,
}

impl Drop for Item {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
    }
}

/// Makes items and remembers how many there are and were.
#[derive(Clone, Debug, Default)]
struct Factory {
    made: Rc<Cell<usize>>,
    alive: Rc<Cell<usize>>,
    most: Rc<Cell<usize>>,
}

impl Factory {
    fn make(&self) -> Item {
        let number = self.made.get();
        self.made.set(number + 1);
        self.alive.set(self.alive.get() + 1);
        self.most.set(self.most.get().max(self.alive.get()));
        Item {
            number,
            alive: Rc::clone(&self.alive),
        }
    }

    fn pool(&self, max: usize) -> Pool {
        let factory = self.clone();
        Resources::new(max, move || Ok(factory.make()))
    }

    fn build(&self, builder: ResourcesBuilder<Item>) -> Pool {
        let factory = self.clone();
        builder.build(move || Ok(factory.make())).unwrap()
    }
}

fn take(pool: &Pool) -> Taken<Item, Infallible> {
    pool.take().unwrap()
}

/// Takes an item, logs `name` and gives it back.
fn taker<E: 'static>(pool: &Pool<E>, log: &Log, name: &'static str) -> JoinHandle<()> {
    let (pool, log) = (pool.clone(), log.clone());
    let thread = sedge::spawn(move || {
        let taken = pool.take();
        log.add(if taken.is_ok() { name } else { "error" });
    });
    until(thread.thread(), State::Parked(Reason::Pool));
    thread
}

/// All places can be taken, and no item is more than one.
fn assert_is_whole<E: std::fmt::Debug>(pool: &Pool<E>, max: usize) {
    let taken: Vec<_> = (0..max)
        .map(|_| pool.try_take().unwrap().expect("a place is lost"))
        .collect();
    assert!(pool.try_take().unwrap().is_none(), "there are too many");
    assert_eq!(pool.total(), max);
    drop(taken);
    assert_eq!(pool.idle(), max);
}

#[test]
fn an_item_that_is_given_back_is_taken_again() {
    let factory = Factory::default();
    let pool = factory.pool(2);
    // Outside of `run` too, as long as nobody waits.
    assert_eq!(take(&pool).number, 0);
    assert_eq!(take(&pool).number, 0);
    let (first, second) = (take(&pool), take(&pool));
    assert_eq!((first.number, second.number), (0, 1));
    assert_eq!((pool.idle(), pool.total()), (0, 2));
    assert!(pool.try_take().unwrap().is_none());
    drop(first);
    drop(second);
    assert_eq!(take(&pool).number, 1, "the last is the first");
    assert_is_whole(&pool, 2);
    assert!(panic_of(|| (take(&pool), take(&pool), take(&pool))).contains("sedge::run"));
    assert_is_whole(&pool, 2);
    drop(pool);
    assert_eq!(factory.alive.get(), 0);
}

#[test]
fn an_item_outlives_the_handles_of_its_pool() {
    let factory = Factory::default();
    let pool = factory.pool(1);
    let item = take(&pool);
    drop(pool);
    assert_eq!((item.number, factory.alive.get()), (0, 1));
    drop(item);
    assert_eq!(factory.alive.get(), 0);
}

#[test]
fn who_waits_first_is_served_first_and_nobody_barges_in() {
    util::run(|| {
        let log = Log::default();
        let pool = Factory::default().pool(1);
        let item = take(&pool);
        let threads = [taker(&pool, &log, "first"), taker(&pool, &log, "second")];
        drop(item);
        assert_eq!(pool.idle(), 0, "it is the first one's");
        assert!(pool.try_take().unwrap().is_none());
        drop(take(&pool));
        log.add("third");
        sedge::wait_all(&threads);
        assert_eq!(log.take(), ["first", "second", "third"]);
        assert_is_whole(&pool, 1);
    });
}

#[test]
fn who_does_not_get_one_in_time_leaves_the_queue() {
    util::run(|| {
        let pool = Factory::default().pool(1);
        let item = take(&pool);
        let elapsed = pool.take_timeout(ms(1)).unwrap_err();
        assert_eq!(elapsed.limit, ms(1));
        assert!(timeout(ms(1), || pool.take()).is_err());
        drop(item);
        assert_eq!(pool.take_timeout(ms(1)).unwrap().unwrap().number, 0);
        assert_is_whole(&pool, 1);
    });
}

#[test]
fn a_creation_that_fails_leaves_its_place_to_the_next() {
    util::run(|| {
        let log = Log::default();
        let factory = Factory::default();
        let turn = Rc::new(Cell::new(0));
        let pool: Pool<&str> = Resources::new(1, {
            let factory = factory.clone();
            let turn = Rc::clone(&turn);
            move || {
                turn.set(turn.get() + 1);
                let turn = turn.get();
                sedge::sleep(ms(1));
                match turn {
                    1 => return Err("refused"),
                    2 => panic!("it cannot be made"),
                    3 => sedge::sleep(FOREVER),
                    _ => (),
                }
                Ok(factory.make())
            }
        });
        let refused = pool.clone();
        let refused = sedge::spawn(move || refused.take().map(|_| ()));
        sedge::yield_now();
        let panics = taker(&pool, &log, "panics");
        let cancelled = taker(&pool, &log, "cancelled");
        let served = taker(&pool, &log, "served");
        assert_eq!(refused.join().unwrap(), Err("refused"));
        assert!(!panics.join().unwrap_err().is_cancelled());
        while turn.get() < 3 {
            sedge::yield_now();
        }
        cancelled.cancel();
        assert!(cancelled.join().unwrap_err().is_cancelled());
        served.join().unwrap();
        assert_eq!(log.take(), ["served"]);
        assert_is_whole(&pool, 1);
    });
}

#[test]
fn what_a_holder_was_unwound_with_is_destroyed() {
    util::run(|| {
        let factory = Factory::default();
        let pool = factory.pool(1);
        let inner = pool.clone();
        let panicking = sedge::spawn(move || {
            let _item = take(&inner);
            panic!("half-way");
        });
        assert!(panicking.join().is_err());
        assert_eq!((factory.alive.get(), pool.total()), (0, 0));
        let inner = pool.clone();
        let cancelled = sedge::spawn(move || {
            let _item = take(&inner);
            sedge::sleep(FOREVER);
        });
        until(cancelled.thread(), State::Parked(Reason::Sleep));
        cancelled.cancel();
        let item = take(&pool);
        assert_eq!(item.number, 2, "who waits has a new one");
        drop(item);
        let limited = timeout(ms(1), || {
            let _item = take(&pool);
            sedge::sleep(FOREVER);
        });
        assert!(limited.is_err());
        assert_eq!(factory.alive.get(), 0);
        assert_is_whole(&pool, 1);
    });
}

#[test]
fn what_a_holder_was_unwound_with_is_kept_if_that_is_wanted() {
    let factory = Factory::default();
    let pool = factory.build(ResourcesBuilder::new().max(1).keep_unwound(true));
    let text = panic_of(|| {
        let _item = take(&pool);
        panic!("half-way");
    });
    assert_eq!(text, "half-way");
    assert_eq!((factory.alive.get(), pool.idle()), (1, 1));
}

#[test]
fn what_a_destructor_takes_while_it_unwinds_is_kept() {
    struct Farewell(Pool);
    impl Drop for Farewell {
        fn drop(&mut self) {
            drop(take(&self.0));
        }
    }
    let factory = Factory::default();
    let pool = factory.pool(1);
    let farewell = Farewell(pool.clone());
    let text = panic_of(move || {
        let _farewell = farewell;
        panic!("it unwinds");
    });
    assert_eq!(text, "it unwinds");
    assert_eq!((factory.alive.get(), pool.idle()), (1, 1));
}

#[test]
fn a_discarded_item_makes_place_for_a_new_one() {
    util::run(|| {
        let log = Log::default();
        let factory = Factory::default();
        let pool = factory.pool(1);
        let item = take(&pool);
        let waiting = taker(&pool, &log, "served");
        Taken::discard(item);
        assert_eq!((factory.alive.get(), pool.total()), (0, 1));
        waiting.join().unwrap();
        assert_eq!(take(&pool).number, 1);
        assert_is_whole(&pool, 1);
    });
}

#[test]
fn an_item_that_fails_the_check_is_replaced_by_another_idle_one_or_a_new_one() {
    util::run(|| {
        let factory = Factory::default();
        let bad = Rc::new(RefCell::new(vec![2, 1]));
        let check = Rc::clone(&bad);
        let builder = ResourcesBuilder::new()
            .max(3)
            .health_check(move |item: &mut Item| {
                sedge::yield_now();
                !check.borrow().contains(&item.number)
            });
        let pool = factory.build(builder);
        drop((0..3).map(|_| take(&pool)).collect::<Vec<_>>());
        assert_eq!(pool.idle(), 3);
        assert_eq!(take(&pool).number, 0);
        assert_eq!((pool.total(), factory.alive.get()), (1, 1));
        bad.borrow_mut().push(0);
        assert_eq!(take(&pool).number, 3);
        // What is handed over is checked as well.
        let item = take(&pool);
        let others = [take(&pool), take(&pool)];
        bad.borrow_mut().push(3);
        let inner = pool.clone();
        let waiting = sedge::spawn(move || take(&inner).number);
        until(waiting.thread(), State::Parked(Reason::Pool));
        drop(item);
        assert_eq!(waiting.join().unwrap(), 6);
        drop(others);
        assert_is_whole(&pool, 3);
    });
}

#[test]
fn a_check_that_unwinds_destroys_the_item_and_frees_the_place() {
    util::run(|| {
        let factory = Factory::default();
        let calls = Rc::new(Cell::new(0));
        let count = Rc::clone(&calls);
        let builder = ResourcesBuilder::new().max(1).keep_unwound(true);
        let pool = factory.build(builder.health_check(move |_| {
            count.set(count.get() + 1);
            match count.get() {
                1 => panic!("it cannot be asked"),
                2 => sedge::sleep(FOREVER),
                _ => (),
            }
            true
        }));
        drop(take(&pool));
        assert_eq!(panic_of(|| take(&pool)), "it cannot be asked");
        assert_eq!((factory.alive.get(), pool.total()), (0, 0));
        drop(take(&pool));
        assert!(timeout(ms(1), || take(&pool)).is_err());
        assert_eq!((factory.alive.get(), pool.total()), (0, 0));
        assert_is_whole(&pool, 1);
    });
}

/// Sleeps in its destructor, and panics then if it shall.
struct Slow(bool);

impl Drop for Slow {
    fn drop(&mut self) {
        sedge::sleep(ms(2));
        assert!(!self.0, "it cannot be destroyed");
    }
}

#[test]
fn a_place_is_free_when_its_item_is_destroyed_and_not_before() {
    util::run(|| {
        for panics in [false, true] {
            let pool = Resources::new(1, move || Ok::<_, Infallible>(Slow(panics)));
            let inner = pool.clone();
            let item = pool.take().unwrap();
            let destroying = sedge::spawn(move || {
                assert_eq!(inner.total(), 1);
                Taken::discard(item);
            });
            until(destroying.thread(), State::Parked(Reason::Sleep));
            assert_eq!(pool.total(), 1);
            assert!(pool.try_take().unwrap().is_none(), "it is still there");
            let next = pool.take().unwrap();
            assert_eq!(destroying.join().is_err(), panics);
            // It shall not panic in this thread's destructors.
            let _ = sedge::spawn(move || drop(next)).join();
            let _ = sedge::spawn(move || drop(pool)).join();
        }
    });
}

#[test]
fn what_was_idle_for_too_long_is_destroyed_but_for_the_minimum() {
    util::run(|| {
        let factory = Factory::default();
        let builder = ResourcesBuilder::new().min(1).max(3).idle_limit(ms(5));
        let pool = factory.build(builder);
        assert_eq!((factory.made.get(), pool.idle(), pool.total()), (1, 1, 1));
        drop((0..3).map(|_| take(&pool)).collect::<Vec<_>>());
        sedge::sleep(ms(10));
        assert_eq!(pool.idle(), 3, "nobody has looked yet");
        let last = take(&pool);
        assert_eq!((last.number, pool.total(), pool.idle()), (2, 1, 0));
        drop(last);
        sedge::sleep(ms(10));
        pool.prune();
        assert_eq!((pool.idle(), factory.made.get()), (1, 3));
    });
}

#[test]
fn what_is_too_old_is_destroyed_whatever_the_minimum() {
    util::run(|| {
        let factory = Factory::default();
        let builder = ResourcesBuilder::new().min(2).max(2).max_age(ms(20));
        let pool = factory.build(builder);
        let taken = take(&pool);
        sedge::sleep(ms(30));
        drop(taken);
        assert_eq!((pool.idle(), pool.total()), (1, 1), "when it is given back");
        pool.prune();
        assert_eq!((pool.idle(), pool.total()), (0, 0), "and when it is idle");
        assert_eq!(take(&pool).number, 2);
    });
}

#[test]
fn a_pool_that_cannot_have_its_minimum_is_none() {
    let factory = Factory::default();
    let inner = factory.clone();
    let built = ResourcesBuilder::new()
        .min(3)
        .build(move || match inner.made.get() {
            2 => Err("no more"),
            _ => Ok(inner.make()),
        });
    assert_eq!(built.unwrap_err(), "no more");
    assert_eq!((factory.made.get(), factory.alive.get()), (2, 0));
    assert!(panic_of(|| factory.pool(0)).contains("no items"));
    let builder = ResourcesBuilder::new().min(2).max(1);
    assert!(panic_of(|| factory.build(builder)).contains("at least 2 and at most 1"));
}

#[test]
fn who_waits_for_an_item_for_ever_is_reported() {
    let _watchdog = util::Watchdog::new();
    let report = panic_of(|| {
        sedge::run(|| {
            let pool = Factory::default().pool(1);
            let _item = take(&pool);
            let _ = pool.take();
        });
    });
    assert!(report.contains("pool"), "{report}");
}

#[test]
fn no_place_is_lost_when_a_taker_is_cancelled_at_any_moment() {
    cancel_at_each_moment(|aim| {
        let factory = Factory::default();
        let inner = factory.clone();
        let builder = ResourcesBuilder::new().max(1).health_check(|_| {
            sedge::yield_now();
            true
        });
        let pool = builder
            .build(move || {
                sedge::yield_now();
                Ok::<_, Infallible>(inner.make())
            })
            .unwrap();
        let use_it = |pool: &Pool, times: usize| {
            let pool = pool.clone();
            sedge::spawn(move || {
                for _ in 0..times {
                    let _item = take(&pool);
                    sedge::yield_now();
                }
            })
        };
        let before = use_it(&pool, 2);
        let victim = use_it(&pool, 2);
        let after = use_it(&pool, 2);
        aim.at(&victim);
        before.join().unwrap();
        after.join().unwrap();
        let _ = victim.join();
        assert_is_whole(&pool, 1);
        assert_eq!((factory.alive.get(), factory.most.get()), (1, 1));
    });
}

#[test]
fn no_place_is_lost_in_any_order() {
    const MAX: usize = 3;
    seeds(|seed| {
        let mut dice = Dice::new(seed);
        let factory = Factory::default();
        let inner = factory.clone();
        let make_dice = RefCell::new(dice.child());
        let check_dice = RefCell::new(dice.child());
        let builder = ResourcesBuilder::new().max(MAX);
        let throw = |dice: &RefCell<Dice>, sides| dice.borrow_mut().throw(sides);
        let builder = builder.health_check(move |_| {
            sedge::yield_now();
            throw(&check_dice, 4) > 0
        });
        let pool: Pool<()> = builder
            .build(move || {
                sedge::yield_now();
                if throw(&make_dice, 4) == 0 {
                    return Err(());
                }
                Ok(inner.make())
            })
            .unwrap();
        let threads: Vec<_> = (0..12)
            .map(|_| {
                let (pool, mut dice) = (pool.clone(), dice.child());
                sedge::spawn(move || {
                    for _ in 0..5 {
                        let taken = match dice.throw(3) {
                            0 => pool.try_take().transpose(),
                            1 => pool.take_timeout(Duration::from_micros(50)).ok(),
                            _ => Some(pool.take()),
                        };
                        let Some(Ok(taken)) = taken else { continue };
                        sedge::yield_now();
                        if dice.throw(4) == 0 {
                            Taken::discard(taken);
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            if dice.throw(3) == 0 {
                sedge::yield_now();
                thread.cancel();
            }
            let _ = thread.join();
        }
        assert!(factory.most.get() <= MAX);
        assert_eq!(pool.total(), pool.idle());
        assert_eq!(factory.alive.get(), pool.total());
    });
}
