//! What a switch, a spawn and a million sleepers cost, beside the bare coroutine and the bare
//! kernel: `cargo bench --bench figures`.
//!
//! Each round measures everything once, one after the other, so that what disturbs the machine
//! disturbs all of it; the table shows medians. The limit of a switch is corosensei without a
//! scheduler: one coroutine that is resumed and suspends. The limit of a million green threads is a
//! loop that maps, guards and touches one page per slot, which is what the kernel takes for itself.
//! With an argument (`-- 100000`) that many are put to sleep. A tenth of them are before that, in
//! three rounds, to see whether the time grows with their number alone.

use std::hint::black_box;
use std::time::{Duration, Instant};

use corosensei::{Coroutine, Yielder};

const ROUNDS: usize = 7;
const SWITCHES: u32 = 4_000_000;
const SPAWNS: u32 = 500_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` runs this too, to see that it runs.
    let is_test = arguments.iter().any(|argument| argument == "--test");
    let shrink = if is_test { 1000 } else { 1 };
    let count = arguments.iter().find_map(|argument| argument.parse().ok());
    let count: usize = count.unwrap_or(1_000_000) / shrink as usize;

    let mut rounds = Vec::new();
    for _ in 0..if is_test { 1 } else { ROUNDS } {
        rounds.push([
            bare(SWITCHES / shrink),
            yields(2, SWITCHES / shrink),
            yields(100, SWITCHES / shrink),
            spawn_and_join(SPAWNS / shrink),
        ]);
    }
    let median = |column: usize| {
        let mut values: Vec<f64> = rounds.iter().map(|round| round[column]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let bare = median(0);
    println!(
        "median of {} rounds           ns   times bare",
        rounds.len()
    );
    for (column, name) in [
        "bare resume and suspend",
        "yield, 2 green threads",
        "yield, 100 green threads",
        "spawn and join",
    ]
    .iter()
    .enumerate()
    {
        let value = median(column);
        println!("{name:26} {value:8.1} {:8.1}", value / bare);
    }
    let mut tenths: Vec<f64> = (0..3).map(|_| sleepers(count / 10)).collect();
    tenths.sort_by(f64::total_cmp);
    let share = tenths[1] / sleepers(count);
    println!("a tenth of them took {share:.3} of that time");
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

/// `green` green threads that do nothing but let the others run, in turn.
fn yields(green: u32, count: u32) -> f64 {
    sedge::run(|| {
        let turns = count / green;
        let turn = move || (0..turns).for_each(|_| sedge::yield_now());
        let threads: Vec<_> = (0..green).map(|_| sedge::spawn(turn)).collect();
        sedge::yield_now();
        each(turns * green, || sedge::wait_all(&threads))
    })
}

/// A green thread that does nothing, made and waited for; its stack is the last one's.
fn spawn_and_join(count: u32) -> f64 {
    sedge::run(|| {
        sedge::spawn(|| 1).join().unwrap();
        each(count, || {
            for _ in 0..count {
                black_box(sedge::spawn(|| 1).join().unwrap());
            }
        })
    })
}

/// `count` green threads asleep at once: memory, and time beside the kernel's own. Returns seconds.
fn sleepers(count: usize) -> f64 {
    let kernel_before = map_and_touch(count);
    let memory = resident();
    let (ours, each) = sedge::run(|| {
        let begin = Instant::now();
        let end = begin + Duration::from_millis(300) + kernel_before * 5;
        let sleep = move || sedge::thread::sleep_until(end);
        let threads: Vec<_> = (0..count).map(|_| sedge::spawn(sleep)).collect();
        sedge::yield_now();
        let ours = begin.elapsed();
        let each = resident().saturating_sub(memory) / count;
        let joined = threads.into_iter().map(|thread| thread.join().unwrap());
        assert_eq!(joined.count(), count);
        (ours, each)
    });
    let kernel = (kernel_before + map_and_touch(count)) / 2;
    let ratio = ours.as_secs_f64() / kernel.as_secs_f64();
    println!(
        "{count} asleep: {each} bytes resident each; spawned and parked in {ours:.2?}, \
         {ratio:.2} times the kernel's {kernel:.2?}"
    );
    ours.as_secs_f64()
}

/// Bytes of this process that are in memory, page tables not counted.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// How long the kernel takes for `count` guarded slots with one page each in use.
#[expect(unsafe_code, reason = "the kernel's part, measured alone")]
fn map_and_touch(count: usize) -> Duration {
    const STRIDE: usize = (256 << 10) + 4096;
    const GUARD_INSTALL: libc::c_int = 102;
    let begin = Instant::now();
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let len = count * STRIDE;
    // SAFETY: a fresh mapping touches nothing.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
    assert_ne!(start, libc::MAP_FAILED);
    // SAFETY: the mapping is ours, and the advice changes nothing in it.
    unsafe { libc::madvise(start, len, libc::MADV_NOHUGEPAGE) };
    for slot in 0..count {
        let slot = start.cast::<u8>().wrapping_add(slot * STRIDE);
        // SAFETY: the page is in the mapping, and holds nothing.
        unsafe { libc::madvise(slot.cast(), 4096, GUARD_INSTALL) };
        // SAFETY: the byte is in the mapping, above the guard.
        unsafe { slot.wrapping_add(STRIDE - 64).write_volatile(1) };
    }
    let time = begin.elapsed();
    // SAFETY: mapped above with this length; nobody else knows it.
    unsafe { libc::munmap(start, len) };
    time
}
