//! What it costs to ask another one and hear the answer.
//!
//! A round trip: a request into one channel, to somebody who waits there, and the answer out of
//! another; two messages and two switches. The other side is there and waits before the clock
//! starts. `sedge` and its peers use unbounded channels; the other benchmarks of sedge are those
//! with room for one message (`-bounded`) and for none (`-rendezvous`), and that in which the
//! answer is waited for with a `select!` of two (`-select`). The limit, `corosensei`, is the two
//! switches alone: a bare coroutine that is resumed with a number and suspends with another.
//!
//! `crossbeam-threads` is what a program with OS threads does: two of them, on whichever cores the
//! kernel likes. `tokio-local` is left out: it would be `tokio` with the price of its switch.
//!
//! In the group `channel-through` nobody waits: a message goes into the buffer and out again.

use std::hint::black_box;
use std::time::{Duration, Instant};

use corosensei::{Coroutine, Yielder};
use sedge::channel::{Receiver, Sender, bounded, select, unbounded};
use sedge_benches::slots::Slots;
use sedge_benches::{Group, set_up_may, settings, tokio};

fn main() {
    set_up_may();
    let mut criterion = settings();
    let mut group = criterion.benchmark_group("channel");
    bare(&mut group);
    sedge(&mut group, "sedge", unbounded);
    sedge(&mut group, "sedge-bounded", || bounded(1));
    sedge(&mut group, "sedge-rendezvous", || bounded(0));
    sedge_select(&mut group);
    may(&mut group);
    tokio_tasks(&mut group);
    crossbeam_threads(&mut group);
    group.finish();
    let mut group = criterion.benchmark_group("channel-through");
    through(&mut group);
    group.finish();
    criterion.final_summary();
}

/// The time of `count` round trips, by somebody who asks.
fn ask(count: u64, mut round_trip: impl FnMut(u64) -> u64) -> Duration {
    let begin = Instant::now();
    for value in 0..count {
        black_box(round_trip(value));
    }
    begin.elapsed()
}

fn bare(group: &mut Group<'_>) {
    let body = |yielder: &Yielder<u64, u64>, mut value| loop {
        value = yielder.suspend(value);
    };
    let stack = Slots::new(1).stacks().next().expect("one was asked for");
    let mut coroutine: Coroutine<u64, u64, (), _> = Coroutine::with_stack(stack, body);
    group.bench_function("corosensei", |bencher| {
        bencher.iter_custom(|count| {
            ask(count, |value| {
                coroutine.resume(value).as_yield().unwrap_or(0)
            })
        });
    });
    // It never ends, and is not unwound.
    std::mem::forget(coroutine);
}

type Ends = (Sender<u64>, Receiver<u64>);

/// Starts the one that answers; what is returned asks it.
fn answerer((ask, asked): Ends, (answer, answered): Ends) -> (Sender<u64>, Receiver<u64>) {
    sedge::spawn(move || {
        for request in &asked {
            answer.send(request).expect("somebody has asked");
        }
    });
    sedge::yield_now();
    (ask, answered)
}

fn sedge(group: &mut Group<'_>, name: &str, channel: fn() -> Ends) {
    sedge::run(|| {
        let (request, answer) = answerer(channel(), channel());
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                ask(count, |value| {
                    request.send(value).expect("somebody answers");
                    answer.recv().expect("somebody answers")
                })
            });
        });
    });
}

fn sedge_select(group: &mut Group<'_>) {
    sedge::run(|| {
        let (request, answer) = answerer(unbounded(), unbounded());
        let (_keep, empty) = unbounded::<u64>();
        group.bench_function("sedge-select", |bencher| {
            bencher.iter_custom(|count| {
                ask(count, |value| {
                    request.send(value).expect("somebody answers");
                    select! {
                        recv(answer) -> message => message.expect("somebody answers"),
                        recv(empty) -> _ => unreachable!("nobody sends"),
                    }
                })
            });
        });
    });
}

fn may(group: &mut Group<'_>) {
    use may::sync::mpsc::channel;
    group.bench_function("may", |bencher| {
        bencher.iter_custom(|count| {
            let (request, requests) = channel();
            let (answer, answers) = channel();
            let other = may::go!(move || {
                for value in requests {
                    answer.send(value).expect("somebody has asked");
                }
            });
            let asker = may::go!(move || {
                may::coroutine::yield_now();
                ask(count, |value| {
                    request.send(value).expect("somebody answers");
                    answers.recv().expect("somebody answers")
                })
            });
            let elapsed = asker.join().expect("it does not panic");
            other.join().expect("it does not panic");
            elapsed
        });
    });
}

fn tokio_tasks(group: &mut Group<'_>) {
    use tokio::sync::mpsc::unbounded_channel;
    let runtime = tokio();
    group.bench_function("tokio", |bencher| {
        bencher.iter_custom(|count| {
            let (request, mut requests) = unbounded_channel();
            let (answer, mut answers) = unbounded_channel();
            runtime.spawn(async move {
                while let Some(value) = requests.recv().await {
                    answer.send(value).expect("somebody has asked");
                }
            });
            let asker = runtime.spawn(async move {
                tokio::task::yield_now().await;
                let begin = Instant::now();
                for value in 0..count {
                    request.send(value).expect("somebody answers");
                    black_box(answers.recv().await.expect("somebody answers"));
                }
                begin.elapsed()
            });
            runtime.block_on(asker).expect("it does not panic")
        });
    });
}

fn crossbeam_threads(group: &mut Group<'_>) {
    let (request, requests) = crossbeam_channel::unbounded();
    let (answer, answers) = crossbeam_channel::unbounded();
    let other = std::thread::spawn(move || {
        for value in requests {
            answer.send(value).expect("somebody has asked");
        }
    });
    group.bench_function("crossbeam-threads", |bencher| {
        bencher.iter_custom(|count| {
            ask(count, |value| {
                request.send(value).expect("somebody answers");
                answers.recv().expect("somebody answers")
            })
        });
    });
    drop(request);
    other.join().expect("it does not panic");
}

/// In and out again.
fn through(group: &mut Group<'_>) {
    let (sender, receiver) = unbounded();
    in_and_out(group, "sedge", || {
        sender.send(1).ok()?;
        receiver.recv().ok()
    });
    let (sender, receiver) = may::sync::mpsc::channel();
    in_and_out(group, "may", || {
        sender.send(1).ok()?;
        receiver.recv().ok()
    });
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    in_and_out(group, "tokio", || {
        sender.send(1).ok()?;
        receiver.try_recv().ok()
    });
    let (sender, receiver) = crossbeam_channel::unbounded();
    in_and_out(group, "crossbeam", || {
        sender.send(1).ok()?;
        receiver.recv().ok()
    });
    let (sender, receiver) = unbounded();
    let (_keep, empty) = unbounded::<u64>();
    in_and_out(group, "sedge-select", || {
        sender.send(1).ok()?;
        select! {
            recv(receiver) -> message => message.ok(),
            recv(empty) -> _ => None,
        }
    });
}

fn in_and_out(group: &mut Group<'_>, name: &str, mut one: impl FnMut() -> Option<u64>) {
    group.bench_function(name, |bencher| {
        bencher.iter(|| one().expect("nobody has left"));
    });
}
