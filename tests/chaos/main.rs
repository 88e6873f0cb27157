//! The launcher under fire: the `http` example with a live load, while workers and launchers are
//! replaced, killed, stopped and starved. The clients check every byte.
//!
//! ```text
//! cargo test --test chaos [FILTER]                            # the short form, as in CI
//! SEDGE_CHAOS=long cargo test --release --test chaos          # the full numbers, strict limits
//! ```
//!
//! Each test is a claim. They run one after the other, for each wants the machine for itself. What
//! they measure is printed; in the short form, limits of time are generous, for machines that do
//! other things besides. This binary is also a program to be launched ([`program`]), where the
//! example would be too well-behaved.

mod attack;
mod container;
mod kill;
mod load;
mod proc;
mod program;
mod refuse;
mod replace;
mod runner;
mod server;
mod stall;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = program::main() {
        return code;
    }
    let tests = [
        replace::TESTS,
        kill::TESTS,
        stall::TESTS,
        refuse::TESTS,
        container::TESTS,
        attack::TESTS,
    ];
    runner::run(&tests.concat())
}
