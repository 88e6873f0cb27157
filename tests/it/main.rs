//! What sedge promises, each promise a test. One binary, so that it links once.

mod block_on;
mod blocking;
mod cancel;
mod channel;
mod deadlock;
mod fs;
mod generator;
#[cfg(feature = "ipc")]
mod ipc;
mod limit;
mod local;
mod model;
mod mpsc;
mod net;
mod panics;
mod pool;
mod pool_future;
mod pool_imap;
mod pool_resources;
mod pool_threads;
mod process;
mod queue;
mod remote;
mod run;
mod scope;
mod seeds;
mod server;
mod signal;
mod stdio;
mod sync;
mod thread;
mod tidy;
mod timeout;
mod unix;
mod util;
