//! Where generators get their stacks: a pool of each OS thread, in and outside of `run`.
//!
//! Not the scheduler's, for a generator may be older than the scheduler that it is resumed under,
//! and may outlive it.

use std::cell::RefCell;
use std::io;
use std::panic::Location;

use crate::stack::overflow::{GENERATOR, SignalStack};
use crate::stack::{Class, HOT_BYTES, Pool, Stack, StackGuard};

const DEFAULT_STACK: usize = 256 << 10;

struct Stacks {
    pool: RefCell<Pool>,
    /// Outside of `run` nobody else has seen to it that an overflow can be reported. Without it an
    /// overflow is a bare `SIGSEGV`.
    _signals: Option<SignalStack>,
}

thread_local! {
    static STACKS: Stacks = Stacks {
        pool: RefCell::new(Pool::new(StackGuard::Auto)),
        _signals: SignalStack::install_for_good().ok(),
    };
}

/// A stack for a generator that is made at `made_at`.
pub(super) fn take(
    size: Option<usize>,
    name: Option<&str>,
    made_at: &'static Location<'static>,
) -> io::Result<Stack> {
    let class = Class::holding(size.unwrap_or(DEFAULT_STACK))?;
    let taken = STACKS.try_with(|stacks| stacks.pool.borrow_mut().take(class));
    let mut stack = taken.map_err(|_| {
        io::Error::other("the OS thread is ending and has given up the stacks of its generators")
    })??;
    stack.set_label(GENERATOR, name, made_at);
    Ok(stack)
}

/// Takes back a stack whose body has ended.
pub(super) fn give_back(stack: Stack) {
    // If the OS thread is ending, the pool has gone without this stack and left everything mapped.
    let _ = STACKS.try_with(|stacks| {
        let mut pool = stacks.pool.borrow_mut();
        pool.give_back(stack);
        pool.cool(HOT_BYTES);
    });
}
