//! What a launcher gains by its workers, and what a worker costs to start.
//!
//! Group `launch`: the handler computes for a millisecond, the same number of rounds everywhere,
//! and 16 connections ask again as soon as they are answered, from this process, which is little
//! work. Measured is the time for one answer, with one worker and with two: what two make of two
//! cores. It is `Server` under a `Launcher`, as its documentation has it. The limit is `std`: an OS
//! thread for each connection, kept to so many cores, where the kernel shares out the work. may and
//! tokio have so many OS threads, and move connections between them.
//!
//! Group `launch-start`: the time until a worker can serve, from a launcher with so many MiB of
//! heap, each page of it touched. For sedge that is from the opening of the first socket to the
//! moment at which the launcher knows that its one worker is ready. The limit is `std`: the same
//! program started by `Command`, until its first line has come. `fork` is that too, but with a user
//! id to be set, by which std loses the way of `posix_spawn`: so it is for any launcher that forks,
//! as for one that uses `pre_exec`.
//!
//! Every figure is the middle one of some processes of their own.

use std::cell::Cell;
use std::hint::black_box;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::process::{Signal, getuid, set_parent_process_death_signal};
use sedge::launch::{Launcher, Workers};
use sedge_benches::{Load, Server, is_test, record, record_beside};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CONNECTIONS: usize = 16;
const REQUESTS: u64 = 3000;
const ROUNDS: usize = 3;
const STARTS: usize = 9;
const WORK: Duration = Duration::from_millis(1);
const ANY_PORT: &str = "127.0.0.1:0";

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[1..] {
        ["--serve", peer, workers, rounds] => serve(peer, number(workers) as usize, number(rounds)),
        ["--start", peer, heap] => start(peer, number(heap) as usize),
        ["--hello"] => {
            println!("hello");
            Ok(ExitCode::SUCCESS)
        }
        _ => measure().map(|()| ExitCode::SUCCESS),
    }
}

fn number(word: &str) -> u64 {
    word.parse().expect("a number")
}

fn measure() -> io::Result<()> {
    let work = calibrate().to_string();
    for peer in ["std", "sedge", "may", "tokio"] {
        let [one, two] = ["1", "2"].map(|workers| answers(peer, workers, &work));
        if !is_test() {
            let middle = |mut times: Vec<f64>| {
                times.sort_by(f64::total_cmp);
                times[times.len() / 2]
            };
            let gain = middle(one?) / middle(two?);
            record_beside("launch", peer, "2", &[("times one worker", gain)]);
        }
    }
    for heap in ["1", "1024"] {
        for peer in ["std", "fork", "sedge"] {
            let heap = if is_test() { "1" } else { heap };
            let times = starts(peer, heap)?;
            if !is_test() {
                record("launch-start", peer, heap, times);
            }
        }
    }
    Ok(())
}

// ---- a handler that computes --------------------------------------------------------------------

/// Nanoseconds for an answer, in each round.
fn answers(peer: &str, workers: &str, work: &str) -> io::Result<Vec<f64>> {
    let (rounds, requests) = match is_test() {
        true => (1, 1),
        false => (ROUNDS, REQUESTS),
    };
    let mut times = Vec::new();
    for _ in 0..rounds {
        let program = std::env::current_exe()?;
        let program = program.to_string_lossy();
        let server = Server::start_unpinned(&program, &["--serve", peer, workers, work])?;
        let mut load = Load::connect(server.addr(), CONNECTIONS, b"?", 1)?;
        // Once round, and all connections are accepted.
        load.run(1)?;
        let begin = Instant::now();
        let done = load.run(requests)?;
        times.push(begin.elapsed().as_nanos() as f64 / done as f64);
    }
    if !is_test() {
        record("launch", peer, workers, times.clone());
    }
    Ok(times)
}

/// What the handler does: arithmetic, of which no step can begin before the last has ended.
fn compute(rounds: u64) {
    let mut state = black_box(1u64);
    for _ in 0..rounds {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    black_box(state);
}

/// How many rounds are a millisecond, on a core that nobody else wants.
fn calibrate() -> u64 {
    const SAMPLE: u64 = 1_000_000;
    let sample = |_| {
        let begin = Instant::now();
        compute(SAMPLE);
        begin.elapsed()
    };
    let best = (0..20).map(sample).min().expect("there are some");
    (SAMPLE as f64 * WORK.as_secs_f64() / best.as_secs_f64()) as u64
}

/// Serves until it is killed, with the bench at the latest.
fn serve(peer: &str, workers: usize, work: u64) -> io::Result<ExitCode> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    match peer {
        "sedge" => {
            return Launcher::new()
                .bind(ANY_PORT)
                .workers(Workers::Exactly(workers))
                .on_ready(|addrs| println!("listening on {}", addrs[0]))
                .run(|worker| {
                    let handler = move |stream| talk(stream, work);
                    worker.serve(sedge::server::Server::new(worker.listener(0), handler))
                });
        }
        "may" => may_serve(workers, work)?,
        "tokio" => tokio_serve(workers, work)?,
        _ => std_serve(workers, work)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a byte, computes, and writes one, until the client goes.
fn talk(mut stream: impl Read + Write, work: u64) -> io::Result<()> {
    let mut byte = [0];
    while stream.read(&mut byte)? > 0 {
        compute(work);
        stream.write_all(b"!")?;
    }
    Ok(())
}

fn std_serve(workers: usize, work: u64) -> io::Result<()> {
    sedge_benches::pin_to_first_cores(workers)?;
    let listener = std::net::TcpListener::bind(ANY_PORT)?;
    println!("listening on {}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || talk(stream, work));
    }
    Ok(())
}

fn may_serve(workers: usize, work: u64) -> io::Result<()> {
    may::config().set_workers(workers);
    let accept = move || {
        let listener = may::net::TcpListener::bind(ANY_PORT)?;
        println!("listening on {}", listener.local_addr()?);
        for stream in listener.incoming() {
            let stream = stream?;
            may::go!(move || talk(stream, work));
        }
        Ok(())
    };
    may::go!(accept).join().expect("it does not panic")
}

fn tokio_serve(workers: usize, work: u64) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(ANY_PORT).await?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (mut stream, _) = listener.accept().await?;
            tokio::spawn(async move {
                let mut byte = [0];
                while let Ok(1..) = stream.read(&mut byte).await {
                    compute(work);
                    if stream.write_all(b"!").await.is_err() {
                        break;
                    }
                }
            });
        }
    })
}

// ---- the start of a worker ----------------------------------------------------------------------

/// Nanoseconds for each start.
fn starts(peer: &str, heap: &str) -> io::Result<Vec<f64>> {
    let starts = if is_test() { 1 } else { STARTS };
    (0..starts).map(|_| start_time(peer, heap)).collect()
}

/// The first line that a process says which starts a worker.
fn start_time(peer: &str, heap: &str) -> io::Result<f64> {
    let mut launcher = Command::new(std::env::current_exe()?)
        .args(["--start", peer, heap])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(output) = launcher.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    launcher.kill()?;
    launcher.wait()?;
    line.trim().parse().map_err(io::Error::other)
}

/// Starts a worker, and prints how long that took.
fn start(peer: &str, heap: usize) -> io::Result<ExitCode> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if peer != "sedge" {
        touch(heap);
        let begin = Instant::now();
        let mut command = Command::new("/proc/self/exe");
        if peer == "fork" {
            command.uid(getuid().as_raw());
        }
        let output = command
            .arg("--hello")
            .stdout(Stdio::piped())
            .spawn()?
            .stdout;
        let mut line = String::new();
        BufReader::new(output.expect("it is piped")).read_line(&mut line)?;
        println!("{}", begin.elapsed().as_nanos());
        return Ok(ExitCode::SUCCESS);
    }
    let begin = Rc::new(Cell::new(Instant::now()));
    let begun = Rc::clone(&begin);
    Launcher::new()
        .bind_with(move || {
            // Here the launcher is alone; what stands before `run`, its workers do as well.
            touch(heap);
            begin.set(Instant::now());
            std::net::TcpListener::bind(ANY_PORT)
        })
        .workers(Workers::Exactly(1))
        .on_ready(move |_| println!("{}", begun.get().elapsed().as_nanos()))
        .run(|worker| {
            worker.ready();
            worker.draining().wait();
        })
}

/// Makes so many MiB resident, for good.
fn touch(heap: usize) {
    let heap = vec![1u8; heap << 20];
    std::mem::forget(black_box(heap));
}
