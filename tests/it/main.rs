//! What sedge promises, each promise a test. One binary, so that it links once.

mod blocking;
mod cancel;
mod local;
mod model;
mod net;
mod panics;
mod queue;
mod remote;
mod run;
mod scope;
mod seeds;
mod sync;
mod sync_condvar;
mod sync_meet;
mod sync_once;
mod sync_seeds;
mod sync_semaphore;
mod thread;
mod tidy;
mod timeout;
mod unix;
mod util;
