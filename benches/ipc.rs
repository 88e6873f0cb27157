//! What it costs to tell another process something.
//!
//! In the group `ipc` a request of 64 bytes goes to a process that waits, and its answer comes
//! back. `sedge` has two channels for that, `sedge-pipe` one pipe, both ways over one socket; the
//! limit, `socketpair`, is bare packets and calls that block. In `ipc-bytes` the request is so many
//! bytes instead.
//!
//! In the group `ipc-queue` nobody answers: four processes put small messages into one queue while
//! four take them out; the time from the word to begin until all have been taken is divided by how
//! many there were. The limit has as many processes, bare packets and calls that block.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::{read, write};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::stdio::stdin;
use sedge::ipc::{self, Bytes, Event, Receiver, RecvError, SendError, Sender};
use sedge::process::{Child, Command, Stdio};
use sedge_benches::{Group, is_test, scale, settings, sizes};
use serde::Serialize;

/// Of each kind, in the group `ipc-queue`.
const PROCESSES: u64 = 4;
/// In the group `ipc-queue`, at least: starting the processes is not measured, but takes time.
const MESSAGES: u64 = 100_000;

type Message = [u64; 8];
type Outcome = Result<(), Box<dyn std::error::Error>>;

const PART: &str = "SEDGE_BENCH_PART";

fn main() -> Outcome {
    if let Ok(part) = std::env::var(PART) {
        // Who asks has gone when this fails.
        let _ = sedge::run(|| play(&part));
        return Ok(());
    }
    let mut criterion = settings();
    let mut group = criterion.benchmark_group("ipc");
    bare(&mut group)?;
    sedge::run(|| channels(&mut group))?;
    sedge::run(|| pipe(&mut group))?;
    group.finish();
    let mut group = criterion.benchmark_group("ipc-bytes");
    sedge::run(|| bytes(&mut group))?;
    group.finish();
    let mut group = criterion.benchmark_group("ipc-queue");
    queue(&mut group, "socketpair", "bare");
    queue(&mut group, "sedge", "sedge");
    group.finish();
    criterion.final_summary();
    Ok(())
}

/// What a child does.
fn play(part: &str) -> Outcome {
    match part {
        "bare" => loop {
            let mut packet = [0; 64];
            read(stdin(), &mut packet)?;
            write(stdin(), &packet)?;
        },
        "channels" => {
            let (requests, answers) = given::<(Receiver<Message>, Sender<Message>)>()?;
            for request in &requests {
                answers.send(&request?)?;
            }
        }
        "pipe" => {
            let pipe = ipc::inherited::<ipc::Pipe<Message>>()?;
            loop {
                pipe.send(&pipe.recv()?)?;
            }
        }
        "bytes" => {
            let (requests, answers) = given::<(Receiver<Bytes>, Sender<usize>)>()?;
            for request in &requests {
                answers.send(&request?.len())?;
            }
        }
        "bare-put" => {
            let (count, begin, sender) = given::<(u64, Event, Sender<u64>)>()?;
            let socket = blocking(sender.into_fd()?)?;
            begin.wait()?;
            for number in 0..count {
                write(&socket, &number.to_ne_bytes())?;
            }
        }
        "bare-get" => {
            let (receiver, _done) = given::<(Receiver<u64>, Sender<u64>)>()?;
            let socket = blocking(receiver.into_fd()?)?;
            let mut packet = [0; 64];
            while read(&socket, &mut packet)? > 0 {}
        }
        "sedge-put" => {
            let (count, begin, sender) = given::<(u64, Event, Sender<u64>)>()?;
            begin.wait()?;
            for number in 0..count {
                sender.send(&number)?;
            }
        }
        _ => {
            let (receiver, _done) = given::<(Receiver<u64>, Sender<u64>)>()?;
            for message in &receiver {
                message?;
            }
        }
    }
    Ok(())
}

fn blocking(socket: OwnedFd) -> io::Result<OwnedFd> {
    rustix::io::ioctl_fionbio(&socket, false)?;
    Ok(socket)
}

fn given<T: serde::de::DeserializeOwned>() -> Result<T, RecvError> {
    let stage: Receiver<T> = ipc::inherited().map_err(RecvError::Io)?;
    stage.recv()
}

fn start(part: &str, stdin: impl Into<Stdio>) -> io::Result<Child> {
    Command::new("/proc/self/exe")
        .env(PART, part)
        .stdin(stdin)
        .kill_on_drop(true)
        .spawn()
}

fn give<T: Serialize>(part: &str, props: &T) -> Result<Child, SendError> {
    let (sender, receiver) = ipc::channel().map_err(SendError::Io)?;
    sender.send(props)?;
    let child = receiver.to_stdio().and_then(|stdin| start(part, stdin));
    child.map_err(SendError::Io)
}

/// The time of `count` round trips.
fn ask<E: std::fmt::Debug>(count: u64, mut one: impl FnMut() -> Result<(), E>) -> Duration {
    let begin = Instant::now();
    for _ in 0..count {
        one().expect("the child answers");
    }
    begin.elapsed()
}

fn bare(group: &mut Group<'_>) -> Outcome {
    let flags = SocketFlags::CLOEXEC;
    let (here, there) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let _child = start("bare", there)?;
    let mut packet = [0; 64];
    group.bench_function("socketpair", |bencher| {
        bencher.iter_custom(|count| {
            ask(count, || {
                write(&here, &packet)?;
                read(&here, &mut packet).map(drop)
            })
        });
    });
    Ok(())
}

fn channels(group: &mut Group<'_>) -> Outcome {
    let (asker, asked) = ipc::channel::<Message>()?;
    let (answer, answers) = ipc::channel::<Message>()?;
    let _child = give("channels", &(asked, answer))?;
    group.bench_function("sedge", |bencher| {
        bencher.iter_custom(|count| {
            ask(count, || {
                asker.send(&[1; 8])?;
                answers.recv().map(drop).map_err(io::Error::from)
            })
        });
    });
    Ok(())
}

fn pipe(group: &mut Group<'_>) -> Outcome {
    let (here, there) = ipc::pipe::<Message>()?;
    let _child = start("pipe", there.to_stdio()?)?;
    group.bench_function("sedge-pipe", |bencher| {
        bencher.iter_custom(|count| {
            ask(count, || {
                here.send(&[1; 8])?;
                here.recv().map(drop).map_err(io::Error::from)
            })
        });
    });
    Ok(())
}

fn bytes(group: &mut Group<'_>) -> Outcome {
    let (asker, asked) = ipc::channel::<Bytes>()?;
    let (answer, answers) = ipc::channel::<usize>()?;
    let _child = give("bytes", &(asked, answer))?;
    for size in sizes(&[1000, 64_000, 1_000_000]) {
        let request = Bytes(vec![7; size]);
        group.bench_function(format!("sedge/{size}"), |bencher| {
            bencher.iter_custom(|count| {
                ask(count, || {
                    asker.send(&request)?;
                    answers.recv().map(drop).map_err(io::Error::from)
                })
            });
        });
    }
    Ok(())
}

fn queue(group: &mut Group<'_>, name: &str, kind: &str) {
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|count| {
            let least = if is_test() { 1 } else { MESSAGES };
            let each = count.max(least).div_ceil(PROCESSES);
            let time = sedge::run(|| through(kind, each)).expect("there are descriptors");
            scale(time, each * PROCESSES, count)
        });
    });
}

/// The time until so many messages of each process are through.
fn through(kind: &str, each: u64) -> Result<Duration, Box<dyn std::error::Error>> {
    let (sender, receiver) = ipc::channel::<u64>()?;
    let (done, all_done) = ipc::channel::<u64>()?;
    let begin = Event::new()?;
    let (put, get) = (format!("{kind}-put"), format!("{kind}-get"));
    let consumers = (0..PROCESSES).map(|_| give(&get, &(&receiver, &done)));
    let producers = (0..PROCESSES).map(|_| give(&put, &(each, &begin, &sender)));
    let children = consumers.chain(producers).collect::<Result<Vec<_>, _>>()?;
    drop((sender, receiver, done));
    // They are to wait at the start.
    sedge::sleep(Duration::from_millis(30));
    let clock = Instant::now();
    begin.set()?;
    let end = all_done.recv();
    let time = clock.elapsed();
    assert!(end.is_err_and(|end| end.is_closed()), "nobody sends there");
    drop(children);
    Ok(time)
}
