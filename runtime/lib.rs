//! Green threads with std's words: ordinary blocking code, one scheduler per OS thread, no `Send`.

#![warn(clippy::print_stdout, clippy::print_stderr)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("sedge runs on 64-bit Linux: it stands on epoll and MADV_GUARD_INSTALL");
