//! A launcher in a process of its own, and what it prints.

use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::proc;
use crate::runner::{LIMIT, eventually, pause};

/// Marks a launcher and all that comes of it.
const MARK: &str = "CHAOS_MARK";

/// A launcher; it and all that it has left behind is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    mark: String,
    output: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

/// The program that is under fire.
pub(crate) fn http() -> &'static Path {
    static HTTP: OnceLock<PathBuf> = OnceLock::new();
    HTTP.get_or_init(|| {
        // This is target/PROFILE/deps/chaos-HASH.
        let this = std::env::current_exe().unwrap();
        let folder = this.ancestors().nth(2).unwrap();
        // `cargo test` has built it, `cargo test --test chaos` has not.
        if let Some(cargo) = std::env::var_os("CARGO") {
            let mut build = Command::new(cargo);
            build.args(["build", "--quiet", "--example", "http"]);
            if folder.ends_with("release") {
                build.arg("--release");
            }
            assert!(
                build.status().unwrap().success(),
                "cannot build the example"
            );
        }
        let program = folder.join("examples/http");
        assert!(program.exists(), "{} is missing", program.display());
        program
    })
}

impl Server {
    /// The example with so many workers; serves when this comes back.
    pub(crate) fn http(workers: usize) -> Server {
        Server::http_file(http(), workers)
    }

    pub(crate) fn http_file(file: &Path, workers: usize) -> Server {
        let mut command = Command::new(file);
        command.args(["--addr", "127.0.0.1:0", "--workers", &workers.to_string()]);
        let server = Server::start(command);
        server.addr();
        server
    }

    /// Whatever it is.
    pub(crate) fn start(mut command: Command) -> Server {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{}-{count}", std::process::id());
        command
            .env_remove("WORKERS")
            .env_remove("XDG_RUNTIME_DIR")
            .env_remove("RUNTIME_DIRECTORY")
            .env_remove("KUBERNETES_SERVICE_HOST")
            .env("RUST_BACKTRACE", "0")
            .env(MARK, &mark)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = Arc::new(Mutex::new(String::new()));
        let pipes: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        let read = |pipe: Box<dyn Read + Send>| {
            let output = Arc::clone(&output);
            thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(io::Result::ok) {
                    let mut output = output.lock().unwrap();
                    output.push_str(&line);
                    output.push('\n');
                }
            })
        };
        let readers = pipes.into_iter().map(read).collect();
        Server {
            child,
            mark,
            output,
            readers,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// How often it has said that.
    pub(crate) fn said(&self, words: &str) -> usize {
        self.output().matches(words).count()
    }

    #[track_caller]
    pub(crate) fn says(&self, words: &str) {
        eventually(words, || self.said(words) > 0);
    }

    #[track_caller]
    pub(crate) fn addr(&self) -> SocketAddr {
        self.says("listening on ");
        let output = self.output();
        let (_, rest) = output.split_once("listening on ").unwrap();
        let word = rest.split_whitespace().next().unwrap();
        word.rsplit('/').next().unwrap().parse().unwrap()
    }

    pub(crate) fn workers(&self) -> Vec<u32> {
        proc::children(self.pid())
    }

    /// All processes that have come of it, itself too.
    pub(crate) fn everybody(&self) -> Vec<u32> {
        proc::with_variable(MARK, &self.mark)
    }

    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        proc::signal(self.pid(), name);
    }

    /// Has all workers replaced, by `-HUP` or `-USR2`, and waits until they are.
    #[track_caller]
    pub(crate) fn replace(&self, name: &str) {
        let words = "all workers are replaced";
        let count = self.said(words);
        self.signal(name);
        let deadline = Instant::now() + LIMIT;
        while self.said(words) == count {
            assert!(Instant::now() < deadline, "{name}: {}", self.output());
            pause(2);
        }
    }

    /// Waits for it to end by itself; its exit code, and all that was printed.
    #[track_caller]
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + 2 * LIMIT;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            pause(2);
        };
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        assert_eq!(status.signal(), None, "{}", self.output());
        (status.code(), self.output())
    }

    /// Ends it in order: exit code 0, and nobody is left.
    #[track_caller]
    pub(crate) fn terminate(self) {
        let mark = self.mark.clone();
        self.signal("-TERM");
        let (code, output) = self.end();
        assert_eq!(code, Some(0), "{output}");
        assert_eq!(proc::with_variable(MARK, &mark), [], "are left");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in self.everybody() {
            proc::try_signal(pid, "-KILL");
        }
        if thread::panicking() {
            eprintln!("---- the launcher's output:\n{}----", self.output());
        }
    }
}
