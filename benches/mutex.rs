//! What it costs to lock and unlock.
//!
//! Size 1: nobody else is there, so that neither waits. Size 100: so many take turns, and each holds
//! the lock while it lets others run, so that all the others come to a lock that is held, and wait in
//! its queue; counted is one turn, with the wait, the switches and the hand-over. All are there
//! before the clock starts, and the one that measures is one of them.
//!
//! The limit is `cell` for size 1, which is what a lock of one OS thread has to be at least: a flag
//! that is looked at, set and reset. There is none for size 100. `std` is there for size 1 only:
//! one OS thread has nobody to take turns with, and several are not what is measured here. tokio's
//! lock is the one that may be held across an await.

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use criterion::BenchmarkId;
use sedge_benches::{Group, scale, set_up_may, settings, time, tokio};

const MANY: usize = 100;

fn main() {
    set_up_may();
    let mut criterion = settings();
    let mut group = criterion.benchmark_group("mutex");
    free(&mut group);
    sedge_queue(&mut group);
    may_queue(&mut group);
    tokio_queue(&mut group);
    group.finish();
    criterion.final_summary();
}

/// Nobody waits.
fn free(group: &mut Group<'_>) {
    let (flag, value) = (Cell::new(false), Cell::new(0_u64));
    group.bench_function(BenchmarkId::new("cell", 1), |bencher| {
        bencher.iter(|| {
            assert!(!black_box(&flag).replace(true));
            value.set(value.get() + 1);
            black_box(&flag).set(false);
        });
    });
    sedge::run(|| {
        let lock = sedge::sync::Mutex::new(0_u64);
        group.bench_function(BenchmarkId::new("sedge", 1), |bencher| {
            bencher.iter(|| *black_box(&lock).lock().expect("nobody panics") += 1);
        });
    });
    group.bench_function(BenchmarkId::new("may", 1), |bencher| {
        bencher.iter_custom(|count| {
            let measure = move || {
                let lock = may::sync::Mutex::new(0_u64);
                time(count, 1, || {
                    *black_box(&lock).lock().expect("nobody panics") += 1;
                })
            };
            may::go!(measure).join().expect("it does not panic")
        });
    });
    let runtime = tokio();
    group.bench_function(BenchmarkId::new("tokio", 1), |bencher| {
        let lock = tokio::sync::Mutex::new(0_u64);
        bencher.iter_custom(|count| {
            runtime.block_on(async {
                let begin = Instant::now();
                for _ in 0..count {
                    *black_box(&lock).lock().await += 1;
                }
                begin.elapsed()
            })
        });
    });
    let lock = std::sync::Mutex::new(0_u64);
    group.bench_function(BenchmarkId::new("std", 1), |bencher| {
        bencher.iter(|| *black_box(&lock).lock().expect("nobody panics") += 1);
    });
}

fn sedge_queue(group: &mut Group<'_>) {
    fn turn(lock: &sedge::sync::Mutex<u64>) {
        let mut value = lock.lock().expect("nobody panics");
        sedge::yield_now();
        *value += 1;
    }
    sedge::run(|| {
        let lock = Rc::new(sedge::sync::Mutex::new(0));
        let stop = Rc::new(Cell::new(false));
        for _ in 1..MANY {
            let (lock, stop) = (Rc::clone(&lock), Rc::clone(&stop));
            sedge::spawn(move || {
                while !stop.get() {
                    turn(&lock);
                }
            });
        }
        sedge::yield_now();
        group.bench_function(BenchmarkId::new("sedge", MANY), |bencher| {
            bencher.iter_custom(|count| time(count, MANY, || turn(&lock)));
        });
        stop.set(true);
    });
}

fn may_queue(group: &mut Group<'_>) {
    fn turn(lock: &may::sync::Mutex<u64>) {
        let mut value = lock.lock().expect("nobody panics");
        may::coroutine::yield_now();
        *value += 1;
    }
    let lock = Arc::new(may::sync::Mutex::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let others: Vec<_> = (1..MANY)
        .map(|_| {
            let (lock, stop) = (Arc::clone(&lock), Arc::clone(&stop));
            may::go!(move || {
                while !stop.load(Ordering::Relaxed) {
                    turn(&lock);
                }
            })
        })
        .collect();
    group.bench_function(BenchmarkId::new("may", MANY), |bencher| {
        bencher.iter_custom(|count| {
            let lock = Arc::clone(&lock);
            let measure = move || time(count, MANY, || turn(&lock));
            may::go!(measure).join().expect("it does not panic")
        });
    });
    stop.store(true, Ordering::Relaxed);
    others.into_iter().for_each(|other| other.wait());
}

fn tokio_queue(group: &mut Group<'_>) {
    async fn turn(lock: &tokio::sync::Mutex<u64>) {
        let mut value = lock.lock().await;
        tokio::task::yield_now().await;
        *value += 1;
    }
    async fn measure(lock: Arc<tokio::sync::Mutex<u64>>, count: u64) -> Duration {
        let turns = count.div_ceil(MANY as u64);
        let begin = Instant::now();
        for _ in 0..turns {
            turn(&lock).await;
        }
        scale(begin.elapsed(), turns * MANY as u64, count)
    }
    let runtime = tokio();
    let lock = Arc::new(tokio::sync::Mutex::new(0));
    for _ in 1..MANY {
        let lock = Arc::clone(&lock);
        runtime.spawn(async move {
            loop {
                turn(&lock).await;
            }
        });
    }
    group.bench_function(BenchmarkId::new("tokio", MANY), |bencher| {
        bencher.iter_custom(|count| {
            let measured = runtime.spawn(measure(Arc::clone(&lock), count));
            runtime.block_on(measured).expect("it does not panic")
        });
    });
}
