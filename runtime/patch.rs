//! Code that never heard of sedge cooperates.

mod call;
mod children;
mod connect;
mod count;
mod descriptors;
mod gate;
mod hostent;
mod names;
mod raw;
mod readiness;
mod real;
mod select;
mod sleep;
mod sockets;
mod streams;
mod table;
mod transfer;
mod wait;

use self::gate::Family;

pub use self::count::{Calls, Counts};

/// Switches everything on.
pub fn all() {
    Options::new().patch();
}

/// What to switch on.
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is patched before `patch` is called"]
pub struct Options {
    families: u8,
}

impl Options {
    /// Everything.
    pub fn new() -> Options {
        Options { families: u8::MAX }
    }

    /// Everything that was chosen, for the whole process. What is on already stays on.
    pub fn patch(self) {
        real::resolve_all();
        gate::open(self.families);
    }
}

impl Default for Options {
    fn default() -> Options {
        Options::new()
    }
}

/// What became of the calls that the green threads of this OS thread have made.
#[must_use]
pub fn calls() -> Calls {
    Calls::of_this_thread()
}
