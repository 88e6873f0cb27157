//! What it costs to start something and wait for its end.
//!
//! A green thread that does nothing but return a number is spawned and joined, on a stack that the
//! last one left: that is what a server does for each connection. In the `-batch` benchmarks a
//! thousand are spawned first and then joined, each on a stack of its own; counted is one of them.
//! The limit, `corosensei`, makes a bare coroutine on a stack that is there, runs it to its end,
//! and takes the stack back; its closure is boxed, as any runtime has to. The runtimes are warm:
//! their pools have what they need before the clock starts.
//!
//! tokio's tasks have no stack. `std` is OS threads, whose stacks glibc keeps as well.

use std::hint::black_box;
use std::time::{Duration, Instant};

use corosensei::{Coroutine, CoroutineResult};
use sedge_benches::slots::Slots;
use sedge_benches::{Group, scale, set_up_may, settings, time, tokio};
use tokio::task::{LocalSet, spawn_local};

const BATCH: usize = 1000;

fn main() {
    set_up_may();
    let mut criterion = settings();
    let mut group = criterion.benchmark_group("spawn");
    bare(&mut group);
    sedge(&mut group);
    may(&mut group);
    tokio_tasks(&mut group);
    tokio_local(&mut group);
    group.bench_function("std", |bencher| {
        bencher.iter(|| std::thread::spawn(|| 1).join());
    });
    group.finish();
    criterion.final_summary();
}

fn bare(group: &mut Group<'_>) {
    let mut stack = Slots::new(1).stacks().next();
    group.bench_function("corosensei", |bencher| {
        bencher.iter(|| {
            let body: Box<dyn FnOnce() -> i32> = Box::new(|| 1);
            let stack_here = stack.take().expect("it comes back");
            let mut coroutine: Coroutine<(), (), i32, _> =
                Coroutine::with_stack(stack_here, |_, ()| black_box(body)());
            let result = match coroutine.resume(()) {
                CoroutineResult::Return(value) => value,
                CoroutineResult::Yield(()) => unreachable!("it does not suspend"),
            };
            stack = Some(coroutine.into_stack());
            result
        });
    });
}

fn sedge(group: &mut Group<'_>) {
    let batch = || {
        let threads: Vec<_> = (0..BATCH).map(|_| sedge::spawn(|| 1)).collect();
        for thread in threads {
            black_box(thread.join().expect("it does not panic"));
        }
    };
    sedge::run(|| {
        batch();
        group.bench_function("sedge", |bencher| {
            bencher.iter(|| sedge::spawn(|| 1).join().expect("it does not panic"));
        });
        group.bench_function("sedge-batch", |bencher| {
            bencher.iter_custom(|count| time(count, BATCH, batch));
        });
    });
}

fn may(group: &mut Group<'_>) {
    let one = || {
        black_box(may::go!(|| 1).join().expect("it does not panic"));
    };
    let batch = || {
        let threads: Vec<_> = (0..BATCH).map(|_| may::go!(|| 1)).collect();
        for thread in threads {
            black_box(thread.join().expect("it does not panic"));
        }
    };
    let here = |each: usize, count: u64, work: fn()| {
        let measure = move || time(count, each, work);
        may::go!(measure).join().expect("it does not panic")
    };
    here(BATCH, 1, batch);
    group.bench_function("may", |bencher| {
        bencher.iter_custom(|count| here(1, count, one));
    });
    group.bench_function("may-batch", |bencher| {
        bencher.iter_custom(|count| here(BATCH, count, batch));
    });
}

fn tokio_tasks(group: &mut Group<'_>) {
    let runtime = tokio();
    // The future of `block_on` is polled in another way than tasks are, so a task measures.
    let here = |measure| runtime.block_on(async { runtime.spawn(measure).await });
    group.bench_function("tokio", |bencher| {
        bencher.iter_custom(|count| here(one_by_one(count)).expect("it does not panic"));
    });
    let here = |measure| runtime.block_on(async { runtime.spawn(measure).await });
    group.bench_function("tokio-batch", |bencher| {
        bencher.iter_custom(|count| here(batches(count)).expect("it does not panic"));
    });
}

async fn one_by_one(count: u64) -> Duration {
    let begin = Instant::now();
    for _ in 0..count {
        black_box(tokio::spawn(async { 1 }).await.expect("it does not panic"));
    }
    begin.elapsed()
}

async fn batches(count: u64) -> Duration {
    let batches = count.div_ceil(BATCH as u64);
    let begin = Instant::now();
    for _ in 0..batches {
        let tasks: Vec<_> = (0..BATCH).map(|_| tokio::spawn(async { 1 })).collect();
        for task in tasks {
            black_box(task.await.expect("it does not panic"));
        }
    }
    scale(begin.elapsed(), batches * BATCH as u64, count)
}

fn tokio_local(group: &mut Group<'_>) {
    async fn measure(count: u64) -> Duration {
        let begin = Instant::now();
        for _ in 0..count {
            black_box(spawn_local(async { 1 }).await.expect("it does not panic"));
        }
        begin.elapsed()
    }
    let runtime = tokio();
    let set = LocalSet::new();
    group.bench_function("tokio-local", |bencher| {
        bencher.iter_custom(|count| {
            let measured = async { spawn_local(measure(count)).await };
            set.block_on(&runtime, measured).expect("it does not panic")
        });
    });
}
