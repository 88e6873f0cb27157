//! Random programs under random orders: everybody ends, and no wake-up, lock or destructor is lost.
//!
//! Workers take tokens that givers hand out; victims do the same for ever, until they are
//! cancelled. There are exactly as many tokens for each worker as it takes. So a wake-up that is
//! lost leaves a worker parked, and `run` reports a deadlock.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use sedge::sync::Mutex;
use sedge::thread::{self, Thread};
use sedge::{Config, Policy};

use crate::util::{Dice, Watchdog};

const WORKERS: usize = 6;
const STEPS: usize = 12;
const SEEDS: u64 = 60;

/// What all threads of one program share.
struct World {
    lock: Mutex<u32>,
    /// Whether somebody is inside of `lock`.
    inside: Cell<bool>,
    /// Guards that were made and not dropped.
    guards: Cell<i64>,
    taken: Cell<usize>,
}

/// Counted while it lives.
struct Guard<'a>(&'a World);

impl<'a> Guard<'a> {
    fn new(world: &'a World) -> Guard<'a> {
        world.guards.set(world.guards.get() + 1);
        Guard(world)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.guards.set(self.0.guards.get() - 1);
    }
}

impl World {
    fn lock_and_yield(&self, dice: &mut Dice) {
        let mut held = self
            .lock
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        assert!(!self.inside.replace(true), "two are inside of the lock");
        let _leave = crate::util::OnDrop(|| self.inside.set(false));
        *held += 1;
        (0..dice.throw(3)).for_each(|_| sedge::yield_now());
    }
}

/// One random step that always ends.
fn step(world: &Rc<World>, dice: &mut Dice) {
    let _guard = Guard::new(world);
    match dice.throw(9) {
        0 => sedge::yield_now(),
        1 => world.lock_and_yield(dice),
        2 => sedge::sleep(Duration::from_micros(dice.throw(100))),
        3 => {
            let limit = Duration::from_micros(dice.throw(50));
            let (outer, inner) = (limit * dice.throw(3) as u32, limit * dice.throw(3) as u32);
            let late = sedge::timeout(outer, || {
                let _guard = Guard::new(world);
                sedge::timeout(inner, || endless(world, dice))
            });
            assert!(matches!(late, Ok(Err(_)) | Err(_)));
        }
        4 => {
            let (inner, mut dice) = (Rc::clone(world), dice.child());
            let child = sedge::spawn(move || step(&inner, &mut dice));
            child.join().unwrap();
        }
        5 => {
            let mut first = dice.child();
            sedge::scope(|s| {
                s.spawn(|| world.lock_and_yield(&mut first));
                s.spawn(|| drop(Guard::new(world)));
                sedge::yield_now();
            });
        }
        6 => {
            let (inner, mut child_dice) = (Rc::clone(world), dice.child());
            let victim = sedge::spawn(move || endless(&inner, &mut child_dice));
            (0..dice.throw(4)).for_each(|_| sedge::yield_now());
            victim.cancel();
            assert!(victim.join().unwrap_err().is_cancelled());
        }
        7 => sedge::shield(|| world.lock_and_yield(dice)),
        _ => {
            let threads = [sedge::spawn(sedge::yield_now), sedge::spawn(|| ())];
            let first = sedge::wait_any(&threads);
            assert!(threads[first].is_finished());
        }
    }
}

/// Waits in one way or another until it is unwound.
fn endless(world: &Rc<World>, dice: &mut Dice) {
    let _guard = Guard::new(world);
    loop {
        match dice.throw(7) {
            0 => thread::park(),
            1 => sedge::yield_now(),
            2 => world.lock_and_yield(dice),
            3 => drop(sedge::spawn(thread::yield_now).join()),
            4 => sedge::scope(|s| {
                let _guard = Guard::new(world);
                s.spawn(|| {
                    let _guard = Guard::new(world);
                    thread::park();
                });
                thread::park();
            }),
            5 => drop(catch_unwind(AssertUnwindSafe(thread::park))),
            _ => {
                let (inner, mut child) = (Rc::clone(world), dice.child());
                let child = sedge::spawn(move || inner.lock_and_yield(&mut child));
                let _joined = crate::util::OnDrop({
                    let mut child = Some(child);
                    move || {
                        child
                            .take()
                            .into_iter()
                            .for_each(|child| child.join().unwrap())
                    }
                });
                sedge::yield_now();
            }
        }
    }
}

/// Takes as many tokens as the givers have for it, with random steps in between.
fn work(world: &Rc<World>, tokens: &Cell<usize>, mut dice: Dice) {
    for _ in 0..STEPS {
        if dice.throw(2) == 0 {
            step(world, &mut dice);
        }
        while tokens.get() == 0 {
            thread::park();
        }
        tokens.set(tokens.get() - 1);
        world.taken.set(world.taken.get() + 1);
    }
}

/// Hands one token to each worker, in random order, as often as a worker takes one.
fn give(world: &Rc<World>, workers: &[(Thread, Rc<Cell<usize>>)], mut dice: Dice) {
    let mut left = vec![STEPS; workers.len()];
    while left.iter().any(|&left| left > 0) {
        let pick = dice.throw(workers.len() as u64) as usize;
        if left[pick] > 0 {
            left[pick] -= 1;
            let (thread, tokens) = &workers[pick];
            tokens.set(tokens.get() + 1);
            thread.unpark();
        }
        if dice.throw(4) == 0 {
            step(world, &mut dice);
        }
    }
}

fn program(policy: Policy, seed: u64) -> u64 {
    let world = Rc::new(World {
        lock: Mutex::new(0),
        inside: Cell::new(false),
        guards: Cell::new(0),
        taken: Cell::new(0),
    });
    let mut dice = Dice::new(seed);
    let spawns = Config::new().policy(policy).run(|| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                let tokens = Rc::new(Cell::new(0));
                let (world, inner, dice) = (Rc::clone(&world), Rc::clone(&tokens), dice.child());
                let worker = sedge::spawn(move || work(&world, &inner, dice));
                (worker, tokens)
            })
            .collect();
        let known: Vec<_> = workers
            .iter()
            .map(|(worker, t)| (worker.thread().clone(), Rc::clone(t)))
            .collect();
        give(&world, &known, dice.child());
        for (worker, _) in workers {
            worker.join().unwrap();
        }
        sedge::stats().spawns
    });
    assert_eq!(world.taken.get(), WORKERS * STEPS);
    assert_eq!(world.guards.get(), 0, "a destructor did not run");
    assert!(!world.inside.get());
    drop(world.lock.try_lock());
    assert_eq!(Rc::strong_count(&world), 1, "a closure was not dropped");
    spawns
}

fn programs(policy: impl Fn(u64) -> Policy) {
    let _watchdog = Watchdog::new();
    for seed in 0..SEEDS {
        let outcome = catch_unwind(AssertUnwindSafe(|| program(policy(seed), seed)));
        let spawns = outcome.unwrap_or_else(|payload| {
            panic!(
                "{:?}, seed {seed}: {}",
                policy(seed),
                crate::util::message(&*payload)
            )
        });
        assert!(spawns > WORKERS as u64, "seed {seed} does nothing");
    }
}

#[test]
fn random_programs_end_and_lose_nothing_first_come_first_served() {
    programs(|_| Policy::Fifo);
}

#[test]
fn random_programs_end_and_lose_nothing_last_come_first_served() {
    programs(|_| Policy::Lifo);
}

#[test]
fn random_programs_end_and_lose_nothing_in_random_orders() {
    programs(Policy::Random);
}
