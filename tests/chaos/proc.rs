//! A look at processes from outside, through `/proc`.

use std::collections::HashSet;
use std::fs;
use std::process::Command;

use crate::runner::eventually;

#[track_caller]
pub(crate) fn signal(pid: u32, name: &str) {
    assert!(try_signal(pid, name), "kill {name} {pid}");
}

/// False if there is no such process any more.
pub(crate) fn try_signal(pid: u32, name: &str) -> bool {
    let mut kill = Command::new("kill");
    let output = kill.args([name, &pid.to_string()]).output();
    output.unwrap().status.success()
}

/// The processes whose parent is `pid`, zombies included.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let list = list.unwrap_or_default();
    list.split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

/// Its letter in `ps`; none if it is gone.
pub(crate) fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether it runs; a zombie does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

pub(crate) fn is_zombie(pid: u32) -> bool {
    state(pid) == Some('Z')
}

/// All that have inherited this variable, by whatever parents, but for this process itself.
pub(crate) fn with_variable(name: &str, value: &str) -> Vec<u32> {
    let wanted = format!("{name}={value}").into_bytes();
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let variables = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let has_it = variables.split(|&byte| byte == 0).any(|v| v == wanted);
        has_it.then_some(pid)
    });
    pids.collect()
}

/// How many descriptors are open in it.
pub(crate) fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// The client's port of each connection to `port` that the process has accepted.
pub(crate) fn accepted(pid: u32, port: u16) -> HashSet<u16> {
    let sockets: HashSet<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let target = fs::read_link(entry.ok()?.path()).ok()?;
            let inode = target.to_str()?.strip_prefix("socket:[")?;
            Some(inode.trim_end_matches(']').to_owned())
        })
        .collect();
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let clients = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, remote) = (fields.next()?, fields.next()?);
        let inode = fields.nth(6)?;
        let is_it = port_of(local)? == port && sockets.contains(inode);
        let remote = port_of(remote)?;
        (is_it && remote != 0).then_some(remote)
    });
    clients.collect()
}

fn port_of(addr: &str) -> Option<u16> {
    u16::from_str_radix(addr.rsplit_once(':')?.1, 16).ok()
}

/// Kills a process; the connections that it had.
pub(crate) fn kill_and_count(pid: u32, port: u16) -> HashSet<u16> {
    // Stopped, it accepts no more.
    if !try_signal(pid, "-STOP") {
        return HashSet::new();
    }
    eventually("it has stopped", || {
        !is_alive(pid) || state(pid) == Some('T')
    });
    let had = accepted(pid, port);
    signal(pid, "-KILL");
    had
}
