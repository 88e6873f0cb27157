//! What an item of a generator costs.
//!
//! A generator counts; each item is one resume and one suspend. It is made before the clock starts.
//! The limit, `corosensei`, is the bare coroutine, `generator-rs` the crate under may. In the
//! benchmarks with `-call` the suspend is in a function that the body calls: when that function
//! returns, the processor expects to go where the resume was called, and is wrong. `sedge-send` is
//! sent a number for each item, and `sedge-yield-from` passes on the items of another generator.
//!
//! In the group `generator-make` one is made, asked for its one item, and ended: by its own return,
//! or, with `-unwind`, by being dropped in the middle. tokio has no generators.

use std::hint::black_box;

use corosensei::{Coroutine, Yielder};
use generator::{Gn, done};
use sedge::generator::Generator;
use sedge_benches::slots::{Slot, Slots};
use sedge_benches::{Group, settings};

fn main() {
    let mut criterion = settings();
    let mut group = criterion.benchmark_group("generator");
    bare(&mut group);
    sedge(&mut group);
    let mut numbers = Gn::new_scoped(|mut scope| {
        for number in 0_u64.. {
            scope.yield_(number);
        }
        done!()
    });
    group.bench_function("generator-rs", |bencher| bencher.iter(|| numbers.next()));
    group.finish();
    let mut group = criterion.benchmark_group("generator-make");
    make(&mut group);
    group.finish();
    criterion.final_summary();
}

fn bare(group: &mut Group<'_>) {
    #[inline(never)]
    fn suspend(yielder: &Yielder<u64, u64>, value: u64) -> u64 {
        black_box(yielder.suspend(value))
    }
    let mut measure = |name: &str, mut coroutine: Coroutine<u64, u64, (), Slot>| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| coroutine.resume(black_box(1)).as_yield());
        });
        // It never ends, and is not unwound.
        std::mem::forget(coroutine);
    };
    let mut stacks = Slots::new(2).stacks();
    let mut stack = || stacks.next().expect("two were asked for");
    let plain = Coroutine::with_stack(stack(), |yielder: &Yielder<u64, u64>, mut value| {
        loop {
            value = yielder.suspend(value);
        }
    });
    measure("corosensei", plain);
    let calls = Coroutine::with_stack(stack(), |yielder: &Yielder<u64, u64>, mut value| {
        loop {
            value = suspend(yielder, value);
        }
    });
    measure("corosensei-call", calls);
}

fn numbers() -> Generator<u64> {
    Generator::new(|y| {
        for number in 0.. {
            y.yield_(number);
        }
    })
}

fn sedge(group: &mut Group<'_>) {
    #[inline(never)]
    fn yield_(yielder: &sedge::generator::Yielder<'_, u64>, value: u64) {
        yielder.yield_(value);
        black_box(value);
    }
    let mut plain = numbers();
    group.bench_function("sedge", |bencher| bencher.iter(|| plain.next()));
    let mut calls = Generator::new(|y| {
        for number in 0.. {
            yield_(y, number);
        }
    });
    group.bench_function("sedge-call", |bencher| bencher.iter(|| calls.next()));
    let echo: Generator<u64, u64> = Generator::receiving(|y, mut value| {
        loop {
            value = y.yield_(value);
        }
    });
    group.bench_function("sedge-send", |bencher| {
        bencher.iter(|| echo.send(black_box(1)));
    });
    let mut outer = Generator::new(|y| y.yield_from(&numbers(), ()));
    group.bench_function("sedge-yield-from", |bencher| {
        bencher.iter(|| outer.next());
    });
}

fn make(group: &mut Group<'_>) {
    let mut kept = Slots::new(1).stacks().next();
    group.bench_function("corosensei", |bencher| {
        bencher.iter(|| {
            let stack = kept.take().expect("it comes back");
            let body = |yielder: &Yielder<(), u64>, ()| yielder.suspend(1);
            let mut coroutine: Coroutine<(), u64, (), _> = Coroutine::with_stack(stack, body);
            let item = coroutine.resume(()).as_yield();
            black_box(coroutine.resume(()).as_return());
            kept = Some(coroutine.into_stack());
            item
        });
    });
    group.bench_function("sedge", |bencher| {
        bencher.iter(|| Generator::new(|y| y.yield_(1_u64)).sum::<u64>());
    });
    group.bench_function("sedge-unwind", |bencher| {
        bencher.iter(|| Generator::new(|y| y.yield_(1_u64)).next());
    });
    let one = || {
        Gn::new_scoped(|mut scope| {
            scope.yield_(1_u64);
            done!()
        })
    };
    group.bench_function("generator-rs", |bencher| {
        bencher.iter(|| one().sum::<u64>());
    });
    group.bench_function("generator-rs-unwind", |bencher| {
        bencher.iter(|| one().next());
    });
}
