//! Runs the tests, one after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) type Test = (&'static str, fn());

/// For whatever is waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Whether the full numbers are wanted, with strict limits of time.
pub(crate) fn long() -> bool {
    std::env::var("SEDGE_CHAOS").is_ok_and(|form| form == "long")
}

/// The one for the short form, or the one for the long.
pub(crate) fn pick<T>(short: T, full: T) -> T {
    if long() { full } else { short }
}

/// Makes `TESTS` of functions, which are named as claims.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        /// The tests of this module.
        pub(crate) const TESTS: &[$crate::runner::Test] = &[$((stringify!($name), $name)),*];
    };
}

/// Runs those tests whose name contains one of the arguments.
pub(crate) fn run(tests: &[Test]) -> ExitCode {
    let arguments = std::env::args().skip(1);
    let filters: Vec<_> = arguments.filter(|said| !said.starts_with('-')).collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|said| name.contains(said));
    let mut failed = Vec::new();
    let mut passed = 0;
    for (name, test) in tests.iter().filter(|(name, _)| wanted(name)) {
        let begin = Instant::now();
        let succeeded = catch_unwind(AssertUnwindSafe(test)).is_ok();
        let result = if succeeded { "ok" } else { "FAILED" };
        println!("test {name} ... {result} ({:.1?})", begin.elapsed());
        match succeeded {
            true => passed += 1,
            false => failed.push(name),
        }
    }
    let result = if failed.is_empty() { "ok" } else { "FAILED" };
    let count = failed.len();
    println!("\ntest result: {result}. {passed} passed; {count} failed {failed:?}");
    ExitCode::from(u8::from(!failed.is_empty()))
}

/// Says what was measured.
pub(crate) fn say(what: impl std::fmt::Display) {
    println!("    {what}");
}

/// Looks again and again until it is so; says how long that took.
#[track_caller]
pub(crate) fn within(limit: Duration, what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < limit, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
    begin.elapsed()
}

/// As [`within`], for very long.
#[track_caller]
pub(crate) fn eventually(what: &str, is_so: impl FnMut() -> bool) {
    within(LIMIT, what, is_so);
}

pub(crate) fn pause(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}

/// Numbers by chance, the same in each run.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }
}
