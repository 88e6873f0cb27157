//! One worker process per core, supervised.

#[cfg_attr(not(test), expect(dead_code, reason = "what the launcher stands on"))]
mod beat;
#[cfg_attr(not(test), expect(dead_code, reason = "what the launcher stands on"))]
#[expect(unsafe_code, reason = "maps memory that processes share")]
mod board;

pub use self::board::State;
