//! What a message between two green threads costs, beside the bare coroutine:
//! `cargo bench --bench channel`.
//!
//! A round trip is two messages and two switches: a request to a green thread that waits for it,
//! and its answer. Each round measures everything once, one after the other, so that what disturbs
//! the machine disturbs all of it; the table shows medians. The limit is corosensei without a
//! scheduler: one coroutine that is resumed and suspends.

use std::hint::black_box;
use std::time::Instant;

use corosensei::{Coroutine, Yielder};
use sedge::channel::{Receiver, Sender, bounded, select, unbounded};

const ROUNDS: usize = 7;
const COUNT: u32 = 1_000_000;

fn main() {
    // `cargo test --benches` runs this too, to see that it runs.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let count = if is_test { 1000 } else { COUNT };
    let mut rounds = Vec::new();
    for _ in 0..if is_test { 1 } else { ROUNDS } {
        rounds.push([
            bare(count * 4),
            yields(count),
            round_trips(count, unbounded(), unbounded()),
            round_trips(count, bounded(1), bounded(1)),
            round_trips(count, bounded(0), bounded(0)),
            send_and_recv(count),
            select_ready(count),
            select_waits(count),
        ]);
    }
    let median = |column: usize| {
        let mut values: Vec<f64> = rounds.iter().map(|round| round[column]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let bare = median(0);
    println!(
        "median of {} rounds               ns   times bare",
        rounds.len()
    );
    for (column, name) in [
        "bare resume and suspend",
        "two yields",
        "round trip, unbounded",
        "round trip, bounded(1)",
        "round trip, bounded(0)",
        "send and recv, no switch",
        "select of 2, ready",
        "round trip, select of 2",
    ]
    .iter()
    .enumerate()
    {
        let value = median(column);
        println!("{name:30} {value:8.1} {:8.1}", value / bare);
    }
}

/// Nanoseconds of one of `count` calls.
fn each(count: u32, work: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    work();
    begin.elapsed().as_nanos() as f64 / f64::from(count)
}

/// Resume and suspend, without anything around it.
fn bare(count: u32) -> f64 {
    let body = |yielder: &Yielder<u32, u32>, mut value| {
        loop {
            value = yielder.suspend(value);
        }
    };
    let mut coroutine: Coroutine<u32, u32, ()> = Coroutine::new(body);
    let time = each(count, || {
        for value in 0..count {
            black_box(coroutine.resume(value).as_yield());
        }
    });
    // It never ends, and is not unwound: its stack is given up.
    std::mem::forget(coroutine);
    time
}

/// Two switches and nothing else.
fn yields(count: u32) -> f64 {
    sedge::run(|| {
        let turn = move || (0..count).for_each(|_| sedge::yield_now());
        let threads = [sedge::spawn(turn), sedge::spawn(turn)];
        sedge::yield_now();
        each(count, || sedge::wait_all(&threads))
    })
}

type Ends = (Sender<u32>, Receiver<u32>);

/// A request to a green thread that waits for it, and its answer.
fn round_trips(count: u32, (ask, asked): Ends, (answer, answered): Ends) -> f64 {
    sedge::run(|| {
        let server = sedge::spawn(move || {
            for request in &asked {
                answer.send(request).unwrap();
            }
        });
        sedge::yield_now();
        let client = sedge::spawn(move || {
            each(count, || {
                for value in 0..count {
                    ask.send(value).unwrap();
                    black_box(answered.recv().unwrap());
                }
            })
        });
        server.join().unwrap();
        client.join().unwrap()
    })
}

/// Into the buffer and out again.
fn send_and_recv(count: u32) -> f64 {
    let (sender, receiver) = unbounded();
    each(count, || {
        for value in 0..count {
            sender.send(value).unwrap();
            black_box(receiver.recv().unwrap());
        }
    })
}

/// As [`send_and_recv`], by a select of two.
fn select_ready(count: u32) -> f64 {
    let (sender, receiver) = unbounded();
    let (_keep, empty) = unbounded::<u32>();
    each(count, || {
        for value in 0..count {
            sender.send(value).unwrap();
            select! {
                recv(receiver) -> message => _ = black_box(message.unwrap()),
                recv(empty) -> _ => unreachable!(),
            }
        }
    })
}

/// As [`round_trips`], where the answer comes through a select of two.
fn select_waits(count: u32) -> f64 {
    sedge::run(|| {
        let (ask, asked) = unbounded();
        let (answer, answered) = unbounded();
        let (_keep, empty) = unbounded::<u32>();
        let server = sedge::spawn(move || {
            for request in &asked {
                answer.send(request).unwrap();
            }
        });
        sedge::yield_now();
        let client = sedge::spawn(move || {
            each(count, || {
                for value in 0..count {
                    ask.send(value).unwrap();
                    select! {
                        recv(answered) -> message => _ = black_box(message.unwrap()),
                        recv(empty) -> _ => unreachable!(),
                    }
                }
            })
        });
        server.join().unwrap();
        client.join().unwrap()
    })
}
