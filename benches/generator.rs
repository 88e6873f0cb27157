//! What an item of a generator costs, beside the bare coroutine: `cargo bench --bench generator`.
//!
//! Each round measures everything once, one after the other, so that what disturbs the machine
//! disturbs all of it; the table shows medians. The limit is corosensei alone: one coroutine that
//! is resumed and suspends. With `-- bare` or `-- next` only that is done, for a count of
//! instructions.

use std::hint::black_box;
use std::time::Instant;

use corosensei::{Coroutine, Yielder};
use sedge::generator::{self, Generator};

const ROUNDS: usize = 9;
const ITEMS: u64 = 4_000_000;
const MADE: u64 = 100_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |word: &str| arguments.iter().any(|argument| argument == word);
    if asked("bare") {
        black_box(bare(1_000_000));
        return;
    }
    if asked("next") {
        black_box(next(1_000_000));
        return;
    }
    // `cargo test --benches` runs this too, to see that it runs.
    let is_test = asked("--test");
    let shrink = if is_test { 1000 } else { 1 };

    let mut rounds = Vec::new();
    for _ in 0..if is_test { 1 } else { ROUNDS } {
        rounds.push([
            bare(ITEMS / shrink),
            next(ITEMS / shrink),
            sedge::run(|| next(ITEMS / shrink)),
            send(ITEMS / shrink),
            yield_from(ITEMS / shrink),
            bare_in_a_call(ITEMS / shrink),
            next_in_a_call(ITEMS / shrink),
            make_and_drop(MADE / shrink),
            make_and_unwind(MADE / shrink),
        ]);
    }
    let median = |column: usize| {
        let mut values: Vec<f64> = rounds.iter().map(|round| round[column]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let bare = median(0);
    println!(
        "median of {} rounds           ns   times bare",
        rounds.len()
    );
    for (column, name) in [
        "bare resume and suspend",
        "next, outside of run",
        "next, inside of run",
        "send",
        "next through a yield_from",
        "bare, suspends in a call",
        "next, yields in a call",
        "make, one item, to its end",
        "make, one item, unwind",
    ]
    .iter()
    .enumerate()
    {
        let value = median(column);
        println!("{name:26} {value:8.1} {:8.1}", value / bare);
    }
}

/// Nanoseconds of one of `count` calls.
fn each(count: u64, work: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    work();
    begin.elapsed().as_nanos() as f64 / count as f64
}

/// Resume and suspend, without anything around it.
fn bare(count: u64) -> f64 {
    let body = |yielder: &Yielder<u64, u64>, mut value| {
        loop {
            value = yielder.suspend(value);
        }
    };
    let mut coroutine: Coroutine<u64, u64, ()> = Coroutine::new(body);
    let time = each(count, || {
        for value in 0..count {
            black_box(coroutine.resume(value).as_yield());
        }
    });
    // It never ends, and is not unwound: its stack is given up.
    std::mem::forget(coroutine);
    time
}

fn numbers() -> Generator<u64> {
    Generator::new(|y| {
        for number in 0.. {
            y.yield_(number);
        }
    })
}

/// Items of a generator that is sent nothing.
fn next(count: u64) -> f64 {
    let mut numbers = numbers();
    each(count, || {
        for _ in 0..count {
            black_box(numbers.next());
        }
    })
}

/// Items of one that is sent numbers.
fn send(count: u64) -> f64 {
    let echo: Generator<u64, u64> = Generator::receiving(|y, mut value| {
        loop {
            value = y.yield_(value);
        }
    });
    each(count, || {
        for value in 0..count {
            black_box(echo.send(value));
        }
    })
}

/// Items that one generator passes on from another.
fn yield_from(count: u64) -> f64 {
    let mut outer = Generator::new(|y| y.yield_from(&numbers(), ()));
    each(count, || {
        for _ in 0..count {
            black_box(outer.next());
        }
    })
}

/// As [`bare`], but it suspends in a function that it calls: when that returns, the processor
/// expects to go where the resume was called.
fn bare_in_a_call(count: u64) -> f64 {
    #[inline(never)]
    fn suspend(yielder: &Yielder<u64, u64>, value: u64) -> u64 {
        black_box(yielder.suspend(value))
    }
    let body = |yielder: &Yielder<u64, u64>, mut value| {
        loop {
            value = suspend(yielder, value);
        }
    };
    let mut coroutine: Coroutine<u64, u64, ()> = Coroutine::new(body);
    let time = each(count, || {
        for value in 0..count {
            black_box(coroutine.resume(value).as_yield());
        }
    });
    std::mem::forget(coroutine);
    time
}

/// The same of a generator.
fn next_in_a_call(count: u64) -> f64 {
    #[inline(never)]
    fn yield_(yielder: &generator::Yielder<'_, u64>, value: u64) {
        yielder.yield_(value);
        black_box(value);
    }
    let mut numbers = Generator::new(|y| {
        for number in 0.. {
            yield_(y, number);
        }
    });
    each(count, || {
        for _ in 0..count {
            black_box(numbers.next());
        }
    })
}

/// A generator that yields once and returns.
fn make_and_drop(count: u64) -> f64 {
    each(count, || {
        for number in 0..count {
            black_box(Generator::new(move |y| y.yield_(number)).sum::<u64>());
        }
    })
}

/// One that is dropped when it has yielded.
fn make_and_unwind(count: u64) -> f64 {
    each(count, || {
        for number in 0..count {
            black_box(Generator::new(move |y| y.yield_(number)).next());
        }
    })
}
