//! The children of strangers. A process whose parent has died becomes the child of process 1, or of
//! the nearest ancestor that has asked for such (a subreaper), and stays a zombie until that one
//! has reaped it. A launcher that is the first process of a container is that one.
//!
//! It reaps them by their ids, one by one: a wait for any child would take the workers' ends from
//! those who wait for them.

use std::fs;
use std::io;
use std::rc::Rc;

use rustix::process::{Pid, WaitOptions, child_subreaper, getpid, waitpid};

use super::supervisor::Supervisor;
use crate::signal::{SIGCHLD, Signals};
use crate::thread::Builder;

/// Begins to reap, if that is this process's business.
pub(super) fn start(boss: &Rc<Supervisor>) -> io::Result<()> {
    if getpid() != Pid::INIT && !child_subreaper().is_ok_and(|set| set.is_some()) {
        return Ok(());
    }
    let signals = Signals::new([SIGCHLD])?;
    let boss = Rc::clone(boss);
    let reaper = Builder::new().name("reaps strangers".into()).daemon(true);
    reaper.spawn(move || {
        // One signal may stand for many children, so each has all looked at.
        while signals.recv().is_ok() {
            for pid in children() {
                if boss.children().iter().all(|child| child.pid != pid) {
                    let _ = waitpid(Some(pid), WaitOptions::NOHANG);
                }
            }
        }
    })?;
    Ok(())
}

/// The children of this process, zombies included.
fn children() -> Vec<Pid> {
    let list = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    let pids = list.split_ascii_whitespace();
    pids.filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
        .collect()
}
