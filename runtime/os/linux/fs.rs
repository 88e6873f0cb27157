//! What files have on Linux only, in the words of [`std::os::linux::fs`].

pub use std::os::linux::fs::*;
