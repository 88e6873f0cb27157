//! Groups, pools of green threads and of OS threads, the results of their jobs, and pools of
//! resources.
//!
//! | | |
//! |---|---|
//! | [`Group`] | green threads that are joined and cancelled together |
//! | [`Pool`] | at most so many jobs at once, each on a green thread: for what waits |
//! | [`ThreadPool`] | jobs on OS threads, for what cannot yield |
//! | [`Executor`] | what both can do |
//! | [`Future`] | the result of a job, to come; [`wait()`] and [`as_completed`] for several |
//! | [`Resources`] | connections and the like, taken and given back |
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
mod resources;
mod spread;
mod threads;
mod wait;

pub use self::error::JobError;
pub use self::executor::{Executor, Shutdown};
pub use self::future::Future;
pub use self::green::Pool;
pub use self::group::Group;
pub use self::imap::Imap;
pub use self::resources::{Resources, ResourcesBuilder, Taken};
pub use self::spread::Spread;
pub use self::threads::ThreadPool;
pub use self::wait::{AsCompleted, Until, as_completed, wait};
