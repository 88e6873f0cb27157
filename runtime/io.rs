//! Waiting for descriptors: the one retry loop, and a wrapper for descriptors of others.

mod limit;
pub(crate) mod source;

pub use self::source::Source;
