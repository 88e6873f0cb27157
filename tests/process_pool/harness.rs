//! Runs tests one by one, with a time limit each, and counts processes.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// For a whole test.
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) type Test = (&'static str, fn());

/// Makes `TESTS` of functions, which are named as claims.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::harness::Test] = &[$((stringify!($name), $name)),*];
    };
}

/// Runs those tests whose name contains one of the arguments.
pub(crate) fn run(tests: &[Test]) -> ExitCode {
    let arguments = std::env::args().skip(1);
    let filters: Vec<String> = arguments.filter(|a| !a.starts_with('-')).collect();
    let wanted =
        |name: &str| filters.is_empty() || filters.iter().any(|f| name.contains(f.as_str()));
    let tests: Vec<_> = tests.iter().filter(|(name, _)| wanted(name)).collect();
    println!("\nrunning {} tests", tests.len());
    let mut failed = Vec::new();
    for &&(name, test) in &tests {
        let begun = Instant::now();
        let passed = catch_unwind(AssertUnwindSafe(|| run_one(name, test))).is_ok();
        let result = if passed { "ok" } else { "FAILED" };
        println!("test {name} ... {result} ({:.2?})", begun.elapsed());
        if !passed {
            failed.push(name);
        }
    }
    let passed = tests.len() - failed.len();
    let result = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {result}. {passed} passed; {} failed {failed:?}",
        failed.len()
    );
    ExitCode::from(u8::from(!failed.is_empty()))
}

fn run_one(name: &'static str, test: fn()) {
    let (done, is_done) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        if is_done.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{name} does not end; its processes: {:?}", children());
            std::process::abort();
        }
    });
    let result = catch_unwind(AssertUnwindSafe(|| sedge::run(test)));
    drop(done);
    watchdog.join().unwrap();
    result.unwrap_or_else(|payload| std::panic::resume_unwind(payload));
    // Those that were killed while somebody unwound are reaped by others.
    let deadline = Instant::now() + Duration::from_secs(2);
    while !children().is_empty() {
        assert!(Instant::now() < deadline, "left over: {:?}", children());
        thread::sleep(Duration::from_millis(1));
    }
}

/// The processes that this one has started and not waited for.
pub(crate) fn children() -> Vec<u32> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let lists = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("children")));
    let lists: Vec<String> = lists.map(Result::unwrap_or_default).collect();
    let ids = lists.iter().flat_map(|list| list.split_whitespace());
    ids.map(|id| id.parse().unwrap()).collect()
}

pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    !state.is_empty() && !state.starts_with('Z') && !state.starts_with('X')
}
