//! What an HTTP request costs a server under load.
//!
//! Measured is the processor time of the server for a request, in the kernel's account of all its
//! OS threads: on a machine of two cores the client is the bottleneck, and requests per second
//! would measure the client. They stand beside it, with the latencies that the client saw. The
//! server is a process of its own on the first core, the client, this process, on the last one;
//! they are connected before the clock starts, keep their connections, and each connection asks
//! again as soon as it is answered. Sizes: 64 and 1000 connections, and 64 that each send 16
//! requests at once.
//!
//! The system calls of a request are counted afterwards, by `strace` where there is one, for it
//! makes them slow.
//!
//! All servers have the same parser and answers (`server/session.rs`, with the parser of the
//! example) and the same loop around them, but for the limit, `mio`: a plain loop around epoll,
//! with no coroutines. `sedge-example` is `examples/http.rs` as it stands, which the others are
//! not: it has limits of time for each part of a request, and an end in order.

use std::io;
use std::time::{Duration, Instant};

use criterion::BenchmarkId;
use sedge_benches::{Group, Load, Server, record_beside, scale, settings};

const PEERS: [&str; 6] = ["mio", "sedge", "sedge-example", "may", "tokio", "std"];
/// Requests while system calls are counted.
const COUNTED: u64 = 20_000;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\n\r\n";

fn main() {
    let mut criterion = settings();
    let mut group = criterion.benchmark_group("http");
    group
        .sample_size(15)
        .measurement_time(Duration::from_secs(2));
    for (size, connections, depth) in [("64", 64, 1), ("1000", 1000, 1), ("64x16", 64, 16)] {
        // A thousand OS threads are another question.
        let peers = PEERS
            .iter()
            .filter(|&&peer| connections < 1000 || peer != "std");
        for peer in peers {
            http(&mut group, peer, size, connections, depth);
        }
    }
    group.finish();
    criterion.final_summary();
}

fn http(group: &mut Group<'_>, peer: &str, size: &str, connections: usize, depth: usize) {
    let (program, arguments) = match peer {
        "sedge-example" => (
            env!("CARGO_BIN_EXE_http-example"),
            ["--addr", "127.0.0.1:0"],
        ),
        _ => (env!("CARGO_BIN_EXE_server"), [peer, "http"]),
    };
    let server = Server::start(program, &arguments).expect("the server starts");
    let load = Load::connect(server.addr(), connections, REQUEST, depth);
    let mut load = load.expect("it listens");
    let (mut requests, mut time) = (0, Duration::ZERO);
    group.bench_function(BenchmarkId::new(peer, size), |bencher| {
        bencher.iter_custom(|count| {
            let before = server.cpu_time().expect("it runs");
            let begin = Instant::now();
            let done = load.run(count).expect("it answers");
            time += begin.elapsed();
            requests += done;
            let cpu = server.cpu_time().expect("it runs").saturating_sub(before);
            scale(cpu, done, count)
        });
    });
    if requests > 0 {
        let [middle, late, last] = load.latencies([500, 990, 999]);
        let mut columns = vec![
            ("requests/s", requests as f64 / time.as_secs_f64()),
            ("latency 50 %, us", middle.as_nanos() as f64 / 1e3),
            ("latency 99 %, us", late.as_nanos() as f64 / 1e3),
            ("latency 99.9 %, us", last.as_nanos() as f64 / 1e3),
        ];
        drop((load, server));
        match system_calls(program, &arguments, connections, depth) {
            Ok(calls) => columns.push(("system calls", calls)),
            Err(error) => eprintln!("system calls are not counted: {error}; is there strace?"),
        }
        record_beside("http", peer, size, &columns);
    }
}

/// System calls of the server for one request.
fn system_calls(
    program: &str,
    arguments: &[&str],
    connections: usize,
    depth: usize,
) -> io::Result<f64> {
    let server = Server::start_traced(program, arguments)?;
    let mut load = Load::connect(server.addr(), connections, REQUEST, depth)?;
    // Once round, and all connections are there.
    load.run(1)?;
    let before = server.system_calls()?;
    let done = load.run(COUNTED)?;
    Ok((server.system_calls()? - before) as f64 / done as f64)
}
