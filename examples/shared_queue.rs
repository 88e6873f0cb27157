//! One queue, five processes: three put jobs in, two take them out, and one of these is killed.
//!
//! ```text
//! cargo run --example shared_queue
//! ```
//!
//! Nobody notices. The queue is a socket that all have an end of: there is no lock that the dead
//! one could hold, and what it had not taken is there for the other. One job is lost at most, that
//! which it had just taken. When the last producer has ended, the queue ends too.

use std::collections::BTreeMap;
use std::io;

use sedge::ipc::{self, Receiver, Sender};
use sedge::process::{Child, Command};
use serde::{Deserialize, Serialize};

const PRODUCERS: u32 = 3;
const CONSUMERS: u32 = 2;
/// Of each producer.
const JOBS: u32 = 2000;

/// What a child process is told to be.
#[derive(Serialize, Deserialize)]
enum Part {
    Producer(Sender<u32>),
    /// It says which job it has done, and who it is.
    Consumer(Receiver<u32>, Sender<(u32, u32)>),
}

fn main() -> io::Result<()> {
    let is_child = std::env::args().nth(1).is_some_and(|word| word == "child");
    sedge::run(|| if is_child { play() } else { direct() })
}

/// What the children do.
fn play() -> io::Result<()> {
    let parts: Receiver<Part> = ipc::inherited()?;
    match parts.recv()? {
        Part::Producer(jobs) => {
            for job in 0..JOBS {
                jobs.send(&job)?;
            }
        }
        Part::Consumer(jobs, done) => {
            for job in &jobs {
                done.send(&(job?, std::process::id()))?;
            }
        }
    }
    Ok(())
}

/// What the parent does.
fn direct() -> io::Result<()> {
    let (jobs, waiting) = ipc::channel()?;
    let (done, results) = ipc::channel()?;
    let mut consumers = (0..CONSUMERS)
        .map(|_| start(&Part::Consumer(waiting.clone(), done.clone())))
        .collect::<io::Result<Vec<_>>>()?;
    let producers = (0..PRODUCERS)
        .map(|_| start(&Part::Producer(jobs.clone())))
        .collect::<io::Result<Vec<_>>>()?;
    // An end that stayed here would keep the queue open.
    drop((jobs, waiting, done));

    let mut by_consumer = BTreeMap::new();
    for (number, result) in results.iter().enumerate() {
        let (_, consumer) = result?;
        *by_consumer.entry(consumer).or_insert(0) += 1;
        if number == 1000 {
            let victim = &mut consumers[0];
            println!("after {number} jobs, consumer {} is killed", victim.id());
            victim.kill()?;
        }
    }
    for mut child in producers.into_iter().chain(consumers) {
        child.wait()?;
    }
    for (consumer, jobs) in &by_consumer {
        println!("consumer {consumer} has done {jobs} jobs");
    }
    let lost = PRODUCERS * JOBS - by_consumer.values().sum::<u32>();
    println!("{lost} of {} jobs lost", PRODUCERS * JOBS);
    Ok(())
}

/// Starts this program again, and tells it what it is to be.
fn start(part: &Part) -> io::Result<Child> {
    let (teller, told) = ipc::channel()?;
    teller.send(part)?;
    Command::new("/proc/self/exe")
        .arg("child")
        .stdin(told.to_stdio()?)
        .kill_on_drop(true)
        .spawn()
}
