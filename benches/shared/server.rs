//! Servers in processes of their own, each server on one core and its client on the other.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A server that runs until this is dropped.
#[derive(Debug)]
pub struct Server {
    process: Child,
    addr: SocketAddr,
    /// Where `strace`, which is then the process, writes a line for each system call.
    trace: Option<PathBuf>,
}

impl Server {
    /// Starts a program on the first core, and moves this process to the last one. The program has
    /// to print its address at the end of its first line.
    ///
    /// # Errors
    ///
    /// If it does not start, or prints something else.
    pub fn start(program: &str, arguments: &[&str]) -> io::Result<Server> {
        let cores = cores()?;
        pin(cores[0])?;
        let process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        pin_to_last_core()?;
        let mut process = process?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let addr = line.trim().rsplit([' ', '/']).next().unwrap_or_default();
        let addr = addr.parse().map_err(io::Error::other)?;
        let trace = None;
        Ok(Server {
            process,
            addr,
            trace,
        })
    }

    /// As [`start`](Server::start), under `strace`, which writes down its system calls.
    ///
    /// # Errors
    ///
    /// As [`start`](Server::start); if there is no `strace`, or it may not trace.
    pub fn start_traced(program: &str, arguments: &[&str]) -> io::Result<Server> {
        let trace = std::env::temp_dir().join(format!("sedge-calls-{}", std::process::id()));
        let log = trace.to_string_lossy();
        let mut words = vec!["-f", "-qq", "-e", "signal=none", "-o", &log, program];
        words.extend(arguments);
        let mut server = Server::start("strace", &words)?;
        server.trace = Some(trace);
        Ok(server)
    }

    /// The system calls it has made until now, by the trace.
    ///
    /// # Errors
    ///
    /// If it is not traced.
    pub fn system_calls(&self) -> io::Result<usize> {
        let trace = self.trace.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        // One that another OS thread has interrupted has two lines.
        let lines = fs::read_to_string(trace)?;
        Ok(lines
            .lines()
            .filter(|line| !line.contains(" resumed>"))
            .count())
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The processor time that its OS threads have used, those that are still there, by the
    /// kernel's account. It is exact while they wait.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub fn cpu_time(&self) -> io::Result<Duration> {
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            // One that ends meanwhile, as the thread of a closed connection may, is left out.
            let account = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            let ran = account.split(' ').next().unwrap_or_default();
            nanoseconds += ran.parse().unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(trace) = self.trace.take() {
            // Without `strace` it would go on; without it, `strace` ends.
            let _ = kill_child_of(self.process.id());
            let _ = fs::remove_file(trace);
        }
        // It fails if it has ended, which is as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn kill_child_of(process: u32) -> io::Result<()> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
    let child = children.split(' ').next().unwrap_or_default();
    let child = child.parse().ok().and_then(Pid::from_raw);
    Ok(kill_process(
        child.ok_or(io::ErrorKind::NotFound)?,
        Signal::KILL,
    )?)
}

/// The cores of this machine that this process was given, whatever it is pinned to by now.
fn cores() -> io::Result<Vec<usize>> {
    static CORES: std::sync::OnceLock<Vec<usize>> = std::sync::OnceLock::new();
    if let Some(cores) = CORES.get() {
        return Ok(cores.clone());
    }
    let given = sched_getaffinity(None)?;
    let cores = (0..CpuSet::MAX_CPU).filter(|&core| given.is_set(core));
    Ok(CORES.get_or_init(|| cores.collect()).clone())
}

/// Keeps this OS thread, and those it starts from now on, on the last core.
///
/// # Errors
///
/// If the kernel refuses.
pub fn pin_to_last_core() -> io::Result<()> {
    let cores = cores()?;
    pin(cores[cores.len() - 1])
}

fn pin(core: usize) -> io::Result<()> {
    let mut only = CpuSet::new();
    only.set(core);
    Ok(sched_setaffinity(None, &only)?)
}
