//! Blocking clients of crates and of a C library, a hundred at once.

use std::time::{Duration, Instant};

use sedge_patch_tests::{run, slow_http};

const DELAY: Duration = Duration::from_millis(200);
const AT_MOST: Duration = Duration::from_millis(600);

/// Calls `get` in a hundred green threads and says how long that took.
fn hundred(get: impl Fn() -> String + Clone + 'static) -> Duration {
    run(|| {
        let begun = Instant::now();
        let threads: Vec<_> = (0..100).map(|_| sedge::spawn(get.clone())).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), "slow");
        }
        begun.elapsed()
    })
}

#[test]
fn a_hundred_requests_of_ureq_take_as_long_as_one() {
    let url = format!("http://{}/", slow_http(DELAY));
    let taken = hundred(move || {
        ureq::get(&url)
            .call()
            .unwrap()
            .into_body()
            .read_to_string()
            .unwrap()
    });
    assert!(taken < AT_MOST, "{taken:?}");
}
