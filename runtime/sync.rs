//! What green threads wait for each other with, in the words of [`std::sync`].
//!
//! A std lock that is held while its owner waits stops the whole OS thread when the next one wants
//! it, and with it the owner. These park the green thread instead. std's words are [`Mutex`],
//! [`Condvar`], [`Barrier`], [`Once`], [`OnceLock`] and [`LazyLock`]; [`Semaphore`] and [`Event`]
//! are gevent's, [`WaitGroup`] is crossbeam's.
//!
//! All of them are first come, first served: what is given up goes to the one that has waited for
//! longest, and nobody can overtake it. What does not have to wait costs no memory, and works
//! outside [`run`](crate::run) too.
//!
//! What differs from std:
//!
//! * A wait can be interrupted, by a [cancellation](crate::JoinHandle::cancel) or a
//!   [`timeout`](crate::timeout). Who is unwound from a wait leaves the queue, and nothing is lost
//!   with it. What has been granted before the interrupt is kept: the wait succeeds, and the next
//!   one is unwound.
//! * None of them is `Send` or `Sync`: each belongs to the scheduler it is used in. So it cannot
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

mod barrier;
mod condvar;
mod event;
mod lazy_lock;
mod mutex;
mod once;
mod once_lock;
mod semaphore;
mod wait_group;
pub(crate) mod wait_queue;

pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak, atomic};

pub use self::barrier::{Barrier, BarrierWaitResult};
pub use self::condvar::{Condvar, WaitTimeoutResult};
pub use self::event::Event;
pub use self::lazy_lock::LazyLock;
pub use self::mutex::{Mutex, MutexGuard};
pub use self::once::{Once, OnceState};
pub use self::once_lock::OnceLock;
pub use self::semaphore::{Permit, Semaphore};
pub use self::wait_group::WaitGroup;
