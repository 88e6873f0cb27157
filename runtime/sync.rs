//! Locks and other ways to wait for each other, in the words of [`std::sync`].
//!
//! A std lock that is held while its owner waits stops the whole OS thread when the next one wants
//! it, and with it the owner. These park the green thread instead.
//!
//! What differs from std:
//!
//! * They are neither `Send` nor `Sync`: a lock belongs to the scheduler it is used in. So it
//!   cannot stand in a `static`; a `thread_local!` of std's is what all green threads of an OS
//!   thread share. [`channel::remote`](crate::channel::remote) goes between OS threads.
//! * They are fair. A lock is handed to the one that has waited for longest, and nobody barges in.
//! * Every wait can be cancelled or put into a [`timeout`](crate::timeout). Who is given something
//!   at the same moment keeps it, and is unwound at the next wait; so nothing is lost between them.
//! * There is more than in std: [`Semaphore`], [`Event`], [`ReentrantMutex`], [`WaitGroup`], and
//!   `try_lock_for` and its like.
//! * An uncontended operation allocates no memory, and none needs a scheduler unless it must wait.
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
//!
//! # Deadlocks
//!
//! Green threads that lock, or join, in a circle wait for ever. sedge finds that at the moment the
//! circle closes, whatever else goes on: the `lock` or `join` that would close it panics with a
//! [report](crate::Deadlock) that names every green thread of it, what each waits for and where,
//! and where each lock was taken. Its unwinding gives up what it holds, poisoned as by any panic,
//! and the others go on. Locking a [`Mutex`] that one has already is the smallest such circle.
//!
//! There are three ways to have none. *Take locks in one order* everywhere, as by an account's
//! number:
//!
//! ```
//! use sedge::sync::Mutex;
//!
//! struct Account {
//!     number: u32,
//!     money: Mutex<i64>,
//! }
//!
//! fn transfer(from: &Account, to: &Account, amount: i64) {
//!     let (low, high) = if from.number < to.number { (from, to) } else { (to, from) };
//!     let (mut one, mut other) = (low.money.lock().unwrap(), high.money.lock().unwrap());
//!     let sign = if low.number == from.number { 1 } else { -1 };
//!     *one -= sign * amount;
//!     *other += sign * amount;
//! }
//! # let account = |number| Account { number, money: Mutex::new(10) };
//! # let (a, b) = (account(1), account(2));
//! # transfer(&a, &b, 3);
//! # transfer(&b, &a, 1);
//! # assert_eq!((*a.money.lock().unwrap(), *b.money.lock().unwrap()), (8, 12));
//! ```
//!
//! Or *try, and back off*: whoever finds the second lock taken gives up the first, and pauses
//! before he tries again. The pauses must differ, or two who are in step find each other in the way
//! for ever:
//!
//! ```
//! use sedge::sync::{Mutex, MutexGuard};
//! use std::time::Duration;
//!
//! fn lock_both<'a, T>(
//!     one: &'a Mutex<T>,
//!     other: &'a Mutex<T>,
//!     mut pause: Duration, // everybody his own, or a random one
//! ) -> (MutexGuard<'a, T>, MutexGuard<'a, T>) {
//!     loop {
//!         let first = one.lock().unwrap();
//!         if let Ok(second) = other.try_lock() {
//!             return (first, second);
//!         }
//!         drop(first);
//!         sedge::sleep(pause);
//!         pause *= 2;
//!     }
//! }
//! # let (a, b) = (Mutex::new(1), Mutex::new(2));
//! # sedge::run(|| drop(lock_both(&a, &b, Duration::from_micros(1))));
//! ```
//!
//! Or *wait with a limit*: [`Mutex::try_lock_for`],
//! [`join_timeout`](crate::JoinHandle::join_timeout) or a [`timeout`](crate::timeout) around it
//! all. Such a wait is no part of a circle, for it ends.
//!
//! `examples/dining.rs` has philosophers at a table do the wrong thing and two of the right ones.
//!
//! A lock counts as held by whoever locked it, wherever its guard is. So do not give a guard to
//! another green thread, or keep it across a yield of a [generator](crate::generator) that another
//! may resume: who then locks again is told that he waits for himself.
//!
//! What is not found: a circle through a thing that nobody owns, such as a channel, a semaphore or
//! a condition, unless everybody waits; that is the [other kind](crate::Deadlock) of deadlock,
//! which `run` reports. And one of readers and writers that closes because a writer between them
//! gave up.

pub mod mpsc;

mod barrier;
mod condvar;
mod event;
mod lazy_lock;
#[expect(unsafe_code, reason = "hands out the value while the lock is held")]
mod mutex;
mod once;
mod once_lock;
mod owner;
mod reentrant_mutex;
mod rwlock;
mod semaphore;
mod wait_group;

pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak, atomic};

pub use self::barrier::{Barrier, BarrierWaitResult};
pub use self::condvar::{Condvar, WaitTimeoutResult};
pub use self::event::Event;
pub use self::lazy_lock::LazyLock;
pub use self::mutex::{Mutex, MutexGuard};
pub use self::once::{Once, OnceState};
pub use self::once_lock::OnceLock;
pub use self::reentrant_mutex::{ReentrantMutex, ReentrantMutexGuard};
pub use self::rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use self::semaphore::{Permit, Semaphore};
pub use self::wait_group::WaitGroup;
