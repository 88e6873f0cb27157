//! What the launcher knows of its workers, for people ([`Display`](fmt::Display), a table) and for
//! machines ([`Status::metrics`], the text form of Prometheus).
//!
//! All of it but the memory is read from the board, so a worker that hangs still shows. The
//! launcher's own findings ([`State::Stalled`] and what comes after it) it writes into `state`
//! after [`WorkerStatus::read`].

use std::fmt::{self, Write};
use std::fs;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rustix::param::page_size;

use super::board::{Slot, State, now};

/// The launcher and its workers at one moment.
///
/// Printed, it is a table:
///
/// ```text
/// launcher 4711, up 3 h 12 min, 2 workers
/// ID   PID  STATE  UPTIME      CONNECTIONS  REQUESTS  READY  THREADS  LAG     MEMORY    RESTARTS
///  0  4712  ready  3 h 12 min           17     80123      0       19  0.1 ms  12.4 MiB         0
///  1  4980  ready  12 min               15      5044      1       18  0.2 ms  11.9 MiB         1
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The launcher's process id.
    pub pid: u32,
    /// Since when the launcher runs.
    pub uptime: Duration,
    /// Those there are, by number.
    pub workers: Vec<WorkerStatus>,
}

/// One worker at one moment; from [`Status::workers`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// Its number.
    pub id: usize,
    /// Its process id; zero while there is none.
    pub pid: u32,
    /// What it is doing.
    pub state: State,
    /// Since when it runs.
    pub uptime: Duration,
    /// Connections that are open.
    pub connections: u64,
    /// Requests it has answered.
    pub requests: u64,
    /// Green threads that are ready to run.
    pub run_queue: u32,
    /// Green threads there are.
    pub green_threads: u32,
    /// How late its loop came to what it had set itself for a certain time.
    pub loop_lag: Duration,
    /// Bytes of memory in use (resident set).
    pub memory: u64,
    /// Workers that had this number before.
    pub restarts: u64,
}

impl Status {
    /// That of this launcher, which has run since `started` ([`now`]).
    pub(crate) fn of(workers: Vec<WorkerStatus>, started: u64) -> Status {
        Status {
            pid: std::process::id(),
            uptime: since(started),
            workers,
        }
    }

    /// The same in the text form of Prometheus, each worker by a label.
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        metric(&mut text, "uptime_seconds", "gauge", "Since when it runs.");
        let _ = writeln!(text, "sedge_uptime_seconds {}", self.uptime.as_secs_f64());
        for Metric {
            name,
            kind,
            help,
            value,
        } in METRICS
        {
            let name = format!("worker_{name}");
            metric(&mut text, &name, kind, help);
            for worker in &self.workers {
                let value = value(worker);
                let _ = writeln!(text, "sedge_{name}{{worker=\"{}\"}} {value}", worker.id);
            }
        }
        metric(
            &mut text,
            "worker_state",
            "gauge",
            "1 for the state that it is in.",
        );
        for WorkerStatus { id, state, .. } in &self.workers {
            let _ = writeln!(
                text,
                "sedge_worker_state{{worker=\"{id}\",state=\"{state}\"}} 1"
            );
        }
        text
    }
}

struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&WorkerStatus) -> f64,
}

const METRICS: &[Metric] = &[
    Metric {
        name: "uptime_seconds",
        kind: "gauge",
        help: "Since when it runs.",
        value: |worker| worker.uptime.as_secs_f64(),
    },
    Metric {
        name: "connections",
        kind: "gauge",
        help: "Connections that are open.",
        value: |worker| worker.connections as f64,
    },
    Metric {
        name: "requests_total",
        kind: "counter",
        help: "Requests that it has answered.",
        value: |worker| worker.requests as f64,
    },
    Metric {
        name: "run_queue",
        kind: "gauge",
        help: "Green threads that are ready to run.",
        value: |worker| f64::from(worker.run_queue),
    },
    Metric {
        name: "green_threads",
        kind: "gauge",
        help: "Green threads there are.",
        value: |worker| f64::from(worker.green_threads),
    },
    Metric {
        name: "loop_lag_seconds",
        kind: "gauge",
        help: "How late its loop came to its last heartbeat.",
        value: |worker| worker.loop_lag.as_secs_f64(),
    },
    Metric {
        name: "memory_bytes",
        kind: "gauge",
        help: "Memory in use (resident set).",
        value: |worker| worker.memory as f64,
    },
    Metric {
        name: "restarts_total",
        kind: "counter",
        help: "Workers that had this number before.",
        value: |worker| worker.restarts as f64,
    },
];

fn metric(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(
        text,
        "# HELP sedge_{name} {help}\n# TYPE sedge_{name} {kind}"
    );
}

impl WorkerStatus {
    /// One that does not run, and will.
    pub(crate) fn resting(id: usize, restarts: u64) -> WorkerStatus {
        WorkerStatus {
            id,
            pid: 0,
            state: State::Resting,
            uptime: Duration::ZERO,
            connections: 0,
            requests: 0,
            run_queue: 0,
            green_threads: 0,
            loop_lag: Duration::ZERO,
            memory: 0,
            restarts,
        }
    }

    /// What its place on the board says.
    pub(crate) fn read(id: usize, slot: &Slot) -> WorkerStatus {
        let pid = slot.pid.load(Relaxed);
        WorkerStatus {
            id,
            pid,
            state: slot.state(),
            uptime: match slot.started.load(Relaxed) {
                0 => Duration::ZERO,
                started => since(started),
            },
            connections: slot.connections.load(Relaxed),
            requests: slot.requests.load(Relaxed),
            run_queue: slot.run_queue.load(Relaxed),
            green_threads: slot.green_threads.load(Relaxed),
            loop_lag: Duration::from_nanos(slot.loop_lag.load(Relaxed)),
            memory: memory(pid).unwrap_or(0),
            restarts: slot.restarts.load(Relaxed),
        }
    }

    fn cells(&self) -> [String; COLUMNS.len()] {
        [
            self.id.to_string(),
            self.pid.to_string(),
            self.state.to_string(),
            long(self.uptime),
            self.connections.to_string(),
            self.requests.to_string(),
            self.run_queue.to_string(),
            self.green_threads.to_string(),
            short(self.loop_lag),
            format!("{:.1} MiB", self.memory as f64 / f64::from(1 << 20)),
            self.restarts.to_string(),
        ]
    }
}

/// The heads of the table, and whether what stands below is a number.
const COLUMNS: [(&str, bool); 11] = [
    ("ID", true),
    ("PID", true),
    ("STATE", false),
    ("UPTIME", false),
    ("CONNECTIONS", true),
    ("REQUESTS", true),
    ("READY", true),
    ("THREADS", true),
    ("LAG", true),
    ("MEMORY", true),
    ("RESTARTS", true),
];

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.workers.len();
        let plural = if count == 1 { "" } else { "s" };
        let uptime = long(self.uptime);
        write!(
            f,
            "launcher {}, up {uptime}, {count} worker{plural}",
            self.pid
        )?;
        let heads = COLUMNS.map(|(head, _)| head.to_owned());
        let rows = self.workers.iter().map(WorkerStatus::cells);
        let rows: Vec<_> = std::iter::once(heads).chain(rows).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max();
        let widths: Vec<_> = (0..COLUMNS.len()).map(|c| width(c).unwrap_or(0)).collect();
        for row in &rows {
            let mut line = String::new();
            for ((cell, width), (_, is_number)) in row.iter().zip(&widths).zip(COLUMNS) {
                if is_number {
                    write!(line, "{cell:>width$}  ")?;
                } else {
                    write!(line, "{cell:<width$}  ")?;
                }
            }
            write!(f, "\n{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn since(then: u64) -> Duration {
    Duration::from_nanos(now().saturating_sub(then))
}

/// The resident set of a process in bytes.
pub(crate) fn memory(pid: u32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_size() as u64)
}

/// A time as people say it: its two largest units.
fn long(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// A time of less than a few seconds, as a rule.
fn short(time: Duration) -> String {
    match time.as_secs_f64() * 1000.0 {
        ms if ms < 1000.0 => format!("{ms:.1} ms"),
        ms => format!("{:.1} s", ms / 1000.0),
    }
}

#[cfg(test)]
mod tests;
