//! What is reported of a green thread that stops its OS thread, read from the standard error of a
//! process of its own.

use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

const WORDS: &str = "puts its whole OS thread to sleep";

/// Waits twice, at the same place, for a lock that another OS thread has.
fn wait_twice() {
    sedge::patch::on_block(sedge::patch::Policy::Report);
    sedge::run(|| {
        let other = sedge::spawn(|| sedge::sleep(Duration::from_millis(300)));
        for _ in 0..2 {
            let lock = Arc::new(Mutex::new(()));
            let (locked, wait) = mpsc::channel();
            let same = Arc::clone(&lock);
            let holder = sedge::blocking(move || {
                std::thread::spawn(move || {
                    let _held = same.lock().unwrap();
                    locked.send(()).unwrap();
                    std::thread::sleep(Duration::from_millis(60));
                })
            });
            sedge::blocking(move || wait.recv().unwrap());
            drop(lock.lock().unwrap()); // here
            sedge::blocking(move || holder.join().unwrap());
        }
        other.join().unwrap();
    });
}

fn main() {
    if std::env::args().any(|argument| argument == "wait") {
        return wait_twice();
    }
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this).arg("wait").output().unwrap();
    let report = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{report}");
    assert_eq!(
        report.matches(WORDS).count(),
        1,
        "once for each place:\n{report}"
    );
    for part in [
        "'main'",
        "a lock",
        "wait_twice",
        "report.rs:",
        "parked (sleep)",
    ] {
        assert!(report.contains(part), "{part} is missing:\n{report}");
    }
    println!("test result: ok. 1 place was reported, once");
}
