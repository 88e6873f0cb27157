//! What sedge promises, each promise a test. One binary, so that it links once.

mod blocking;
mod cancel;
mod limit;
mod local;
mod model;
mod net;
mod panics;
mod remote;
mod run;
mod scope;
mod sync;
mod thread;
mod tidy;
mod timeout;
mod unix;
mod util;
