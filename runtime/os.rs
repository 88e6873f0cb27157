//! What only some systems have, in the words of [`std::os`].

#[expect(unsafe_code, reason = "FromRawFd is an unsafe trait function")]
mod fd;
pub mod linux;
pub mod unix;
