//! The pool of processes: what becomes of tasks, however they end, and of the processes.
//!
//! The workers are this program, executed again, so it owns `main`, and libtest has to stay
//! outside: `cargo test --test process_pool FILTER`. Tests run one after the other, each in a
//! scheduler of its own, and after each no process may be left.

mod ends;
mod harness;
mod life;
mod verbs;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("child") {
        life::child(&arguments.next().expect("which child"));
        return ExitCode::SUCCESS;
    }
    // Workers come by here, and print their panics in one line.
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    sedge::pool::process::init();
    drop(std::panic::take_hook());
    let tests = [ends::TESTS, life::TESTS, verbs::TESTS].concat();
    harness::run(&tests)
}
