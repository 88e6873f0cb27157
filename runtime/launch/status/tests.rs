//! Tests of the status.

use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::launch::board::Board;

fn worker(id: usize, pid: u32) -> WorkerStatus {
    WorkerStatus {
        id,
        pid,
        state: State::Ready,
        uptime: Duration::from_secs(11_520),
        connections: 17,
        requests: 80_123,
        run_queue: 0,
        green_threads: 19,
        loop_lag: Duration::from_micros(120),
        memory: 13_002_342,
        restarts: 0,
    }
}

fn status() -> Status {
    let other = WorkerStatus {
        state: State::Draining,
        uptime: Duration::from_secs(5),
        loop_lag: Duration::from_millis(2340),
        restarts: 12,
        ..worker(10, 4980)
    };
    Status {
        pid: 4711,
        uptime: Duration::from_secs(90_000),
        workers: vec![worker(0, 4712), other],
    }
}

#[test]
fn it_prints_a_table() {
    let table = "\
launcher 4711, up 1 d 1 h, 2 workers
ID   PID  STATE     UPTIME      CONNECTIONS  REQUESTS  READY  THREADS     LAG    MEMORY  RESTARTS
 0  4712  ready     3 h 12 min           17     80123      0       19  0.1 ms  12.4 MiB         0
10  4980  draining  5 s                  17     80123      0       19   2.3 s  12.4 MiB        12";
    assert_eq!(status().to_string(), table);
}

#[test]
fn metrics_have_each_worker_under_each_name() {
    let text = status().metrics();
    for line in [
        "sedge_uptime_seconds 90000",
        "# TYPE sedge_worker_requests_total counter",
        "sedge_worker_requests_total{worker=\"0\"} 80123",
        "sedge_worker_loop_lag_seconds{worker=\"10\"} 2.34",
        "sedge_worker_state{worker=\"10\",state=\"draining\"} 1",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
    let is_sound = |line: &str| line.starts_with("# ") || line.split(' ').count() == 2;
    assert!(text.lines().all(is_sound), "{text}");
}

#[test]
fn it_is_read_from_the_board() {
    let board = Board::create(3).unwrap();
    let slot = board.slot(1);
    slot.pid.store(std::process::id(), Relaxed);
    slot.set_state(State::Ready);
    slot.started.store(now() - 5_000_000_000, Relaxed);
    slot.requests.store(9, Relaxed);
    let worker = WorkerStatus::read(1, slot);
    assert_eq!((worker.id, worker.requests), (1, 9));
    assert_eq!(worker.uptime.as_secs(), 5);
    assert!(worker.memory > 1 << 16);
}
