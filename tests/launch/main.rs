//! The launcher, driven from outside: each test starts a launcher in a process of its own, asks it,
//! signals it, kills it, and looks at what is left.
//!
//! This binary is also the program that is launched ([`program`]): a worker is the same program
//! executed once more, so that one must own `main`, and libtest has to stay outside. [`harness`]
//! does as much of its work as is needed: `cargo test --test launch FILTER`.

mod harness;
mod life;
mod load;
mod program;
mod service;
mod start;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = program::main() {
        return code;
    }
    let tests = [start::TESTS, life::TESTS, load::TESTS, service::TESTS].concat();
    harness::run(&tests)
}
