//! What only Linux has, in the words of [`std::os::linux`].

pub mod fs;
pub mod net;
