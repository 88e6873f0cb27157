//! A blocking HTTP client, the crate ureq, that fetches a hundred pages at once on one OS thread,
//! without and with `sedge::patch`.
//!
//! ```text
//! cargo run --release -p sedge-patch-tests --example patched
//! ```
//!
//! The server answers each request after 50 ms. Without the patch each request stops the OS thread
//! until its answer is there, and the pages come one after the other.

use std::time::{Duration, Instant};

use sedge_patch_tests::slow_http;

const PAGES: usize = 100;
const DELAY: Duration = Duration::from_millis(50);

/// What never heard of sedge.
fn fetch(url: &str) -> Result<usize, ureq::Error> {
    let mut response = ureq::get(url).call()?;
    Ok(response.body_mut().read_to_vec()?.len())
}

/// Fetches them, each in its green thread, and says how long that took.
fn fetch_all(url: &str) -> Duration {
    let begun = Instant::now();
    let bytes = sedge::run(|| {
        sedge::scope(|scope| {
            let pages = (0..PAGES).map(|_| scope.spawn(|| fetch(url).expect("a page")));
            let pages: Vec<_> = pages.collect();
            pages
                .into_iter()
                .map(|page| page.join().expect("no panic"))
                .sum::<usize>()
        })
    });
    assert_eq!(bytes, PAGES * "slow".len());
    begun.elapsed()
}

fn main() {
    let url = format!("http://{}/", slow_http(DELAY));
    println!("{PAGES} pages, without the patch: {:.2?}", fetch_all(&url));
    sedge::patch::all();
    println!("{PAGES} pages, with it: {:.2?}", fetch_all(&url));
    println!(
        "calls of libc, what became of them: {:#?}",
        sedge::patch::calls()
    );
}
