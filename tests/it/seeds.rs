//! One scenario in many orders, and with a cancellation at each of its moments.
//!
//! A few seeds are tried whenever the tests run. Many are tried by
//!
//! ```text
//! SEDGE_SEEDS=10000 cargo test --release --test it
//! ```
//!
//! A failure names its seed, and `SEDGE_SEED=17` tries that one alone.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use sedge::thread::{self, JoinHandle, Thread};
use sedge::{Config, Policy, State};

use crate::util::{Watchdog, message};

/// Seeds that are tried when nobody says how many.
const SEEDS: u64 = 50;
/// There is one watchdog for so many runs.
const RUNS_PER_WATCHDOG: usize = 100;
/// No scenario has so many moments.
const MOST_STEPS: usize = 2000;

/// Runs `scenario` under [`Policy::Random`] with each seed, and hands it the seed for its own dice.
///
/// It fails if the scenario panics, if any of its green threads ends in a panic that nobody joins,
/// or if they wait for ever.
#[track_caller]
pub(crate) fn seeds(scenario: impl Fn(u64)) {
    let mut runs = Runs::default();
    for seed in range(1) {
        let title = || format!("SEDGE_SEED={seed}");
        runs.run(Policy::Random(seed), &title, || scenario(seed));
    }
}

/// Runs `scenario` again and again: the first time, what it aims at is cancelled when the others
/// have not run, then after they have taken one turn each, after two, and so on, until it ends
/// before that. Then the same last come first served, and in some random orders.
///
/// The scenario spawns the victim, [aims](Aim::at) at it once, and checks at its end that nothing
/// is lost. It fails as [`seeds`] does.
#[track_caller]
pub(crate) fn cancel_at_each_moment(scenario: impl Fn(&Aim)) {
    let mut runs = Runs::default();
    let mut is_late = |policy, steps| {
        let aim = Aim::new(steps);
        let title = || format!("{policy:?}, cancelled after {steps} steps");
        runs.run(policy, &title, || scenario(&aim));
        aim.came_late()
    };
    let last = (0..MOST_STEPS).find(|&steps| is_late(Policy::Fifo, steps));
    let last = last.expect("the victim never ends");
    assert!(last > 0, "the victim does not wait");
    for policy in [Policy::Lifo]
        .into_iter()
        .chain(range(10).map(Policy::Random))
    {
        // In other orders it may take fewer steps than that, or a few more.
        (0..=last + 3).for_each(|steps| _ = is_late(policy, steps));
    }
}

/// Cancels a green thread after so many steps.
pub(crate) struct Aim {
    steps: usize,
    /// Whether the victim had ended before; none as long as that is not known.
    late: Rc<Cell<Option<bool>>>,
}

impl Aim {
    fn new(steps: usize) -> Aim {
        Aim {
            steps,
            late: Rc::default(),
        }
    }

    /// Spawns who cancels `victim` when its time has come.
    pub(crate) fn at<T>(&self, victim: &JoinHandle<T>) {
        self.at_thread(victim.thread().clone());
    }

    /// As [`at`](Aim::at).
    pub(crate) fn at_thread(&self, victim: Thread) {
        let (steps, late) = (self.steps, Rc::clone(&self.late));
        sedge::spawn(move || {
            (0..steps).for_each(|_| thread::yield_now());
            late.set(Some(victim.state() == State::Done));
            victim.cancel();
        });
    }

    fn came_late(&self) -> bool {
        self.late.get().expect("the scenario aims at nobody")
    }
}

/// The seeds to try: the one that is asked for, or a `part`-th of all.
fn range(part: u64) -> Range<u64> {
    let number = |name| {
        let text = std::env::var(name).ok()?;
        Some(
            text.parse::<u64>()
                .unwrap_or_else(|_| panic!("{name}={text}")),
        )
    };
    match number("SEDGE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEDGE_SEEDS").unwrap_or(SEEDS).div_ceil(part),
    }
}

/// Runs of one scenario.
#[derive(Default)]
struct Runs {
    count: usize,
    watchdog: Option<Watchdog>,
}

impl Runs {
    #[track_caller]
    fn run(&mut self, policy: Policy, title: &dyn Fn() -> String, scenario: impl FnOnce()) {
        if self.count.is_multiple_of(RUNS_PER_WATCHDOG) {
            self.watchdog = Some(Watchdog::new());
        }
        self.count += 1;
        let panics: Rc<RefCell<Vec<String>>> = Rc::default();
        let hook = {
            let panics = Rc::clone(&panics);
            move |thread: &Thread, payload: &(dyn Any + Send)| {
                let text = format!("{thread:?}: {}", message(payload));
                panics.borrow_mut().push(text);
            }
        };
        let config = Config::new().policy(policy).on_panic(hook);
        let outcome = catch_unwind(AssertUnwindSafe(|| config.run(scenario)));
        if let Err(payload) = outcome {
            panic!("{}: {}", title(), message(&*payload));
        }
        let panics = panics.take();
        assert!(panics.is_empty(), "{}: {panics:?}", title());
    }
}

mod tests {
    use super::{cancel_at_each_moment, seeds};
    use crate::util::{Log, OnDrop, panic_of};
    use std::cell::RefCell;
    use std::collections::HashSet;
    use std::rc::Rc;

    use sedge::thread;

    #[test]
    fn seeds_try_different_orders() {
        let orders = RefCell::new(HashSet::new());
        seeds(|_| {
            let log = Log::default();
            sedge::scope(|s| {
                for name in ["a", "b", "c"] {
                    let log = log.clone();
                    s.spawn(move || log.add(name));
                }
            });
            orders.borrow_mut().insert(log.take());
        });
        let orders = orders.take();
        assert!(orders.len() == 6 || std::env::var("SEDGE_SEED").is_ok());
    }

    #[test]
    fn seeds_name_the_one_that_fails() {
        let text = panic_of(|| seeds(|seed| assert!(seed < 3, "too large")));
        assert!(text.starts_with("SEDGE_SEED="), "{text}");
        let text = panic_of(|| {
            seeds(|_| {
                sedge::spawn(|| panic!("nobody joins it"));
            });
        });
        assert!(text.contains("nobody joins it"), "{text}");
        let text = panic_of(|| seeds(|_| thread::park()));
        assert!(text.contains("park"), "{text}");
    }

    #[test]
    fn a_cancellation_at_each_moment_meets_each_wait_of_the_victim() {
        let met = Rc::new(RefCell::new(HashSet::new()));
        cancel_at_each_moment(|aim| {
            let met = Rc::clone(&met);
            let victim = sedge::spawn(move || {
                for i in 0..10 {
                    let met = Rc::clone(&met);
                    let _note = OnDrop(move || {
                        if thread::panicking() {
                            met.borrow_mut().insert(i);
                        }
                    });
                    sedge::yield_now();
                }
            });
            aim.at(&victim);
        });
        assert_eq!(met.take(), (0..10).collect());
    }
}
