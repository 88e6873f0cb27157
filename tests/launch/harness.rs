//! Runs tests, and what each of them needs: a launcher in a process of its own, and a look at its
//! children.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::program;

/// For whatever is waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) type Test = (&'static str, fn());

/// Runs those tests whose name contains one of the arguments, some at a time.
pub(crate) fn run(tests: &[Test]) -> ExitCode {
    let filters: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let wanted =
        |name: &str| filters.is_empty() || filters.iter().any(|f| name.contains(f.as_str()));
    let tests: Vec<_> = tests.iter().filter(|(name, _)| wanted(name)).collect();
    println!("\nrunning {} tests", tests.len());
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some((name, test)) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let done = watch(name);
                    let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
                    drop(done);
                    println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
                    if !passed {
                        failed.lock().unwrap().push(*name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    let passed = tests.len() - failed.len();
    let result = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {result}. {passed} passed; {} failed {failed:?}",
        failed.len()
    );
    ExitCode::from(u8::from(!failed.is_empty()))
}

/// Ends this process if what comes back is not dropped in time: a test waits for ever.
fn watch(name: &'static str) -> mpsc::Sender<()> {
    let (done, watched) = mpsc::channel();
    thread::spawn(move || {
        if watched.recv_timeout(3 * LIMIT) == Err(RecvTimeoutError::Timeout) {
            eprintln!("test {name} is not done within {:?}", 3 * LIMIT);
            std::process::abort();
        }
    });
    done
}

/// Makes `TESTS` of functions, which are named as claims.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        /// The tests of this module.
        pub(crate) const TESTS: &[$crate::harness::Test] = &[$((stringify!($name), $name)),*];
    };
}

/// Looks again and again until it is so.
#[track_caller]
pub(crate) fn eventually(what: &str, is_so: impl FnMut() -> bool) {
    within(LIMIT, what, is_so);
}

/// As [`eventually`], for so long.
#[track_caller]
pub(crate) fn within(limit: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A launcher in a process of its own, which is killed when this is dropped.
pub(crate) struct Launched {
    child: Child,
    /// All that it and its workers have printed.
    output: std::sync::Arc<Mutex<String>>,
    readers: Vec<thread::JoinHandle<()>>,
}

impl Launched {
    /// Starts it, with these environment variables.
    pub(crate) fn start(mode: &str, variables: &[(&str, &str)]) -> Launched {
        Launched::start_file(&std::env::current_exe().unwrap(), mode, variables)
    }

    /// The same, from another file.
    pub(crate) fn start_file(
        file: &std::path::Path,
        mode: &str,
        variables: &[(&str, &str)],
    ) -> Launched {
        let mut command = Command::new(file);
        command
            .env(program::MODE, mode)
            .env_remove("WORKERS")
            .env_remove("XDG_RUNTIME_DIR")
            .env_remove("RUNTIME_DIRECTORY")
            .env("RUST_BACKTRACE", "0")
            .envs(variables.iter().copied());
        Launched::start_command(command)
    }

    pub(crate) fn start_command(command: Command) -> Launched {
        Launched::start_command_with(command, Stdio::null())
    }

    pub(crate) fn start_command_with(mut command: Command, stdin: Stdio) -> Launched {
        command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = loop {
            match command.spawn() {
                // A child of another test has a copy's descriptor until it executes its program.
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                    thread::sleep(Duration::from_millis(2));
                }
                child => break child.unwrap(),
            }
        };
        let output = std::sync::Arc::new(Mutex::new(String::new()));
        let pipes: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        let read = |pipe: Box<dyn Read + Send>| {
            let output = output.clone();
            thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(io::Result::ok) {
                    let mut output = output.lock().unwrap();
                    output.push_str(&line);
                    output.push('\n');
                }
            })
        };
        let readers = pipes.into_iter().map(read).collect();
        Launched {
            child,
            output,
            readers,
        }
    }

    /// Starts one that serves, and waits until it does.
    pub(crate) fn serving(variables: &[(&str, &str)]) -> Launched {
        let launched = Launched::start("serve", variables);
        launched.addr();
        launched
    }

    pub(crate) fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    #[track_caller]
    pub(crate) fn says(&self, words: &str) {
        let deadline = Instant::now() + LIMIT;
        while !self.output().contains(words) {
            assert!(
                Instant::now() < deadline,
                "it does not say {words:?} but\n{}",
                self.output()
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Where it listens, once it does.
    #[track_caller]
    pub(crate) fn addr(&self) -> SocketAddr {
        self.says("listening on ");
        let output = self.output();
        let (_, rest) = output.split_once("listening on ").unwrap();
        let word = rest.split_whitespace().next().unwrap();
        word.rsplit('/').next().unwrap().parse().unwrap()
    }

    /// Waits until it listens, or has ended; whether it listens.
    pub(crate) fn starts(&self) -> bool {
        let listens = || self.output().contains("listening on ");
        eventually("it listens, or has ended", || {
            listens() || !is_alive(self.pid())
        });
        listens()
    }

    /// How many descriptors it has.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .unwrap()
            .count()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// The process ids of the workers.
    pub(crate) fn workers(&self) -> Vec<u32> {
        children(self.pid())
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.addr()).unwrap()
    }

    /// Waits for it to end by itself; its exit code and all that was printed.
    #[track_caller]
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + LIMIT;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "it does not end:\n{}",
                self.output()
            );
            thread::sleep(Duration::from_millis(2));
        };
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        assert_eq!(status.signal(), None, "{}", self.output());
        (status.code(), self.output())
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("---- the launcher's output:\n{}----", self.output());
        }
    }
}

pub(crate) fn signal(pid: u32, name: &str) {
    let kill = Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(kill.unwrap().success(), "kill {name} {pid}");
}

/// The processes whose parent is `pid`, zombies included.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let list = list.unwrap_or_default();
    list.split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

pub(crate) fn is_alive(pid: u32) -> bool {
    // A zombie is not, whose parent is somebody else by then.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// A client that speaks the program's language.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&addr, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_nodelay(true)?;
        Ok(Client(BufReader::new(stream)))
    }

    pub(crate) fn send(&mut self, line: &str) -> io::Result<()> {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes())
    }

    /// A line, without its end; empty at the end.
    pub(crate) fn receive(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    pub(crate) fn ask(&mut self, line: &str) -> io::Result<String> {
        self.send(line)?;
        self.receive()
    }

    /// Number and process id of the worker.
    #[track_caller]
    pub(crate) fn who(&mut self) -> (usize, u32) {
        let who = self.ask("who").unwrap();
        let (id, pid) = who.split_once(' ').unwrap();
        (id.parse().unwrap(), pid.parse().unwrap())
    }
}
