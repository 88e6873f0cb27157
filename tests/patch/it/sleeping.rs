//! `std::thread::sleep` and its like.

use std::time::{Duration, Instant};

use sedge_patch_tests::run;

#[test]
fn a_thousand_sleeps_of_std_take_as_long_as_one() {
    run(|| {
        let begun = Instant::now();
        let sleep = || std::thread::sleep(Duration::from_millis(50));
        let threads: Vec<_> = (0..1000).map(|_| sedge::spawn(sleep)).collect();
        sedge::wait_all(&threads);
        let taken = begun.elapsed();
        assert!(Duration::from_millis(50) <= taken && taken < Duration::from_millis(500));
        assert!(
            sedge::patch::calls()
                .iter()
                .any(|(name, counts)| { name.ends_with("nanosleep") && counts.parked == 1000 })
        );
    });
}
