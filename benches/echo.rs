//! What a TCP round trip costs: 64 bytes to an echo server and back.
//!
//! One connection, one message on the way. The server is a process of its own on the first core,
//! its client, this process, on the last one; they are connected before the clock starts. Both ends
//! sleep in the kernel between messages, so most of the time is the kernel's, waking one core from
//! the other; what the runtime adds stands beside it, as the processor time of the server for a
//! message, in the kernel's account.
//!
//! All servers have the same handler (`server/session.rs`) and the same loop around it, but for the
//! limit, `mio`: a plain loop around epoll, with no coroutines.

use criterion::BenchmarkId;
use sedge_benches::{Group, Load, Server, record_beside, settings};

const PEERS: [&str; 5] = ["mio", "sedge", "may", "tokio", "std"];

fn main() {
    let mut criterion = settings();
    let mut group = criterion.benchmark_group("echo");
    for peer in PEERS {
        echo(&mut group, peer);
    }
    group.finish();
    criterion.final_summary();
}

fn echo(group: &mut Group<'_>, peer: &str) {
    let program = env!("CARGO_BIN_EXE_server");
    let server = Server::start(program, &[peer, "echo"]).expect("the server starts");
    let mut load = Load::connect(server.addr(), 1, &[b'.'; 64], 1).expect("it listens");
    let (mut messages, mut cpu) = (0, std::time::Duration::ZERO);
    group.bench_function(BenchmarkId::new(peer, 1), |bencher| {
        bencher.iter_custom(|count| {
            let before = server.cpu_time().expect("it runs");
            let begin = std::time::Instant::now();
            messages += load.run(count).expect("it answers");
            let time = begin.elapsed();
            cpu += server.cpu_time().expect("it runs").saturating_sub(before);
            time
        });
    });
    if messages > 0 {
        let cpu = cpu.as_nanos() as f64 / messages as f64;
        let [middle, late] = load.latencies([500, 990]);
        let columns = [
            ("CPU of the server, ns", cpu),
            ("latency 50 %, us", middle.as_nanos() as f64 / 1e3),
            ("latency 99 %, us", late.as_nanos() as f64 / 1e3),
        ];
        record_beside("echo", peer, "1", &columns);
    }
}
