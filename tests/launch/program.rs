//! The program that the tests launch. What it is to do, it is told by environment variables, for
//! those reach the workers too.
//!
//! A client sends lines, and gets a line for each: `who` (number and process id of the worker),
//! `exe` (which file the worker was started from), `sleep MS`, `hog` (never answers, nor lets
//! anybody else in that worker), `count`, `print TEXT`.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;
use std::time::Duration;

use sedge::launch::{Launcher, Worker, Workers};
use sedge::net::TcpStream;
use sedge::server::Server;

/// What the program is to do; without it this is the test binary.
pub(crate) const MODE: &str = "LAUNCH_TEST_MODE";
/// Addresses, separated by spaces; one that contains a slash is a Unix socket.
pub(crate) const BIND: &str = "LAUNCH_TEST_BIND";
/// The number of workers.
pub(crate) const COUNT: &str = "LAUNCH_TEST_COUNT";
/// Milliseconds.
pub(crate) const DRAIN: &str = "LAUNCH_TEST_DRAIN";
/// Milliseconds.
pub(crate) const HANG: &str = "LAUNCH_TEST_HANG";
/// Requests.
pub(crate) const RECYCLE: &str = "LAUNCH_TEST_RECYCLE";
/// MiB that the launcher touches before it starts workers.
pub(crate) const HEAP: &str = "LAUNCH_TEST_HEAP";

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

fn millis(name: &str) -> Option<Duration> {
    number(name).map(Duration::from_millis)
}

/// The program, if this process is to be that.
pub(crate) fn main() -> Option<ExitCode> {
    let mode = env::var(MODE).ok()?;
    if mode == "threads" {
        std::thread::spawn(|| std::thread::sleep(Duration::from_secs(60)));
    }
    let heap = vec![1u8; number(HEAP).unwrap_or(0) as usize * (1 << 20)];
    std::hint::black_box(&heap);
    let mut launcher =
        Launcher::new().on_ready(|addrs| println!("listening on {}", addrs.join(" ")));
    for addr in env::var(BIND)
        .unwrap_or_else(|_| "127.0.0.1:0".into())
        .split(' ')
    {
        launcher = match addr.contains('/') {
            true => launcher.bind_unix(addr),
            false => launcher.bind(addr),
        };
    }
    if let Some(count) = number(COUNT) {
        launcher = launcher.workers(Workers::Exactly(count as usize));
    }
    if let Some(limit) = millis(DRAIN) {
        launcher = launcher.drain_timeout(limit);
    }
    if let Some(limit) = millis(HANG) {
        launcher = launcher.hang_timeout(limit);
    }
    if let Some(requests) = number(RECYCLE) {
        launcher = launcher.max_requests(requests);
    }
    let result = match mode.as_str() {
        "here" => launcher.run_here(serve),
        "panic" => launcher.run(|_| -> () { panic!("no tea, no service") }),
        "fail" => launcher.run(|_| io::Result::<()>::Err(io::Error::other("no tea"))),
        "late" => launcher
            .ready_timeout(Duration::from_millis(200))
            .run(|worker| {
                worker.draining().wait();
            }),
        _ => launcher.run(serve),
    };
    Some(result.unwrap_or_else(|error| {
        eprintln!("the launcher failed: {error}");
        ExitCode::from(99)
    }))
}

fn serve(worker: Worker) -> io::Result<()> {
    let inner = worker.clone();
    worker.serve(Server::new(worker.listener(0), move |stream| {
        answer(&inner, stream)
    }))
}

fn answer(worker: &Worker, stream: TcpStream) -> io::Result<()> {
    let _farewell = Farewell;
    let mut lines = BufReader::new(&stream).lines();
    // An idle connection is closed when the worker is to end.
    while let Some(Some(line)) = worker.draining().run_until_set(|| lines.next()) {
        let line = line?;
        let words: Vec<_> = line.split(' ').collect();
        let reply = match words[..] {
            ["who"] => format!("{} {}", worker.id(), std::process::id()),
            ["exe"] => std::fs::metadata("/proc/self/exe")?.ino().to_string(),
            ["sleep", ms] => {
                sedge::sleep(Duration::from_millis(ms.parse().map_err(io::Error::other)?));
                "slept".into()
            }
            ["hog"] => loop {
                std::hint::spin_loop();
            },
            ["print", text] => {
                println!("{text}");
                "printed".into()
            }
            _ => "what?".into(),
        };
        worker.count_request();
        writeln!(&stream, "{reply}")?;
    }
    Ok(())
}

/// A destructor, to be seen in the output of a worker that is cancelled.
struct Farewell;

impl Drop for Farewell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("unwound");
        }
    }
}
