//! Looks up many names, sixteen at once, each for two seconds at most.
//!
//! ```text
//! cargo run --example resolve
//! cargo run --example resolve docs.rs crates.io rust-lang.org
//! ```
//!
//! Without arguments it asks for names that need no network: this host, addresses in numbers, and
//! some that cannot exist. A name server that is slow keeps nobody else waiting, for look-ups are
//! made on the OS threads of the `blocking` pool.

use std::env;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use sedge::net;
use sedge::sync::Semaphore;

const AT_ONCE: usize = 16;
const LIMIT: Duration = Duration::from_secs(2);

fn main() {
    let mut names: Vec<String> = env::args().skip(1).collect();
    if names.is_empty() {
        let local = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let wrong = (0..20).map(|number| format!("-{number}-.invalid"));
        names = local.into_iter().chain(wrong).collect();
    }
    let places = Semaphore::new(AT_ONCE);
    let known = sedge::run(|| {
        sedge::scope(|scope| {
            let lookups = names.iter().map(|name| {
                let places = &places;
                scope.spawn(move || {
                    let _place = places.acquire();
                    let found = look_up(name);
                    match &found {
                        Ok(addrs) => println!("{name}: {addrs:?}"),
                        Err(error) => println!("{name}: {error}"),
                    }
                    found.is_ok()
                })
            });
            let lookups: Vec<_> = lookups.collect();
            let known = lookups.into_iter().map(|lookup| lookup.join());
            known.filter(|known| matches!(known, Ok(true))).count()
        })
    });
    println!("{known} of {} names are known", names.len());
}

fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    // An `Elapsed` becomes an error of the kind `TimedOut`.
    let addrs = sedge::timeout(LIMIT, || net::lookup(name))??;
    Ok(addrs.collect())
}
