//! Green threads with std's words: ordinary blocking code, one scheduler per OS thread, no `Send`.
//!
//! A green thread is spawned, named, joined and put to sleep like a [`std::thread`], but costs a
//! page of memory. When its I/O would block, it is parked and another runs, so one OS thread serves
//! as many connections as its memory holds. It never leaves its OS thread: what it captures need
//! not be `Send`, and between two waits nobody else can have changed anything.
//!
//! Where std has a word, sedge has the same word with the same behaviour. Where std has none, it
//! takes gevent's idea under the usual Rust name.
//!
//! ```
//! use sedge::net::{TcpListener, TcpStream};
//! use std::io::{self, Read, Write};
//!
//! fn serve(listener: TcpListener) -> io::Result<()> {
//!     for stream in listener.incoming() {
//!         let mut stream = stream?;
//!         sedge::spawn(move || {
//!             let mut buffer = [0; 4096];
//!             while let Ok(count @ 1..) = stream.read(&mut buffer) {
//!                 if stream.write_all(&buffer[..count]).is_err() {
//!                     break;
//!                 }
//!             }
//!         });
//!     }
//!     Ok(())
//! }
//!
//! sedge::run(|| {
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     let mut client = TcpStream::connect(listener.local_addr()?)?;
//!     let server = sedge::spawn(move || serve(listener));
//!     client.write_all(b"hello")?;
//!     let mut reply = [0; 5];
//!     client.read_exact(&mut reply)?;
//!     assert_eq!(&reply, b"hello");
//!     server.cancel(); // it would accept for ever
//!     io::Result::Ok(())
//! })
//! .unwrap();
//! ```
//!
//! # A port from std
//!
//! is a change of `use` lines, and a [`run`] around `main`:
//!
//! ```text
//! use std::net::{TcpListener, TcpStream};   ->   use sedge::net::{TcpListener, TcpStream};
//! use std::thread;                          ->   use sedge::thread;
//! use std::sync::{Condvar, Mutex, mpsc};    ->   use sedge::sync::{Condvar, Mutex, mpsc};
//! thread_local! { ... }                     ->   sedge::green_local! { ... }
//! use std::fs;                              ->   use sedge::fs;
//! use std::process::Command;                ->   use sedge::process::Command;
//! use std::io::{self, Read, Write};         ->   use sedge::io::{self, Read, Write};
//! ```
//!
//! What such lines do not port:
//!
//! * The end of the program. [`run`] returns when all green threads have ended, so a `main` that
//!   returns early, with an `Err` too, still waits for the others. `std::process::exit` does not,
//!   and [`Builder::daemon`](thread::Builder::daemon) marks those that may be cut off.
//! * Deep recursion and large arrays: a green stack is 256 KiB by default, where std gives an OS
//!   thread 2 MiB and `main` has 8 MiB as a rule. [`Config::stack_size`] asks for more.
//! * A lock, a `OnceLock` or a `LazyLock` in a `static`: those of [`sync`] are not `Sync`. Put them
//!   into a `thread_local!` of std's; or keep std's, where what runs inside never waits.
//! * `Send` bounds of your own: an `impl FnOnce() + Send` does not take what holds a socket or a
//!   lock of sedge's. They can go.
//! * What is made of a failed join: a [`JoinError`] where std has the bare payload. Give
//!   [`into_panic`](JoinError::into_panic) to `resume_unwind`, but ask
//!   [`is_cancelled`](JoinError::is_cancelled) first.
//! * What crosses OS threads: sockets, locks, [`channel`]s, [`JoinHandle`] and [`thread::Thread`]
//!   are not `Send`. Values go through a [`channel::remote`]. Send a
//!   [`ThreadId`](thread::ThreadId), and wake its owner by [`Remote::unpark`].
//! * The methods of `std::path::Path` that look at the disk: they block the OS thread, the
//!   functions of those names in [`fs`] do not.
//!
//! What else must be known, `docs/caveats.md` in the repository lists: what blocks the OS thread,
//! how values are passed, how a server is stopped, how much stack a call needs, what destructors
//! may do while a green thread unwinds.
//!
//! # Running
//!
//! [`run`] starts a scheduler on this OS thread and runs its argument as the first green thread. It
//! returns when that one and all others have ended; [daemons](thread::Builder::daemon) that are
//! left are then cancelled. [`Config`] sets the stack size, the I/O budget, the [`Policy`] that
//! chooses who runs next, and hooks. If everybody who is left would wait for ever, `run` panics
//! with a [`Deadlock`] report.
//!
//! # Green threads
//!
//! [`spawn`] gives a [`JoinHandle`]; [`thread::Builder`] sets a name, a stack size, whether it is a
//! daemon. [`scope`] lets green threads borrow from their caller. [`wait_all`], [`wait_any`] and
//! [`as_completed`] wait for several. A panic ends its green thread only, is printed with its name,
//! and comes out of [`join`](JoinHandle::join) as a [`JoinError`].
//!
//! # Cancellation
//!
//! [`JoinHandle::cancel`] and [`timeout`] unwind a green thread, or one call of it, from the point
//! where it waits, so destructors run and nothing leaks. [`shield`] puts that off. What does not
//! wait cannot be stopped.
//!
//! # Waiting for each other
//!
//! [`sync`] has std's locks and more, [`channel`] crossbeam's channels with
//! [`select!`](channel::select), [`queue`] gevent's queues. All are fair: what is given up goes to
//! the one that has waited for longest. A circle of green threads that lock or join is found when
//! it closes, and reported. [`block_on`] waits for a future.
//!
//! # I/O
//!
//! The sockets in [`net`] and [`os`], the standard streams and pipes in [`io`] and the files in
//! [`fs`] block the green thread and nobody else; so does the wait for a child in [`process`], or
//! for a signal in [`signal`]. [`io::Source`] waits for descriptors that sedge has no type for.
//! What has no readiness goes to OS threads: files and name lookups by themselves, calls into C and
//! long computations through [`blocking()`].
//!
//! # Services
//!
//! [`server`] accepts, limits, isolates and ends in order. [`pool`] bounds how many do something at
//! once, and has pools of connections and the like. A [`generator`] yields values one by one, from
//! as deep in its calls as it likes, in [`run`] or outside.
//!
//! # Several OS threads
//!
//! Each may have its own [`run`]; they share the OS threads of [`blocking()`] and the standard
//! streams, nothing else. A [`Remote`] is the door between them: it is `Send`, and spawns or
//! unparks green threads of the scheduler it came from. A [`channel::remote`] carries values.
//!
//! # Several cores, several processes
//!
//! A [`launch::Launcher`] runs the same server in one process for each core, each with a scheduler
//! of its own, and looks after them: it starts them again, replaces them without losing a
//! connection, and ends them in order. [`ipc`] has channels, queues and more that go from process
//! to process, and a [`pool::process`] runs functions in others. With the feature `patch` the
//! blocking calls of std and of C libraries park too.
//!
//! # The modules in reading order
//!
//! The source is meant to be read. A module uses only modules that stand before it:
//!
//! | floor | modules | |
//! |---|---|---|
//! | 0 data | `stack` `stats` `timer` | guarded stacks, counters, the timer wheel |
//! | 1 engines | `coroutine` `reactor` | one suspended stack; from readiness to who waits |
//! | 2 loop | `scheduler` | who runs, who waits, and the loop |
//! | 3 threads | [`local`] [`thread`] [`time`] | spawn, join, scope, cancel, `run`; `timeout` |
//! | 4 waiting | `wait_queue` [`channel`] [`sync`] [`queue`] `blocking` | channels, locks, queues |
//! | 5 I/O | [`io`] [`fs`] [`process`] [`signal`] [`net`] [`os`] | the one retry loop, in `io` |
//! | 6 services | [`generator`] [`pool`] [`server`] | generators; pools; accept loops that drain |
//! | 7 processes | `shared_memory` [`ipc`] [`launch`] [`pool::process`] | channels; workers |
//! | 8 patch | `patch` | libc's symbols interposed; with the feature of that name |

#![warn(clippy::print_stdout, clippy::print_stderr)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("sedge runs on 64-bit Linux: it stands on epoll and MADV_GUARD_INSTALL");

// Floor 0, data: nothing here switches, waits or knows a green thread.
#[expect(
    unsafe_code,
    reason = "maps memory, and handles the fault of an overflow"
)]
mod stack;
mod stats;
mod timer;

// Floor 1, engines: one suspended stack; readiness to waiters.
#[expect(
    unsafe_code,
    reason = "follows the pointer to the running coroutine's yielder"
)]
mod coroutine;
mod reactor;

// Floor 2, the loop.
mod scheduler;

// Floor 3, threads.
pub mod local;
pub mod thread;
pub mod time;

// Floor 4, waiting for each other, and for what cannot yield.
mod wait_queue;

pub mod channel;
pub mod sync;

pub mod queue;

mod blocking;

// Floor 5, I/O.
pub mod io;

pub mod fs;
pub mod process;
pub mod signal;

pub mod net;
pub mod os;

// Floor 6, services.
pub mod generator;
pub mod pool;
pub mod server;

// Floor 7, processes.
#[expect(unsafe_code, reason = "maps memory that other processes change")]
mod shared_memory;

#[cfg(feature = "ipc")]
pub mod ipc;

pub mod launch;

// Floor 8, code that never heard of this.
#[cfg(feature = "patch")]
#[expect(unsafe_code, reason = "stands in the place of functions of libc")]
pub mod patch;

pub use blocking::blocking;
pub use scheduler::{Blocked, Deadlock, HeldBy, Policy, Role, State, Stuck};
pub use stack::StackGuard;
pub use stats::{Parks, Reason, Stats};
pub use thread::{
    AsCompleted, Config, JoinError, JoinHandle, Remote, as_completed, block_on, run, scope, shield,
    sleep, sleep_until, spawn, spawn_after, wait_all, wait_any, yield_now,
};
pub use time::{Elapsed, timeout};

/// What this OS thread's scheduler has done since its [`run`] began.
///
/// ```
/// sedge::run(|| {
///     sedge::yield_now();
///     assert_eq!(sedge::stats().yields, 1);
/// });
/// ```
///
/// # Panics
///
/// Outside [`run`].
#[must_use]
#[track_caller]
pub fn stats() -> Stats {
    scheduler::with(scheduler::Scheduler::stats)
}
