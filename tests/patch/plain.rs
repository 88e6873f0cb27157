//! Before anything is patched, and when only a part is: in a process of its own, for a patch is for
//! good.

use std::time::{Duration, Instant};

use sedge::patch::{self, Options};

const SLEEP: Duration = Duration::from_millis(10);

/// How long ten green threads take that sleep at the same time.
fn ten_sleeps() -> Duration {
    let begun = Instant::now();
    sedge::run(|| {
        for _ in 0..10 {
            sedge::spawn(|| std::thread::sleep(SLEEP));
        }
    });
    begun.elapsed()
}

#[test]
fn nothing_is_patched_that_nobody_has_asked_for() {
    assert!(!patch::is_active());
    assert!(ten_sleeps() >= 10 * SLEEP);
    let nothing = Options::new()
        .sockets(false)
        .pipes(false)
        .dns(false)
        .process(false)
        .sleep(false);
    nothing.patch();
    assert!(!patch::is_active());

    Options::new().sleep(false).patch();
    assert!(patch::is_active());
    assert!(ten_sleeps() >= 10 * SLEEP);

    nothing.sleep(true).patch();
    assert!(ten_sleeps() < 10 * SLEEP);
    let everything = format!("{:?}", Options::new());
    assert!(!everything.contains("false"), "{everything}");
}
