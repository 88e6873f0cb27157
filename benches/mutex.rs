//! What it costs to lock and unlock.
//!
//! Size 1: nobody else is there, and nobody waits. Size 100: so many take turns, and each holds the
//! lock while it lets others run, so that all the others come to a lock that is held, and wait in
//! its queue; counted is one turn, with the wait, the switches and the hand-over. All are there
//! before the clock starts, and it stops when all have had their turns: not every lock is fair.
//!
//! The limit is `cell` for size 1, which is what a lock of one OS thread has to be at least: a flag
//! that is looked at, set and reset. There is none for size 100. `std` is there for size 1 only:
//! one OS thread has nobody to take turns with, and several are not what is measured here. tokio's
//! lock is the one that may be held across an await.

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
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
    use sedge::sync::Mutex;
    fn turn(lock: &Mutex<u64>) {
        let mut value = lock.lock().expect("nobody panics");
        sedge::yield_now();
        *value += 1;
    }
    sedge::run(|| {
        group.bench_function(BenchmarkId::new("sedge", MANY), |bencher| {
            bencher.iter_custom(|count| {
                let (lock, turns) = (Rc::new(Mutex::new(0)), turns(count));
                let spawn = |_| {
                    let lock = Rc::clone(&lock);
                    sedge::spawn(move || (0..turns).for_each(|_| turn(&lock)))
                };
                let threads: Vec<_> = (0..MANY).map(spawn).collect();
                let begin = Instant::now();
                sedge::wait_all(&threads);
                scale(begin.elapsed(), turns * MANY as u64, count)
            });
        });
    });
}

fn may_queue(group: &mut Group<'_>) {
    use may::sync::Mutex;
    fn turn(lock: &Mutex<u64>) {
        let mut value = lock.lock().expect("nobody panics");
        may::coroutine::yield_now();
        *value += 1;
    }
    group.bench_function(BenchmarkId::new("may", MANY), |bencher| {
        bencher.iter_custom(|count| {
            let measure = move || {
                let (lock, turns) = (Arc::new(Mutex::new(0)), turns(count));
                let spawn = |_| {
                    let lock = Arc::clone(&lock);
                    may::go!(move || (0..turns).for_each(|_| turn(&lock)))
                };
                let threads: Vec<_> = (0..MANY).map(spawn).collect();
                let begin = Instant::now();
                threads.iter().for_each(|thread| thread.wait());
                scale(begin.elapsed(), turns * MANY as u64, count)
            };
            may::go!(measure).join().expect("it does not panic")
        });
    });
}

fn tokio_queue(group: &mut Group<'_>) {
    use tokio::sync::Mutex;
    async fn turns_of_one(lock: Arc<Mutex<u64>>, turns: u64) {
        for _ in 0..turns {
            let mut value = lock.lock().await;
            tokio::task::yield_now().await;
            *value += 1;
        }
    }
    async fn measure(count: u64) -> Duration {
        let (lock, turns) = (Arc::new(Mutex::new(0)), turns(count));
        let spawn = |_| tokio::spawn(turns_of_one(Arc::clone(&lock), turns));
        let tasks: Vec<_> = (0..MANY).map(spawn).collect();
        let begin = Instant::now();
        for task in tasks {
            task.await.expect("it does not panic");
        }
        scale(begin.elapsed(), turns * MANY as u64, count)
    }
    let runtime = tokio();
    group.bench_function(BenchmarkId::new("tokio", MANY), |bencher| {
        bencher.iter_custom(|count| {
            let measured = runtime.spawn(measure(count));
            runtime.block_on(measured).expect("it does not panic")
        });
    });
}

/// How many of `count` turns each of them has.
fn turns(count: u64) -> u64 {
    count.div_ceil(MANY as u64)
}
