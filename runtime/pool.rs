//! Groups and pools of green threads, futures of their jobs, and pools of resources.
//!
//! | | |
//! |---|---|
//! | [`Group`] | green threads that are joined and cancelled together |
//! | [`Pool`] | at most n jobs at once, each on a green thread: for what waits |
//! | [`Executor`] | what every pool that runs jobs can do |
//! | [`Future`] | the result of a job, to come; [`wait`] and [`as_completed`] for several |
//! | [`Resources`] | connections and the like, taken and given back |
//!
//! A green thread costs so little that no pool is needed to save it. A pool bounds how many do
//! something at once: connections to one server, open files, memory of jobs.
//!
//! The verbs are those of gevent's pools and of Python's `concurrent.futures`; the function comes
//! last here, for it is the longest argument. Python's `starmap` is `map` over tuples:
//!
//! ```
//! use sedge::pool::Pool;
//!
//! sedge::run(|| {
//!     let pool = Pool::new(8);
//!     let powers = pool.map([(2_u32, 5), (3, 2)], |(base, exponent)| base.pow(exponent));
//!     assert_eq!(powers, [32, 9]);
//! });
//! ```

mod error;
mod executor;
mod future;
mod green;
mod group;
mod imap;
mod resources;
mod wait;

pub use self::error::JobError;
pub use self::executor::Executor;
pub use self::future::Future;
pub use self::green::Pool;
pub use self::group::Group;
pub use self::imap::{Imap, ImapUnordered};
pub use self::resources::{Resources, ResourcesBuilder, Taken};
pub use self::wait::{AsCompleted, Until, as_completed, wait};
