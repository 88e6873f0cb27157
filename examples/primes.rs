//! Counts primes on all cores: `cargo run --release --example primes [LIMIT [WORKERS]]`.
//!
//! The numbers up to LIMIT are cut into ranges, and a pool of processes counts the primes in each.
//! The counts come back in the order in which they are ready, while a green thread shows that the
//! parent has its hands free.

use std::cell::Cell;
use std::io::{self, Write};
use std::num::NonZero;
use std::rc::Rc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use sedge::pool::{ProcessPool, process};

const RANGE: u64 = 10_000;

fn main() -> io::Result<()> {
    process::init();
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| {
        let argument = arguments.next();
        argument.map_or(default, |text| {
            text.parse().expect("LIMIT and WORKERS are numbers")
        })
    };
    let limit = number(2_000_000);
    let workers = number(available_parallelism().map_or(1, NonZero::get) as u64) as usize;

    sedge::run(|| {
        let pool = ProcessPool::new(workers)?;
        let begun = Instant::now();
        let done = Rc::new(Cell::new(0));
        let ticker = sedge::spawn({
            let done = Rc::clone(&done);
            move || {
                loop {
                    sedge::sleep(Duration::from_millis(200));
                    println!("{:3} %", done.get() * 100 / limit);
                }
            }
        });

        let ranges = (0..limit).step_by(RANGE as usize);
        let ranges = ranges.map(move |start| (start, limit.min(start + RANGE)));
        let mut primes = 0;
        for (count, width) in pool.imap_unordered(count_primes, ranges) {
            primes += count;
            done.set(done.get() + width);
        }
        ticker.cancel();
        writeln!(
            io::stdout(),
            "{primes} primes below {limit}, in {:.2?} by {workers} workers",
            begun.elapsed()
        )
    })
}

/// How many primes there are in a range, and how wide it is.
fn count_primes((start, end): (u64, u64)) -> (usize, u64) {
    ((start..end).filter(|&n| is_prime(n)).count(), end - start)
}

fn is_prime(n: u64) -> bool {
    n >= 2
        && (2..)
            .take_while(|d| d * d <= n)
            .all(|d| !n.is_multiple_of(d))
}
