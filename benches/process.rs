//! What it costs to have another process compute something.
//!
//! In the group `process-apply` one task at a time goes to a pool of two processes, and its value
//! comes back; the limit, `socketpair`, is two bare packets and calls that block.
//!
//! In `process-map` a function that does next to nothing is mapped over a million items by two
//! processes; the time is divided by how many there were. The limit is the same loop without a
//! pool.
//!
//! In `process-cpu` each of a hundred tasks computes for about a millisecond, measured on this
//! machine before; by so many processes. The limit is the same in this process: how much faster two
//! processes are depends on whether there are two cores that nobody else uses.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rustix::io::{read, write};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::stdio::stdin;
use sedge::pool::{ProcessPool, process};
use sedge::process::Command;
use sedge_benches::{Group, is_test, scale, settings};

/// Of the group `process-cpu`.
const TASKS: u64 = 100;
const PART: &str = "SEDGE_BENCH_PART";

fn main() {
    process::init();
    if std::env::var_os(PART).is_some() {
        return echo();
    }
    let mut criterion = settings();
    let mut group = criterion.benchmark_group("process-apply");
    bare(&mut group);
    sedge::run(|| apply(&mut group));
    group.finish();
    let mut group = criterion.benchmark_group("process-map");
    map(&mut group);
    group.finish();
    let mut group = criterion.benchmark_group("process-cpu");
    cpu(&mut group);
    group.finish();
    criterion.final_summary();
}

/// What the limit's child does.
fn echo() {
    let mut packet = [0; 64];
    while let Ok(count @ 1..) = read(stdin(), &mut packet) {
        if write(stdin(), &packet[..count]).is_err() {
            return;
        }
    }
}

fn bare(group: &mut Group<'_>) {
    let flags = SocketFlags::CLOEXEC;
    let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
    let (here, there) = pair.expect("the system has sockets");
    let mut command = Command::new("/proc/self/exe");
    command.env(PART, "echo").stdin(there).kill_on_drop(true);
    let _child = command.spawn().expect("the system has processes");
    group.bench_function("socketpair", |bencher| {
        bencher.iter(|| {
            let mut packet = [1; 64];
            write(&here, &packet).expect("the child listens");
            read(&here, &mut packet).expect("the child answers")
        });
    });
}

fn pool(workers: usize) -> ProcessPool {
    let pool = ProcessPool::new(workers).expect("the system has processes");
    pool.map(|n: u64| n, 0..100);
    pool
}

fn apply(group: &mut Group<'_>) {
    let pool = pool(2);
    group.bench_function("sedge", |bencher| {
        bencher.iter(|| pool.apply(|n: u64| n + 1, black_box(1)));
    });
}

fn map(group: &mut Group<'_>) {
    let items = if is_test() { 1000 } else { 1_000_000 };
    let per_item = |count: u64, map: &dyn Fn() -> Vec<u64>| {
        let rounds = count.div_ceil(items);
        let begin = Instant::now();
        for _ in 0..rounds {
            assert_eq!(map().len() as u64, items);
        }
        scale(begin.elapsed(), rounds * items, count)
    };
    group.bench_function("loop", |bencher| {
        let map = || black_box(0..items).map(black_box(square)).collect();
        bencher.iter_custom(|count| per_item(count, &map));
    });
    sedge::run(|| {
        let pool = pool(2);
        group.bench_function("sedge", |bencher| {
            let map = || pool.map(square, 0..items);
            bencher.iter_custom(|count| per_item(count, &map));
        });
    });
}

fn square(n: u64) -> u64 {
    n.wrapping_mul(n)
}

/// So many turns of something that cannot be left out.
fn compute(turns: u64) -> u64 {
    (0..turns).fold(1, |x, n| {
        black_box(x ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    })
}

fn cpu(group: &mut Group<'_>) {
    let turns = 1_000_000;
    let begin = Instant::now();
    black_box(compute(turns));
    let turns =
        (turns as f64 * (Duration::from_millis(1)).div_duration_f64(begin.elapsed())) as u64;
    let turns = if is_test() { 1 } else { turns };

    // Of `count` tasks, each as large as it takes.
    let per_task = |count: u64, all: &dyn Fn() -> u64| {
        let rounds = count.div_ceil(TASKS);
        let begin = Instant::now();
        for _ in 0..rounds {
            black_box(all());
        }
        scale(begin.elapsed(), rounds * TASKS, count)
    };
    group.bench_function("loop", |bencher| {
        let all = || {
            (0..TASKS)
                .map(|_| compute(black_box(turns)))
                .fold(0, |a, b| a ^ b)
        };
        bencher.iter_custom(|count| per_task(count, &all));
    });
    for workers in [1, 2] {
        sedge::run(|| {
            let pool = pool(workers);
            let name = format!("sedge/{workers}");
            group.bench_function(name, |bencher| {
                let all = || {
                    let turns = std::iter::repeat_n(turns, TASKS as usize);
                    pool.imap_unordered(compute, turns).fold(0, |a, b| a ^ b)
                };
                bencher.iter_custom(|count| per_task(count, &all));
            });
        });
    }
}
