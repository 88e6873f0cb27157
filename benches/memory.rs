//! What one costs that waits, and what it takes to get there.
//!
//! So many are started and park; then the resident memory of the process is looked at, against what
//! it was before, and divided by their number: group `memory`, in bytes. Beside it stands what the
//! kernel keeps for the mappings, in page tables. Group `memory-spawn` has the time until the last
//! of them is parked, in nanoseconds each. Every measurement is a process of its own, so that no
//! memory is there already, and there are three of each, of which the middle one counts.
//!
//! The limit is `kernel`: a loop that maps, guards and touches one page for each, which no stackful
//! runtime can go below. tokio's tasks have no stack, and this one holds nothing across its await;
//! what a real one holds comes on top. may and std are measured with fewer, since the kernel allows
//! no more mappings, or OS threads.

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use sedge_benches::slots::Slots;
use sedge_benches::{is_test, record, record_beside, set_up_may, tokio};

const ROUNDS: usize = 3;
const CASES: [(&str, usize); 5] = [
    ("kernel", 1_000_000),
    ("sedge", 1_000_000),
    ("may", 10_000),
    ("tokio", 1_000_000),
    ("std", 10_000),
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--park") {
        let count = arguments[at + 2].parse().expect("a number");
        return park(&arguments[at + 1], count);
    }
    let rounds = if is_test() { 1 } else { ROUNDS };
    for (peer, count) in CASES {
        let count = if is_test() { count / 1000 } else { count };
        let size = count.to_string();
        let (mut bytes, mut times, mut tables) = (Vec::new(), Vec::new(), 0.0);
        for _ in 0..rounds {
            let figures = in_a_process(peer, &size);
            bytes.push(figures["bytes"]);
            times.push(figures["nanoseconds"]);
            tables = figures["tables"];
        }
        if !is_test() {
            record("memory", peer, &size, bytes);
            record_beside("memory", peer, &size, &[("page tables, bytes", tables)]);
            record("memory-spawn", peer, &size, times);
        }
    }
}

/// Figures by their names.
fn in_a_process(peer: &str, size: &str) -> HashMap<String, f64> {
    let program = std::env::current_exe().expect("Linux knows it");
    let output = Command::new(program).args(["--park", peer, size]).output();
    let output = output.expect("it is this program");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{peer}: {output:?}");
    let figures = text.lines().filter_map(|line| line.split_once(' '));
    figures
        .map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
        .collect()
}

/// Starts and parks `count` of them, and prints the figures.
fn park(peer: &str, count: usize) {
    match peer {
        "kernel" => {
            let before = Before::now();
            let slots = Slots::new(count);
            slots.touch();
            before.print(count);
        }
        "sedge" => sedge::run(|| {
            let before = Before::now();
            for _ in 0..count {
                let thread = sedge::thread::Builder::new().daemon(true);
                let thread = thread.spawn(sedge::thread::park);
                thread.expect("memory for another stack");
            }
            sedge::yield_now();
            before.print(count);
            end();
        }),
        "may" => {
            set_up_may();
            // The pool of stacks is not what is asked for.
            may::config().set_pool_capacity(1);
            let park = move || {
                let before = Before::now();
                for _ in 0..count {
                    may::go!(may::coroutine::park);
                }
                may::coroutine::yield_now();
                before.print(count);
                end();
            };
            let _ = may::go!(park).join();
        }
        "tokio" => {
            let before = Before::now();
            tokio().block_on(async {
                for _ in 0..count {
                    tokio::spawn(std::future::pending::<()>());
                }
                let last = tokio::spawn(async {});
                last.await.expect("it does not panic");
                before.print(count);
            });
        }
        _ => {
            let before = Before::now();
            for _ in 0..count {
                std::thread::spawn(std::thread::park);
            }
            before.print(count);
        }
    }
    end();
}

/// Ends the process at once: to unwind them all would take longer than what is measured.
fn end() -> ! {
    std::process::exit(0)
}

struct Before {
    resident: f64,
    tables: f64,
    begin: Instant,
}

impl Before {
    fn now() -> Before {
        Before {
            resident: status("VmRSS:"),
            tables: status("VmPTE:"),
            begin: Instant::now(),
        }
    }

    fn print(self, count: usize) {
        let time: Duration = self.begin.elapsed();
        let count = count as f64;
        println!("nanoseconds {}", time.as_nanos() as f64 / count);
        println!("bytes {}", (status("VmRSS:") - self.resident) / count);
        println!("tables {}", (status("VmPTE:") - self.tables) / count);
    }
}

/// Bytes, from the kernel's account of this process.
fn status(name: &str) -> f64 {
    let text = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    let kibibytes: f64 = kibibytes.and_then(|word| word.parse().ok()).expect("kB");
    kibibytes * 1024.0
}
