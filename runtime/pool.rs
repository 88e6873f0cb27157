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
//! | for | there is |
//! |---|---|
//! | green threads that are joined and cancelled together | [`Group`] |
//! | work that waits (sockets, timers), at most so much at once | [`Pool`] |
//! | work that computes, or blocks its OS thread | [`ThreadPool`] |
//! | code that should not care which of them it is given | [`Executor`] |
//!
//! A pool is given jobs one by one, with `spawn`, `apply` or `apply_async`, or a function and many
//! items, with `map`, `try_map`, `starmap`, or lazily with `imap` and `imap_unordered`. What
//! becomes of a job is told by a [`Future`]; [`wait`] and [`as_completed`] look after several.
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
//!
//! # What holds of all of them
//!
//! * A panic of a job is printed where it happens, and is in the job's future, or comes out of the
//!   call that waits for its value. It never ends the pool. One of a callback is printed.
//! * A green thread that unwinds out of `apply`, `map` or an iterator cancels the jobs it has
//!   there. One that drops a future detaches the job.
//! * A job that gives work to its own full pool does it in place, so it never waits for itself. A
//!   job that waits for somebody else who waits for a place in the same pool still does.
//!
//! # Beside gevent's and Python's
//!
//! | gevent, `concurrent.futures` | here | |
//! |---|---|---|
//! | `Group`: `add`, `spawn`, `join`, `kill` | [`Group`]: `add`, `spawn`, `join`, `cancel` | |
//! | `Pool(n)`, `ThreadPool(n)`, `ThreadPoolExecutor` | [`Pool`], [`ThreadPool`] | |
//! | `imap_unordered(f, items, maxsize=n)` | `imap_unordered`, then [`Imap::ahead`] | |
//! | `submit(f, a)`, `map`, `shutdown` | [`Executor`] | `map` returns a `Vec` |
//! | `Future.result(timeout)` | [`Future::result`], [`Future::result_timeout`] | take the future |
//! | `Future.exception()` | the [`JobError`] of the result | |
//! | `wait(fs, return_when=...)`, `as_completed` | [`wait`] with [`Until`], [`as_completed`] | |
//! | `apply_async(f, callback, error_callback)` | `apply_async` | see [`Future`] |

mod error;
mod executor;
mod future;
mod green;
mod group;
mod imap;
#[cfg(feature = "ipc")]
pub mod process;
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
#[cfg(feature = "ipc")]
pub use self::process::ProcessPool;
pub use self::resources::{Resources, ResourcesBuilder, Taken};
pub use self::spread::Spread;
pub use self::threads::ThreadPool;
pub use self::wait::{AsCompleted, Until, as_completed, wait};
