//! What the benches share: criterion's settings, the runtimes they measure, and the load they put
//! on servers.
//!
//! The rules of all of them: everything runs on one OS thread where the peer can do so; what is set
//! up is set up outside the timed closure; a peer does the same work with the same words, as its
//! own documentation has it; a peer that cannot do a thing is left out, not imitated. Names are
//! `group/peer` or `group/peer/size`, and are kept: scripts read
//! `target/criterion/<group>/<peer>/<size>/new/estimates.json`.

mod load;
mod record;
mod server;
#[expect(unsafe_code, reason = "maps memory and gives it to coroutines")]
pub mod slots;

use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};

pub use load::Load;
pub use record::{criterion_folder, record, record_beside};
pub use server::{Server, pin_to_first_cores, pin_to_last_core};

/// The benchmarks of one group.
pub type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Short enough for the whole suite to end within a quarter of an hour; words on the command line
/// go before.
#[must_use]
pub fn settings() -> Criterion {
    Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .nresamples(10_000)
        .configure_from_args()
}

/// `cargo bench -- --test`: everything once, to see that it runs.
#[must_use]
pub fn is_test() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

/// The sizes; of a test, those that do not take long.
pub fn sizes(all: &[usize]) -> impl Iterator<Item = usize> + use<> {
    let most = if is_test() { 1000 } else { usize::MAX };
    let sizes: Vec<usize> = all.iter().copied().filter(|&size| size <= most).collect();
    sizes.into_iter()
}

/// The time of `count` things, if a call of `turn` does `each` of them.
pub fn time(count: u64, each: usize, mut turn: impl FnMut()) -> Duration {
    let turns = count.div_ceil(each as u64);
    let begin = Instant::now();
    for _ in 0..turns {
        turn();
    }
    scale(begin.elapsed(), turns * each as u64, count)
}

/// The time of `count` things, if `done` of them took `time`.
#[must_use]
pub fn scale(time: Duration, done: u64, count: u64) -> Duration {
    time.mul_f64(count as f64 / done as f64)
}

/// may, on one OS thread. To be called before anything else of may.
pub fn set_up_may() {
    may::config().set_workers(1).set_pool_capacity(10_000);
}

/// tokio, on this OS thread.
///
/// # Panics
///
/// If the kernel has no epoll instance for it.
#[must_use]
pub fn tokio() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("tokio needs a few descriptors")
}
