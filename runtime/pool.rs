//! Groups, pools of green threads and of OS threads, and the results of their jobs.
//!
//! ```
//! use sedge::pool::Pool;
//! use std::time::Duration;
//!
//! sedge::run(|| {
//!     let pool = Pool::new(100); // a hundred at once
//!     let fetch = |number: u32| {
//!         sedge::sleep(Duration::from_millis(1)); // a request, say
//!         number * number
//!     };
//!     let sum: u32 = pool.imap(fetch, 1..=1000).sum();
//!     assert_eq!(sum, 333_833_500);
//! });
//! ```

mod error;
mod executor;
mod future;
mod green;
mod group;
mod imap;
mod spread;
mod threads;
mod wait;

pub use self::error::JobError;
pub use self::executor::{Executor, Shutdown};
pub use self::future::Future;
pub use self::green::Pool;
pub use self::group::Group;
pub use self::imap::Imap;
pub use self::spread::Spread;
pub use self::threads::ThreadPool;
pub use self::wait::{AsCompleted, Until, as_completed, wait};
