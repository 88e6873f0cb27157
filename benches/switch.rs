//! What it costs to let another one run.
//!
//! `n` green threads that do nothing but yield run in turn, so that each comes to a stack and a
//! context that `n - 1` others have pushed down in the caches. Counted is one switch: from one of
//! them to the next. All of them are there before the clock starts, and the one that measures is
//! one of them. The limit, `corosensei`, is a loop that resumes `n` bare coroutines in turn, with
//! no scheduler at all; `corosensei/1` is the switch as it is usually quoted.
//!
//! tokio's tasks have no stack, and await: `tokio` is a runtime on this OS thread, `tokio-local` a
//! `LocalSet` on it. may runs on one worker, and for 100,000 of its stacks there are not enough
//! mappings by default. `std` is OS threads on one core that wake the next and park, as there is no
//! other way to choose who runs: each switch of theirs has a wake in it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use corosensei::Coroutine;
use criterion::BenchmarkId;
use sedge_benches::slots::Slots;
use sedge_benches::{Group, set_up_may, settings, sizes, time, tokio};
use tokio::task::{LocalSet, spawn_local};

fn main() {
    set_up_may();
    let mut criterion = settings();
    let mut group = criterion.benchmark_group("switch");
    bare(&mut group, 1);
    for n in sizes(&[2, 100, 10_000, 100_000]) {
        bare(&mut group, n);
        sedge(&mut group, n);
        if n <= 10_000 {
            may(&mut group, n);
        }
        tokio_tasks(&mut group, n);
        tokio_local(&mut group, n);
    }
    for n in sizes(&[2, 100]) {
        std_threads(&mut group, n);
    }
    group.finish();
    criterion.final_summary();
}

fn bare(group: &mut Group<'_>, n: usize) {
    let body = |yielder: &corosensei::Yielder<(), ()>, ()| loop {
        yielder.suspend(());
    };
    let stacks = Slots::new(n).stacks();
    let mut all: Vec<Coroutine<(), (), (), _>> = stacks
        .map(|stack| Coroutine::with_stack(stack, body))
        .collect();
    group.bench_function(BenchmarkId::new("corosensei", n), |bencher| {
        bencher.iter_custom(|count| {
            time(count, n, || {
                for coroutine in &mut all {
                    coroutine.resume(());
                }
            })
        });
    });
    // They never end, and are not unwound.
    std::mem::forget(all);
}

fn sedge(group: &mut Group<'_>, n: usize) {
    sedge::run(|| {
        let stop = Rc::new(Cell::new(false));
        for _ in 1..n {
            let stop = Rc::clone(&stop);
            sedge::spawn(move || {
                while !stop.get() {
                    sedge::yield_now();
                }
            });
        }
        sedge::yield_now();
        group.bench_function(BenchmarkId::new("sedge", n), |bencher| {
            bencher.iter_custom(|count| time(count, n, sedge::yield_now));
        });
        stop.set(true);
    });
}

fn may(group: &mut Group<'_>, n: usize) {
    group.bench_function(BenchmarkId::new("may", n), |bencher| {
        bencher.iter_custom(|count| {
            let measure = may::go!(move || time_may(count, n));
            measure.join().expect("it does not panic")
        });
    });
}

/// The part of the one that measures. A worker of may's does not look for new coroutines while
/// there are old ones to run, so that the others begin when this one parks, and the last of them
/// wakes it.
fn time_may(count: u64, n: usize) -> Duration {
    let stop = Arc::new(AtomicBool::new(false));
    let missing = Arc::new(AtomicUsize::new(n - 1));
    let main = may::coroutine::current();
    let other = |_| {
        let (stop, missing, main) = (Arc::clone(&stop), Arc::clone(&missing), main.clone());
        may::go!(move || {
            if missing.fetch_sub(1, Ordering::Relaxed) == 1 {
                main.unpark();
            }
            while !stop.load(Ordering::Relaxed) {
                may::coroutine::yield_now();
            }
        })
    };
    let others: Vec<_> = (1..n).map(other).collect();
    while missing.load(Ordering::Relaxed) > 0 {
        may::coroutine::park();
    }
    let elapsed = time(count, n, may::coroutine::yield_now);
    stop.store(true, Ordering::Relaxed);
    others.iter().for_each(|other| other.wait());
    elapsed
}

/// A task's part of [`sedge_benches::time`].
async fn time_tasks(count: u64, n: usize) -> Duration {
    let turns = count.div_ceil(n as u64);
    let begin = Instant::now();
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
    sedge_benches::scale(begin.elapsed(), turns * n as u64, count)
}

fn tokio_tasks(group: &mut Group<'_>, n: usize) {
    let runtime = tokio();
    for _ in 1..n {
        runtime.spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
    }
    group.bench_function(BenchmarkId::new("tokio", n), |bencher| {
        // The future of `block_on` has no place in the queue of the tasks, so it is one of them
        // that measures.
        bencher.iter_custom(|count| {
            let measure = runtime.spawn(time_tasks(count, n));
            runtime.block_on(measure).expect("it does not panic")
        });
    });
}

fn tokio_local(group: &mut Group<'_>, n: usize) {
    let runtime = tokio();
    let set = LocalSet::new();
    for _ in 1..n {
        set.spawn_local(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
    }
    group.bench_function(BenchmarkId::new("tokio-local", n), |bencher| {
        bencher.iter_custom(|count| {
            let measure = async { spawn_local(time_tasks(count, n)).await };
            set.block_on(&runtime, measure).expect("it does not panic")
        });
    });
}

fn std_threads(group: &mut Group<'_>, n: usize) {
    group.bench_function(BenchmarkId::new("std", n), |bencher| {
        bencher.iter_custom(|count| {
            // The affinity is this OS thread's and its children's, and ends with it.
            let ring = std::thread::spawn(move || {
                sedge_benches::pin_to_last_core().expect("the core is ours");
                pass_round(count.div_ceil(n as u64), n as u64)
            });
            let elapsed = ring.join().expect("it does not panic");
            sedge_benches::scale(elapsed, count.div_ceil(n as u64) * n as u64, count)
        });
    });
}

/// The time in which a word goes round `n` OS threads so many times.
fn pass_round(rounds: u64, n: u64) -> Duration {
    let turn = Arc::new(AtomicU64::new(u64::MAX));
    let mut next = std::thread::current();
    let mut threads = Vec::new();
    for place in (1..n).rev() {
        let (turn, after) = (Arc::clone(&turn), next);
        let thread = std::thread::spawn(move || {
            take_turns(
                &turn,
                (place..).step_by(n as usize).take(rounds as usize),
                &after,
            );
        });
        next = thread.thread().clone();
        threads.push(thread);
    }
    // Now they all park.
    std::thread::sleep(Duration::from_millis(5));
    let begin = Instant::now();
    turn.store(0, Ordering::SeqCst);
    take_turns(
        &turn,
        (0..).step_by(n as usize).take(rounds as usize),
        &next,
    );
    for thread in threads {
        thread.join().expect("it does not panic");
    }
    begin.elapsed()
}

fn take_turns(turn: &AtomicU64, mine: impl Iterator<Item = u64>, next: &std::thread::Thread) {
    for number in mine {
        while turn.load(Ordering::SeqCst) != number {
            std::thread::park();
        }
        turn.store(number + 1, Ordering::SeqCst);
        next.unpark();
    }
}
