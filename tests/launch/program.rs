//! The program that the tests launch. What it is to do, it is told by environment variables, for
//! those reach the workers too.
//!
//! A client sends lines, and gets a line for each: `who` (number and process id of the worker),
//! `exe` (which file the worker was started from), `ready` (whether clients are welcome), `sleep
//! MS`, `hog` (never answers, nor lets anybody else in that worker), `print TEXT`, `orphan` (leaves
//! a process behind), `share ...` (`names`).

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;
use std::time::Duration;

use sedge::launch::{Launcher, Worker, Workers};
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
/// Milliseconds.
pub(crate) const DELAY: &str = "LAUNCH_TEST_DELAY";
/// A path.
pub(crate) const CONTROL: &str = "LAUNCH_TEST_CONTROL";
/// A path.
pub(crate) const PID_FILE: &str = "LAUNCH_TEST_PID_FILE";
/// Requests.
pub(crate) const RECYCLE: &str = "LAUNCH_TEST_RECYCLE";
/// MiB that the launcher touches before it starts workers.
pub(crate) const HEAP: &str = "LAUNCH_TEST_HEAP";

/// For a line that is on its way when the worker drains.
const LAST_CHANCE: Duration = Duration::from_millis(200);

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

fn millis(name: &str) -> Option<Duration> {
    number(name).map(Duration::from_millis)
}

fn binds() -> Vec<String> {
    let binds = env::var(BIND).unwrap_or_else(|_| "127.0.0.1:0".into());
    binds.split(' ').map(str::to_owned).collect()
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
    let binds = if mode == "activated" {
        Vec::new()
    } else {
        binds()
    };
    for addr in binds {
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
    if let Some(delay) = millis(DELAY) {
        launcher = launcher.pre_drain_delay(delay);
    }
    if let Ok(path) = env::var(CONTROL) {
        launcher = launcher.control_socket(path);
    }
    if let Ok(path) = env::var(PID_FILE) {
        launcher = launcher.pid_file(path);
    }
    if let Some(requests) = number(RECYCLE) {
        launcher = launcher.max_requests(requests);
    }
    if mode == "activated" {
        launcher = launcher.bind_activated();
    }
    let result = match mode.as_str() {
        "here" => launcher.run_here(serve),
        "panic" => launcher.run(|_| -> () { panic!("no tea, no service") }),
        "fail" => launcher.run(|_| io::Result::<()>::Err(io::Error::other("no tea"))),
        "brief" => launcher.run(|worker| {
            worker.ready();
            sedge::sleep(Duration::from_millis(50));
        }),
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
    let binds = binds();
    for (index, _) in binds
        .iter()
        .enumerate()
        .filter(|(_, addr)| addr.contains('/'))
    {
        let (inner, stopping) = (worker.clone(), worker.draining().clone());
        let server = Server::new(worker.unix_listener(index), move |stream| {
            answer(&inner, &stream)
        });
        let handle = server.start()?;
        sedge::spawn(move || {
            stopping.wait();
            handle.stop();
        });
    }
    let inner = worker.clone();
    let server = Server::new(worker.listener(0), move |stream| answer(&inner, &stream));
    worker.serve(server)
}

fn answer<S>(worker: &Worker, stream: &S) -> io::Result<()>
where
    for<'a> &'a S: Read + Write,
{
    let _farewell = Farewell;
    let mut lines = BufReader::new(stream).lines();
    let draining = worker.draining();
    loop {
        // When the worker is to end, a connection is closed between two lines; but one may be on
        // its way.
        let line = match draining.run_until_set(|| lines.next()) {
            Some(line) => line,
            None => sedge::timeout(LAST_CHANCE, || lines.next()).unwrap_or(None),
        };
        let Some(line) = line.transpose()? else {
            return Ok(());
        };
        let words: Vec<_> = line.split(' ').collect();
        let reply = match words[..] {
            ["who"] => format!("{} {}", worker.id(), std::process::id()),
            ["exe"] => std::fs::metadata("/proc/self/exe")?.ino().to_string(),
            ["sleep", ms] => {
                sedge::sleep(Duration::from_millis(ms.parse().map_err(io::Error::other)?));
                "slept".into()
            }
            ["ready"] => worker.is_ready().to_string(),
            ["orphan"] => {
                let mut shell = std::process::Command::new("sh");
                shell.args(["-c", "sleep 0.3 & exit"]).status()?;
                "left".into()
            }
            ["hog"] => loop {
                std::hint::spin_loop();
            },
            ["print", text] => {
                println!("{text}");
                "printed".into()
            }
            #[cfg(feature = "ipc")]
            ["share", ref words @ ..] => crate::names::share(worker, words)?,
            _ => "what?".into(),
        };
        worker.count_request();
        writeln!(&*stream, "{reply}")?;
        if draining.is_set() {
            return Ok(());
        }
    }
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
