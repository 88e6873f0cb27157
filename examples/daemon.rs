//! Who keeps a program alive, and who does not: green threads, and daemons among them.
//!
//! ```text
//! cargo run --example daemon
//! ```
//!
//! `run` waits for all green threads but daemons; when only those are left, it cancels them, and
//! their destructors run.

use std::io;
use std::time::Duration;

use sedge::thread::Builder;

/// Says when it is dropped.
struct Farewell;

impl Drop for Farewell {
    fn drop(&mut self) {
        println!("heartbeat: the last one");
    }
}

fn main() -> io::Result<()> {
    let ms = Duration::from_millis;
    sedge::run(|| {
        let heartbeat = Builder::new().name("heartbeat".into()).daemon(true);
        heartbeat.spawn(move || {
            let _farewell = Farewell;
            loop {
                println!("heartbeat");
                sedge::sleep(ms(20));
            }
        })?;

        let worker = sedge::spawn(move || {
            sedge::sleep(ms(50));
            6 * 7
        });
        let answer = match worker.join_timeout(ms(10)) {
            Ok(answer) => answer,
            Err(worker) => {
                println!("main: no answer within 10 ms, but there is time");
                worker.join()
            }
        };
        println!(
            "main: the answer is {}",
            answer.expect("multiplying cannot fail")
        );

        sedge::spawn(move || {
            sedge::sleep(ms(30));
            println!("straggler: main has returned, and run waits for me");
        });
        io::Result::Ok(())
    })?;
    println!("run has returned, and nobody is left");
    Ok(())
}
