//! Philosophers at a round table: each needs the fork on his left and the one on his right.
//!
//! ```sh
//! cargo run --example dining
//! ```
//!
//! First everybody takes the left one first. The last to do so closes a circle: sedge says who
//! waits for whom, and where each fork was taken. Then the same table with its forks in one order,
//! and with philosophers who put a fork back when they cannot have the other.

use std::rc::Rc;
use std::time::Duration;

use sedge::sync::{Mutex, MutexGuard, PoisonError};
use sedge::thread::Builder;
use sedge::{JoinHandle, sleep, yield_now};

const NAMES: [&str; 5] = ["Plato", "Hypatia", "Kant", "Arendt", "Zeno"];
const MEALS: usize = 3;

type Forks = [Mutex<()>; NAMES.len()];
type Both<'a> = (MutexGuard<'a, ()>, MutexGuard<'a, ()>);

/// A fork is a fork, even if its last user has left the table in a panic.
#[track_caller]
fn take(fork: &Mutex<()>) -> MutexGuard<'_, ()> {
    fork.lock().unwrap_or_else(PoisonError::into_inner)
}

fn left_first(forks: &Forks, seat: usize) -> Both<'_> {
    let left = take(&forks[seat]);
    yield_now(); // thinks
    (left, take(&forks[(seat + 1) % forks.len()]))
}

fn lower_first(forks: &Forks, seat: usize) -> Both<'_> {
    let mut pair = [seat, (seat + 1) % forks.len()];
    pair.sort_unstable();
    let lower = take(&forks[pair[0]]);
    yield_now();
    (lower, take(&forks[pair[1]]))
}

fn try_and_back_off(forks: &Forks, seat: usize) -> Both<'_> {
    // Everybody pauses for another time: in step, they would find each other's forks taken for
    // ever.
    let mut pause = Duration::from_micros(100 * (seat as u64 + 1));
    loop {
        let left = take(&forks[seat]);
        yield_now();
        if let Ok(right) = forks[(seat + 1) % forks.len()].try_lock() {
            return (left, right);
        }
        drop(left);
        sleep(pause);
        pause *= 2;
    }
}

/// Has all of them eat, and says how many meals there were.
fn dine(take_both: fn(&Forks, usize) -> Both<'_>) -> usize {
    let forks: Rc<Forks> = Rc::default();
    let philosopher = |(seat, name): (usize, &&str)| -> JoinHandle<()> {
        let forks = Rc::clone(&forks);
        let eat = move || {
            for _ in 0..MEALS {
                let _both = take_both(&forks, seat);
                yield_now(); // eats
            }
        };
        Builder::new()
            .name((*name).to_owned())
            .spawn(eat)
            .expect("a stack")
    };
    let table: Vec<_> = NAMES.iter().enumerate().map(philosopher).collect();
    let full = table
        .into_iter()
        .map(JoinHandle::join)
        .filter(Result::is_ok);
    full.count() * MEALS
}

fn main() {
    sedge::run(|| {
        println!("left fork first:");
        let meals = dine(left_first);
        println!("{meals} meals: the one who closed the circle has left, the others went on\n");
        println!("lower fork first: {} meals", dine(lower_first));
        println!("try and back off: {} meals", dine(try_and_back_off));
    });
}
