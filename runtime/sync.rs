//! Locks for green threads, in the words of [`std::sync`].
//!
//! A std lock that is held while its owner waits stops the whole OS thread when the next one wants
//! it, and with it the owner. [`Mutex`] parks the green thread instead.
//!
//! What differs from std:
//!
//! * [`Mutex`] is the only one so far: there is no `RwLock`, `Condvar`, `Barrier` or `mpsc` here.
//!   `docs/caveats.md` in the repository shows how to pass values with what there is.
//! * It is neither `Send` nor `Sync`: a lock belongs to the scheduler it is used in. So it cannot
//!   stand in a `static`; a `thread_local!` of std's is what all green threads of an OS thread
//!   share.
//!
//! ```compile_fail,E0277
//! static COUNT: sedge::sync::Mutex<u32> = sedge::sync::Mutex::new(0);
//! ```
//!
//! ```
//! use sedge::sync::Mutex;
//!
//! thread_local! {
//!     static COUNT: Mutex<u32> = const { Mutex::new(0) };
//! }
//!
//! sedge::run(|| {
//!     let add = || COUNT.with(|count| *count.lock().unwrap() += 1);
//!     sedge::wait_all(&[sedge::spawn(add), sedge::spawn(add)]);
//!     assert_eq!(COUNT.with(|count| *count.lock().unwrap()), 2);
//! });
//! ```

pub mod mpsc;
mod mutex;

pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak, atomic};

pub use self::mutex::{Mutex, MutexGuard};
pub(crate) use crate::wait_queue;
