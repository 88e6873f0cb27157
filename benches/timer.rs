//! What it costs to set a time limit and not to need it, while so many other timers are pending.
//!
//! That is what a server does for each read: limits are set all the time and hardly ever pass. What
//! is pending was armed before the clock starts and is due in an hour or later, each at a time of
//! its own; nothing of it expires. `sedge` is a `timeout` of a second around a closure that returns
//! at once, and the pending timers are green threads that sleep. `tokio` is a `sleep` of a second,
//! polled once, which is when it is armed, and dropped; the pending ones are `sleep`s as well.
//! `btree-map` is what a runtime without a timer wheel would do: a map by deadline, an entry put in
//! and taken out again; there is no limit to name.
//!
//! may has no limit that can be set around a piece of code, and an OS thread none at all.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use criterion::BenchmarkId;
use sedge_benches::{Group, settings, sizes, tokio};
use tokio::time::Sleep;

const LIMIT: Duration = Duration::from_secs(1);

fn main() {
    let mut criterion = settings();
    let mut group = criterion.benchmark_group("timer");
    for n in sizes(&[1000, 1_000_000]) {
        btree_map(&mut group, n);
        sedge(&mut group, n);
        tokio_sleep(&mut group, n);
    }
    group.finish();
    criterion.final_summary();
}

/// How long the pending timer of this number has to go: an hour and up to an hour more, in no
/// order.
fn pending(number: usize) -> Duration {
    let scattered = (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 44;
    Duration::from_secs(3600) + Duration::from_millis(scattered * 3)
}

fn btree_map(group: &mut Group<'_>, n: usize) {
    let begin = Instant::now();
    let mut map: BTreeMap<(Instant, usize), usize> = (0..n)
        .map(|number| ((begin + pending(number), number), number))
        .collect();
    group.bench_function(BenchmarkId::new("btree-map", n), |bencher| {
        bencher.iter(|| {
            let key = (Instant::now() + LIMIT, n);
            map.insert(key, n);
            map.remove(&key)
        });
    });
}

fn sedge(group: &mut Group<'_>, n: usize) {
    sedge::run(|| {
        for number in 0..n {
            let sleeper = sedge::thread::Builder::new().daemon(true);
            let sleeper = sleeper.spawn(move || sedge::sleep(pending(number)));
            sleeper.expect("memory for another stack");
        }
        sedge::yield_now();
        group.bench_function(BenchmarkId::new("sedge", n), |bencher| {
            bencher.iter(|| sedge::timeout(LIMIT, || 1));
        });
    });
}

fn tokio_sleep(group: &mut Group<'_>, n: usize) {
    let runtime = tokio();
    let _inside = runtime.enter();
    let mut context = Context::from_waker(Waker::noop());
    let sleepers: Vec<Pin<Box<Sleep>>> = (0..n)
        .map(|number| {
            let mut sleeper = Box::pin(tokio::time::sleep(pending(number)));
            assert!(sleeper.as_mut().poll(&mut context).is_pending());
            sleeper
        })
        .collect();
    group.bench_function(BenchmarkId::new("tokio", n), |bencher| {
        bencher.iter(|| {
            let sleep = pin!(tokio::time::sleep(LIMIT));
            assert!(sleep.poll(&mut context).is_pending());
        });
    });
    drop(sleepers);
}
