//! Servers in processes of their own, each server on one core and its client on the other.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A server that runs until this is dropped.
#[derive(Debug)]
pub struct Server {
    process: Child,
    addr: SocketAddr,
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
        Ok(Server { process, addr })
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
        // It fails if it has ended, which is as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
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
